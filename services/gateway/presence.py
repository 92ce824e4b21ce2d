"""What the gateway tells and asks presence: batches of connections (beats), how agents are, availability."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.bus import Bus
from shared.codec import pack, unpack
from shared.commands import (
    Accepted,
    AgentPresence,
    AskPresence,
    Beats,
    Connection,
    PresenceAnswer,
    SetAvailability,
    Waiting,
)
from shared.crashpoints import crashpoint
from shared.errors import Unavailable
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, Position
from shared.subjects import beats_subject, command_subject

_MOST_IN_A_BEAT = 1_000
"""Some 250 bytes each: far below what NATS takes in one message."""


class Presence:
    """Talks to the presence service over core NATS."""

    def __init__(self, bus: Bus, shard: str, *, gateway: str, timeout_s: float = 2.0) -> None:
        self._bus = bus
        self._shard = shard
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._open: dict[str, Connection] = {}
        self._awake: set[str] = set()
        self._used: set[str] = set()
        self._told_used: set[str] = set()

    async def agents(self, account_id: AccountId) -> dict[AgentId, AgentPresence]:
        """How every agent of the account is now. Raises `Unavailable`."""
        subject = command_subject(self._shard, "presence", "agents")
        question = pack(AskPresence(account_id=account_id))
        crashpoint("gateway.presence.ask")
        raw = await self._bus.request(subject, question, timeout_s=self._timeout_s)
        return {each.agent_id: each for each in unpack(raw, PresenceAnswer).agents}

    async def set_availability(
        self, account_id: AccountId, agent_id: AgentId, availability: Availability
    ) -> Position:
        """Have an agent's word recorded; the position of its event. Raises `Unavailable`."""
        subject = command_subject(self._shard, "presence", "set_availability")
        wish = SetAvailability(account_id=account_id, agent_id=agent_id, availability=availability)
        crashpoint("gateway.presence.wish")
        raw = await self._bus.request(subject, pack(wish), timeout_s=self._timeout_s)
        answer = unpack(raw, Accepted)
        if answer.status != "ok":
            raise Unavailable("presence can't record this now")
        return answer.position

    async def opened(self, connection: Connection) -> None:
        """A device of an agent connected."""
        self._open[connection.connection] = connection
        await self._publish(Beats(gateway=self._gateway, opened=(connection,)))

    async def closed(self, name: str, waiting: Sequence[Waiting] = ()) -> None:
        """The connection is gone; `waiting` is what is known of its agent's alerts."""
        connection = self._open.pop(name, None)
        if connection is not None:
            await self._publish(
                Beats(gateway=self._gateway, closed=(connection,), waiting=tuple(waiting))
            )

    def is_active(self, connection: Connection) -> None:
        """The person did something; told within a second if it is the first since the last beat, else with the next."""
        if connection.connection in self._open:
            self._open[connection.connection] = connection
            self._used.add(connection.connection)

    async def tell_used(self) -> None:
        """Devices that people took up since the last beat: the next alert belongs there. Once for each until the next
        beat, so that a busy desk costs at most as much again."""
        fresh = self._used - self._told_used
        self._told_used |= fresh
        used = tuple([self._open[name] for name in fresh if name in self._open])
        for first in range(0, len(used), _MOST_IN_A_BEAT):
            part = used[first : first + _MOST_IN_A_BEAT]
            await self._publish(Beats(gateway=self._gateway, alive=part))

    def is_awake(self, connection: Connection) -> None:
        """The device acknowledged something; told with the next beat."""
        self._awake.add(connection.connection)

    async def tell_waiting(self, waiting: Sequence[Waiting]) -> None:
        """What agents were told to alert for and nobody answered."""
        for first in range(0, len(waiting), _MOST_IN_A_BEAT):
            part = tuple(waiting[first : first + _MOST_IN_A_BEAT])
            await self._publish(Beats(gateway=self._gateway, waiting=part))

    async def beat(self) -> None:
        """Renew every lease; without connections it still says that this gateway is alive."""
        awake, self._awake = self._awake, set()
        self._used, self._told_used = set(), set()
        alive = tuple(
            msgspec.structs.replace(each, is_awake=True) if name in awake else each
            for name, each in self._open.items()
        )
        for first in range(0, max(1, len(alive)), _MOST_IN_A_BEAT):
            part = alive[first : first + _MOST_IN_A_BEAT]
            await self._publish(Beats(gateway=self._gateway, alive=part))

    async def _publish(self, beats: Beats) -> None:
        crashpoint("gateway.beat")
        await self._bus.publish(beats_subject(self._shard), pack(beats))
