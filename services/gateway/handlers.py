"""WebSocket edge: the upgrade, one frame after the other, and what each op does.

A `send` is answered when the log has answered; frames behind it are read meanwhile. Bytes that are no frame close
the connection; a frame that is refused is answered, and too many in a row close it too."""

from __future__ import annotations

import asyncio
import enum
import functools
import itertools
from collections import deque
from collections.abc import Coroutine
from typing import NamedTuple, get_args

import msgspec
import structlog

from services.gateway import metrics
from services.gateway.access import Facts
from services.gateway.admission import Draft, Posted
from services.gateway.choices import of_frame
from services.gateway.crossing import check_strict
from services.gateway.live import Live
from services.gateway.looking_relay import only_agents
from services.gateway.opening import Opening
from services.gateway.problem import code_of
from services.gateway.reopening import is_open_now, judged_anew
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from shared import clock
from shared.codec import to_json
from shared.commands import Connection
from shared.crashpoints import crashpoint
from shared.errors import Malformed, NightdeskError, OutcomeUnknown, Rejected, Unavailable
from shared.ids import ConversationId, MessageId, Position, canonical
from shared.labelled import tally
from shared.planted import planted
from shared.wire.frames import ClientFrame, Err, Hello, Looking, Ok, Read, Received, Send, Typing

log = structlog.get_logger(__name__)

_decoder = msgspec.json.Decoder(ClientFrame)
_PINGS = (b"{}", b"{ }")
_MOST_ID = 2**53
_TYPING_GAP_S = 0.5
_TAGS = {kind: str(kind.__struct_config__.tag) for kind in get_args(ClientFrame)}
_KINDS = {tag: kind for kind, tag in _TAGS.items()}
_FRAMES_OK = {op: tally(metrics.FRAMES, op, "ok") for op in _KINDS}
_OK_SENT = tally(metrics.SENT, "ok")


class _Head(msgspec.Struct, frozen=True):
    """What can be told of a frame that does not fit its description, whatever it has in their place."""

    op: object = ""
    id: object = None

    @property
    def shown_id(self) -> int | None:
        """The id, if an answer can name it."""
        return self.id if type(self.id) is int else None


_heads = msgspec.json.Decoder(_Head)


class _Pending:
    """A `send` that waits for the log."""

    __slots__ = ("id", "is_answered", "session")

    def __init__(self, session: Session, frame_id: int) -> None:
        self.session = session
        self.id = frame_id
        self.is_answered = False


def _outcome(done: asyncio.Future[Posted]) -> Posted | Exception:
    error = done.exception()
    if error is None:
        return done.result()
    return error if isinstance(error, Exception) else OutcomeUnknown("it broke off")


class Frame(NamedTuple):
    """A frame that may have to wait."""

    op: str
    frame: ClientFrame


class State(enum.Enum):
    """What became of a frame that is not handed back."""

    DONE = "done"
    BUG = "bug"


DONE = State.DONE


