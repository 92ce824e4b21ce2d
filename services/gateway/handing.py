"""The last step: entries and receipts become frames of one session, within its window, marked with who may alert.

An agent's device may alert for a few seconds only (`alert_wait_s`): then the lock may be somewhere else."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable, Sequence

import msgspec

from services.gateway import metrics
from services.gateway.cursors import Cursors
from services.gateway.lines import Rights, Shown, Writing
from services.gateway.primaries import Primaries
from services.gateway.sessions.packing import encoded_entry, pack_encoded
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from services.gateway.unheard import Alerting, Unheard
from services.gateway.views import Views, at
from shared import clock
from shared.codec import to_json
from shared.ids import AgentId, Position
from shared.labelled import labelled, tally
from shared.packed import ids_in, split
from shared.planted import planted
from shared.queries import Entry, InboxPage, ReceiptRow
from shared.wire.frames import Receipts
from shared.wire.views import EntryView

_RECEIPTS_A_FRAME = 100
_RECEIPTS_SENT = tally(metrics.SENT, "receipts")
_LARGE_BYTES = 32_768
_MOST_WAITING = 50
"""Of a page: as many as the store names to a device that comes back. Who answers for the newest answers for all."""


class AlertTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How old an entry may be to be worth an alert, and how long the right to alert lasts."""

    for_ns: int
    wait_ns: int


