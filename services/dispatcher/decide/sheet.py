"""One account's part of a round: the events drafted so far and the capacity they reserve. It is thrown away
after the round; what became of it is read back from the log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.due import SECOND_NS
from services.dispatcher.decide.floor import Floor, Reservation
from services.dispatcher.decide.pool import Pool, Roster, Standing
from services.dispatcher.decide.settings import Evidence
from services.dispatcher.decide.state import NEVER, Track, team_of, team_of_agent
from shared.events import (
    ConversationAssigned,
    ConversationQueued,
    Explanation,
    RoutingEvent,
    Scored,
)
from shared.events.routing import Trigger
from shared.ids import AgentId, ConversationId, Position, TeamId

Place = tuple[int, Position, ConversationId]
"""Where something stands among all that wait: its line, since when, its id."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What a round knows besides the state: who writes, the log's time, the evidence, the last folded position."""

    writer: str
    now_ns: int
    evidence: Evidence
    position: Position


class Choice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an owner was found, or who asked for the move."""

    requested_by: str = ""
    winner: Scored | None = None
    runners_up: tuple[Scored, ...] = ()
    excluded: dict[str, int] = {}
    queue_place: int = 0


_NO_CHOICE = Choice()


def bar_rule(track: Track) -> str:
    """Why the barred agent is barred."""
    return "gave_back" if track.barred_until == NEVER else "lease_failed"


class Sheet:
    """See the module. `ahead`: events that will lie in the log before the first drafted here; `flying`: those of this
    account that are on their way, with their positions. `barrier`: the first place at which something will wait once this
    round lies in the log; what stands behind it is handed out after that."""

    def __init__(
        self,
        floor: Floor,
        moment: Moment,
        budget: int,
        *,
        ahead: int = 0,
        flying: Sequence[tuple[Position, RoutingEvent]] = (),
    ) -> None:
        self.floor = floor
        self.moment = moment
        self.budget = budget
        self.events: list[RoutingEvent] = []
        self.handled: set[ConversationId] = set()
        self.barrier: Place | None = None
        self._extra: dict[AgentId, tuple[str, ...]] = {}
        self._ahead = ahead
        floor.release(self._carry(flying))

    @property
    def is_full(self) -> bool:
        """Whether the round's share of this account is used up."""
        return len(self.events) >= self.budget

    def add(self, track: Track, *events: RoutingEvent) -> None:
        """Draft events about a conversation; nothing else is decided about it in this round."""
        self.events.extend(events)
        self.handled.add(track.conversation.conversation_id)

    def keep_place(self, track: Track) -> None:
        """What is drafted leaves the conversation waiting: nothing behind its place may go before it in this round."""
        place = self.floor.place_of(track)
        if self.barrier is None or place < self.barrier:
            self.barrier = place

    def remind(self, event: RoutingEvent) -> None:
        """Draft an event that moves nothing: the conversation may still be handed out in this round."""
        self.events.append(event)

    def standing(self, agent_id: AgentId) -> Standing | None:
        """How the agent stands, drafted assignments included."""
        return self.floor.shown(agent_id)

    def drafted(self, agent_id: AgentId) -> int:
        """Assignments to the agent that are drafted or on their way."""
        return len(self._extra.get(agent_id, ()))

    def roster(self, pool: Pool) -> Roster:
        """The pool's roster, drafted assignments included."""
        return pool.roster

    def assign(
        self,
        track: Track,
        agent_id: AgentId,
        *,
        trigger: Trigger,
        choice: Choice | None = None,
        has_lease: bool = True,
    ) -> None:
        """Draft an assignment and reserve the agent's capacity for it."""
        conversation = track.conversation
        policy, version = self.floor.account.policy_of(conversation.inbox_id)
        self.add(
            track,
            ConversationAssigned(
                account_id=conversation.account_id,
                writer=self.moment.writer,
                conversation_id=conversation.conversation_id,
                agent_id=agent_id,
                team_id=team_of_agent(self.floor.account, track, agent_id),
                why=self._explain(version, trigger, choice or _NO_CHOICE),
                lease_s=policy.assignment_lease_s if has_lease else 0,
            ),
        )
        self._reserve(agent_id, conversation.channel)

    def queue(
        self,
        track: Track,
        *,
        trigger: Trigger,
        requested_by: str = "",
        to_team_id: TeamId | None = None,
    ) -> None:
        """Draft a return to the queue, or the record that it waits; into another team if one is named."""
        conversation = track.conversation
        team_id = to_team_id or team_of(self.floor.account, track)
        place, excluded = 0, {}
        if track.is_waiting:
            pool = self.floor.pool_of(track)
            is_kept = self.is_kept(track, barred=self.barred(track))
            place = self.place(pool, track)
            excluded = self.excluded(track, self.roster(pool), is_kept=is_kept)
        choice = Choice(requested_by=requested_by, excluded=excluded, queue_place=place)
        _, version = self.floor.account.policy_of(conversation.inbox_id)
        self.add(
            track,
            ConversationQueued(
                account_id=conversation.account_id,
                writer=self.moment.writer,
                conversation_id=conversation.conversation_id,
                team_id=team_id,
                waiting_since=conversation.waiting_since,
                why=self._explain(version, trigger, choice),
            ),
        )

    def place(self, pool: Pool, track: Track) -> int:
        """The conversation's place among all that wait for the pool."""
        item = (track.since, track.conversation.conversation_id)
        return pool.place(self.floor.rank(track), item)

    def is_kept(self, track: Track, *, barred: AgentId | None) -> bool:
        """Whether it is kept for the previous agent for a while, who is here and only full."""
        policy, _ = self.floor.account.policy_of(track.conversation.inbox_id)
        if not policy.previous_agent_wait_s or not policy.prefer_previous_agent:
            return False
        if self.moment.now_ns >= track.since_ns + policy.previous_agent_wait_s * SECOND_NS:
            return False
        known = previous_agent(self.floor.office, self.floor.office.contact_of(track))
        standing = self.standing(known) if known is not None and known != barred else None
        roster = self.roster(self.floor.pool_of(track))
        return (
            standing is not None
            and known in roster.members
            and roster.status(standing) in ("silent", "at_capacity", "pace", "channel_full")
        )

    def _explain(self, version: Position, trigger: Trigger, choice: Choice) -> Explanation:
        return Explanation(
            trigger=trigger,
            policy_version=version,
            state_position=self.moment.position,
            winner=choice.winner,
            runners_up=choice.runners_up,
            excluded=choice.excluded,
            requested_by=choice.requested_by,
            queue_place=choice.queue_place,
            now_ns=self.moment.now_ns,
        )

    def barred(self, track: Track) -> AgentId | None:
        """The agent who left this very wait lying (until they show life) or gave it back, for a limited time."""
        agent_id = track.barred_agent_id
        if agent_id is None:
            return None
        agent = self.floor.office.agents.get(agent_id)
        if agent is not None and agent.received >= track.barred_until:
            return None
        pardon_ns = track.barred_ns + self.floor.settings.pardon_s * SECOND_NS
        return agent_id if self.moment.now_ns < pardon_ns else None

    def excluded(self, track: Track, roster: Roster, *, is_kept: bool) -> dict[str, int]:
        """How many agents fell to each rule."""
        barred = self.barred(track) if track.barred_agent_id is not None else None
        is_free = barred is not None and roster.find(barred) is not None
        found = roster.excluded()
        if is_free or is_kept:
            found = dict(found)
        if is_free:
            found[bar_rule(track)] = 1
        if is_kept:
            found["kept_for_previous"] = 1
        return found

    def repeat(self, event: RoutingEvent) -> None:
        """Take over an event that was decided earlier in this round, with the capacity that it reserved."""
        self.events.append(event)
        if isinstance(event, ConversationQueued | ConversationAssigned):
            self.handled.add(event.conversation_id)
        if isinstance(event, ConversationAssigned):
            track = self.floor.office.tracks[event.conversation_id]
            self._reserve(event.agent_id, track.conversation.channel)

    def _carry(self, flying: Sequence[tuple[Position, RoutingEvent]]) -> dict[AgentId, Reservation]:
        """What is in flight counts as drafted, though not against the budget."""
        kept: dict[AgentId, Reservation] = {}
        for position, event in flying:
            self.handled.add(event.conversation_id)
            if isinstance(event, ConversationAssigned):
                track = self.floor.office.tracks.get(event.conversation_id)
                if track is None:
                    # Resolved meanwhile: whoever gets it has nothing to do.
                    continue
                extra = (*self._extra.get(event.agent_id, ()), track.conversation.channel)
                self._extra[event.agent_id] = extra
                kept[event.agent_id] = Reservation(extra, position)
        return kept

    def _reserve(self, agent_id: AgentId, channel: str) -> None:
        extra = self._extra[agent_id] = (*self._extra.get(agent_id, ()), channel)
        # Where it will lie if nobody else appends meanwhile: then nothing moves when it is read back.
        position = self.moment.position + self._ahead + len(self.events)
        self.floor.reserve(agent_id, Reservation(extra, position))
