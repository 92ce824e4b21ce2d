"""The pure parts of the Python client."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from nightdesk_client import FileOutbox, new_id
from nightdesk_client.backoff import Backoff
from nightdesk_client.outbox import Draft
from nightdesk_client.sequence import Sequence, Shown, Verdict
from nightdesk_client.wire import Author, InboxEntry, Message


def entry(position: int, prev: int) -> InboxEntry:
    return InboxEntry(position=position, prev=prev, at="", kind="message", conversation_id="c")


def message(seq: int, message_id: str = "") -> Message:
    author = Author(kind="visitor", id="v")
    return Message(
        conversation_id="c",
        message_id=message_id or f"m{seq}",
        seq=seq,
        position=seq,
        at="",
        author=author,
    )


def test_only_the_entry_that_follows_is_new() -> None:
    """An entry counts when it names the one held; older ones are repeats, others are gaps that change nothing."""
    sequence = Sequence(position=10)
    verdicts = [
        sequence.judge(entry(*x)) for x in ((12, 11), (11, 10), (11, 10), (12, 11), (14, 13))
    ]
    assert [v.value for v in verdicts] == ["gap", "new", "repeat", "new", "gap"]
    assert sequence.position == 12


def test_a_fresh_start_takes_the_first_entry_as_it_comes() -> None:
    """Without a position any first entry is taken, and the chain is checked from there."""
    sequence = Sequence()
    assert sequence.judge(entry(50, 3)) is Verdict.NEW
    assert sequence.judge(entry(52, 51)) is Verdict.GAP


def test_a_message_is_shown_once() -> None:
    """One MessageID is shown once, and the newest place of each conversation is remembered."""
    shown = Shown()
    assert [shown.take(message(seq)) for seq in (1, 2, 1, 3, 3)] == [True, True, False, True, False]
    assert shown.last("c") == (3, "m3")
    assert shown.last("other") == (0, "")


def test_memory_of_shown_messages_is_bounded() -> None:
    """Only the last ones are remembered by id."""
    shown = Shown(limit=2)
    for seq in (1, 2, 3):
        shown.take(message(seq))
    assert len(shown._ids) == 2


def test_back_off_grows_and_ends_at_its_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait is below a second, later ones below 20 s, and success begins anew."""
    monkeypatch.setattr("nightdesk_client.backoff.random.uniform", lambda _low, high: high)
    now_s = 100.0
    backoff = Backoff(now_s=lambda: now_s)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.next_s(is_crowded=True) == 20
    now_s += 59
    assert backoff.next_s() == 5
    now_s += 2
    assert backoff.next_s() == 20
    backoff.reset()
    assert [backoff.next_s() for _ in range(2)] == [1, 2]
    crowded = Backoff(now_s=lambda: now_s)
    assert [crowded.next_s(is_crowded=True) for _ in range(6)] == [1, 2, 4, 8, 16, 20]


def test_ids_are_uuid7_and_increase() -> None:
    """MessageIDs carry their time and sort in the order in which they were made."""
    ids = [new_id() for _ in range(2_000)]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(x).version for x in ids} == {7}
    assert {uuid.UUID(x).variant for x in ids} == {uuid.RFC_4122}


async def test_a_file_outbox_survives_a_torn_line(tmp_path: Path) -> None:
    """Open drafts come back in order after a crash; a half-written last line costs nothing."""
    path = tmp_path / "outbox"
    outbox = FileOutbox(path)
    assert await outbox.open() == []
    drafts = [Draft(conversation_id="c", message_id=f"m{n}", text=f"{n}") for n in range(3)]
    for draft in drafts:
        await outbox.add(draft)
    await outbox.remove("m1")
    await outbox.close()
    path.write_bytes(path.read_bytes() + b'{"put":{"conver')
    again = FileOutbox(path)
    assert await again.open() == [drafts[0], drafts[2]]
    await again.close()
    assert path.stat().st_mode & 0o777 == 0o600
