"""The folded state with its derived side: takes events in log order and keeps queues and rosters in step."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush
from typing import cast, get_args

import msgspec

from services.dispatcher.decide import archive, fold
from services.dispatcher.decide.demand import Turn
from services.dispatcher.decide.floor import Floor
from services.dispatcher.decide.settings import Settings
from services.dispatcher.decide.state import Office, State, Track
from shared import directory
from shared.directory import Account
from shared.events import (
    AccountCreated,
    AccountEvent,
    AccountPart,
    AgentOffline,
    AgentOnline,
    AgentRemoved,
    AgentSaved,
    AvailabilityChanged,
    ContactChanged,
    ContactCreated,
    ContactMerged,
    ConversationQueued,
    Event,
    InboxRemoved,
    InboxSaved,
    LabelRemoved,
    LabelSaved,
    MessageEdited,
    MessageRetracted,
    PolicyRemoved,
    PolicySaved,
    PrimaryDeviceChanged,
    Read,
    Received,
    ReceivedTogether,
    RoutingEvent,
    TeamRemoved,
    TeamSaved,
    WriterStarted,
    parts_of,
)
from shared.ids import AccountId, AgentId, ConversationId, InboxId, Position, TeamId

_SAVED = frozenset(get_args(AccountEvent))
"""Asked of every event first: a look into a set instead of a walk over a union."""

_APART: frozenset[type] = frozenset(
    (
        Received,
        ReceivedTogether,
        Read,
        AgentOnline,
        AgentOffline,
        AvailabilityChanged,
        PrimaryDeviceChanged,
        ContactCreated,
        ContactChanged,
        ContactMerged,
        MessageEdited,
        MessageRetracted,
    )
)
"""What moves no conversation, so that none is taken from its shelf for it."""


_PLACED = 6
_OPENED = 350
"""What it costs to place a conversation, and to open a pool for it, where to see that it need not be is 1."""
_MOST_DOUBLED = 10


class _Stale:
    """What was saved in an account since its floor was last in step."""

    __slots__ = ("agents", "inboxes", "is_restaffed", "teams")

    def __init__(self) -> None:
        self.agents: dict[AgentId, None] = {}
        self.inboxes: dict[InboxId, None] = {}
        self.teams: dict[TeamId, None] = {}
        self.is_restaffed = False


class World:
    """`unsettled`: accounts in which something changed since they last had nothing to decide. `_stale`: documents that
    were saved and not looked at yet. `behind`: accounts with conversations that are not placed by them yet, and how
    often more was saved meanwhile; nothing is decided there until they are."""

    def __init__(self, state: State, settings: Settings) -> None:
        self.state = state
        self.settings = settings
        self.unsettled: dict[AccountId, None] = dict.fromkeys(state.offices)
        self._floors: dict[AccountId, Floor] = {}
        self._stale: dict[AccountId, _Stale] = {}
        self.behind: dict[AccountId, int] = {}
        self._alarms: list[tuple[int, AccountId, ConversationId]] = []

    def evolve(self, event: Event, position: Position, at_ns: int) -> fold.Touched | None:
        """Fold one event. What it touched; None: whatever depends on the configuration."""
        state = self.state
        state.position = position
        state.at_ns = at_ns
        if isinstance(event, WriterStarted):
            return fold.UNTOUCHED
        account_id = event.account_id
        office = state.offices.get(account_id)
        if office is None:
            office = state.offices[account_id] = Office()
        if type(event) in _SAVED:
            return self._configure(cast("AccountEvent", event), position)
        return self._fold(office, cast("fold.RoutedEvent", event), position, at_ns)

    def _configure(self, event: AccountEvent, position: Position) -> fold.Touched | None:
        account_id = event.account_id
        account = self.state.directory.accounts.get(account_id)
        known = frozenset(account.teams) if account is not None else frozenset()
        directory.evolve(self.state.directory, event, position)
        if isinstance(event, AccountCreated | LabelSaved | LabelRemoved):
            return fold.UNTOUCHED
        self.unsettled[account_id] = None
        floor = self._floors.get(account_id)
        if floor is None or account is None or floor.account is not account:
            self._drop(account_id)
            return None
        stale = self._stale.setdefault(account_id, _Stale())
        for part in parts_of(event):
            self._note(stale, account, part, known)
        return None

    def _note(
        self, stale: _Stale, account: Account, event: AccountPart, known: Collection[TeamId]
    ) -> None:
        match event:
            case AgentSaved() | AgentRemoved():
                stale.agents[event.agent_id] = None
            case TeamSaved() if event.team_id in known:
                stale.is_restaffed = True
            case TeamSaved() | TeamRemoved():
                self._note_team(stale, account, event.team_id)
            case InboxSaved() | InboxRemoved():
                stale.inboxes[event.inbox_id] = None
            case PolicySaved() | PolicyRemoved():
                ruled = (
                    i for i, inbox in account.inboxes.items() if inbox.policy_id == event.policy_id
                )
                stale.inboxes.update(dict.fromkeys(ruled))
            case _:
                pass

    def _note_team(self, stale: _Stale, account: Account, team_id: TeamId) -> None:
        """It came or went: whoever names it asks somebody else now."""
        stale.is_restaffed = True
        stale.teams[team_id] = None
        for inbox_id, inbox in account.inboxes.items():
            policy, _ = account.policy_of(inbox_id)
            named = {inbox.team_id, *(step.team_id for step in policy.fallback_teams)}
            if team_id in named:
                stale.inboxes[inbox_id] = None

    def _drop(self, account_id: AccountId) -> None:
        self._floors.pop(account_id, None)
        self._stale.pop(account_id, None)
        self.behind.pop(account_id, None)

    def _known_floor(self, account_id: AccountId) -> Floor | None:
        """The account's floor by the documents of now. However many were saved in a row, that is found out once."""
        floor = self._floors.get(account_id)
        stale = self._stale.pop(account_id, None)
        if floor is None or stale is None:
            return floor
        turn = floor.restaff() if stale.agents or stale.is_restaffed else Turn()
        for agent_id in stale.agents:
            self._follow(account_id, floor, fold.Touched(agent_id=agent_id))
        turn = msgspec.structs.replace(turn, inboxes=stale.inboxes, teams=stale.teams)
        if any((turn.inboxes, turn.teams, turn.languages, turn.channels)):
            floor.reread(turn)
            self.behind[account_id] = self.behind.get(account_id, -1) + 1
        return floor

    def _catch_up(self, account_id: AccountId, floor: Floor, *, most: int = 0) -> None:
        """Place what stands as before a document was saved, so many of them at most (0: all). To look whether it is
        concerned is a share of placing it, to open a pool for it is many."""
        tracks, done = floor.office.tracks, 0
        for conversation_id in list(floor.behind):
            if most and done >= most * _PLACED:
                break
            del floor.behind[conversation_id]
            done += 1
            track = tracks.get(conversation_id)
            if track is not None and floor.is_concerned(track):
                pools = len(floor.pools)
                self._place(account_id, floor, track)
                done += _PLACED + _OPENED * (len(floor.pools) - pools)
        if not floor.behind:
            floor.caught_up()
            self.behind.pop(account_id, None)

    def _place(self, account_id: AccountId, floor: Floor, track: Track) -> None:
        due_ns = floor.place(track, self.state.at_ns)
        if due_ns is not None:
            heappush(self._alarms, (due_ns, account_id, track.conversation.conversation_id))

    def _fold(
        self, office: Office, event: fold.RoutedEvent, position: Position, at_ns: int
    ) -> fold.Touched:
        account_id = event.account_id
        conversation_id = None
        if type(event) not in _APART:
            conversation_id = cast("ConversationId", event.conversation_id)  # type: ignore[union-attr]
            if conversation_id not in office.tracks:
                archive.fetch(office, account_id, conversation_id)
        touched = fold.evolve(self.state, office, event, position, at_ns)
        floor = self._known_floor(account_id)
        if touched is not fold.UNTOUCHED:
            self.unsettled[account_id] = None
            if floor is not None:
                self._follow(account_id, floor, touched)
        track = None if conversation_id is None else office.tracks.get(conversation_id)
        if track is None or track.conversation.phase != "resolved":
            return touched
        if archive.shelve(office, track) and floor is not None:
            floor.forget(track.conversation.conversation_id)
        return touched

    def owners(self, account_id: AccountId, touched: fold.Touched | None) -> list[AgentId]:
        """Who has the conversations that were touched."""
        tracks = self.state.offices[account_id].tracks
        found = [tracks.get(each) for each in touched.conversations] if touched else []
        owners = [track.conversation.agent_id for track in found if track is not None]
        return [agent_id for agent_id in owners if agent_id is not None]

    def lapsed(self, event: RoutingEvent) -> AgentId | None:
        """Who has just lost the conversation because their lease lapsed."""
        if not isinstance(event, ConversationQueued) or event.why.trigger != "lease_lapsed":
            return None
        track = self.state.offices[event.account_id].tracks.get(event.conversation_id)
        return track.conversation.previous_agent_id if track is not None else None

    def skip(self, position: Position, at_ns: int) -> None:
        """Pass over an event that can't be read."""
        self.state.position = position
        self.state.at_ns = at_ns

    def floor(self, account_id: AccountId) -> Floor:
        """The account's derived side, in step with the documents."""
        floor = self.standing_floor(account_id)
        if account_id in self.behind:
            self._catch_up(account_id, floor)
        return floor

    def standing_floor(self, account_id: AccountId) -> Floor:
        """The account's derived side, made now if it is missing; some of its conversations may be `behind`."""
        floor = self._known_floor(account_id)
        if floor is None:
            floor = self._floors[account_id] = Floor(
                self.state.offices[account_id],
                self.state.account(account_id),
                self.settings,
                self.state.at_ns,
            )
            self._alarms = [alarm for alarm in self._alarms if alarm[1] != account_id]
            heapify(self._alarms)
            self.behind[account_id] = 0
            self.unsettled[account_id] = None
        return floor

    def ring(self, now_ns: int) -> None:
        """Make ready what falls due by now. Floors are made first, else their agenda would be unknown; no more of one is
        brought into step at once than the settings say."""
        for account_id in self.unsettled:
            most = self.settings.placed_at_once
            # To find out what is behind takes as long as a share of it: not both at once.
            is_next = account_id in self.behind or not most
            made = self.standing_floor(account_id)
            if is_next and account_id in self.behind:
                # Twice as many whenever something else was saved before the end: else whoever saves often enough would
                # keep the account from ever being decided about.
                more = min(self.behind[account_id], _MOST_DOUBLED)
                self._catch_up(account_id, made, most=most << more)
        while self._alarms and self._alarms[0][0] <= now_ns:
            due_ns, account_id, conversation_id = heappop(self._alarms)
            floor = self._floors.get(account_id)
            if floor is None or floor.agenda.get(conversation_id) != due_ns:
                continue
            del floor.agenda[conversation_id]
            floor.ready[conversation_id] = None
            self.unsettled[account_id] = None

    def next_due_ns(self) -> int | None:
        """When something may fall due next without anything happening; None if nothing does."""
        for account_id in self.unsettled:
            self.floor(account_id)
        return self._alarms[0][0] if self._alarms else None

    def schedule(self, account_id: AccountId, track: Track, now_ns: int) -> None:
        """Nothing can be done about this conversation now: find out when to look again."""
        due_ns = self.standing_floor(account_id).schedule(track, now_ns)
        if due_ns is not None:
            alarm = (due_ns, account_id, track.conversation.conversation_id)
            heappush(self._alarms, alarm)

    def settle(self, account_id: AccountId) -> None:
        """There is nothing to decide in this account until something in it changes or falls due."""
        self.unsettled.pop(account_id, None)

    @property
    def next_ring_ns(self) -> int | None:
        """When something may fall due next, as far as it is known; None never."""
        return self._alarms[0][0] if self._alarms else None

    def waiting(self) -> int:
        """Conversations that wait for an owner, over all accounts whose queues are known."""
        pools = (pool for floor in self._floors.values() for pool in floor.pools.values())
        return sum(len(line) for pool in pools for line in pool.lines)

    def limbo(self) -> int:
        """Unanswered conversations with neither an owner nor a record in a queue."""
        return sum(len(floor.fresh) for floor in self._floors.values())

    def _follow(self, account_id: AccountId, floor: Floor, touched: fold.Touched) -> None:
        conversations: Iterable[ConversationId] = touched.conversations
        acknowledgers = touched.acknowledger_ids
        if touched.agent_id is not None:
            floor.place_agent(touched.agent_id)
            conversations = dict.fromkeys((*conversations, *floor.holding(touched.agent_id).owned))
        if acknowledgers:
            held = (each for agent_id in acknowledgers for each in floor.acknowledged(agent_id))
            conversations = (*conversations, *held)
        for conversation_id in conversations:
            self._place(account_id, floor, floor.office.tracks[conversation_id])
        for agent_id in acknowledgers:
            floor.place_agent(agent_id)
        if touched.assignee_id is not None and not floor.has_placed(touched.assignee_id):
            # After the conversation, which has usually moved them already.
            floor.place_agent(touched.assignee_id)
