"""What the bus and the server say to each other."""

from __future__ import annotations

import pytest

from shared.bus.delivery import Delivery, digest
from shared.bus.wire import (
    NO_RESPONDERS,
    PubAck,
    batch_frames,
    header_number,
    parse_ack,
    plain_frame,
    status_of,
    time_ns,
)


@pytest.mark.parametrize(
    ("said", "count", "positions"),
    [
        (b'{"stream":"S","seq":7}', 1, [7]),
        (b'{"stream":"S","seq":9,"batch":"b","count":3}', 3, [7, 8, 9]),
        (b'{"stream":"S","seq":1,"batch":"b","count":1}', 1, [1]),
        (b'{"stream":"S","seq":9,"batch":"b","count":2}', 3, None),
        (b'{"stream":"S","seq":9}', 3, None),
        (b'{"stream":"OTHER","seq":9}', 1, None),
        (b'{"stream":"S","seq":9,"duplicate":true}', 1, None),
        (b'{"stream":"S","seq":0,"error":{"code":503,"err_code":10077}}', 1, None),
        (b'{"stream":"S","seq":0}', 1, None),
        (b"{}", 1, None),
    ],
)
def test_only_our_streams_ack_of_all_entries_is_a_yes(
    said: bytes, count: int, positions: list[int] | None
) -> None:
    """Entry i lies at `seq - count + 1 + i`; whatever does not fit exactly is no yes."""
    ack = parse_ack(said, b"")
    assert ack is not None
    assert ack.positions("S", count) == positions


@pytest.mark.parametrize("said", [b"", b"x", b"[]", b'{"seq":"7"}', b'{"seq":7'])
def test_an_answer_that_makes_no_sense_is_no_answer(said: bytes) -> None:
    """Then the outcome stays unknown."""
    assert parse_ack(said, b"") is None


def test_nobody_there_is_a_definite_no() -> None:
    """The server itself says that no stream listens."""
    ack = parse_ack(b"", b"NATS/1.0 503\r\n\r\n")
    assert ack is NO_RESPONDERS
    assert ack.positions("S", 1) is None


def test_frames_of_one_publish() -> None:
    """The lengths in the frame are those of what follows, for bytes and for text beyond ASCII."""
    body = "你好".encode()
    assert plain_frame("a.b", "r", body) == b"PUB a.b r 6\r\n" + body + b"\r\n"
    framed = plain_frame("a.b", "", b"xy", "K: v\r\n")
    assert framed == b"HPUB a.b  18 20\r\nNATS/1.0\r\nK: v\r\n\r\nxy\r\n"


def test_only_the_last_entry_of_a_batch_commits() -> None:
    """Every entry has its number, the first carries the fence, the last commits and wants the answer."""
    entries = [("s", b"1"), ("s", b"2"), ("s", b"3")]
    frames = batch_frames(entries, batch_id="id", reply="inbox", first_header="F: 1\r\n")
    first, second, third = frames.split(b"HPUB ")[1:]
    assert b"Nats-Batch-Sequence: 1\r\nF: 1\r\n" in first
    assert b"Nats-Batch-Sequence: 2\r\n\r\n2\r\n" in second
    assert b"Nats-Batch-Sequence: 3\r\nNats-Batch-Commit: 1\r\n\r\n3\r\n" in third
    assert third.startswith(b"s inbox ")
    assert b"inbox" not in first + second
    assert frames.count(b"Nats-Batch-Id: id") == 3
    assert b"Nats-Msg-Id" not in frames


def test_control_messages_are_understood() -> None:
    """Status and numbers of the server's control messages are found; plain headers have no status."""
    beat = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\nNats-Last-Stream: 17\r\n\r\n"
    assert (status_of(beat), header_number(beat, b"Nats-Last-Stream")) == (100, 17)
    assert header_number(beat, b"Nats-Pending-Messages") is None
    assert status_of(b"NATS/1.0\r\nNats-Batch-Id: 1\r\n\r\n") == 0
    assert status_of(b"") == 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("2026-11-22T16:24:12.870277402Z", 1_795_364_652_870_277_402),
        ("2026-11-22T16:24:12.5Z", 1_795_364_652_500_000_000),
        ("2026-11-22T17:24:12.5+01:00", 1_795_364_652_500_000_000),
        ("2026-11-22T11:54:12.5-04:30", 1_795_364_652_500_000_000),
    ],
)
def test_server_times_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    """Whatever zone and however many decimals the server writes."""
    assert time_ns(text) == ns


def test_what_is_no_time_is_refused() -> None:
    """A wrong clock must not be guessed."""
    with pytest.raises(ValueError, match="time"):
        time_ns("2026-11-22 16:24:12")


def test_digest_tells_logs_apart() -> None:
    """Subject and bytes count; position and time do not, they may differ after a restore."""
    one = Delivery(1, "s.a", 10, b"x")
    assert digest(one) == digest(Delivery(2, "s.a", 20, b"x"))
    assert digest(one) != digest(Delivery(1, "s.b", 10, b"x"))
    assert digest(one) != digest(Delivery(1, "s.a", 10, b"y"))
    assert len(digest(one)) == 16


def test_an_ack_is_made_of_known_parts() -> None:
    """Fields that a newer server adds are ignored."""
    ack = parse_ack(b'{"stream":"S","seq":7,"val":"3","domain":"d"}', b"")
    assert ack == PubAck(stream="S", seq=7)
