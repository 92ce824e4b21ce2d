"""Sessions and their clock: bounded queues, pings, silence, expiry."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.sessions.session import Outgoing, OutgoingLimits, Session
from services.gateway.sessions.wheel import Wheel
from services.gateway.tokens import Principal
from shared import clock
from shared.ids import AccountId


class Pipe(asyncio.Transport):
    """A transport that keeps what is written until the test reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray()
        self.writes: list[bytes] = []
        self.is_cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.buffer += data
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True

    def close(self) -> None:
        self.is_cut = True


def open_session(
    limits: OutgoingLimits | None = None, *, expires_s: int = 0
) -> tuple[Session, Pipe, Outgoing]:
    """A session that has said hello at second 0."""
    pipe, outgoing = Pipe(), Outgoing(limits or OutgoingLimits())
    session = Session(1, pipe, outgoing, now_s=0.0)
    session.principal = Principal(
        kind="visitor",
        id="v",
        account_id=AccountId("a"),
        role="visitor",
        expires_s=expires_s,
    )
    return session, pipe, outgoing


def code_of(session: Session) -> int:
    """The close code, 0 while it is open."""
    return session.close_code


def wheel(*, may_expire: bool = True) -> Wheel:
    """A wheel that pings after 25 s."""
    return Wheel(hello_timeout_s=5.0, ping_s=25, may_expire=lambda: may_expire)


async def test_frames_behind_a_slow_reader_wait_in_order() -> None:
    """What the transport does not take is queued, and written in order when the client reads on."""
    session, pipe, outgoing = open_session()
    for number in range(20):
        session.send(b"%02d" % number + b"x" * 10_000)
        outgoing.write()
    assert len(pipe.buffer) < 90_000
    assert outgoing.blocked == {session}
    seen = bytearray()
    while outgoing.blocked:
        seen += pipe.buffer
        pipe.buffer.clear()
        outgoing.flush()
    seen += pipe.buffer
    numbers = [seen.find(b"%02dxxx" % number) for number in range(20)]
    assert numbers == sorted(numbers)
    assert numbers[0] >= 0
    assert outgoing.queued_bytes == 0


@pytest.mark.parametrize(
    "limits",
    [
        OutgoingLimits(frames=5),
        OutgoingLimits(bytes=50_000),
        OutgoingLimits(all_bytes=50_000),
    ],
)
async def test_an_overflow_closes_and_frees(limits: OutgoingLimits) -> None:
    """A client that does not read is closed with 3008 and nothing is kept for it."""
    session, pipe, outgoing = open_session(limits)
    for _ in range(40):
        session.send(b"x" * 10_000)
        outgoing.write()
    assert code_of(session) == 3008
    assert outgoing.queued_bytes == 0
    assert not outgoing.blocked
    session.closing_at_s -= 10
    outgoing.flush()
    assert pipe.is_cut


async def test_silence_is_pinged_and_then_closed() -> None:
    """A ping after 25 s of our silence; a client of which nothing is heard for two intervals is closed."""
    session, pipe, outgoing = open_session()
    turning = wheel()
    turning.add(session)
    for second in range(49):
        turning.turn(float(second))
        outgoing.write()
        session.said_at_s = min(session.said_at_s, float(second))
    assert pipe.buffer.count(b"\x81\x02{}") >= 1
    assert code_of(session) == 0
    for second in range(49, 60):
        turning.turn(float(second))
    assert code_of(session) == 3001


async def test_a_session_that_talks_stays() -> None:
    """Any traffic counts as life."""
    session, _, _ = open_session()
    turning = wheel()
    turning.add(session)
    for second in range(300):
        session.heard_at_s = float(second)
        turning.turn(float(second))
    assert code_of(session) == 0


async def test_a_stranger_has_five_seconds() -> None:
    """Without hello the connection is closed with 3502."""
    session, _, _ = open_session()
    session.principal = None
    turning = wheel()
    turning.add(session)
    turning.turn(4.9)
    assert code_of(session) == 0
    turning.turn(5.2)
    assert code_of(session) == 3502


async def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    """Frames of one turn of the loop go out together and in their order, also when the last of them is our goodbye."""
    session, pipe, outgoing = open_session()
    session.send(b"a")
    session.send(b"b")
    assert not pipe.writes
    outgoing.write()
    assert pipe.writes == [b"\x81\x01a\x81\x01b"]
    session.send(b"c")
    session.close(3002)
    outgoing.write()
    assert pipe.writes[1] == b"\x81\x01c"
    assert pipe.writes[2].startswith(b"\x88")
    assert len(pipe.writes) == 3


async def test_a_burst_in_one_turn_is_bounded_like_any_other() -> None:
    """What a client does not take is queued and counted although it was sent in one turn."""
    session, pipe, outgoing = open_session(OutgoingLimits(bytes=50_000))
    for _ in range(40):
        session.send(b"x" * 10_000)
    outgoing.write()
    assert code_of(session) == 3008
    assert len(pipe.buffer) < 90_000
    assert outgoing.queued_bytes == 0


async def test_what_may_linger_goes_with_the_next_or_at_the_next_tick() -> None:
    """It costs no write of its own while there is more to say, keeps its place, and never waits for longer than a tick."""
    session, pipe, outgoing = open_session()
    session.send(b"own", may_linger=True)
    outgoing.write()
    assert not pipe.writes
    session.send(b"next")
    outgoing.write()
    assert pipe.writes == [b"\x81\x03own\x81\x04next"]
    session.send(b"last", may_linger=True)
    outgoing.flush()
    assert pipe.writes[1:] == [b"\x81\x04last"]


@pytest.mark.parametrize("may_expire", [True, False])
async def test_an_expired_token_ends_the_session_only_if_it_can_be_refreshed(
    may_expire: bool,
) -> None:
    """While sign-in is impossible nobody is sent away for an old token."""
    session, _, _ = open_session(expires_s=clock.now_ns() // 1_000_000_000 - 1)
    turning = wheel(may_expire=may_expire)
    turning.add(session)
    for second in range(12):
        turning.turn(float(second))
    assert code_of(session) == (3009 if may_expire else 0)
