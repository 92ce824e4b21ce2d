"""B1, durable ingest: visitors write through the gateway and get "sent" only after the log's fsync.

Accepted messages a second come from senders that each wait for their answer before the next message; latency at half
the goal from messages that are due at their time. Beside it: nats-py message by message, INSERT with commit each.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import uvloop

from bench import flame
from bench.device import Crowd, Device, heard_of
from bench.figures import Beside, Faults, Measured, Point, Row, Scale, percentile
from bench.pacing import offer, until
from bench.people import People, open_people
from bench.places import RESULTS
from bench.posting import Poster
from bench.raw import insert_one_by_one, nats_one_by_one
from bench.site import SHARD, Meter, Site, costs_of, open_site
from bench.texts import new_text, send_frame
from shared import bus
from shared.codec import decode_event
from shared.events import MessagePosted
from shared.ids import ConversationId

GOAL = 16_000.0
_HALF = GOAL / 2
_IN_FLIGHT = 256
_CONNECTIONS = 8
_ANSWER_S = 30.0


class Turn:
    """What came of one run: who sent what, when it was due, what was answered."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, float]] = []
        self.accepted: dict[int, int] = {}
        self.latencies_s: list[float] = []
        self.refused = 0
        self.words: set[str] = set()
        self.rate = 0.0
        self.used_s: dict[str, float] = {}
        self.lag = 0
        self.faults = Faults()


class Writers:
    """The visitors: a conversation each. `answer` is what their connections call."""

    def __init__(self, conversations: list[ConversationId]) -> None:
        self.conversations = conversations
        self.turn = Turn()
        self.on_answer: Callable[[int], None] = lambda _number: None

    def next_frame(self, writer: int, due: float) -> bytes:
        """The next message of a writer, noted as sent."""
        conversation_id = self.conversations[writer]
        number = len(self.turn.sent)
        message_id, text = new_text()
        self.turn.sent.append((conversation_id, message_id, due))
        return send_frame(number, conversation_id, message_id, text)

    def hear(self, device: Device, payload: bytes) -> None:
        """An answer, perhaps."""
        heard = heard_of(payload)
        if heard.op == "ok":
            self.turn.accepted[heard.id] = heard.position or 0
            self.turn.latencies_s.append(time.perf_counter() - self.turn.sent[heard.id][2])
            self.on_answer(device.number)
        elif heard.op == "err":
            self.turn.refused += 1
            self.turn.words.add(heard.code)
            self.on_answer(device.number)


class Ingest:
    """The measurement on one site with its visitors connected."""

    def __init__(self, site: Site, people: People, scale: Scale) -> None:
        self.site = site
        self.people = people
        self.seconds = float(scale.of(4, 1))

    async def connect(self, visitors: int) -> None:
        """Visitors with a conversation each, their connections open, their conversations known to the gateway."""
        pairs = await self.people.start_conversations(visitors)
        await self.people.stored()
        self.writers = Writers([conversation for _, conversation in pairs])
        self.tokens = [self.people.visitor_token(contact) for contact, _ in pairs]
        self.crowd = Crowd(self.site, self.writers.hear)
        await self.crowd.open(self.tokens)
        await self.each_waits(seconds=0.0)

    async def each_waits(self, *, seconds: float | None = None) -> Turn:
        """Every visitor sends the next message when the last was answered."""
        devices, writers = self.crowd.devices, self.writers
        turn = await self.begin()
        length_s = self.seconds if seconds is None else seconds
        end = time.perf_counter() + length_s

        def go_on(number: int) -> None:
            now = time.perf_counter()
            if now < end:
                devices[number].send(writers.next_frame(number, now))

        writers.on_answer = go_on
        meter, began = Meter(self.site), time.perf_counter()
        for number, device in enumerate(devices):
            device.send(writers.next_frame(number, began))
        await until(lambda: time.perf_counter() >= end and self.is_answered(turn), _ANSWER_S)
        await self.finish(turn, meter, began)
        return turn

    async def at_rate(self, rate: float) -> Turn:
        """Messages are due at their time, from the visitors in turn."""
        devices, writers = self.crowd.devices, self.writers
        turn = await self.begin()
        writers.on_answer = lambda _number: None
        meter, began = Meter(self.site), time.perf_counter()

        def send(number: int, due: float) -> None:
            writer = number % len(devices)
            devices[writer].send(writers.next_frame(writer, due))

        await offer(rate, self.seconds, send)
        await until(lambda: self.is_answered(turn), _ANSWER_S)
        await self.finish(turn, meter, began)
        return turn

    async def begin(self) -> Turn:
        """Start on an idle system."""
        await self.people.stored()
        self.first = await self.people.end_of_log()
        turn = self.writers.turn = Turn()
        return turn

    @staticmethod
    def is_answered(turn: Turn) -> bool:
        return len(turn.accepted) + turn.refused >= len(turn.sent)

    async def finish(self, turn: Turn, meter: Meter, began: float) -> None:
        turn.rate = len(turn.accepted) / (time.perf_counter() - began)
        turn.used_s = meter.used_s()
        turn.lag = await self.people.end_of_log() - await self.people.checkpoint()
        turn.faults = await self.check(turn)
        # What is measured beside ours is measured on an idle machine, too.
        await self.people.stored()

    async def check(self, turn: Turn) -> Faults:
        """Read the log: every accepted message once, where its sender was told, in the order of sending."""
        wanted = {message_id: number for number, (_, message_id, _) in enumerate(turn.sent)}
        at: dict[int, int] = {}
        doubled = 0
        async for batch in bus.Reader(
            self.people.bus, SHARD, bus.Start(position=self.first)
        ).batches():
            for delivery in batch.deliveries:
                event = decode_event(delivery.payload)
                if isinstance(event, MessagePosted):
                    number = wanted.get(event.message_id, -1)
                    doubled += number in at
                    at[number] = delivery.position
            if batch.at_end:
                break
        lost = sum(at.get(number) != position for number, position in turn.accepted.items())
        last: dict[str, int] = {}
        disordered = 0
        for number, (conversation_id, _, _) in enumerate(turn.sent):
            position = at.get(number, 0)
            disordered += 0 < position < last.get(conversation_id, 0)
            last[conversation_id] = max(position, last.get(conversation_id, 0))
        return Faults(lost=lost + turn.refused, doubled=doubled, disordered=disordered)


