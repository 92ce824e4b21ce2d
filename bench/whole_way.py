"""B4, the whole way: a visitor's message through the log, the assignment and the store to the screen of the agent who
holds the conversation, and the receipt back to the visitor. With one log server and with three.

Beside it: the same bytes published, copied into a table and published again, with nothing decided or sealed."""

from __future__ import annotations

import asyncio
import functools
import random
import time

import uvloop

from bench import flame
from bench.device import ENTRIES, Crowd, Device, Heard, entries_of, heard_of
from bench.figures import Beside, Faults, Measured, Point, Row, Scale, percentile
from bench.pacing import offer, until
from bench.people import People, open_people
from bench.places import RESULTS
from bench.raw_way import publish_copy_publish
from bench.receipts import RECEIPTS, Told
from bench.screens import compare
from bench.site import Meter, Site, costs_of, open_site
from bench.texts import new_text, send_frame, text_of

_SHOWN_S = 30.0
_OUTSTANDING = 800
_LOAD = 2_000.0
_AGAIN_S = 1.0


class Turn:
    """What came of one run."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, float]] = []
        self.numbers: dict[str, int] = {}
        self.again: set[str] = set()
        self.refused = 0
        self.shown: list[tuple[int, int]] = []
        self.latencies_s: list[float] = []
        self.receipts_s: list[float] = []
        self.rate = 0.0
        self.used_s: dict[str, float] = {}
        self.faults = Faults()


class WholeWay:
    """Agents and visitors, all connected, every conversation assigned."""

    def __init__(self, site: Site, people: People, *, seconds: float) -> None:
        self.site = site
        self.people = people
        self.seconds = seconds
        self.turn = Turn()
        self.end = 0.0
        self._next = 0
        self._goes_on = False

    async def connect(self, agents: int, conversations: int) -> None:
        """Everybody is there; a first message in each conversation has it assigned."""
        people = self.people
        ids = await people.found(agents)
        pairs = await people.start_conversations(conversations)
        self.conversations = [conversation_id for _, conversation_id in pairs]
        self.told = Told(self.conversations)
        await people.stored()
        self.visitors = Crowd(self.site, self._hear_visitor)
        await self.visitors.open([people.visitor_token(contact) for contact, _ in pairs])
        self.agents = Crowd(self.site, self._hear_agent)
        await self.agents.open([people.agent_token(agent_id) for agent_id in ids])
        self._begin()
        for writer in range(conversations):
            self._send(writer, time.perf_counter())
        await until(self._is_over, 120)
        # A turn begins when everybody has caught up with this rush.
        await until(self.told.is_over, _SHOWN_S)
        await people.stored()

    async def saturated(self) -> Turn:
        """So many messages are on their way at any time; the next is sent when one is shown."""
        turn = self._begin()
        self._goes_on = True
        meter, began = Meter(self.site), time.perf_counter()
        self.end = began + self.seconds
        for _ in range(min(_OUTSTANDING, len(self.conversations))):
            self._send_next(time.perf_counter())
        await until(self._is_past, self.seconds + _SHOWN_S)
        turn.rate = len(turn.shown) / (time.perf_counter() - began)
        await self._finish(turn, meter)
        return turn

    async def at_rate(self, rate: float) -> Turn:
        """Messages are due at their time."""
        turn = self._begin()
        self._goes_on = False
        meter, began = Meter(self.site), time.perf_counter()
        await offer(rate, self.seconds, lambda _number, due: self._send_next(due))
        await until(self._is_over, _SHOWN_S)
        turn.rate = len(turn.shown) / (time.perf_counter() - began)
        await self._finish(turn, meter)
        return turn

    def _begin(self) -> Turn:
        self.turn = Turn()
        self.told.begin()
        return self.turn

    async def _finish(self, turn: Turn, meter: Meter) -> None:
        self._goes_on = False
        await until(self._is_over, _SHOWN_S)
        await until(self.told.is_over, _SHOWN_S)
        turn.used_s = meter.used_s()
        turn.receipts_s = self.told.latencies_s
        turn.faults = self._check(turn)
        await self.people.stored()

    def _is_past(self) -> bool:
        return time.perf_counter() >= self.end

    def _is_over(self) -> bool:
        return len(self.turn.shown) + self.turn.refused >= len(self.turn.sent)

    def _send_next(self, due: float) -> None:
        self._send(self._next, due)
        self._next = (self._next + 1) % len(self.conversations)

    def _send(self, writer: int, due: float) -> None:
        message_id, text = new_text()
        turn = self.turn
        number = len(turn.sent)
        turn.numbers[message_id] = number
        turn.sent.append((writer, message_id, due))
        self.visitors.devices[writer].send(
            send_frame(number, self.conversations[writer], message_id, text)
        )

    def _hear_visitor(self, device: Device, payload: bytes) -> None:
        if payload.startswith(RECEIPTS):
            self.told.hear(device.number, payload)
        elif payload.startswith(ENTRIES):
            position = entries_of(payload).entries[-1].position
            device.send(b'{"op":"received","up_to":%d}' % position)
        else:
            heard = heard_of(payload)
            if heard.op == "ok":
                self.told.expect(device.number, heard.position or 0, self.turn.sent[heard.id][2])
            elif heard.op == "err":
                self._refuse(heard)

    def _refuse(self, heard: Heard) -> None:
        """What may come again comes again as from any client: a moment later, under the same id."""
        if not heard.retry:
            self.turn.refused += 1
            return
        turn = self.turn
        turn.again.add(turn.sent[heard.id][1])
        pause_s = _AGAIN_S * random.uniform(1, 2)
        asyncio.get_running_loop().call_later(pause_s, self._send_again, turn, heard.id)

    def _send_again(self, turn: Turn, number: int) -> None:
        if turn is not self.turn:
            return
        writer, message_id, _ = turn.sent[number]
        frame = send_frame(
            number, self.conversations[writer], message_id, text_of(message_id), resend=True
        )
        self.visitors.devices[writer].send(frame)

    def _hear_agent(self, device: Device, payload: bytes) -> None:
        if not payload.startswith(ENTRIES):
            return
        now = time.perf_counter()
        frame = entries_of(payload)
        for entry in frame.entries:
            for message in entry.messages if entry.message is None else (entry.message,):
                self._show(message.message_id, entry.position, now)
        device.send(b'{"op":"received","up_to":%d}' % frame.entries[-1].position)

    def _show(self, message_id: str, position: int, now: float) -> None:
        """A message is on the screen of its agent."""
        turn = self.turn
        number = turn.numbers.get(message_id)
        if number is None:
            return
        turn.latencies_s.append(now - turn.sent[number][2])
        turn.shown.append((number, position))
        if self._goes_on and now < self.end:
            self._send_next(now)

    def _check(self, turn: Turn) -> Faults:
        """By conversation: what was sent against what was shown, in the order of the screens; and receipts for all. What
        came again after a refusal may stand anywhere, but once."""
        found = Faults()
        sent: dict[int, list[str]] = {}
        shown: dict[int, list[str]] = {}
        for writer, message_id, _ in turn.sent:
            sent.setdefault(writer, []).append(message_id)
        for number, _ in turn.shown:
            writer, message_id, _ = turn.sent[number]
            shown.setdefault(writer, []).append(message_id)
        for writer, wanted in sent.items():
            found = found.plus(_compared(shown.get(writer, []), wanted, turn.again))
        # What nobody was shown has no receipt either, and is counted already.
        return found.plus(Faults(lost=max(0, self.told.missing - found.lost)))

    def leave(self) -> None:
        """Everybody goes."""
        self.visitors.leave()
        self.agents.leave()


async def _measure(site: Site, scale: Scale, name: str) -> Measured:
    async with open_people(site) as people:
        way = WholeWay(site, people, seconds=float(scale.of(4, 1)))
        await way.connect(scale.of(1_000, 50), scale.of(5_000, 250))
        full: list[Turn] = []
        calm: list[Turn] = []
        raw: list[float] = []
        load = _LOAD / scale.of(1, 4)
        for _ in range(scale.runs):
            full.append(await way.saturated())
            raw.append(
                await publish_copy_publish(
                    site.nats_url, site.database_url, bytes(420), seconds=way.seconds
                )
            )
            calm.append(await way.at_rate(load))
        rows = [_full_row(full, raw, name), *_calm_rows(calm, load, name)]
        if flame.is_wanted() and name == "R1":
            with flame.recording(site, "B4", ("gateway", "store", "dispatcher"), RESULTS):
                for _ in range(scale.of(2, 6)):
                    await way.saturated()
        points = []
        for rate in (
            (500.0,) if scale.is_quick else (500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0)
        ):
            turn = await way.at_rate(rate)
            points.append(_point(turn, rate, f"agent's screen (B4, {name})"))
        way.leave()
        return Measured(rows=rows, points=points)


def _full_row(turns: list[Turn], raw: list[float], name: str) -> Row:
    middle = sorted(turns, key=lambda turn: turn.rate)[len(turns) // 2]
    return Row(
        figure="B4",
        what=f"visitor to agent's screen and receipt, {name}",
        unit="messages/s",
        ours=[turn.rate for turn in turns],
        reach=8_000 if name == "R1" else None,
        beside=[Beside(what="publish, COPY, core publish", runs=raw)],
        faults=_faults(turns),
        costs=costs_of(middle.used_s, len(middle.shown)),
        notes={
            "p50 ms": percentile(middle.latencies_s, 0.5) * 1000,
            "sent again": float(sum(len(turn.again) for turn in turns)),
        },
    )


def _calm_rows(turns: list[Turn], load: float, name: str) -> list[Row]:
    middle = turns[len(turns) // 2]
    return [
        Row(
            figure="B4",
            what=f"{title} on the screen at {load:,.0f}/s, {name}",
            unit="ms",
            ours=[percentile(turn.latencies_s, part) * 1000 for turn in turns],
            reach=reach if name == "R1" else None,
            is_less_better=True,
            faults=_faults(turns),
            costs=costs_of(middle.used_s, len(middle.shown)) if title == "p50" else {},
            notes={"receipt ms": percentile(middle.receipts_s, part) * 1000},
        )
        for title, part, reach in (("p50", 0.5, 7.0), ("p99", 0.99, 20.0))
    ]


def _compared(shown: list[str], wanted: list[str], again: set[str]) -> Faults:
    found = compare([x for x in shown if x not in again], [x for x in wanted if x not in again])
    for message_id in again.intersection(wanted):
        found = found.plus(compare([x for x in shown if x == message_id], [message_id]))
    return found


def _faults(turns: list[Turn]) -> Faults:
    return functools.reduce(Faults.plus, (turn.faults for turn in turns), Faults())


def _point(turn: Turn, rate: float, line: str) -> Point:
    return Point(
        line=line,
        load=rate,
        p50=percentile(turn.latencies_s, 0.5) * 1000,
        p99=percentile(turn.latencies_s, 0.99) * 1000,
    )


def measure(scale: Scale) -> Measured:
    """B4."""
    found = Measured(rows=[])
    for replicas, name in ((1, "R1"), (3, "R3")):
        if scale.is_quick and replicas > 1:
            continue
        with open_site(replicas=replicas) as site:
            one = uvloop.run(_measure(site, scale, name))
        found = Measured(rows=found.rows + one.rows, points=found.points + one.points)
    return found
