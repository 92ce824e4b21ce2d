"""An administrator who changes things all day, so that crash points of the account's ways are passed as well.

Nothing here is promised before it is answered; what is judged is that nobody else notices.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import jwt

from nightdesk_client import NightdeskClientError, Staff, Visitor
from prove.people import Hours, Place

_PAUSE_S = (0.3, 1.5)
_AGAIN_S = 1.0
_VOUCHED_S = 300


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
        """A program gets a key, uses it, and loses it. It is asked for twice, as after a lost answer."""
        name, key = f"key {self._count}", f"key-{self._count}"
        await staff.account.create_api_key(name, key=key)
        made = await staff.account.create_api_key(name, key=key)
        if made.api_key is not None:
            gateway = self._chance.choice(self._place.gateways)
            async with Staff.with_key(gateway, made.api_key) as robot:
                await robot.conversations.page(limit=1)
        await staff.account.api_keys()
        await staff.account.remove_api_key(made.api_key_id)

    async def _agent(self, staff: Staff) -> None:
        """Somebody who is hired, gets another password and another address, and leaves."""
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
        moved = await staff.account.change_agent(changed, email=f"{name}-2@prove.example")
        await staff.account.remove_agent(moved.agent_id)

    async def _secret(self, staff: Staff) -> None:
        """The site gets another secret, and a customer whom it vouches for looks in."""
        inboxes = await staff.account.inboxes()
        inbox = inboxes[0]
        made = await staff.account.replace_identity_secret(inbox.inbox_id)
        now = int(time.time())
        claims = {"sub": f"customer-{self._count}", "iat": now, "exp": now + _VOUCHED_S}
        token = jwt.encode(claims, made.secret, algorithm="HS256")
        gateway = self._chance.choice(self._place.gateways)
        async with Visitor.arrive(gateway, inbox.inbox_key, identity_token=token) as customer:
            await customer.token()

    async def _label(self, staff: Staff) -> None:
        await staff.account.create_label(f"label {self._count % 20}")
