"""Admission: one id is one message, unknown is never called failed, texts are texts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.admission import (
    Admission,
    AdmissionSettings,
    Draft,
    clean_text,
)
from shared import clock
from shared.bus import Entry, Positions
from shared.bus.flight import Told
from shared.codec import decode_event
from shared.crypto import KeyRing, MasterKey, new_stored_key
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.events import Author, ConversationStarted, MessagePosted
from shared.ids import (
    AccountId,
    ContactId,
    ConversationId,
    InboxId,
    MessageId,
    uuid7_time_ms,
)
from shared.queries import LookUpMessageId, MessageIdRow

ACCOUNT = AccountId(clock.new_id())


class Log:
    """Stands for group commit: keeps what was submitted until the test answers."""

    def __init__(self) -> None:
        self.submitted: list[tuple[list[Entry], asyncio.Future[Positions]]] = []

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[Positions]:
        future: asyncio.Future[Positions] = asyncio.get_running_loop().create_future()
        self.submitted.append((list(entries), future))
        return future

    def give(self, entries: Sequence[Entry], told: Told) -> None:
        def answered(future: asyncio.Future[Positions]) -> None:
            error = future.exception()
            assert error is None or isinstance(error, Exception)
            told(future.result() if error is None else error)

        self.submit(entries).add_done_callback(answered)

    async def append(self, entries: Sequence[Entry], *, timeout_s: float) -> Positions:
        return await asyncio.wait_for(self.submit(entries), timeout_s)


class Memory:
    """Stands for the store's look-up of MessageIDs."""

    def __init__(self) -> None:
        self.rows: dict[str, MessageIdRow] = {}
        self.asked: list[str] = []
        self.is_away = False

    async def end_of_log(self) -> int:
        return 0

    async def message_id(self, question: LookUpMessageId) -> MessageIdRow | None:
        self.asked.append(question.message_id)
        if self.is_away:
            raise Unavailable("the store is away")
        return self.rows.get(question.message_id)


class Ring:
    """Stands for the keys of the gateway."""

    def __init__(self) -> None:
        self.ring = KeyRing(MasterKey(bytes(32)))
        for purpose in ("data", "fingerprint"):
            self.ring.add(new_stored_key(MasterKey(bytes(32)), ACCOUNT, purpose))

    async def ensure(self, _: AccountId) -> None:
        pass


class Bench:
    """An admission with everything around it replaced."""

    def __init__(self, **settings: float) -> None:
        self.log, self.memory, self.keys = Log(), Memory(), Ring()
        self.admission = Admission(
            commit=self.log,  # type: ignore[arg-type]
            keys=self.keys,  # type: ignore[arg-type]
            asking=self.memory,  # type: ignore[arg-type]
            shard="0",
            settings=AdmissionSettings(**{"ack_timeout_s": 60.0, **settings}),  # type: ignore[arg-type]
        )


def draft(text: str = "hello", *, message_id: str | None = None, resend: bool = False) -> Draft:
    """A message that a visitor wants to post."""
    return Draft(
        account_id=ACCOUNT,
        conversation_id=ConversationId("00000000-0000-7000-8000-000000000001"),
        message_id=MessageId(message_id or clock.new_id()),
        author=Author(kind="visitor", id="v"),
        text=text,
        resend=resend,
    )


async def test_a_repeat_in_flight_joins_and_a_later_one_is_answered_from_memory() -> None:
    """Both get the first position; the log is given the message once."""
    bench = Bench()
    post = draft()
    first, second = await bench.admission.begin(post), await bench.admission.begin(post)
    ((_, committed),) = bench.log.submitted
    committed.set_result(Positions([41]))
    assert (await first).position == (await second).position == 41
    third = await bench.admission.post(post)
    assert (third.position, third.repeated) == (41, True)
    assert len(bench.log.submitted) == 1


async def test_an_unknown_outcome_stays_open_until_it_is_known() -> None:
    """After a time-out the sender hears "unknown"; its resend joins the same entry and gets its answer."""
    bench = Bench(ack_timeout_s=0.05)
    post = draft()
    with pytest.raises(OutcomeUnknown):
        await bench.admission.post(post)
    again = await bench.admission.begin(post)
    ((_, committed),) = bench.log.submitted
    committed.set_result(Positions([7]))
    assert (await again).position == 7


async def test_a_definite_no_frees_the_id() -> None:
    """After a refusal by the log the same id may be tried again as a new attempt."""
    bench = Bench()
    post = draft()
    future = await bench.admission.begin(post)
    bench.log.submitted[0][1].set_exception(Unavailable("full"))
    with pytest.raises(Unavailable):
        await future
    again = await bench.admission.begin(post)
    bench.log.submitted[1][1].set_result(Positions([8]))
    assert (await again).position == 8


async def test_one_id_is_one_message() -> None:
    """Another text under a used id is a conflict, in flight, from memory and by the store."""
    bench = Bench()
    message_id = clock.new_id()
    await bench.admission.begin(draft("a", message_id=message_id))
    with pytest.raises(Rejected, match="id_conflict"):
        await bench.admission.begin(draft("b", message_id=message_id))
    old = clock.new_id()
    bench.memory.rows[old] = MessageIdRow(position=3, fingerprint=os.urandom(32))
    with pytest.raises(Rejected, match="id_conflict"):
        await bench.admission.begin(draft("b", message_id=old, resend=True))


