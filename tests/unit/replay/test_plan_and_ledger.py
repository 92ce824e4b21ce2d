"""The pure parts of the replay: a ledger that misses a fault would make every run look good."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import msgspec
import pytest

from cli.replay.command import SAMPLE
from cli.replay.ledger import Found, Ledger, Seen, enter
from cli.replay.plan import draw
from cli.replay.play import Said
from cli.replay.record import Record
from cli.replay.run import refusable
from cli.replay.transcripts import Transcript, Turn, load
from nightdesk_client import Author, Message, Sent
from shared.errors import Refused

VISITOR = Author(kind="visitor", id="v")


def message(seq: int, *, text: str = "", message_id: str = "") -> Message:
    return Message(
        conversation_id="c",
        message_id=message_id or f"m{seq}",
        seq=seq,
        position=seq * 10,
        at="",
        author=VISITOR,
        text=text or f"text {seq}",
    )


def said(seq: int, side: str = "visitor") -> Said:
    sent = Sent(message_id=f"m{seq}", position=seq * 10)
    return Said(side=side, text=f"text {seq}", sent=sent)


def tally(found: list[Message], *, explained: frozenset[str] = frozenset({"a"})) -> Ledger:
    ledger = Ledger()
    seen = Seen(
        conversation_id="c",
        said=[said(1), said(2), said(3, "agent")],
        missing_on_devices=0,
        delivered=3,
    )
    enter(
        ledger, seen, Found(messages=found, owners=["a"], explained=explained, read={"agent": 20})
    )
    return ledger


def test_customers_of_any_channel_are_left_to_real_people() -> None:
    """A run refuses to begin where its agents could not be kept from all of them."""
    channels = {f"c{number}" for number in range(100)}
    assert refusable(channels) == channels
    with pytest.raises(Refused):
        refusable({*channels, "one_more"})


def test_a_good_conversation_is_clean() -> None:
    """What was accepted is stored as it was sent, in order, and explained: nothing to complain about."""
    ledger = tally([message(1), message(2), message(3)])
    assert ledger.is_clean
    assert (ledger.accepted, ledger.durable, ledger.stored, ledger.read) == (3, 3, 3, 2)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([message(1), message(3)], "lost"),
        ([message(1), message(2), message(3, text="other")], "lost"),
        ([message(1), message(2), message(3), message(4)], "unexplained"),
        ([message(1), message(3), message(2)], "out_of_order"),
        (
            [message(1, message_id="m2"), message(2, message_id="m1"), message(3)],
            "out_of_order",
        ),
    ],
)
def test_a_fault_in_the_history_is_counted(found: list[Message], fault: str) -> None:
    """Missing, changed, foreign and swapped messages each make the run fail."""
    ledger = tally(found)
    assert getattr(ledger, fault) > 0
    assert not ledger.is_clean


def test_a_repeat_in_the_log_is_no_loss() -> None:
    """After an unknown outcome the sender may be told the place of a repeat; stored later than told is a fault."""
    earlier = msgspec.structs.replace(message(2), position=15)
    ledger = tally([message(1), earlier, message(3)])
    assert (ledger.is_clean, ledger.durable, ledger.repeated_on_the_wire) == (True, 3, 1)
    later = msgspec.structs.replace(message(2), position=25)
    assert tally([message(1), later, message(3)]).lost == 1


def test_an_owner_without_reasons_is_unexplained() -> None:
    """An agent who held a conversation without a decision that says why makes the run fail."""
    ledger = tally([message(1), message(2), message(3)], explained=frozenset())
    assert ledger.unexplained == 1
    assert ledger.remarks == ["unexplained: 1 × owner whom no decision names in conversation c"]


def test_a_record_sees_repeats_and_disorder() -> None:
    """A message that appears twice on a device, or after a later one, is counted."""
    record = Record()
    for seq in (1, 3, 2, 3):
        record.note(message(seq))
    assert (record.shown_twice, record.out_of_order) == (1, 1)
    assert record.has("m2")


def test_a_plan_plays_every_turn_in_its_order() -> None:
    """Each side's turns are played once and in order; the night has at least the visitor's first ones."""
    transcript = load(SAMPLE)[0]
    for seed in range(50):
        plan = draw(transcript, Random(seed))
        acts = [*plan.night, *plan.day]
        assert len(acts) == len(transcript.turns)
        for side in ("visitor", "agent"):
            wanted = [turn.text for turn in transcript.turns if turn.side == side]
            assert [act.turn.text for act in acts if act.turn.side == side] == wanted
        assert plan.night
        assert all(act.turn.side == "visitor" for act in plan.night)
        assert plan == draw(transcript, Random(seed))


def test_the_sample_is_playable_in_both_languages() -> None:
    """What ships with the project has conversations in Chinese and in English."""
    assert {transcript.language for transcript in load(SAMPLE)} == {"zh", "en"}
    assert len(load(SAMPLE, limit=5)) == 5


def test_transcripts_may_be_gzipped(tmp_path: Path) -> None:
    """A .gz file is read like a plain one."""
    packed = tmp_path / "some.jsonl.gz"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    assert load(packed) == load(SAMPLE)


@pytest.mark.parametrize("line", ["{", "[]", '{"turns": 1}', '{"conversation":"c","turns":[]}'])
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    """A file that can't be played is refused before anything is sent."""
    file = tmp_path / "bad.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(Refused, match=r"bad\.jsonl"):
        load(file)


def test_empty_turns_are_left_out(tmp_path: Path) -> None:
    """Nobody can send an empty message."""
    file = tmp_path / "some.jsonl"
    turns = [Turn(side="visitor", text="  "), Turn(side="visitor", text="hello")]
    file.write_bytes(msgspec.json.encode(Transcript(conversation="c", turns=turns)))
    assert [turn.text for turn in load(file)[0].turns] == ["hello"]
