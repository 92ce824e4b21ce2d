"""New messages on their way to screens, as they are heard from the store: the way that every message takes.

What is the same for all who are shown a message (its text, opened once, and everything around it) is made once for a
hint; what depends on the reader is made for each: position in their inbox, alert, and what only its own person or only
the desk may see. Whatever is not a plain new message is left to `handing`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.gateway import metrics
from services.gateway.cursors import Cursors
from services.gateway.handing import AlertTimes
from services.gateway.primaries import Primaries
from services.gateway.sessions.packing import one_frame
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from services.gateway.unheard import Alerting, Unheard
from services.gateway.views import Views, at
from shared import clock
from shared.codec import to_json
from shared.ids import AgentId, DeviceId, Position
from shared.labelled import tally
from shared.planted import planted
from shared.queries import Entry, MessageRow

_ENTRY = (
    b'{"position":%d,"prev":%d,"at":"%b","kind":"message","conversation_id":"%b",%b,"held":%b,'
    b'"message":%b%b%b,"note":null,"conversation":null,"from_seq":0,"to_seq":0,"messages":[],"more":false}'
)
_MESSAGE = (
    b'{"conversation_id":"%b","message_id":"%b","seq":%d,"position":%d,"at":"%b","author":%b,'
    b'"content_type":%b,"text":%b,"revision":0,"device_id":'
)
_REST = b',"seen_up_to":%d,"automatic":%b,"crossed":%b,"retracted":false,"unreadable":false,"state":null}'
_MS = 1_000_000
_QUIET = b'"alert":false,"alert_until":null'
_YES_NO = (b"false", b"true")
_ENTRIES_SENT = tally(metrics.SENT, "entries")
_LIVE = tally(metrics.ENTRIES, "live")
_IS_LONG_WAY = planted("push_without_seq")
"""That bug is planted in `handing`."""


class _Said:
    """A message as everybody is shown it: everything before the device that sent it, and after it for either side."""

    __slots__ = ("at", "for_desk", "for_visitor", "head")

    def __init__(self, row: MessageRow, views: Views) -> None:
        author = to_json(views.author(row.account_id, row.author))
        text = views.text(row.account_id, row.body, of=row.message_id, part="body")
        self.at = at(row.at_ns).encode()
        self.head = _MESSAGE % (
            row.conversation_id.encode(),
            row.message_id.encode(),
            row.seq,
            row.position,
            self.at,
            author,
            to_json(row.content_type),
            to_json(text),
        )
        automatic = _YES_NO[row.automatic]
        self.for_visitor = _REST % (0, automatic, b"false")
        self.for_desk = _REST % (row.seen_up_to, automatic, _YES_NO[row.crossed])


def is_plain(row: Entry) -> bool:
    """Whether the entry is a new message and nothing else."""
    message = row.message
    return (
        row.kind == "message"
        and message is not None
        and not _IS_LONG_WAY
        and not (message.revision or message.retracted or message.unreadable)
        and message.clash_of is None
        and row.conversation is None
        and not (row.from_seq or row.to_seq or row.messages or row.more)
    )


class Telling:
    """`tell` for each session and its entries of a hint, `over` when the hint is dealt with."""

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
        self._said: dict[Position, _Said] = {}

    def over(self) -> None:
        """What was opened for a hint is forgotten with it."""
        self._said.clear()

    def tell(self, session: Session, rows: Sequence[Entry]) -> bool:
        """Hand over plain entries that follow the session's position. False: they do not fit a frame, and nothing was
        done."""
        window, principal = session.window, session.principal
        assert window is not None
        assert principal is not None
        now_ns = clock.now_ns()
        wanted = self._wanted(rows, principal, now_ns)
        is_told = self._is_told(session, principal)
        mark = self._mark(principal, now_ns) if wanted and is_told else _QUIET
        encoded = [self.entry(row, principal, mark if row in wanted else _QUIET) for row in rows]
        last = rows[-1].position
        frame = one_frame(
            encoded, self._cursors.encode(principal.id, session.epoch, last), current=True
        )
        if frame is None:
            return False
        if principal.kind == "agent":
            self._note(rows, wanted, principal, session.device_id if is_told else None)
        # Whoever wrote it has its answer already: it only moves their cursor.
        session.send(frame, may_linger=all(_is_from(row, session, principal) for row in rows))
        _ENTRIES_SENT.inc()
        owed = [row.position for row in rows if not _is_own_words(row, principal)]
        positions = [row.position for row in rows]
        window.sent(positions, asyncio.get_running_loop().time(), owed=owed)
        session.position = last
        _LIVE.inc(len(rows))
        return True

    def entry(self, row: Entry, viewer: Principal, alert: bytes) -> bytes:
        """An entry as JSON."""
        message = row.message
        assert message is not None
        said = self._said.get(row.position)
        if said is None:
            said = self._said[row.position] = _Said(message, self._views)
        is_own = message.author.id == viewer.id
        return _ENTRY % (
            row.position,
            row.prev,
            said.at if row.at_ns == message.at_ns else at(row.at_ns).encode(),
            row.conversation_id.encode(),
            alert,
            _YES_NO[row.held],
            said.head,
            to_json(message.device_id) if is_own else b"null",
            said.for_visitor if viewer.kind == "visitor" else said.for_desk,
        )

    def _wanted(self, rows: Sequence[Entry], principal: Principal, now_ns: int) -> list[Entry]:
        """Those that the person wants to hear of."""
        floor_ms = (now_ns - self._times.for_ns) // _MS
        heard = self._unheard.heard(AgentId(principal.id)) if principal.kind == "agent" else 0
        return [
            row
            for row in rows
            if row.held
            and row.position > heard
            and row.at_ns // _MS >= floor_ms
            and not _is_own(row, principal)
        ]

    def _is_told(self, session: Session, principal: Principal) -> bool:
        """Whether this device may alert; a visitor's always."""
        if principal.kind != "agent":
            return True
        return self._primaries.is_heard(principal.id, session.device_id)

    def _mark(self, principal: Principal, now_ns: int) -> bytes:
        times = self._times
        until = at(now_ns + (times.wait_ns if principal.kind == "agent" else times.for_ns))
        return b'"alert":true,"alert_until":"%b"' % until.encode()

    def _note(
        self,
        rows: Sequence[Entry],
        wanted: Sequence[Entry],
        principal: Principal,
        told: DeviceId | None,
    ) -> None:
        """Into the book of who was told: what the agent wrote themselves needs no answer."""
        agent_id = AgentId(principal.id)
        for row in rows:
            if _is_own(row, principal):
                self._unheard.read(agent_id, row.conversation_id, row.position)
        if wanted:
            alerting = [
                Alerting(
                    position=row.position,
                    conversation_id=row.conversation_id,
                    until_ns=row.at_ns // _MS * _MS + self._times.for_ns,
                )
                for row in wanted
            ]
            self._unheard.handed(
                (principal.account_id, agent_id), alerting, told, clock.monotonic_s()
            )


def _is_own(row: Entry, principal: Principal) -> bool:
    return row.message is not None and row.message.author.id == principal.id


def _is_from(row: Entry, session: Session, principal: Principal) -> bool:
    """Whether this very device sent it."""
    message = row.message
    return (
        message is not None
        and message.device_id == session.device_id
        and message.author.id == principal.id
    )


def _is_own_words(row: Entry, principal: Principal) -> bool:
    """As in `handing`: what a visitor wrote concerns nobody when it comes back to them."""
    return principal.kind == "visitor" and _is_own(row, principal)
