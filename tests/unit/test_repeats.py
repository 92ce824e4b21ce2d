"""The shared fold that drops repeated messages."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared import codec
from shared.events import MessagePosted
from shared.ids import AccountId, MessageId
from shared.repeats import WINDOW_NS, Repeats, is_repeat
from tests.support import desk

MINUTE_NS = 60_000_000_000


def _message(name: str, fingerprint: bytes = b"f") -> MessagePosted:
    made = desk.wrote("c", message=name)
    assert isinstance(made, MessagePosted)
    return msgspec.structs.replace(made, fingerprint=fingerprint)


def test_the_same_message_within_an_hour_is_a_repeat() -> None:
    """Same id and fingerprint: dropped. Another fingerprint, another account, or much later: another message."""
    state = Repeats()
    message = _message("m")
    assert not is_repeat(state, message, 0)
    assert is_repeat(state, message, WINDOW_NS)
    assert not is_repeat(state, _message("m", b"other"), 1)
    assert not is_repeat(state, _message("m", b"other"), 1)
    assert is_repeat(state, message, 2)
    foreign = msgspec.structs.replace(message, account_id=AccountId(desk.identifier("else")))
    assert not is_repeat(state, foreign, 3)
    assert is_repeat(state, foreign, 4)
    assert not is_repeat(state, message, 2 * WINDOW_NS)


@given(seed=st.integers(0, 2**32))
def test_it_agrees_with_a_memory_that_forgets_nothing(seed: int) -> None:
    """Half hours and snapshots in between answer as a plain list of everything would: what is younger than an hour is a
    repeat, what is older than an hour and a half is none."""
    dice = random.Random(seed)
    state, first = Repeats(), dict[str, int]()
    now_ns = 1_800_000_000_000_000_000
    for _ in range(200):
        now_ns += dice.randrange(20) * MINUTE_NS
        name = f"m{dice.randrange(6)}"
        age_ns = now_ns - first[name] if name in first else None
        found = is_repeat(state, _message(name), now_ns)
        if age_ns is None or age_ns >= WINDOW_NS * 3 // 2:
            assert not found
        elif age_ns <= WINDOW_NS:
            assert found
        if not found:
            first[name] = now_ns
        if dice.random() < 0.1:
            state = codec.unpack(codec.pack(state), Repeats)


def test_ids_that_nobody_should_make_are_told_apart() -> None:
    """Ids that count upwards, end alike or are no UUIDs: each is a message, and each again is a repeat."""
    state = Repeats()
    plain = _message("m")
    names = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(300)]
    names += [f"00000000-0000-4000-8000-{n:012x}" for n in range(1, 300)]
    names += ["", "m", "ü", "not an id", "00000000-0000-4000-8000-00000000000g"]
    messages = [msgspec.structs.replace(plain, message_id=MessageId(name)) for name in names]
    assert not any(is_repeat(state, each, 1) for each in messages)
    assert all(is_repeat(state, each, 2) for each in messages)


def test_a_snapshot_of_an_earlier_release_is_remembered() -> None:
    """Ids that were folded before an upgrade are repeats after it, for their hour."""
    message = _message("m")
    old = Repeats(recent={f"{message.account_id}/{message.message_id}": (b"f", 5 * MINUTE_NS)})
    state = codec.unpack(codec.pack(old), Repeats)
    assert is_repeat(state, message, WINDOW_NS)
    assert not is_repeat(state, _message("m", b"other"), WINDOW_NS)
    assert not is_repeat(state, message, WINDOW_NS + 6 * MINUTE_NS)
    is_repeat(state, _message("n"), 3 * WINDOW_NS)
    assert not state.recent


def test_an_id_takes_few_bytes() -> None:
    """Whatever an id and a fingerprint are long, some twelve bytes are kept, and few more in a snapshot: an hour of a
    busy desk fits into memory."""
    state = Repeats()
    plain = _message("m", bytes(32))
    for number in range(3_000):
        made = MessageId(f"00000000-0000-4000-8000-{number:012x}")
        assert not is_repeat(state, msgspec.structs.replace(plain, message_id=made), number)
    assert len(codec.pack(state)) < 3_000 * 20