class Handlers:
    """What sessions do: `came`, `begin` and `carry_out` for each frame, `left`; `turn` is called at every tick."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._parts = live.parts
        self._opening = Opening(live)
        self._numbers = itertools.count(1)
        self._deadlines: deque[tuple[float, _Pending]] = deque()
        self.is_draining = False

    def came(self, transport: asyncio.Transport, *, origin: str | None) -> Session:
        """A connection became a WebSocket."""
        now_s = clock.monotonic_s()
        session = Session(next(self._numbers), transport, self._live.outgoing, now_s=now_s)
        session.origin = origin
        self._live.registry.add(session)
        self._live.wheel.add(session)
        return session

    def left(self, session: Session) -> Coroutine[None, None, None] | None:
        """The connection ended; what is still to be told, if anything."""
        self._live.registry.remove(session)
        session.gone()
        return None if session.connection is None else self._tell_left(session, session.connection)

    async def _tell_left(self, session: Session, connection: Connection) -> None:
        await self._parts.presence.closed(connection.connection, self._live.alerts.waiting(session))
        await self._live.looking.gone(session)

    def begin(self, session: Session, data: bytes) -> Frame | State:
        """Carry out one frame if nothing must be waited for; else it is for `carry_out`."""
        if data in _PINGS:
            return DONE
        try:
            frame = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            self._refuse_bytes(session, data, err)
            return DONE
        op = _TAGS[type(frame)]
        if session.principal is None:
            if isinstance(frame, Hello):
                return Frame(op, frame)
            metrics.FRAMES.labels(op, "too_early").inc()
            session.close(3500)
            return DONE
        try:
            match frame:
                case Send():
                    if not self._send_now(session, session.principal, frame):
                        return Frame(op, frame)
                    self._is_active(session)
                case Received():
                    self._received(session, session.principal, frame)
                case _:
                    return Frame(op, frame)
        except (Rejected, Unavailable, OutcomeUnknown, Malformed) as err:
            self._answer_error(session, op, err, getattr(frame, "id", None))
        else:
            _FRAMES_OK[op].inc()
        return DONE

    async def carry_out(self, session: Session, frame: Frame) -> bool:
        """Carry out a frame that may have to wait. True, unless a bug of ours ended it."""
        if session.is_closing:
            return True
        try:
            await self._carry_out(session, frame.frame)
        except (Rejected, Unavailable, OutcomeUnknown, Malformed) as err:
            self._answer_error(session, frame.op, err, getattr(frame.frame, "id", None))
        else:
            _FRAMES_OK[frame.op].inc()
        return True

    async def _carry_out(self, session: Session, frame: ClientFrame) -> None:
        match frame:
            case Hello():
                await self._hello(session, frame)
                return
            case _ if session.principal is None:
                return
            case Send():
                await self._send(session, session.principal, frame)
                self._is_active(session)
            case Received():
                self._received(session, session.principal, frame)
            case Read():
                await self._read(session, session.principal, frame)
                self._is_active(session)
            case Typing():
                await self._typing(session, session.principal, frame)
                self._is_active(session)
            case Looking():
                await self._looking(session, session.principal, frame)
                self._is_active(session)

    def _refuse_bytes(self, session: Session, data: bytes, error: Exception) -> None:
        """Not a frame at all: close. A JSON object that is no frame of ours: answer."""
        try:
            head = _heads.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            metrics.FRAMES.labels("", "bad_frame").inc()
            session.close(3500)
            return
        if session.principal is None:
            metrics.FRAMES.labels("", "bad_frame").inc()
            session.close(3500)
            return
        op = head.op if isinstance(head.op, str) else ""
        kind = _KINDS.get(op)
        if kind is None:
            text = f"this op is not known; it is one of {', '.join(sorted(_KINDS))}"
            self._answer_error(session, "", Rejected("unknown_op", text), head.shown_id)
            return
        refusal = Rejected("invalid", "not valid JSON in UTF-8")
        if isinstance(error, msgspec.ValidationError):
            refusal = of_frame(error, kind)
        self._answer_error(session, op, refusal, head.shown_id)

    def _answer_error(
        self, session: Session, op: str, error: NightdeskError, frame_id: int | None
    ) -> None:
        code = error.code if error.code in ("unknown_op", "not_ready") else code_of(error)
        is_retry = isinstance(error, (Unavailable, OutcomeUnknown))
        metrics.FRAMES.labels(op, code).inc()
        shown_id = frame_id if frame_id is not None and abs(frame_id) < _MOST_ID else None
        frame = Err(code=code, message=error.message, retry=is_retry, id=shown_id)
        session.send(to_json(frame))
        metrics.SENT.labels("err").inc()
        if not is_retry:
            session.faults += 1
            if session.faults > self._parts.config.faults_allowed:
                session.close(3505)

    # ------------------------------------------------------------ ops

    async def _hello(self, session: Session, frame: Hello) -> None:
        if session.principal is not None:
            # Saying it again is allowed (a fresh token, a new try to resume) but costs the store a question.
            self._charge(session.principal)
        is_new = session.connection is None
        await self._opening.hello(session, frame)
        if is_new and session.connection is not None and not session.is_closing:
            await self._parts.presence.opened(session.connection)

    async def _send(self, session: Session, principal: Principal, frame: Send) -> None:
        if not 0 <= frame.id < _MOST_ID:
            raise Rejected("invalid", f"id must be a number from 0 to {_MOST_ID - 1}")
        self._charge(principal)
        while session.in_flight >= self._parts.config.sends_in_flight:
            # The client isn't read on until one of its sends is answered: it waits, nobody else does.
            session.room = asyncio.get_running_loop().create_future()
            await session.room
        conversation_id = ConversationId(canonical(frame.conversation_id, what="conversation_id"))
        message_id = MessageId(canonical(frame.message_id, what="message_id"))
        if frame.only_if_seen:
            check_strict(principal.kind, frame.seen_up_to)
        facts = await self._parts.access.may_post(principal, conversation_id)
        draft = self._draft(session, principal, frame, facts, message_id)
        before = await judged_anew(self._parts, facts) if principal.kind == "visitor" else ()
        future = await self._parts.admission.begin(draft, before=before)
        if before:
            future.add_done_callback(lambda done: _note_opened(facts, done))
        pending = self._await(session, frame)
        future.add_done_callback(lambda done: self._answer(pending, _outcome(done)))

    def _send_now(self, session: Session, principal: Principal, frame: Send) -> bool:
        """The common case: the conversation is known, the message is new. False: nothing was done, it must wait."""
        if session.in_flight >= self._parts.config.sends_in_flight or not 0 <= frame.id < _MOST_ID:
            return False
        # What is known is known by its canonical spelling; any other one is for the long way.
        facts = self._parts.access.known(principal, ConversationId(frame.conversation_id))
        if facts is None or frame.only_if_seen:
            return False
        if facts.status == "resolved" and principal.kind == "visitor":
            return False
        message_id = MessageId(canonical(frame.message_id, what="message_id"))
        draft = self._draft(session, principal, frame, facts, message_id)
        if not self._parts.admission.is_simple(draft):
            return False
        self._charge(principal)
        pending = self._await(session, frame)
        try:
            self._parts.admission.begin_now(draft, functools.partial(self._answer, pending))
        except NightdeskError:
            self._close_pending(pending)
            raise
        return True

    def _draft(
        self,
        session: Session,
        principal: Principal,
        frame: Send,
        facts: Facts,
        message_id: MessageId,
    ) -> Draft:
        return Draft(
            account_id=principal.account_id,
            conversation_id=facts.conversation_id,
            message_id=message_id,
            author=principal.author,
            device_id=session.device_id,
            text=frame.text,
            content_type=frame.content_type,
            seen_up_to=self._seen(session, principal, frame.seen_up_to, facts.last_entry),
            resend=frame.resend,
            only_if_seen=frame.only_if_seen,
        )

    def _await(self, session: Session, frame: Send) -> _Pending:
        """To be answered when the log has answered, or when it takes too long."""
        pending = _Pending(session, frame.id)
        session.in_flight += 1
        self._deadlines.append((clock.monotonic_s() + self._parts.config.ack_timeout_s, pending))
        return pending

    def _charge(self, principal: Principal) -> None:
        now_s = clock.monotonic_s()
        if principal.kind == "visitor":
            self._parts.limits.charge("visitor", principal.id, now_s)
        self._parts.limits.charge("account", principal.account_id, now_s)

    def _seen(
        self, session: Session, principal: Principal, said: Position | None, last: Position
    ) -> Position:
        """What the author had been shown: nothing that the store did not have can have been shown."""
        if principal.kind != "agent":
            return 0
        stored = max(self._live.delivery.known(principal.account_id), session.position, last)
        return stored if said is None else max(0, min(said, stored))

    def _answer(self, pending: _Pending, outcome: Posted | Exception) -> None:
        """The log has answered a `send`."""
        if pending.is_answered:
            return
        session = pending.session
        self._close_pending(pending)
        if isinstance(outcome, Exception):
            if not isinstance(outcome, NightdeskError):
                outcome = OutcomeUnknown("nobody knows yet; send it again with the same id")
            self._answer_error(session, "send", outcome, pending.id)
            return
        session.faults = 0
        crashpoint("gateway.answer")
        session.send(
            to_json(Ok(id=pending.id, position=outcome.position, message_id=outcome.message_id))
        )
        _OK_SENT.inc()

    @staticmethod
    def _close_pending(pending: _Pending) -> None:
        session = pending.session
        pending.is_answered = True
        session.in_flight -= 1
        if session.room is not None and not session.room.done():
            session.room.set_result(None)

    def turn(self) -> None:
        """Tell the senders whose answer is overdue that nobody knows; their entry stays in flight and a resend of
        the same id joins it."""
        now_s = clock.monotonic_s()
        while self._deadlines and (
            self._deadlines[0][0] <= now_s or self._deadlines[0][1].is_answered
        ):
            _, pending = self._deadlines.popleft()
            if not pending.is_answered:
                self._close_pending(pending)
                overdue: NightdeskError = OutcomeUnknown(
                    "nobody knows yet; send it again with the same id"
                )
                if planted("unknown_is_no"):
                    overdue = Rejected("not_stored", "it was not stored")
                self._answer_error(pending.session, "send", overdue, pending.id)

    def _received(self, session: Session, principal: Principal, frame: Received) -> None:
        if session.window is None or session.mode == "deaf":
            raise Unavailable("your place in the inbox is not known now", code="not_ready")
        if not 0 <= frame.up_to <= session.position:
            text = (
                f"up_to must be from 0 to {session.position}, the last that this device was given"
            )
            raise Rejected("invalid", text)
        if frame.alerted is not None and frame.alerted < 0:
            raise Rejected("invalid", "alerted must be a position, or 0")
        session.window.acked(frame.up_to, clock.monotonic_s())
        if principal.kind == "agent":
            self._live.alerts.acked(session, frame.up_to, frame.alerted)
            if session.connection is not None:
                self._parts.presence.is_awake(session.connection)
        session.faults = 0
        if frame.up_to and session.window.pay(frame.up_to):
            self._live.receipts.received(principal, session.device_id, frame.up_to)
        if session.mode == "held" and session.window.room > 0:
            self._live.catch_up.want(session)

    async def _seen_by(self, principal: Principal, conversation_id: ConversationId) -> Facts:
        """The conversation of a frame that costs nothing as long as nobody must be asked about it."""
        known = self._parts.access.known(principal, conversation_id)
        if known is not None:
            return known
        self._charge(principal)
        return await self._parts.access.may_see(principal, conversation_id)

    async def _read(self, session: Session, principal: Principal, frame: Read) -> None:
        conversation_id = ConversationId(canonical(frame.conversation_id, what="conversation_id"))
        facts = await self._seen_by(principal, conversation_id)
        if frame.up_to < 0:
            raise Rejected("invalid", "up_to must be a position, or 0")
        stored = max(
            self._live.delivery.known(principal.account_id), session.position, facts.last_entry
        )
        session.faults = 0
        self._live.receipts.read(principal, conversation_id, min(frame.up_to, stored))

    async def _typing(self, session: Session, principal: Principal, frame: Typing) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - session.typed_at_s < _TYPING_GAP_S and frame.is_typing:
            return
        session.typed_at_s = now_s
        conversation_id = ConversationId(canonical(frame.conversation_id, what="conversation_id"))
        facts = await self._seen_by(principal, conversation_id)
        await self._live.typing.tell(principal, session.device_id, facts, is_typing=frame.is_typing)
        if principal.kind == "agent" and frame.is_typing:
            await self._live.looking.typed(session, facts)

    async def _looking(self, session: Session, principal: Principal, frame: Looking) -> None:
        only_agents(principal)
        self._parts.limits.charge("looks", principal.id, clock.monotonic_s())
        conversation_id = ConversationId(canonical(frame.conversation_id, what="conversation_id"))
        if not frame.is_looking:
            await self._live.looking.leave(session, conversation_id)
            return
        facts = await self._parts.access.may_see(principal, conversation_id)
        await self._live.looking.look(session, facts)

    def _is_active(self, session: Session) -> None:
        """The person did something: presence learns which of their devices they use."""
        if session.connection is not None:
            connection = session.connection
            session.connection = msgspec.structs.replace(connection, active=connection.active + 1)
            self._parts.presence.is_active(session.connection)


def _note_opened(facts: Facts, done: asyncio.Future[Posted]) -> None:
    if not done.cancelled() and done.exception() is None:
        is_open_now(facts)
