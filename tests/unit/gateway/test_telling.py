"""The short way of new messages says, byte for byte, what the long way says, and no more to anybody."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.gateway.cursors import Cursors
from services.gateway.handing import AlertTimes, Handing
from services.gateway.primaries import Primaries
from services.gateway.sessions.window import Window
from services.gateway.telling import Telling, is_plain
from services.gateway.tokens import Principal
from services.gateway.unheard import Unheard
from services.gateway.views import Views
from shared import clock
from shared.crypto import KeyRing, MasterKey, new_stored_key
from shared.directory import Directory, evolve
from shared.events import AgentSaved, Author
from shared.ids import AccountId, AgentId, ConversationId, DeviceId, MessageId
from shared.queries import Entry, Lock, MessageRow

NOW_NS = 1_900_000_000_123_456_789
ACCOUNT = AccountId(clock.new_id())
ANN = AgentId(clock.new_id())
BOB = AgentId(clock.new_id())
VISITOR = clock.new_id()
DEVICE, OTHER_DEVICE = DeviceId(clock.new_id()), DeviceId(clock.new_id())
TIMES = AlertTimes(for_ns=120_000_000_000, wait_ns=5_000_000_000)
TEXTS = ("hello", 'with "quotes" and \\', "你好 🙂", "two\nlines\t.", "</script>\u2028", "x" * 300)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    """With the account's keys."""
    master = MasterKey(bytes(32))
    found = KeyRing(master)
    for purpose in ("data", "fingerprint"):
        found.add(new_stored_key(master, ACCOUNT, purpose))
    return found


class Reader:
    """A device and one of the two ways to it."""

    def __init__(self, ring: KeyRing, principal: Principal, holder: DeviceId | None) -> None:
        directory = Directory()
        name = ring.seal(ACCOUNT, 'Ann "the" Ä'.encode(), of=ANN, part="name")
        saved = AgentSaved(
            account_id=ACCOUNT, writer="w", agent_id=ANN, name=name, email=b"", role="agent"
        )
        evolve(directory, saved, 1)
        keys: Any = SimpleNamespace(ring=ring)
        self.views = Views(keys, SimpleNamespace(state=directory))  # type: ignore[arg-type]
        self.unheard = Unheard(wait_s=5.0)
        primaries = Primaries(SimpleNamespace())  # type: ignore[arg-type]
        if holder is not None:
            primaries.learn(
                Lock(agent_id=ANN, device_id=holder, fence=1, alert=0, alert_until_ns=0)
            )
        made: dict[str, Any] = {
            "views": self.views,
            "cursors": Cursors(b"key"),
            "primaries": primaries,
            "unheard": self.unheard,
            "times": TIMES,
        }
        self.handing, self.telling = Handing(**made), Telling(**made)
        self.frames: list[tuple[bytes, bool]] = []
        self.session: Any = SimpleNamespace(
            window=Window(1_000, 1_000),
            principal=principal,
            device_id=DEVICE,
            position=0,
            epoch="e",
            owner_id=principal.id,
            send=lambda frame, may_linger: self.frames.append((frame, may_linger)),
        )

    def told(self) -> tuple[object, ...]:
        """Everything that differs if one way did something else."""
        window = self.session.window
        owed = [window.pay(position) for position in (1, 2, 3, 4)]
        books = self.unheard.all(10.0)
        return self.frames, self.session.position, window.unacked, owed, books


def message(ring: KeyRing, draw: random.Random, position: int) -> Entry:
    """A new message of somebody, just now or long ago."""
    message_id = MessageId(clock.new_id())
    at_ns = NOW_NS - draw.choice((0, 999_999, 119_999_999_999, 120_000_000_001, 10**15))
    row = MessageRow(
        account_id=ACCOUNT,
        conversation_id=ConversationId("00000000-0000-7000-8000-00000000000" + draw.choice("12")),
        message_id=message_id,
        seq=position + 7,
        position=position,
        at_ns=at_ns,
        author=draw.choice(
            (
                Author(kind="visitor", id=VISITOR),
                Author(kind="agent", id=ANN),
                Author(kind="agent", id=BOB),
                Author(kind="system", id="rules"),
            )
        ),
        content_type="text",
        body=ring.seal(ACCOUNT, draw.choice(TEXTS).encode(), of=message_id, part="body")
        if draw.random() < 0.95
        else b"",
        device_id=draw.choice((None, DEVICE, OTHER_DEVICE)),
        seen_up_to=draw.choice((0, 3)),
        automatic=draw.random() < 0.2,
        crossed=draw.random() < 0.2,
    )
    return Entry(
        owner_id="",
        position=position,
        prev=position - 1,
        at_ns=at_ns,
        kind="message",
        conversation_id=row.conversation_id,
        held=draw.random() < 0.8,
        message=row,
    )


