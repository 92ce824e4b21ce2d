"""What a batch costs the store and PostgreSQL by its size: folded, encoded, committed, one after the other, as one
statement and by COPY.

`python -m bench.batches`; messages with both of their receipts, as they come from people who are connected. Small
batches show the fixed cost of a transaction, large ones what each event adds.
"""

from __future__ import annotations

import random
import sys
import time

import uvloop
from rich.console import Console
from rich.table import Table

from bench.growth import servers
from bench.store import SHARD, begin, cpu_s, message
from deploy.dev.postgres_server import PostgresServer
from services.store.app import spare_collector
from services.store.fold import State, forget
from services.store.handlers.batch import Terms, Writer, prepare
from shared import events
from shared.bus import Delivery
from shared.clock import new_id
from shared.codec import encode_event
from shared.database import connect, migrate, read_checkpoint, take_lead
from shared.events import Author
from shared.ids import DeviceId
from shared.subjects import Family, event_subject

_SIZES = (1, 2, 5, 10, 20, 50, 100, 500)
_WAYS = {"statement": 1_000_000, "COPY": 0}
_SECONDS = 1.0
_LEADER = "bench"


class _Log:
    """Deliveries with positions and times, as a reader hands them over."""

    def __init__(self, talks: int) -> None:
        made = begin(talks)
        self.position = 0
        self.start = [self._next("conversation", contact) for contact in _contacts(made)]
        self.start += [self._next(family, event) for family, event in made]
        starts = [e for _, e in made if isinstance(e, events.ConversationStarted)]
        owners = [e for _, e in made if isinstance(e, events.ConversationAssigned)]
        self._pairs = list(zip(starts, owners, strict=True))
        self._devices: dict[str, DeviceId] = {}

    def _next(self, family: Family, event: events.Event) -> Delivery:
        self.position += 1
        subject = event_subject(SHARD, family)
        return Delivery(self.position, subject, time.time_ns(), encode_event(event))

    def batch(self, messages: int) -> list[Delivery]:
        """Messages, and the receipts of those who got them."""
        made = []
        pairs = random.sample(self._pairs, messages)
        for start, owner in pairs:
            made.append(self._next("message", message(start, owner)))
        last = self.position
        for start, owner in pairs:
            visitor = Author(kind="visitor", id=start.contact_id)
            agent = Author(kind="agent", id=owner.agent_id)
            made += [self._next("receipt", self._receipt(x, last)) for x in (visitor, agent)]
        return made

    def _receipt(self, recipient: Author, up_to: int) -> events.Received:
        return events.Received(
            account_id=self._pairs[0][0].account_id,
            recipient=recipient,
            device_id=self._devices.setdefault(recipient.id, DeviceId(new_id())),
            up_to=up_to,
        )


def _contacts(made: list[tuple[Family, events.Event]]) -> list[events.Event]:
    return [
        events.ContactCreated(
            account_id=event.account_id,
            contact_id=event.contact_id,
            inbox_id=event.inbox_id,
            is_identified=False,
            profile=b"",
        )
        for _, event in made
        if isinstance(event, events.ConversationStarted)
    ]


class _Bench:
    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._log = _Log(2000)
        self._state = State()
        self._expected = 0
        self._folding_s = 0.0
        self._terms = Terms(shard=SHARD)

    async def run(self, table: Table) -> None:
        await migrate(self._postgres.url())
        url = self._postgres.url()
        self._writing = await connect(url, name="bench writer")
        self._loading = await connect(url, name="bench loader")
        await read_checkpoint(self._writing, SHARD)
        await take_lead(self._writing, SHARD, _LEADER)
        self._writer = Writer(self._writing, SHARD, _LEADER)
        await self._commit(self._log.start)
        for size in _SIZES:
            for way, entries in _WAYS.items():
                self._terms = Terms(shard=SHARD, statement_entries=entries, asks_for_ids=False)
                table.add_row(str(size), way, *await self._measure(size))
        await self._writing.close()
        await self._loading.close()

    async def _measure(self, size: int) -> list[str]:
        batches = [self._log.batch(size) for _ in range(max(40, 1500 // size))]
        for batch in batches[:10]:
            await self._commit(batch)
        done, self._folding_s = 0, 0.0
        began, own, theirs = time.perf_counter(), time.process_time(), cpu_s(self._postgres)
        for batch in batches[10:]:
            await self._commit(batch)
            done += 1
            if time.perf_counter() > began + _SECONDS:
                break
        took = time.perf_counter() - began
        own, theirs = time.process_time() - own, cpu_s(self._postgres) - theirs
        folding_s = self._folding_s
        for batch in batches[10 + done :]:
            await self._commit(batch)
        each = done * size
        return [
            f"{folding_s / done * 1000:.2f}",
            f"{(took - folding_s) / done * 1000:.2f}",
            f"{own / done * 1e6:,.0f}",
            f"{theirs / done * 1e6:,.0f}",
            f"{own / each * 1e6:,.1f}",
            f"{theirs / each * 1e6:,.1f}",
        ]

    async def _commit(self, deliveries: list[Delivery]) -> None:
        began = time.perf_counter()
        prepared = await prepare(self._loading, self._state, deliveries, self._terms)
        self._folding_s += time.perf_counter() - began
        await self._writer.make_room(prepared.first_at_ns, prepared.last_at_ns)
        await self._writer.commit(prepared, self._expected)
        self._expected = prepared.last
        forget(self._state, prepared.changes)


_COLUMNS = (
    "messages",
    "way",
    "ms folding",
    "ms committing",
    "store µs",
    "postgres µs",
    "store µs each",
    "postgres µs each",
)


def main() -> int:
    """Measure and show."""
    table = Table(title="A batch of messages with their receipts")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    with servers() as (_, postgres):
        spare_collector()
        uvloop.run(_Bench(postgres).run(table))
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
