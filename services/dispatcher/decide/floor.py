"""One account's derived side: queues, rosters, who holds what, and what falls due. It follows the folded state
piece by piece and can be rebuilt from it at any time with the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from services.dispatcher.decide.demand import DemandClass, Supply, Turn
from services.dispatcher.decide.due import next_due_ns
from services.dispatcher.decide.line import Item, Line
from services.dispatcher.decide.pace import is_silent, window_of
from services.dispatcher.decide.pool import (
    RANKS,
    Pool,
    PoolKey,
    Roster,
    Standing,
    Status,
    make_roster,
)
from services.dispatcher.decide.settings import Settings
from services.dispatcher.decide.state import Agent, Office, Track, asked_teams
from services.dispatcher.decide.talents import Talents
from shared.directory import Account
from shared.events import AgentSaved
from shared.ids import AgentId, ConversationId, Position


class _View(msgspec.Struct, frozen=True, gc=False):
    """How a conversation stands in the floor. `older_ns`: when it will have waited enough to rise by a priority, or
    its hours begin or end."""

    pool: Pool | None = None
    rank: int = 0
    since: Position = 0
    is_fresh: bool = False
    older_ns: int = 0
    owner: AgentId | None = None
    is_held: bool = False
    channel: str = ""
    unacknowledged: Position = 0


class Holding:
    """What an agent has: conversations owned, those that fill the capacity (in all and by channel), assignments not
    acknowledged."""

    __slots__ = ("channels", "held", "owned", "unacknowledged")

    def __init__(self) -> None:
        self.owned: dict[ConversationId, None] = {}
        self.held = 0
        self.channels: dict[str, int] = {}
        self.unacknowledged: dict[ConversationId, Position] = {}

    def fill(self, channel: str, by: int) -> None:
        """So many more conversations of a channel fill the capacity."""
        self.held += by
        self.channels[channel] = self.channels.get(channel, 0) + by


class Reservation(NamedTuple):
    """Assignments to an agent that are drafted or on their way: their channels, and where the last will lie."""

    extra: tuple[str, ...]
    last_assigned: Position


_NOWHERE = _View()
_NO_AGENT = Agent()
_NOTHING = Holding()
_NONE: frozenset[str] = frozenset()
_LAST = 2**63


class Floor:
    """See the module. `fresh`: waiting without a record of it. `ready`: conversations in which something is due.
    `agenda`: when the next thing of each conversation falls due; the world keeps the heap over all accounts. `behind`:
    conversations that were not looked at since a document was saved that may concern them, at first all."""

    def __init__(self, office: Office, account: Account, settings: Settings, now_ns: int) -> None:
        self.office = office
        self.account = account
        self.settings = settings
        self.pools: dict[PoolKey, Pool] = {}
        self.fresh = Line()
        self.ready: dict[ConversationId, None] = {}
        self.agenda: dict[ConversationId, int] = {}
        self.behind: dict[ConversationId, None] = dict.fromkeys(office.tracks)
        self._turn = Turn(is_all=True)
        self.holdings: dict[AgentId, Holding] = {}
        self.standings: dict[AgentId, Standing] = {}
        self._shown: dict[AgentId, Standing] = {}
        self._reserved: dict[AgentId, Reservation] = {}
        self._changed: set[AgentId] = set()
        self.supply = Supply(account)
        self._talents = Talents(account)
        self._classes: dict[DemandClass, Pool] = {}
        self._rosters: dict[AgentId, list[Roster]] = {}
        self._views: dict[ConversationId, _View] = {}
        self._rising: list[tuple[int, ConversationId]] = []
        self._now_ns = now_ns
        for agent_id in account.agents:
            self.place_agent(agent_id)

    def holding(self, agent_id: AgentId) -> Holding:
        """The agent's holding, an empty one at first."""
        found = self.holdings.get(agent_id)
        if found is None:
            found = self.holdings[agent_id] = Holding()
        return found

    def acknowledged(self, agent_id: AgentId) -> list[ConversationId]:
        """Assignments that still count as unacknowledged although the agent's receipts cover them."""
        received = self.office.agents.get(agent_id, _NO_AGENT).received
        waiting = self.holding(agent_id).unacknowledged
        return [each for each, position in waiting.items() if position <= received]

    def place(self, track: Track, now_ns: int) -> int | None:
        """Follow a conversation that changed. Returns when it falls due next if that is later than now."""
        self._stand(track, now_ns)
        return self.schedule(track, now_ns)

    def forget(self, conversation_id: ConversationId) -> None:
        """A conversation that is over is followed no more."""
        self._views.pop(conversation_id, None)
        self.agenda.pop(conversation_id, None)
        self.ready.pop(conversation_id, None)

    def _stand(self, track: Track, now_ns: int) -> None:
        conversation_id = track.conversation.conversation_id
        before = self._views.get(conversation_id, _NOWHERE)
        self._now_ns = now_ns
        after = self._view(track, now_ns)
        if after.older_ns and after.older_ns != before.older_ns:
            heappush(self._rising, (after.older_ns, conversation_id))
        if before != after:
            self._views[conversation_id] = after
            self._move_in_line(conversation_id, before, after)
            self._move_owner(conversation_id, before, after)

    def age(self, now_ns: int) -> None:
        """Let what has waited long enough rise, and hours begin and end. To be asked before every round: order and
        candidates depend on the time."""
        self._now_ns = now_ns
        while self._rising and self._rising[0][0] <= now_ns:
            older_ns, conversation_id = heappop(self._rising)
            if self._views.get(conversation_id, _NOWHERE).older_ns == older_ns:
                self._stand(self.office.tracks[conversation_id], now_ns)

    def rank(self, track: Track) -> int:
        """The line in which a waiting conversation stands."""
        return self._views.get(track.conversation.conversation_id, _NOWHERE).rank

    def place_of(self, track: Track) -> tuple[int, Position, ConversationId]:
        """Where the conversation will stand when it is back in the queue: its old place, or else behind all others."""
        conversation = track.conversation
        if not (conversation.waiting_since or track.is_queued):
            return (RANKS[conversation.priority], _LAST, conversation.conversation_id)
        rank, _ = self._rank(track, self._now_ns)
        return (rank, track.since, conversation.conversation_id)

    def rises_ns(self, track: Track) -> int:
        """When it will have waited enough to rise by a priority; 0 never."""
        return self._rank(track, self._now_ns)[1]

    def schedule(self, track: Track, now_ns: int) -> int | None:
        """Find out when the conversation falls due; what is due by now is ready."""
        conversation_id = track.conversation.conversation_id
        due_ns = next_due_ns(track, self.office, self.account, self.settings, now_ns=now_ns)
        if due_ns is None:
            self.ready.pop(conversation_id, None)
            self.agenda.pop(conversation_id, None)
            return None
        if due_ns <= now_ns:
            self.ready[conversation_id] = None
            self.agenda.pop(conversation_id, None)
            return None
        self.ready.pop(conversation_id, None)
        if self.agenda.get(conversation_id) == due_ns:
            return None
        self.agenda[conversation_id] = due_ns
        return due_ns

    def has_placed(self, agent_id: AgentId) -> bool:
        """Whether the agent stands as of the last assignment to them."""
        standing = self.standings.get(agent_id)
        agent = self.office.agents.get(agent_id, _NO_AGENT)
        return standing is not None and standing.last_assigned == agent.last_assigned

    def place_agent(self, agent_id: AgentId) -> None:
        """Follow an agent whose presence, receipts or holding changed."""
        after = self.standing(agent_id)
        if after is None or after == self.standings.get(agent_id):
            return
        self.standings[agent_id] = after
        if agent_id in self._reserved:
            self._changed.add(agent_id)
        else:
            self._show(agent_id, after)

    def reserve(self, agent_id: AgentId, reservation: Reservation) -> None:
        """Let the rosters show the agent with drafted assignments, until `release`."""
        standing = self.standing(agent_id, reservation)
        if standing is not None:
            self._reserved[agent_id] = reservation
            self._show(agent_id, standing)

    def release(self, kept: Mapping[AgentId, Reservation] = MappingProxyType({})) -> None:
        """Let the rosters show what is folded, and what is `kept`. Moves nobody who stands by now as they were
        reserved."""
        reserved, self._reserved = self._reserved, {}
        for agent_id in reserved:
            if agent_id not in kept:
                self._show(agent_id, self.standings[agent_id])
        for agent_id, reservation in kept.items():
            if reserved.get(agent_id) == reservation and agent_id not in self._changed:
                self._reserved[agent_id] = reservation
            else:
                self.reserve(agent_id, reservation)
        self._changed.clear()

    def shown(self, agent_id: AgentId) -> Standing | None:
        """How the agent stands in the rosters."""
        return self._shown.get(agent_id)

    def window(self, agent_id: AgentId) -> int:
        """How many unacknowledged assignments the agent may have."""
        return window_of(self.office.agents.get(agent_id, _NO_AGENT), self.settings.burst)

    def _show(self, agent_id: AgentId, standing: Standing) -> None:
        before = self._shown.get(agent_id)
        if standing == before:
            return
        self._shown[agent_id] = standing
        if before is None or not standing.is_behind(before):
            for roster in self._rosters.get(agent_id, ()):
                roster.move(agent_id)

    def standing(
        self, agent_id: AgentId, reservation: Reservation | None = None
    ) -> Standing | None:
        """How the agent stands, with assignments more than are folded; None for one who doesn't exist."""
        extra, last_assigned = ((), 0) if reservation is None else reservation
        profile = self.account.agents.get(agent_id)
        if profile is None:
            return None
        agent = self.office.agents.get(agent_id, _NO_AGENT)
        holding = self.holdings.get(agent_id, _NOTHING)
        held = holding.held + len(extra)
        status: Status = "free"
        if not agent.devices:
            status = "offline"
        elif agent.availability != "online":
            status = "not_available"
        elif is_silent(agent):
            status = "silent"
        elif held >= profile.capacity:
            status = "at_capacity"
        elif len(holding.unacknowledged) + len(extra) >= window_of(agent, self.settings.burst):
            status = "pace"
        return Standing(
            status,
            held / max(profile.capacity, 1),
            last_assigned or agent.last_assigned,
            last_assigned or agent.idle_since,
            _full(profile, holding, extra) if profile.channel_capacity else _NONE,
        )

    def pool_of(self, track: Track) -> Pool:
        """The pool whose agents may take this conversation."""
        teams = asked_teams(self.account, track)
        is_closed = self.supply.is_closed(track, self._now_ns)
        name = self.supply.class_of(track, teams, is_closed=is_closed)
        pool = self._classes.get(name)
        if pool is None:
            key = self.supply.key_of(track, teams, is_closed=is_closed)
            pool = self._classes[name] = self.pools.get(key) or self._open(key)
        return pool

    def _open(self, key: PoolKey) -> Pool:
        pool = self.pools[key] = Pool(key, self._staffed(key))
        return pool

    def _staffed(self, key: PoolKey) -> Roster:
        roster = make_roster(key, self.account, self._talents, self._shown)
        for agent_id in roster.members:
            self._rosters.setdefault(agent_id, []).append(roster)
        return roster

    def restaff(self) -> Turn:
        """Agents or teams were saved: find out again who may take what; lines and holdings stay as they are. Whose
        conversations ask for something else by that."""
        supply = Supply(self.account)
        languages, channels = supply.asks_other_than(self.supply)
        self.supply, self._talents = supply, Talents(self.account)
        for agent_id in [each for each in self.standings if each not in self.account.agents]:
            del self.standings[agent_id]
            self._shown.pop(agent_id, None)
            self._reserved.pop(agent_id, None)
            self._changed.discard(agent_id)
        self._rosters = {}
        for agent_id in self.account.agents:
            self.place_agent(agent_id)
        # A pool for which nobody waits is opened again when somebody does.
        self.pools = {key: pool for key, pool in self.pools.items() if any(pool.lines)}
        self._classes = {name: pool for name, pool in self._classes.items() if any(pool.lines)}
        for key, pool in self.pools.items():
            if not self._is_gone(key):
                pool.roster = self._staffed(key)
        return Turn(languages=languages, channels=channels)

    def reread(self, turn: Turn) -> None:
        """Forget what these conversations ask for; all are `behind` until it is known which they are."""
        self.supply.forget(turn.inboxes)
        for name in [each for each in self._classes if turn.concerns_class(each)]:
            del self._classes[name]
        self._turn = self._turn.joined(turn)
        self.behind |= dict.fromkeys(self.office.tracks)

    def is_concerned(self, track: Track) -> bool:
        """Whether what was saved since the floor was last in step may move the conversation."""
        return self._turn.concerns(track)

    def caught_up(self) -> None:
        """Nothing is behind any more, so nothing waits for a team that is gone."""
        self._turn = Turn()
        for key in [each for each in self.pools if self._is_gone(each)]:
            del self.pools[key]

    def _is_gone(self, key: PoolKey) -> bool:
        teams = self.account.teams
        return any(team_id is not None and team_id not in teams for team_id in key.teams)

    def _rank(self, track: Track, now_ns: int) -> tuple[int, int]:
        """Its priority with what it rose by waiting, and when it rises again (0: never)."""
        rank = RANKS[track.conversation.priority]
        step_ns = self.supply.ageing_ns(track.conversation.inbox_id)
        if not step_ns or not rank:
            return rank, 0
        risen = max(0, now_ns - track.since_ns) // step_ns
        if risen >= rank:
            return 0, 0
        return rank - risen, track.since_ns + (risen + 1) * step_ns

    def _view(self, track: Track, now_ns: int) -> _View:
        conversation = track.conversation
        if track.is_waiting:
            rank, older_ns = self._rank(track, now_ns)
            turns_ns = self.supply.turns_ns(track, now_ns)
            if turns_ns:
                older_ns = min(older_ns or turns_ns, turns_ns)
            return _View(
                pool=self.pool_of(track),
                rank=rank,
                older_ns=older_ns,
                since=track.since,
                is_fresh=not track.is_queued,
            )
        owner = conversation.agent_id
        if owner is None or conversation.phase == "resolved":
            return _NOWHERE
        is_unacknowledged = (
            track.lease_s > 0
            and self.office.agents.get(owner, _NO_AGENT).received < conversation.assigned
        )
        return _View(
            owner=owner,
            is_held=conversation.phase == "active",
            channel=conversation.channel,
            unacknowledged=conversation.assigned if is_unacknowledged else 0,
        )

    def _move_in_line(self, conversation_id: ConversationId, before: _View, after: _View) -> None:
        if before.pool is None and after.pool is None:
            return
        old: Item = (before.since, conversation_id)
        new: Item = (after.since, conversation_id)
        if (
            before.pool is not after.pool
            or before.rank != after.rank
            or before.since != after.since
        ):
            if before.pool is not None:
                before.pool.lines[before.rank].discard(old)
            if after.pool is not None:
                after.pool.lines[after.rank].add(new)
        if before.is_fresh:
            self.fresh.discard(old)
        if after.is_fresh:
            self.fresh.add(new)

    def _move_owner(self, conversation_id: ConversationId, before: _View, after: _View) -> None:
        if before.owner is not None:
            holding = self.holding(before.owner)
            holding.owned.pop(conversation_id, None)
            holding.fill(before.channel, -1 if before.is_held else 0)
            holding.unacknowledged.pop(conversation_id, None)
        if after.owner is not None:
            holding = self.holding(after.owner)
            holding.owned[conversation_id] = None
            holding.fill(after.channel, 1 if after.is_held else 0)
            if after.unacknowledged:
                holding.unacknowledged[conversation_id] = after.unacknowledged
            self.place_agent(after.owner)
        if before.owner is not None and before.owner != after.owner:
            self.place_agent(before.owner)


def _full(profile: AgentSaved, holding: Holding, extra: Sequence[str]) -> frozenset[str]:
    limits = profile.channel_capacity.items()
    return frozenset(
        channel
        for channel, most in limits
        if holding.channels.get(channel, 0) + extra.count(channel) >= most
    )
