"""The shared fold that drops repeated messages."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared import codec
from shared.events import MessagePosted
from shared.ids import AccountId
from shared.repeats import WINDOW_NS, Repeats, is_repeat
from tests.support import desk

MINUTE_NS = 60_000_000_000


def _message(name: str, fingerprint: bytes = b"f") -> MessagePosted:
    made = desk.wrote("c", message=name)
    assert isinstance(made, MessagePosted)
    return msgspec.structs.replace(made, fingerprint=fingerprint)


def test_the_same_message_within_an_hour_is_a_repeat() -> None:
    """Same id and fingerprint: dropped. Another fingerprint, another account, or later: another message."""
    state = Repeats()
    message = _message("m")
    assert not is_repeat(state, message, 0)
    assert is_repeat(state, message, WINDOW_NS)
    assert not is_repeat(state, _message("m", b"other"), 1)
    assert is_repeat(state, message, 2)
    foreign = msgspec.structs.replace(message, account_id=AccountId(desk.identifier("else")))
    assert not is_repeat(state, foreign, 3)
    assert not is_repeat(state, message, WINDOW_NS + 1)


@given(seed=st.integers(0, 2**32))
def test_it_agrees_with_a_memory_that_forgets_nothing(seed: int) -> None:
    """Two generations and snapshots in between answer exactly as a plain list of everything would."""
    dice = random.Random(seed)
    state, first = Repeats(), dict[str, int]()
    now_ns = 1_800_000_000_000_000_000
    for _ in range(200):
        now_ns += dice.randrange(20) * MINUTE_NS
        name = f"m{dice.randrange(6)}"
        is_known = name in first and now_ns - first[name] <= WINDOW_NS
        assert is_repeat(state, _message(name), now_ns) == is_known
        if not is_known:
            first[name] = now_ns
        if dice.random() < 0.1:
            state = codec.unpack(codec.pack(state), Repeats)
