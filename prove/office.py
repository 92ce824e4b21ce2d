"""An administrator who changes things all day, so that crash points of the account's ways are passed as well.

Nothing here is promised before it is answered; what is judged is that nobody else notices.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from nightdesk_client import NightdeskClientError, Staff
from prove.people import Hours, Place

_PAUSE_S = (0.3, 1.5)
_AGAIN_S = 1.0


class Office:
    """`work` until cancelled; signs in again whenever its gateway goes away."""

    def __init__(self, place: Place, hours: Hours, *, email: str, password: str) -> None:
        self._place = place
        self._hours = hours
        self._email = email
        self._password = password
        self._chance = random.Random(email)
        self._count = 0

    async def work(self) -> None:
        """One thing after the other, at one gateway after the other."""
        while True:
            await self._hours.wait()
            gateway = self._chance.choice(self._place.gateways)
            try:
                async with Staff.sign_in(gateway, self._email, self._password) as staff:
                    await self._stay(staff)
            except (NightdeskClientError, RuntimeError):
                # A gateway or a server is away: another time.
                await asyncio.sleep(_AGAIN_S)

    async def _stay(self, staff: Staff) -> None:
        deeds: tuple[Callable[[Staff], Awaitable[None]], ...] = (
            self._key,
            self._agent,
            self._secret,
            self._label,
        )
        for _ in range(self._chance.randint(3, 8)):
            await asyncio.sleep(self._chance.uniform(*_PAUSE_S))
            await self._hours.wait()
            self._count += 1
            await self._chance.choice(deeds)(staff)

    async def _key(self, staff: Staff) -> None:
        made = await staff.account.create_api_key(f"key {self._count}", key=f"key-{self._count}")
        await staff.account.remove_api_key(made.api_key_id)

    async def _agent(self, staff: Staff) -> None:
        """Somebody who is hired, gets another password, and leaves."""
        name = f"temporary-{self._count}"
        made = await staff.account.create_agent(
            key=name,
            name=name,
            email=f"{name}@prove.example",
            password=self._password,
            role="agent",
            capacity=1,
        )
        changed = await staff.account.change_agent(made, password=f"{self._password}-2")
        await staff.account.remove_agent(changed.agent_id)

    async def _secret(self, staff: Staff) -> None:
        inboxes = await staff.account.inboxes()
        await staff.account.replace_identity_secret(inboxes[0].inbox_id)

    async def _label(self, staff: Staff) -> None:
        await staff.account.create_label(f"label {self._count % 20}")
