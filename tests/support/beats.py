"""A gateway as presence hears one, and how to ask presence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import codec
from shared.commands import Beats, Connection
from shared.errors import Unavailable
from shared.subjects import beats_subject, command_subject
from tests.support import desk
from tests.support.services import TestLog


class Gateway:
    """As presence hears one: beats for the connections that are open."""

    def __init__(self, log: TestLog, name: str) -> None:
        self._log = log
        self._name = name
        self._open: dict[str, Connection] = {}
        self.used = ""
        """The connection on which the person does something before every beat."""

    async def open(self, agent: str, device: str) -> str:
        """A device connects; the connection's name."""
        name = f"{self._name}:{device}:{len(self._open)}"
        self._open[name] = Connection(
            account_id=desk.ACCOUNT,
            agent_id=desk.agent_id(agent),
            device_id=desk.device_id(device),
            connection=name,
        )
        await self.tell(Beats(gateway=self._name, opened=(self._open[name],)))
        return name

    async def close(self, name: str) -> None:
        """It says goodbye."""
        await self.tell(Beats(gateway=self._name, closed=(self._open.pop(name),)))

    def _use(self, name: str) -> None:
        before = self._open[name]
        self._open[name] = Connection(
            account_id=before.account_id,
            agent_id=before.agent_id,
            device_id=before.device_id,
            connection=name,
            active=before.active + 1,
        )

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            if self.used in self._open:
                self._use(self.used)
            await self.tell(Beats(gateway=self._name, alive=tuple(self._open.values())))
            await asyncio.sleep(0.1)

    async def tell(self, beats: Beats) -> None:
        """Publish."""
        await self._log.bus.publish(beats_subject(self._log.shard), codec.pack(beats))


@asynccontextmanager
async def gateway(log: TestLog, name: str = "g1") -> AsyncIterator[Gateway]:
    """A gateway that beats until the block ends; then it is dead."""
    made = Gateway(log, name)
    beating = asyncio.create_task(made.beat())
    try:
        yield made
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def ask(log: TestLog, name: str, payload: bytes) -> bytes:
    """The answer to a question or wish, once somebody answers."""
    subject = command_subject(log.shard, "presence", name)
    for _ in range(300):
        try:
            return await log.bus.request(subject, payload, timeout_s=5)
        except Unavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("presence does not answer")