@pytest.mark.parametrize(
    ("message_id", "resend"),
    [
        ("01900000-0000-7000-8000-000000000001", False),
        ("f1900000-0000-7000-8000-000000000001", False),
        ("01900000-0000-4000-8000-000000000001", False),
        (None, True),
    ],
)
async def test_what_memory_cannot_know_is_looked_up(message_id: str | None, resend: bool) -> None:
    """A resend, an old, a future and a random id are looked up; a stored one gets its first position."""
    bench = Bench()
    post = draft(message_id=message_id, resend=resend)
    future = await bench.admission.begin(post)
    assert bench.memory.asked == [post.message_id]
    (entries, committed) = bench.log.submitted[0]
    committed.set_result(Positions([5]))
    await future
    event = decode_event(entries[0].payload)
    assert isinstance(event, MessagePosted)
    fresh = Bench()
    fresh.keys.ring = bench.keys.ring
    fresh.memory.rows[post.message_id] = MessageIdRow(position=5, fingerprint=event.fingerprint)
    posted = await fresh.admission.post(post)
    assert (posted.position, posted.repeated) == (5, True)
    assert not fresh.log.submitted


async def test_an_id_from_before_this_process_is_looked_up() -> None:
    """A gateway that was killed had perhaps accepted it: whoever repeats gets the first position again, although
    nobody said resend."""
    made_before = clock.new_id()
    while uuid7_time_ms(clock.new_id()) == uuid7_time_ms(made_before):
        pass
    bench = Bench()
    await bench.admission.begin(draft(message_id=made_before))
    assert bench.memory.asked == [made_before]


async def test_a_fresh_id_is_not_looked_up() -> None:
    """The usual message costs no question."""
    bench = Bench()
    await bench.admission.begin(draft())
    assert not bench.memory.asked


async def test_the_memory_of_ids_is_bounded() -> None:
    """Acknowledged ids go when they are too many or too old, those in flight stay."""
    bench = Bench(ids_kept=10)
    open_id = clock.new_id()
    await bench.admission.begin(draft(message_id=open_id))
    for number in range(50):
        future = await bench.admission.begin(draft())
        bench.log.submitted[-1][1].set_result(Positions([number + 1]))
        await future
    assert len(bench.admission._known) <= 12
    assert (ACCOUNT, open_id) in bench.admission._known


async def test_a_conversation_starts_in_front_of_its_message() -> None:
    """Both go to the log in one submission, the start first, sealed text last."""
    bench = Bench()
    post = draft("秘密")
    started = ConversationStarted(
        account_id=ACCOUNT,
        conversation_id=post.conversation_id,
        inbox_id=InboxId("i"),
        contact_id=ContactId("v"),
        by=post.author,
    )
    future = await bench.admission.begin(post, before=[started])
    ((entries, committed),) = bench.log.submitted
    assert [e.subject for e in entries] == ["nd.ev.0.conversation", "nd.ev.0.message"]
    assert {e.key for e in entries} == {post.conversation_id}
    assert "秘密".encode() not in entries[1].payload
    committed.set_result(Positions([1, 2]))
    assert (await future).position == 2


@given(st.text(min_size=1, max_size=200))
def test_clean_text_is_storable(text: str) -> None:
    """What passes can be encoded and holds no control characters; what people write passes unchanged."""
    try:
        cleaned = clean_text(text)
    except Rejected:
        assert any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in text)
        return
    assert cleaned == text
    cleaned.encode("utf-8")


def twice(position: int) -> Positions:
    """The log's yes to a second attempt, after a first of unknown outcome."""
    found = Positions([position])
    found.may_repeat = True
    return found


def fingerprint_in(bench: Bench) -> bytes:
    """Of the message that the log was given last."""
    event = decode_event(bench.log.submitted[-1][0][-1].payload)
    assert isinstance(event, MessagePosted)
    return event.fingerprint


async def test_a_message_that_may_stand_twice_has_its_first_position() -> None:
    """Readers count the first; whoever is told the other one would look for their message in the wrong place."""
    bench = Bench()
    post = draft()
    answer = await bench.admission.begin(post)
    bench.memory.rows[post.message_id] = MessageIdRow(position=3, fingerprint=fingerprint_in(bench))
    bench.log.submitted[0][1].set_result(twice(9))
    assert (await answer).position == 3
    assert (await (await bench.admission.begin(post))).position == 3


async def test_as_long_as_nobody_knows_the_first_it_is_unknown() -> None:
    """Without the store no position is told; the same id sent again finds the first."""
    bench = Bench()
    post = draft()
    answer = await bench.admission.begin(post)
    bench.memory.is_away = True
    bench.log.submitted[0][1].set_result(twice(9))
    with pytest.raises(OutcomeUnknown):
        await answer
    bench.memory.is_away = False
    bench.memory.rows[post.message_id] = MessageIdRow(position=3, fingerprint=fingerprint_in(bench))
    again = await bench.admission.begin(draft(message_id=post.message_id, resend=True))
    assert (await again).position == 3
    assert len(bench.log.submitted) == 1


async def test_one_that_stands_once_keeps_its_position() -> None:
    """The attempt of unknown outcome was not stored after all."""
    bench = Bench()
    post = draft()
    answer = await bench.admission.begin(post)
    bench.memory.rows[post.message_id] = MessageIdRow(position=9, fingerprint=fingerprint_in(bench))
    bench.log.submitted[0][1].set_result(twice(9))
    assert (await answer).position == 9
