"""New messages on their way to screens, as they are heard from the store: the way that every message takes.

What is the same for all who are shown a message (its text, opened once, and everything around it) is made once for a
hint; what depends on the reader is made for each: position in their inbox, alert, and what only its own person or only
the desk may see. Whatever is not a plain new message is left to `handing`."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway import metrics, pieces
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

_HEAD = (
    *(pieces.POSITION, b"%d", pieces.PREV, b"%d", pieces.AT, b"%b", pieces.TALK, b"%b"),
    *(pieces.ALERT, b"%b", pieces.HELD, b"%b", pieces.ITS_TALK, b"%b%b%b"),
)
_ENTRY = b"".join(_HEAD)
"""Position, the one before, time, conversation, alert, held, then the message: `_MESSAGE`, device, `_REST`."""
_SAID = (
    *(b"%b", pieces.MESSAGE, b"%b", pieces.SEQ, b"%d", pieces.ITS_POSITION, b"%d", pieces.ITS_AT),
    *(b"%b", pieces.AUTHOR, b"%b", pieces.TYPE, b"%b", pieces.TEXT, b"%b", pieces.DEVICE),
)
_MESSAGE = b"".join(_SAID)
_REST = pieces.SEEN + b"%d" + pieces.END.replace(b"false", b"%b", 2)
"""What was seen, whether automatic, whether crossed, and the end of the entry."""
assert b'"automatic":%b,"crossed":%b,' in _REST, "the order of the views has changed"
_MS = 1_000_000
_TEXT = b'"text"'
_MARK = b'"alert":true,"alert_until":"%b"'
_YES_NO = (b"false", b"true")
_ENTRIES_SENT = tally(metrics.SENT, "entries")
_LIVE = tally(metrics.ENTRIES, "live")
_READABLE, _UNREADABLE = b'"unreadable":false', b'"unreadable":true'
assert _READABLE in _REST
_IS_LONG_WAY = planted("push_without_seq")
"""That bug is planted in `handing`."""


class _Said:
    """A message as everybody is shown it: everything before the device that sent it, and after it for either side."""

    __slots__ = ("at", "conversation", "for_desk", "for_visitor", "head")

    def __init__(self, row: MessageRow, views: Views) -> None:
        author = to_json(views.author(row.account_id, row.author))
        text = views.text(row.account_id, row.body, of=row.message_id, part="body")
        self.at = at(row.at_ns).encode()
        self.conversation = row.conversation_id.encode()
        self.head = _MESSAGE % (
            self.conversation,
            row.message_id.encode(),
            row.seq,
            row.position,
            self.at,
            author,
            _TEXT if row.content_type == "text" else to_json(row.content_type),
            to_json(text),
        )
        automatic = _YES_NO[row.automatic]
        self.for_visitor = _REST % (0, automatic, b"false")
        self.for_desk = _REST % (row.seen_up_to, automatic, _YES_NO[row.crossed])
        if text is None and row.body:
            self.for_visitor = self.for_visitor.replace(_READABLE, _UNREADABLE)
            self.for_desk = self.for_desk.replace(_READABLE, _UNREADABLE)


def is_plain(row: Entry) -> bool:
    """Whether the entry is a new message and nothing else."""
    message = row.message
    return (
        row.kind == "message"
        and message is not None
        and not _IS_LONG_WAY
        and not (message.revision or message.retracted or message.unreadable)
        and message.clash_of is None
        and message.at_ns == row.at_ns
        and row.conversation is None
        and not (row.from_seq or row.to_seq or row.messages or row.more)
    )


class Telling:
    """`begin` with a hint, `tell` for each session and its entries of it."""

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
        self._floor_ms = 0
        self._mark_agent = self._mark_visitor = b""

    def begin(self) -> None:
        """A hint was heard: what was opened for the one before is forgotten, alerts are as of now."""
        self._said.clear()
        now_ns, times = clock.now_ns(), self._times
        self._floor_ms = (now_ns - times.for_ns) // _MS
        self._mark_agent = _MARK % at(now_ns + times.wait_ns).encode()
        self._mark_visitor = _MARK % at(now_ns + times.for_ns).encode()

    def tell(self, session: Session, rows: Sequence[Entry]) -> bool:
        """Hand over plain entries that follow the session's position. False: they do not fit a frame, and nothing was
        done."""
        window, principal = session.window, session.principal
        assert window is not None
        assert principal is not None
        owner_id, is_agent = principal.id, principal.kind == "agent"
        told, mark, heard = None, self._mark_visitor, 0
        if is_agent:
            heard = self._unheard.heard(AgentId(owner_id))
            is_told = self._primaries.is_heard(owner_id, session.device_id)
            told = session.device_id if is_told else None
            mark = self._mark_agent if is_told else pieces.QUIET
        own: list[Entry] = []
        wanted: list[Entry] = []
        encoded: list[bytes] = []
        for row in rows:
            alert = pieces.QUIET
            if row.message is not None and row.message.author.id == owner_id:
                own.append(row)
            elif row.held and row.position > heard and row.at_ns // _MS >= self._floor_ms:
                wanted.append(row)
                alert = mark
            encoded.append(self.entry(row, principal, alert))
        last = rows[-1].position
        frame = one_frame(
            encoded, self._cursors.encode(owner_id, session.epoch, last), current=True
        )
        if frame is None:
            return False
        if is_agent:
            self._note(own, wanted, principal, told)
        # Whoever wrote it has its answer already: it only moves their cursor.
        may_linger = len(own) == len(rows) and all(_is_from(row, session) for row in own)
        session.send(frame, may_linger=may_linger)
        _ENTRIES_SENT.inc()
        positions = [row.position for row in rows]
        # What a visitor wrote concerns nobody when it comes back to them; see `handing`.
        owed = positions if is_agent or not own else [x.position for x in rows if x not in own]
        window.sent(positions, clock.monotonic_s(), owed=owed)
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
        device = b"null"
        if message.author.id == viewer.id and message.device_id is not None:
            device = b'"%b"' % message.device_id.encode()
        return _ENTRY % (
            row.position,
            row.prev,
            said.at,
            said.conversation,
            alert,
            _YES_NO[row.held],
            said.head,
            device,
            said.for_visitor if viewer.kind == "visitor" else said.for_desk,
        )

    def _note(
        self,
        own: Sequence[Entry],
        wanted: Sequence[Entry],
        principal: Principal,
        told: DeviceId | None,
    ) -> None:
        """Into the book of who was told: what the agent wrote themselves needs no answer."""
        agent_id = AgentId(principal.id)
        for row in own:
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


def _is_from(row: Entry, session: Session) -> bool:
    """Whether this very device sent it."""
    return row.message is not None and row.message.device_id == session.device_id
