"""Entries in frames: none lost, none split, none too large."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.sessions.packing import pack_entries
from shared.wire.frames import MAX_FRAME_BYTES
from shared.wire.views import AuthorView, EntryView, MessageView


def message(seq: int, text: str) -> MessageView:
    """A message of that text."""
    return MessageView(
        conversation_id="c",
        message_id=f"m{seq}",
        seq=seq,
        position=seq,
        at="2026-01-01T00:00:00.000Z",
        author=AuthorView(kind="visitor", id="v"),
        content_type="text",
        text=text,
    )


def entry(position: int, text: str) -> EntryView:
    """An entry with one message."""
    return EntryView(
        position=position,
        prev=position - 1,
        at="2026-01-01T00:00:00.000Z",
        kind="message",
        conversation_id="c",
        message=message(position, text),
    )


@settings(max_examples=25)
@given(st.lists(st.integers(0, 8_000), min_size=1, max_size=30))
def test_every_entry_goes_out_once_in_order(sizes: list[int]) -> None:
    """Frames hold all entries in order, none above 64 KiB, each with the cursor after its last entry."""
    views = [entry(n + 1, "长" * size) for n, size in enumerate(sizes)]
    frames = pack_entries(views, lambda p: f"after {p}", current=True)
    positions = []
    for number, raw in enumerate(frames):
        assert len(raw) <= MAX_FRAME_BYTES
        frame = msgspec.json.decode(raw)
        positions += [e["position"] for e in frame["entries"]]
        assert frame["cursor"] == f"after {positions[-1]}"
        assert frame["current"] is (number == len(frames) - 1)
    assert positions == [view.position for view in views]


@settings(max_examples=25)
@given(st.lists(st.integers(1, 8_000), min_size=1, max_size=40), st.booleans())
def test_an_assignment_that_is_too_large_is_cut(sizes: list[int], more: bool) -> None:
    """The messages that fit come in order from the first; `more` says when any is missing."""
    messages = [message(n + 1, "\\" * size) for n, size in enumerate(sizes)]
    view = EntryView(
        position=99,
        prev=0,
        at="2026-01-01T00:00:00.000Z",
        kind="conversation_assigned",
        conversation_id="c",
        from_seq=1,
        to_seq=len(messages),
        messages=messages,
        more=more,
    )
    (raw,) = pack_entries([view], str, current=True)
    assert len(raw) <= MAX_FRAME_BYTES
    shown = msgspec.json.decode(raw)["entries"][0]
    seqs = [m["seq"] for m in shown["messages"]]
    assert seqs == list(range(1, len(seqs) + 1))
    assert shown["more"] is (more or len(seqs) < len(messages))
    assert shown["to_seq"] == len(messages)
