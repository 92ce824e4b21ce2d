"""The unit costs of the gateway's steps, each alone, in processor time: `python -m bench.units`.

They add up to less than a message costs, because they leave out the kernel and the loop; the flame graphs show those."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from bench.texts import new_text, send_frame
from services.gateway.cursors import Cursors
from services.gateway.handing import AlertTimes, Handing
from services.gateway.sessions.incoming import Incoming
from services.gateway.sessions.window import Window
from services.gateway.telling import Telling
from services.gateway.tokens import Principal
from services.gateway.views import Views, at
from shared import clock, crypto, events
from shared.bus.wire import batch_frames
from shared.codec import encode_event, pack, to_json, unpack
from shared.directory import Directory
from shared.events import Author
from shared.ids import AccountId, ContactId, ConversationId, MessageId
from shared.queries import Entry, Hint, MessageRow
from shared.wire.frames import ClientFrame

_TIMES = 5_000
_ROUNDS = 5
_MANY = 100
_ACCOUNT = AccountId(clock.new_id())
_CONTACT = ContactId(clock.new_id())
_CONVERSATION = ConversationId(clock.new_id())
_decoder = msgspec.json.Decoder(ClientFrame)


def _cost_us(step: Callable[[], object], *, times: int = _TIMES) -> float:
    """Microseconds of one call: the quickest of some rounds, because others only ever make it slower."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(times):
            step()
        best = min(best, time.process_time() - began)
    return best / times * 1e6


def _ring() -> crypto.KeyRing:
    master = crypto.MasterKey(bytes(32))
    ring = crypto.KeyRing(master)
    for purpose in ("data", "fingerprint"):
        ring.add(crypto.new_stored_key(master, _ACCOUNT, purpose))
    return ring


def _rows(ring: crypto.KeyRing) -> list[Entry]:
    rows = []
    for number in range(_MANY):
        message_id, text = new_text()
        row = MessageRow(
            account_id=_ACCOUNT,
            conversation_id=_CONVERSATION,
            message_id=MessageId(message_id),
            seq=number,
            position=number + 1,
            at_ns=clock.now_ns(),
            author=Author(kind="visitor", id=_CONTACT),
            content_type="text",
            body=ring.seal(_ACCOUNT, text.encode(), of=message_id, part="body"),
        )
        rows.append(
            Entry(
                owner_id=_CONTACT,
                position=number + 1,
                prev=number,
                at_ns=row.at_ns,
                kind="message",
                conversation_id=_CONVERSATION,
                message=row,
            )
        )
    return rows


def _incoming(ring: crypto.KeyRing) -> list[tuple[str, float]]:
    """What a message costs on its way in."""
    message_id, text = new_text()
    frame = send_frame(1, _CONVERSATION, message_id, text)
    masked = b"\x81\xfe" + len(frame).to_bytes(2, "big") + b"abcd" + frame
    content = text.encode()
    names = (message_id.encode(), _CONVERSATION.encode(), b"visitor x", content)
    event = events.MessagePosted(
        account_id=_ACCOUNT,
        conversation_id=_CONVERSATION,
        message_id=MessageId(message_id),
        author=Author(kind="visitor", id=_CONTACT),
        content_type="text",
        body=ring.seal(_ACCOUNT, content, of=message_id, part="body"),
        fingerprint=bytes(32),
    )
    entries = [("nd.ev.0.message", encode_event(event))] * _MANY
    batch_us = _cost_us(lambda: batch_frames(entries, batch_id="b", reply="r"), times=_MANY)
    return [
        ("read a frame and unmask it", _cost_us(lambda: list(Incoming().feed(masked)))),
        ("decode and check it", _cost_us(lambda: _decoder.decode(frame))),
        ("fingerprint", _cost_us(lambda: ring.fingerprint(_ACCOUNT, *names))),
        ("seal", _cost_us(lambda: ring.seal(_ACCOUNT, content, of=message_id, part="body"))),
        ("encode the event", _cost_us(lambda: encode_event(event))),
        ("its part of a batch's bytes", batch_us / _MANY),
    ]


def _outgoing(ring: crypto.KeyRing) -> list[tuple[str, float]]:
    """What an entry costs on its way out."""
    rows = _rows(ring)
    keys: Any = SimpleNamespace(ring=ring)
    directory: Any = SimpleNamespace(state=Directory())
    views, cursors = Views(keys, directory), Cursors(bytes(32))
    viewer = Principal(kind="visitor", id=_CONTACT, account_id=_ACCOUNT, role="visitor")
    first = rows[0]
    assert first.message is not None
    body, message_id = first.message.body, first.message.message_id
    view = views.entry(first, viewer)
    hint = pack(Hint(epoch="e", since=0, to=_MANY, entries=tuple(rows)))
    # A visitor's devices all alert: the books of who alerts are not asked.
    nobody: Any = SimpleNamespace()
    times = AlertTimes(for_ns=120_000_000_000, wait_ns=5_000_000_000)
    handing = Handing(views=views, cursors=cursors, primaries=nobody, unheard=nobody, times=times)
    telling = Telling(views=views, cursors=cursors, primaries=nobody, unheard=nobody, times=times)

    def reader() -> Any:
        return SimpleNamespace(
            window=Window(_MANY * 2, _MANY * 2),
            principal=viewer,
            device_id="",
            position=0,
            epoch="e",
            owner_id=_CONTACT,
            send=lambda _frame, **_: None,
        )

    def hand(some: list[Entry]) -> None:
        handing.entries(reader(), handing.views_of(some, viewer), current=True, way="live")

    def tell(some: list[Entry]) -> None:
        telling.begin()
        for row in some:
            telling.tell(reader(), [row])

    return [
        ("decode it from a hint", _cost_us(lambda: unpack(hint, Hint), times=_MANY) / _MANY),
        ("open", _cost_us(lambda: ring.open(_ACCOUNT, body, of=message_id, part="body"))),
        ("its time as text", _cost_us(lambda: at(first.at_ns))),
        ("its view, opened", _cost_us(lambda: views.entry(first, viewer))),
        ("its view as JSON", _cost_us(lambda: to_json(view))),
        ("a cursor, signed", _cost_us(lambda: cursors.encode(_CONTACT, "e", 1))),
        ("told alone", _cost_us(lambda: tell(rows[:1]))),
        ("told among a hundred", _cost_us(lambda: tell(rows), times=_MANY) / _MANY),
        ("handed over alone", _cost_us(lambda: hand(rows[:1]))),
        ("handed over among a hundred", _cost_us(lambda: hand(rows), times=_MANY) / _MANY),
    ]


async def _print() -> None:
    ring = _ring()
    for title, steps in (("in", _incoming(ring)), ("out", _outgoing(ring))):
        for name, cost_us in steps:
            print(f"{title:<5}{name:<32}{cost_us:>8.2f} µs")


if __name__ == "__main__":
    asyncio.run(_print())