class Handing:
    """Used by live delivery, by catching up and by the welcome; every entry passes here once per session."""

    def __init__(
        self,
        *,
        views: Views,
        cursors: Cursors,
        primaries: Primaries,
        unheard: Unheard,
        times: AlertTimes,
    ) -> None:
        self._views = views
        self._cursors = cursors
        self._primaries = primaries
        self._unheard = unheard
        self._times = times

    def views_of(self, rows: Sequence[Entry], principal: Principal) -> list[EntryView]:
        """The entries as one person may see them; the same for all devices of theirs."""
        views = [self._views.entry(row, principal) for row in rows]
        if planted("push_without_seq"):
            views = [_without_seq(view) for view in views]
        if planted("left_not_told"):
            views = [view for view in views if view.kind != "conversation_left"]
        return views

    def entries(
        self, session: Session, views: Sequence[EntryView], *, current: bool, way: str
    ) -> None:
        """Hand over the entries that lie after the session's position and move it there."""
        window, principal = session.window, session.principal
        assert window is not None
        assert principal is not None
        fresh = [view for view in views if view.position > session.position]
        if not fresh:
            return
        marked = self._marked(fresh, session, principal)
        # Whoever wrote it has its answer already: it only moves their cursor.
        may_linger = way == "live" and all(_is_from(view, session) for view in fresh)
        encoded = map(encoded_entry, marked)
        self._send(session, encoded, current=current, may_linger=may_linger)
        owed = [view.position for view in fresh if not _is_own_words(view, principal)]
        positions = [view.position for view in fresh]
        window.sent(positions, clock.monotonic_s(), owed=owed)
        session.position = fresh[-1].position
        labelled(metrics.ENTRIES, way).inc(len(fresh))

    async def page(self, session: Session, page: InboxPage, *, current: bool, way: str) -> None:
        """Hand over a page as the store read it, as far as it lies after the session's position. Raises `Malformed`,
        and `Unavailable` where a key can't be read."""
        principal, window = session.principal, session.window
        assert principal is not None
        assert window is not None
        lines = split(page.packed)
        await self._views.cover_lines(principal.account_id, lines)
        await self._views.cover(principal.account_id, page.entries)
        views = self.views_of(page.entries, principal)
        if planted("push_without_seq"):
            lines = [(*line[:3], 0, *line[4:]) for line in lines]
        lines = [line for line in lines if line[0] > session.position]
        views = [view for view in views if view.position > session.position]
        positions = sorted([*(line[0] for line in lines), *(view.position for view in views)])
        if not positions:
            return
        rights = self._rights(session, principal)
        writing = Writing(self._views, principal, ids_in(page.held), rights)
        encoded: Iterable[tuple[Position, bytes]] = writing.write(lines)
        if views:
            marked = self._marked(views, session, principal)
            encoded = heapq.merge(encoded, map(encoded_entry, marked))
        self._send(session, encoded, current=current)
        is_visitor = principal.kind == "visitor"
        own = {each.position for each in writing.shown if each.is_own} if is_visitor else ()
        owed = [position for position in positions if position not in own]
        window.sent(positions, clock.monotonic_s(), owed=owed)
        session.position = positions[-1]
        labelled(metrics.ENTRIES, way).inc(len(positions))
        if principal.kind == "agent":
            self._note(writing.shown, session, is_told=rights.until is not None)

    def receipts(self, session: Session, rows: Sequence[ReceiptRow]) -> None:
        """Tell how far others (and the person's other devices) got."""
        for first in range(0, len(rows), _RECEIPTS_A_FRAME):
            part = [self._views.receipt(row) for row in rows[first : first + _RECEIPTS_A_FRAME]]
            session.send(to_json(Receipts(receipts=part)))
            _RECEIPTS_SENT.inc()

    def _send(
        self,
        session: Session,
        encoded: Iterable[tuple[Position, bytes]],
        *,
        current: bool,
        may_linger: bool = False,
    ) -> None:
        owner_id, epoch = session.owner_id, session.epoch
        for frame in pack_encoded(
            encoded, lambda p: self._cursors.encode(owner_id, epoch, p), current=current
        ):
            session.send(frame, may_linger=may_linger)
            if len(frame) > _LARGE_BYTES:
                # The client reads it while the next one is made.
                session.write()
            labelled(metrics.SENT, "entries").inc()

    def _rights(self, session: Session, principal: Principal) -> Rights:
        """Which messages are worth an alert, and whether this device may make it."""
        now_ns = clock.now_ns()
        floor_ns = now_ns - self._times.for_ns
        if principal.kind != "agent":
            until = at(now_ns + self._times.for_ns)
            return Rights(floor_ns=floor_ns, floor_position=0, until=until)
        is_told = self._primaries.is_heard(principal.id, session.device_id)
        return Rights(
            floor_ns=floor_ns,
            floor_position=self._unheard.heard(AgentId(principal.id)),
            until=at(now_ns + self._times.wait_ns) if is_told else None,
        )

    def _note(self, shown: Sequence[Shown], session: Session, *, is_told: bool) -> None:
        """Into the book: what the agent wrote needs no answer, the newest of what others wrote does."""
        principal = session.principal
        assert principal is not None
        agent_id = AgentId(principal.id)
        for own in [each for each in shown if each.is_own]:
            self._unheard.read(agent_id, own.conversation_id, own.position)
        waiting = [
            Alerting(
                position=each.position,
                conversation_id=each.conversation_id,
                until_ns=each.at_ns + self._times.for_ns,
            )
            for each in shown
            if not each.is_own
        ]
        if waiting:
            self._unheard.handed(
                (principal.account_id, agent_id),
                waiting[-_MOST_WAITING:],
                session.device_id if is_told else None,
                clock.monotonic_s(),
            )

    def _marked(
        self, views: Sequence[EntryView], session: Session, principal: Principal
    ) -> list[EntryView]:
        """The entries with their alerts, and a note in the book of who was told."""
        now_ns = clock.now_ns()
        floor = at(now_ns - self._times.for_ns)
        is_agent = principal.kind == "agent"
        if is_agent:
            self._settle(views, principal)
            floor_position = self._unheard.heard(AgentId(principal.id))
            is_told = self._primaries.is_heard(principal.id, session.device_id)
        else:
            floor_position, is_told = 0, True
        wanted = {
            view.position
            for view in views
            if view.at >= floor and view.position > floor_position and _wants(view, principal)
        }
        if is_agent and wanted:
            self._unheard.handed(
                (principal.account_id, AgentId(principal.id)),
                [self._alerting(view) for view in views if view.position in wanted],
                session.device_id if is_told else None,
                clock.monotonic_s(),
            )
        if not wanted or not is_told:
            return list(views)
        until = at(now_ns + (self._times.wait_ns if is_agent else self._times.for_ns))
        return [
            msgspec.structs.replace(view, alert=True, alert_until=until)
            if view.position in wanted
            else view
            for view in views
        ]

    def _settle(self, views: Sequence[EntryView], principal: Principal) -> None:
        """What the agent wrote themselves, or does not hold any more, needs no answer."""
        for view in views:
            is_own = view.message is not None and view.message.author.id == principal.id
            if is_own or view.kind == "conversation_left":
                self._unheard.read(AgentId(principal.id), view.conversation_id, view.position)

    def _alerting(self, view: EntryView) -> Alerting:
        at_ns = int(dt.datetime.fromisoformat(view.at).timestamp() * 1000) * 1_000_000
        return Alerting(
            position=view.position,
            conversation_id=view.conversation_id,
            until_ns=at_ns + self._times.for_ns,
        )


def _without_seq(view: EntryView) -> EntryView:
    """Only for the planted bug of that name."""
    if view.message is None:
        return view
    return msgspec.structs.replace(view, message=msgspec.structs.replace(view.message, seq=0))


def _is_own_words(view: EntryView, principal: Principal) -> bool:
    """What visitors wrote themselves. That it came back to them concerns nobody, and a receipt for each would be a
    third of all events. Of agents every acknowledgement counts: the dispatcher judges by them who is there."""
    return (
        principal.kind == "visitor"
        and view.kind == "message"
        and view.message is not None
        and view.message.author.id == principal.id
    )


def _is_from(view: EntryView, session: Session) -> bool:
    """Whether this very device sent it. The device is only named to its person."""
    message = view.message
    return message is not None and message.device_id == session.device_id and view.kind == "message"


def _wants(view: EntryView, principal: Principal) -> bool:
    """Whether the entry is one that a person wants to hear of."""
    if not view.held:
        return False
    if view.kind == "message":
        return view.message is not None and view.message.author.id != principal.id
    return view.kind == "conversation_assigned"
