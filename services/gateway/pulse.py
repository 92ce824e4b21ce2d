"""Whether PostgreSQL answers now: no session is sent away for an expired token that could not be refreshed."""

from __future__ import annotations

import asyncio

from shared.crashpoints import crashpoint
from shared.database import Pool, borrow
from shared.errors import Unavailable

_BEAT_S = 2.0


class Pulse:
    """`run` in a task."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.is_up = True

    async def run(self) -> None:
        """Ask every few seconds until cancelled."""
        while True:
            try:
                async with borrow(self._pool) as connection:
                    crashpoint("gateway.pulse")
                    await connection.execute("SELECT 1")
                self.is_up = True
            except Unavailable:
                self.is_up = False
            await asyncio.sleep(_BEAT_S)