@pytest.mark.parametrize("kind", ["visitor", "agent"])
def test_both_ways_say_the_same(ring: KeyRing, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads, whoever wrote, with or without the right to alert: the same bytes, the same books."""
    monkeypatch.setattr(clock, "now_ns", lambda: NOW_NS)
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1.0)
    # The long way asks the loop.
    monkeypatch.setattr("asyncio.get_running_loop", lambda: SimpleNamespace(time=lambda: 1.0))
    principal = (
        Principal(kind="visitor", id=VISITOR, account_id=ACCOUNT, role="visitor")
        if kind == "visitor"
        else Principal(kind="agent", id=ANN, account_id=ACCOUNT, role="agent")
    )
    draw = random.Random(7)
    for _ in range(150):
        rows = [message(ring, draw, position) for position in range(1, draw.randint(2, 5))]
        assert all(map(is_plain, rows))
        holder = draw.choice((None, DEVICE, OTHER_DEVICE))
        short, long = Reader(ring, principal, holder), Reader(ring, principal, holder)
        if kind == "agent" and draw.random() < 0.3:
            for reader in (short, long):
                reader.unheard.answered((ACCOUNT, ANN), 2, 0.5)
        short.telling.begin()
        assert short.telling.tell(short.session, rows)
        views = long.handing.views_of(rows, principal)
        long.handing.entries(long.session, views, current=True, way="live")
        assert short.told() == long.told()


def test_what_only_some_may_see_is_not_shared(ring: KeyRing) -> None:
    """One telling serves all readers of a hint: neither the writer's device nor what is for the desk reaches others."""
    row = message(ring, random.Random(1), 1)
    assert row.message is not None
    secret = MessageRow(
        account_id=ACCOUNT,
        conversation_id=row.conversation_id,
        message_id=row.message.message_id,
        seq=1,
        position=1,
        at_ns=row.at_ns,
        author=Author(kind="agent", id=ANN),
        content_type="text",
        body=row.message.body,
        device_id=OTHER_DEVICE,
        seen_up_to=98_765,
        crossed=True,
    )
    entry = Entry(
        owner_id="",
        position=1,
        prev=0,
        at_ns=row.at_ns,
        kind="message",
        conversation_id=row.conversation_id,
        message=secret,
    )
    reader = Reader(ring, Principal(kind="agent", id=ANN, account_id=ACCOUNT, role="agent"), None)
    own = reader.telling.entry(entry, reader.session.principal, b'"alert":false')
    visitor = Principal(kind="visitor", id=VISITOR, account_id=ACCOUNT, role="visitor")
    shown = reader.telling.entry(entry, visitor, b'"alert":false')
    colleague = Principal(kind="agent", id=BOB, account_id=ACCOUNT, role="agent")
    desk = reader.telling.entry(entry, colleague, b'"alert":false')
    assert OTHER_DEVICE.encode() in own
    assert OTHER_DEVICE.encode() not in shown + desk
    assert b"98765" in own
    assert b"98765" in desk
    assert b"98765" not in shown
    assert b'"crossed":true' in desk
    assert b'"crossed":false' in shown


@pytest.mark.parametrize(
    "change",
    [{"revision": 1}, {"retracted": True}, {"unreadable": True}, {"clash_of": MessageId("x")}],
)
def test_what_is_no_plain_message_goes_the_long_way(ring: KeyRing, change: dict[str, Any]) -> None:
    """The short way knows new messages only."""
    row = message(ring, random.Random(1), 1)
    assert is_plain(row)
    changed = msgspec.structs.replace(row.message, **change)  # type: ignore[type-var]
    assert not is_plain(msgspec.structs.replace(row, message=changed))
    assert not is_plain(msgspec.structs.replace(row, kind="message_edited"))