async def _measure(site: Site, scale: Scale) -> Measured:
    async with open_people(site) as people:
        await people.found(10)
        ingest = Ingest(site, people, scale)
        await ingest.connect(scale.of(2_000, 300))
        try:
            return await _turns(ingest, scale)
        finally:
            ingest.crowd.leave()


async def _turns(ingest: Ingest, scale: Scale) -> Measured:
    site, seconds = ingest.site, ingest.seconds
    payload = bytes(420)
    sockets: list[Turn] = []
    posts: list[Turn] = []
    halves: list[Turn] = []
    nats_rates: list[float] = []
    inserts: list[float] = []
    for _ in range(scale.runs):
        sockets.append(await ingest.each_waits())
        nats_rates.append(
            await nats_one_by_one(site.nats_url, payload, in_flight=_IN_FLIGHT, seconds=seconds)
        )
        halves.append(await ingest.at_rate(_HALF / scale.of(1, 4)))
        inserts.append(
            await insert_one_by_one(
                site.database_url, payload, connections=_CONNECTIONS, seconds=seconds
            )
        )
        posts.append(await Poster(ingest).each_waits())
    beside = [
        Beside(what="nats-py, one by one, 256 in flight", runs=nats_rates, factor=4),
        Beside(what=f"INSERT + commit, {_CONNECTIONS} connections", runs=inserts, factor=3),
    ]
    rows = [
        _rate_row("accepted, WebSocket", sockets, beside, reach=GOAL),
        _rate_row("accepted, HTTP", posts, [], reach=None),
        _half_row(halves, scale),
    ]
    best = rows[0].median
    if flame.is_wanted():
        with flame.recording(site, "B1", ("gateway", "store", "dispatcher"), RESULTS):
            for _ in range(scale.of(2, 6)):
                await ingest.each_waits()
    return Measured(rows=rows, points=await _points(ingest, scale, best))


def _rate_row(what: str, turns: list[Turn], beside: list[Beside], *, reach: float | None) -> Row:
    middle = sorted(turns, key=lambda turn: turn.rate)[len(turns) // 2]
    return Row(
        figure="B1",
        what=what,
        unit="messages/s",
        ours=[turn.rate for turn in turns],
        reach=reach,
        beside=beside,
        faults=_faults(turns),
        costs=costs_of(middle.used_s, len(middle.accepted)),
        notes={
            "p50 ms": percentile(middle.latencies_s, 0.5) * 1000,
            "p99 ms": percentile(middle.latencies_s, 0.99) * 1000,
            "messages": float(len(middle.accepted)),
            "store behind at the end by": float(middle.lag),
            **({"refused with": "; ".join(sorted(middle.words))} if middle.words else {}),
        },
    )


def _half_row(turns: list[Turn], scale: Scale) -> Row:
    middle = turns[len(turns) // 2]
    return Row(
        figure="B1",
        what=f"p99 at {_HALF / scale.of(1, 4):,.0f}/s",
        unit="ms",
        ours=[percentile(turn.latencies_s, 0.99) * 1000 for turn in turns],
        reach=25,
        is_less_better=True,
        faults=_faults(turns),
        costs=costs_of(middle.used_s, len(middle.accepted)),
        notes={"p50 ms": percentile(middle.latencies_s, 0.5) * 1000},
    )


def _faults(turns: list[Turn]) -> Faults:
    """Of all runs. What was refused is a fault too: nobody asked for more than is allowed."""
    return functools.reduce(Faults.plus, (turn.faults for turn in turns), Faults())


async def _points(ingest: Ingest, scale: Scale, best: float) -> list[Point]:
    """Latency against load, for the plot."""
    points = []
    for part in (0.5,) if scale.is_quick else (0.1, 0.25, 0.5, 0.7, 0.85):
        turn = await ingest.at_rate(best * part)
        points.append(
            Point(
                line="accepted (B1)",
                load=round(best * part),
                p50=percentile(turn.latencies_s, 0.5) * 1000,
                p99=percentile(turn.latencies_s, 0.99) * 1000,
            )
        )
    return points


def measure(scale: Scale) -> Measured:
    """B1."""
    with open_site() as site:
        return uvloop.run(_measure(site, scale))
