"""The one way by which anything is appended outside the account family.

A message is checked, sealed, given its fingerprint and looked up among the MessageIDs that are in flight or were
acknowledged lately; the store is asked when that memory can't know (a resend, an old or foreign id). So a sender
who repeats gets the first answer, and two texts under one id are refused.
Never: a "sent" before the log has said yes; a "failed" while an attempt may have been stored: that is "unknown", the
entry stays in flight here and a resend joins it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from services.gateway import metrics
from services.gateway.asking import Asking
from services.gateway.crossing import Crossing
from services.gateway.keyring import Keys
from shared import clock
from shared.bus import Entry, GroupCommit, Positions
from shared.codec import encode_event
from shared.crashpoints import crashpoint
from shared.errors import NightdeskError, OutcomeUnknown, Rejected, Unavailable
from shared.events import Author, Event, MessagePosted
from shared.ids import AccountId, ConversationId, DeviceId, MessageId, Position, uuid7_time_ms
from shared.labelled import labelled, tally
from shared.planted import planted
from shared.queries import LookUpMessageId
from shared.subjects import Family, event_subject
from shared.wire.frames import MAX_TEXT_CHARS

OLD_MS = 30 * 60 * 1000
AHEAD_MS = 2 * 60 * 1000
_OBSERVED_EVERY_S = 0.001
"""The first of a group has waited longest; to observe each of a thousand costs more than to seal them."""
_APPENDED = tally(metrics.APPENDED, "message", "ok")
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message that somebody wants to post; ids are canonical, rights are checked by the caller. `resend`: it may
    have been sent before. `only_if_seen`: refused when others wrote after `seen_up_to`."""

    account_id: AccountId
    conversation_id: ConversationId
    message_id: MessageId
    author: Author
    text: str
    device_id: DeviceId | None = None
    content_type: str = "text"
    seen_up_to: Position = 0
    resend: bool = False
    automatic: bool = False
    only_if_seen: bool = False


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """It is durable at `position`. `repeated`: this id was accepted before, there."""

    message_id: MessageId
    position: Position
    repeated: bool = False


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`ids_kept`, `ids_kept_s`: the memory of acknowledged MessageIDs."""

    ack_timeout_s: float = 5.0
    ids_kept: int = 50_000
    ids_kept_s: float = 600.0


Told = Callable[[Posted | Exception], None]
"""Called once, in the event loop, with where the message stands or why it does not; must not wait."""


class _Known:
    """A MessageID that this gateway has given to the log. `waiting`: whom to tell; None when the log has answered."""

    __slots__ = ("at_s", "fingerprint", "position", "waiting")

    def __init__(self, fingerprint: bytes, told: Told, now_s: float) -> None:
        self.fingerprint = fingerprint
        self.waiting: list[Told] | None = [told]
        self.position: Position = 0
        self.at_s = now_s


def clean_text(text: str, *, most_chars: int = MAX_TEXT_CHARS) -> str:
    """The text as it may be stored. Raises `Rejected`: "invalid" for an empty one and for characters that are no
    text (NUL and other control characters, halves of surrogate pairs), "too_large"."""
    if not text:
        raise Rejected("invalid", "the text is empty", pointer="/text")
    if len(text) > most_chars:
        raise Rejected(
            "too_large", f"the text has more than {most_chars} characters", pointer="/text"
        )
    # Most texts are printable altogether, which is ten times quicker to find out.
    if not text.isprintable() and NO_TEXT.search(text):
        raise Rejected("invalid", "the text holds characters that are no text", pointer="/text")
    return text


class Admission:
    """Appends messages (`post`, `begin`) and everything else of families without a fence (`append`)."""

    def __init__(
        self,
        *,
        commit: GroupCommit,
        keys: Keys,
        asking: Asking,
        shard: str,
        settings: AdmissionSettings | None = None,
    ) -> None:
        self._commit = commit
        self._keys = keys
        self._asking = asking
        self._shard = shard
        self.settings = settings or AdmissionSettings()
        # A plain dict finds its first key only past everything deleted before it.
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._crossing = Crossing(asking)
        self._searches: set[asyncio.Task[None]] = set()
        self._observed_s = 0.0
        self._subject = event_subject(shard, "message")
        self._started_ms = clock.now_ns() // 1_000_000
        self.is_closed = False

    async def post(self, draft: Draft, *, before: Sequence[Event] = ()) -> Posted:
        """Post a message and wait until it is durable. `before`: events of the family conversation that go in
        front of it in the same commit (the conversation's start); they are left out when the message is a repeat.

        Rejected: "invalid", "too_large", "id_conflict" (the id was used for something else), "crossed". Unavailable: it was
        not stored. OutcomeUnknown: send the same id again.
        """
        answer = await self.begin(draft, before=before)
        # `asyncio.timeout` asks for the running loop four times, each of them a system call in Python 3.11.
        alarm = answer.get_loop().call_later(self.settings.ack_timeout_s, _overdue, answer)
        try:
            return await answer
        finally:
            alarm.cancel()

    async def begin(self, draft: Draft, *, before: Sequence[Event] = ()) -> asyncio.Future[Posted]:
        """As `post`, but returns a future of the answer, the caller's own. Waits only when keys or the store must be
        asked."""
        answer: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
        told = functools.partial(_tell, answer)
        clean_text(draft.text)
        await self._keys.ensure(draft.account_id)
        fingerprint = self._fingerprint(draft)
        if self._join(draft, fingerprint, told):
            return answer
        if self._must_look_up(draft):
            if await self._look_up(draft, fingerprint, told):
                return answer
            # While the store was asked, the same id may have come by another way.
            if self._join(draft, fingerprint, told):
                return answer
        if draft.only_if_seen:
            await self._crossing.check(
                draft.account_id,
                draft.conversation_id,
                author=draft.author,
                seen_up_to=draft.seen_up_to,
            )
            if self._join(draft, fingerprint, told):
                return answer
        self._submit(draft, fingerprint, before, told)
        return answer

    def is_simple(self, draft: Draft) -> bool:
        """Whether nobody must be asked about this message: `begin_now` will do."""
        return (
            self._keys.ring.has(draft.account_id)
            and not draft.only_if_seen
            and not self._must_look_up(draft)
        )

    def begin_now(self, draft: Draft, told: Told) -> None:
        """As `begin`, for a draft that is simple; `told` is called with what the future of `begin` would hold, perhaps at
        once. If this raises it is not called."""
        clean_text(draft.text)
        fingerprint = self._fingerprint(draft)
        if not self._join(draft, fingerprint, told):
            self._submit(draft, fingerprint, (), told)

    async def append(self, key: str, family: Family, events: Sequence[Event]) -> list[Position]:
        """Append events of the families conversation, receipt or message (edits) and wait until they are durable.
        Events of one `key` keep their order. Raises `Unavailable`, `OutcomeUnknown`, `Malformed`."""
        self._check_open()
        subject = event_subject(self._shard, family)
        entries = [Entry(subject=subject, payload=encode_event(e), key=key) for e in events]
        result = "unknown"
        try:
            crashpoint("gateway.append")
            positions = await self._commit.append(entries, timeout_s=self.settings.ack_timeout_s)
            result = "ok"
            return positions
        except NightdeskError as err:
            result = err.code
            raise
        finally:
            metrics.APPENDED.labels(family, result).inc(len(entries))

    async def append_each(
        self, family: Family, events: Mapping[str, Event]
    ) -> dict[str, Position | NightdeskError]:
        """Append events by key, each for itself: a few go as plain publishes, which is quicker than one batch.
        What came of each; what has no definite outcome in time is an `OutcomeUnknown`."""
        subject = event_subject(self._shard, family)
        outcomes: dict[str, Position | NightdeskError] = {}
        all_told = asyncio.Event()

        def told(key: str, outcome: Positions | Exception) -> None:
            outcomes[key] = _outcome(outcome)
            if len(outcomes) == len(events):
                all_told.set()

        for key, event in events.items():
            entry = Entry(subject=subject, payload=encode_event(event), key=key)
            try:
                self._commit.give([entry], functools.partial(told, key))
            except NightdeskError as err:
                told(key, err)
        if not events:
            return {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.ack_timeout_s):
                await all_told.wait()
        unknown = OutcomeUnknown("the log has not answered in time")
        # A copy: what is told later must not change what the caller was given.
        final = {key: outcomes.get(key, unknown) for key in events}
        results = Counter(x.code if isinstance(x, NightdeskError) else "ok" for x in final.values())
        for result, count in results.items():
            labelled(metrics.APPENDED, family, result).inc(count)
        return final

    def _check_open(self) -> None:
        if self.is_closed:
            raise Unavailable("this gateway is stopping", code="draining")

    def _fingerprint(self, draft: Draft) -> bytes:
        return self._keys.ring.fingerprint(
            draft.account_id,
            draft.message_id.encode(),
            draft.conversation_id.encode(),
            f"{draft.author.kind} {draft.author.id}".encode(),
            draft.text.encode(),
        )

    def _join(self, draft: Draft, fingerprint: bytes, told: Told) -> bool:
        """Whether the same message was given to the log before: then its answer is told, now or when it comes."""
        known = self._known.get((draft.account_id, draft.message_id))
        if known is None:
            return False
        if known.fingerprint != fingerprint:
            metrics.REPEATS.labels("conflict").inc()
            raise _conflict()
        metrics.REPEATS.labels("memory").inc()
        if known.waiting is not None:
            known.waiting.append(told)
        else:
            told(_repeated(draft.message_id, known.position))
        return True

    def _must_look_up(self, draft: Draft) -> bool:
        """Whether the log may hold this id from a time that no reader's memory of an hour covers, or from the
        process before this one, whose answer a sender that repeats must get again."""
        made_ms = uuid7_time_ms(draft.message_id)
        if planted("ids_forgotten"):
            return False
        if draft.resend or made_ms is None or made_ms < self._started_ms:
            return True
        age_ms = clock.now_ns() // 1_000_000 - made_ms
        return age_ms > OLD_MS or age_ms < -AHEAD_MS

    async def _look_up(self, draft: Draft, fingerprint: bytes, told: Told) -> bool:
        crashpoint("gateway.look_up")
        row = await self._asking.message_id(
            LookUpMessageId(
                account_id=draft.account_id,
                message_id=draft.message_id,
                at_least=await self._asking.end_of_log(),
                at_end=True,
            )
        )
        if row is None:
            return False
        if row.fingerprint != fingerprint:
            metrics.REPEATS.labels("conflict").inc()
            raise _conflict()
        metrics.REPEATS.labels("store").inc()
        told(_repeated(draft.message_id, row.position))
        return True

    def _submit(
        self, draft: Draft, fingerprint: bytes, before: Sequence[Event], told: Told
    ) -> None:
        self._check_open()
        event = MessagePosted(
            account_id=draft.account_id,
            conversation_id=draft.conversation_id,
            message_id=draft.message_id,
            author=draft.author,
            content_type=draft.content_type,
            body=self._keys.ring.seal(
                draft.account_id, draft.text.encode(), of=draft.message_id, part="body"
            ),
            fingerprint=fingerprint,
            device_id=draft.device_id,
            seen_up_to=draft.seen_up_to,
            automatic=draft.automatic,
        )
        if planted("readable_fingerprint"):
            event = msgspec.structs.replace(event, fingerprint=draft.text.encode())
        if planted("retry_with_new_id") and draft.resend:
            event = msgspec.structs.replace(event, message_id=MessageId(clock.new_id()))
        key = draft.conversation_id
        entries = [
            Entry(
                subject=event_subject(self._shard, "conversation"), payload=encode_event(e), key=key
            )
            for e in before
        ]
        entries.append(Entry(subject=self._subject, payload=encode_event(event), key=key))
        known = _Known(fingerprint, told, clock.monotonic_s())
        self._commit.give(entries, functools.partial(self._settle, draft, known))
        self._crossing.began(draft.conversation_id, draft.author)
        self._known[(draft.account_id, draft.message_id)] = known
        if planted("ack_before_commit"):
            known.waiting = []
            told(_repeated(draft.message_id, 0))

    def _settle(self, draft: Draft, known: _Known, outcome: Positions | Exception) -> None:
        """The log has answered: tell whoever waits, unless it may hold the message twice."""
        self._crossing.ended(draft.conversation_id, draft.author)
        if isinstance(outcome, Exception):
            self._fail(draft, known, outcome)
        elif outcome.may_repeat:
            task = asyncio.create_task(self._find_first(draft, known, outcome[-1]))
            self._searches.add(task)
            task.add_done_callback(self._searches.discard)
        else:
            self._accept(draft, known, outcome[-1])

    async def _find_first(self, draft: Draft, known: _Known, position: Position) -> None:
        """An attempt before the one that was answered may have been stored, too: readers count the first of the two,
        and only the store knows it. As long as it can't say, the position is as unknown as it was."""
        try:
            row = await self._asking.message_id(
                LookUpMessageId(
                    account_id=draft.account_id, message_id=draft.message_id, at_least=position
                )
            )
        except NightdeskError:
            self._fail(draft, known, OutcomeUnknown("its place in the log is not known yet"))
            return
        is_ours = row is not None and row.fingerprint == known.fingerprint
        first = row.position if row is not None and is_ours else position
        if first != position:
            metrics.REPEATS.labels("resent").inc()
        self._accept(draft, known, first)

    def _fail(self, draft: Draft, known: _Known, failure: Exception) -> None:
        """Tell whoever waits, and forget the id."""
        waiting, known.waiting = known.waiting, None
        if waiting is None:
            return
        self._known.pop((draft.account_id, draft.message_id), None)
        code = failure.code if isinstance(failure, NightdeskError) else "failed"
        metrics.APPENDED.labels("message", code).inc()
        for told in waiting:
            told(failure)

    def _accept(self, draft: Draft, known: _Known, position: Position) -> None:
        """Tell whoever waits, and remember the id."""
        waiting, known.waiting = known.waiting, None
        key = (draft.account_id, draft.message_id)
        if waiting is None:
            return
        known.position = position
        started_s, known.at_s = known.at_s, clock.monotonic_s()
        # Moved to the end, so that the oldest acknowledged ids are found first.
        self._known[key] = known
        self._known.move_to_end(key)
        self._forget_old(known.at_s)
        _APPENDED.inc()
        if known.at_s - self._observed_s > _OBSERVED_EVERY_S:
            self._observed_s = known.at_s
            metrics.COMMIT_SECONDS.observe(known.at_s - started_s)
        posted = Posted(message_id=draft.message_id, position=known.position)
        for told in waiting:
            told(posted)

    def _forget_old(self, now_s: float) -> None:
        """Drop acknowledged ids that are too old or too many; those in flight stay, however long it takes."""
        settings = self.settings
        while self._known:
            key = next(iter(self._known))
            oldest = self._known[key]
            if oldest.waiting is not None:
                # In flight for long: put it behind the others, it must not hide them.
                self._known.move_to_end(key)
                return
            if now_s - oldest.at_s < settings.ids_kept_s and len(self._known) <= settings.ids_kept:
                return
            del self._known[key]


def _outcome(outcome: Positions | Exception) -> Position | NightdeskError:
    if not isinstance(outcome, Exception):
        return outcome[0]
    return (
        outcome if isinstance(outcome, NightdeskError) else OutcomeUnknown("the append broke off")
    )


def _tell(answer: asyncio.Future[Posted], outcome: Posted | Exception) -> None:
    """Into a future, unless who waited has gone."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
        # Nobody may be waiting any more, which is no fault.
        answer.exception()
    else:
        answer.set_result(outcome)


def _overdue(answer: asyncio.Future[Posted]) -> None:
    _tell(answer, OutcomeUnknown("the log has not answered in time"))


def _repeated(message_id: MessageId, position: Position) -> Posted:
    return Posted(message_id=message_id, position=position, repeated=True)


def _conflict() -> Rejected:
    return Rejected("id_conflict", "this message_id was used for another message")
