"""B8, growth: what the store's answers cost with ten thousand to ten million stored messages.

The databases lie beside each other on one server and are asked in turn; a figure is how many times the answer over the
most messages takes what it takes over the fewest. `python -m bench.growth`; a full run fills about 20 GB and takes a
quarter of an hour, so it is no part of `make bench` unless ONLY=B8 asks for it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
import uvloop
from rich.console import Console

from bench import report, stored
from bench.figures import Faults, Measured, Row, Scale
from deploy.dev.nats_server import NatsServer, NatsSettings
from deploy.dev.postgres_server import PostgresServer, PostgresSettings
from services.store.config import Config
from services.store.handlers.progress import Progress
from services.store.handlers.questions import Questions, open_pools
from shared import bus
from shared.codec import pack, unpack
from shared.database import migrate
from shared.packed import split
from shared.queries import (
    Answer,
    ConversationPage,
    Counts,
    GetCounts,
    GetHistory,
    GetMessage,
    History,
    InboxPage,
    ListConversations,
    ListMessages,
    MessagePage,
    ReadHeads,
    ReadInbox,
)
from shared.subjects import query_subject

_ASKED = 60
_TIMEOUT_S = 10.0
_MOST = 1.3
Check = Callable[[bytes], bool]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question of the figure: its name, its n-th form, and whether an answer is complete."""

    what: str
    name: str
    question: Callable[[int, int], msgspec.Struct]
    is_complete: Check


def _inbox_is_complete(raw: bytes) -> bool:
    page = unpack(raw, InboxPage)
    lines = split(page.packed)
    chained = all(b[1] == a[0] for a, b in itertools.pairwise(lines))
    return len(lines) == stored.EACH == page.unread and chained and all(x[10] for x in lines)


def _page_of(wanted: int) -> Check:
    return lambda raw: len(unpack(raw, ConversationPage).rows) == wanted


def _messages_are_complete(raw: bytes) -> bool:
    return [x.seq for x in unpack(raw, MessagePage).rows] == list(range(1, 51))


def _counts_are_right(raw: bytes) -> bool:
    counts = unpack(raw, Counts)
    are_open = sum(row.conversations for row in counts.rows if row.status == "open")
    return sum(row.conversations for row in counts.mine) == stored.TALKS_EACH and are_open == 200


def _list(**filters: object) -> Callable[[int, int], msgspec.Struct]:
    def made(_: int, n: int) -> msgspec.Struct:
        viewer = {"viewer_id": stored.agent(n % stored.AGENTS), "account_id": stored.ACCOUNT}
        return msgspec.convert({**viewer, **filters}, ListConversations)

    return made


_A = stored.ACCOUNT
_QUESTIONS = (
    _Asked(
        what="an agent's 500 waiting messages",
        name="inbox",
        question=lambda over, n: ReadInbox(
            account_id=_A, owner_id=stored.agent(n % stored.AGENTS), after=over
        ),
        is_complete=_inbox_is_complete,
    ),
    _Asked(
        what="my conversations",
        name="conversations",
        question=lambda _, n: ListConversations(
            account_id=_A, viewer_id=stored.agent(n % 20), agent_id=stored.agent(n % 20)
        ),
        is_complete=_page_of(stored.TALKS_EACH),
    ),
    _Asked(
        what="all conversations, the first 50",
        name="conversations",
        question=_list(),
        is_complete=_page_of(50),
    ),
    _Asked(
        what="open conversations, the first 50",
        name="conversations",
        question=_list(statuses=("open",)),
        is_complete=_page_of(50),
    ),
    _Asked(
        what="unassigned conversations, none",
        name="conversations",
        question=_list(is_unassigned=True),
        is_complete=_page_of(0),
    ),
    _Asked(
        what="conversations with a rare label",
        name="conversations",
        question=_list(labels=(stored.LABEL,)),
        is_complete=_page_of(stored.TALKS_EACH),
    ),
    _Asked(
        what="conversations of a rare inbox",
        name="conversations",
        question=_list(inbox_id=stored.RARE_INBOX),
        is_complete=_page_of(stored.TALKS_EACH),
    ),
    _Asked(
        what="conversations of a rare channel",
        name="conversations",
        question=_list(channel=stored.RARE_CHANNEL),
        is_complete=_page_of(stored.TALKS_EACH),
    ),
    _Asked(
        what="a channel's, the first 50",
        name="conversations",
        question=_list(channel="web"),
        is_complete=_page_of(50),
    ),
    _Asked(
        what="longest waiting first",
        name="conversations",
        question=_list(order="waiting"),
        is_complete=_page_of(50),
    ),
    _Asked(
        what="a conversation's messages",
        name="messages",
        question=lambda over, n: ListMessages(
            account_id=_A, conversation_id=stored.talk(over // 50 + n % 200)
        ),
        is_complete=_messages_are_complete,
    ),
    _Asked(
        what="a conversation's history",
        name="history",
        question=lambda over, n: GetHistory(
            account_id=_A, conversation_id=stored.talk(over // 50 + n % 200)
        ),
        is_complete=lambda raw: len(unpack(raw, History).rows) == 50,
    ),
    _Asked(
        what="a message by its id",
        name="message",
        question=lambda over, n: GetMessage(account_id=_A, message_id=stored.message(over + 1 + n)),
        is_complete=lambda raw: len(raw) > 100,
    ),
    _Asked(
        what="how many in each status",
        name="counts",
        question=lambda _, n: GetCounts(account_id=_A, viewer_id=stored.agent(n % 20)),
        is_complete=_counts_are_right,
    ),
    _Asked(
        what="which inboxes moved since the last 100",
        name="heads",
        question=lambda over, _: ReadHeads(bucket=0, since=over + stored.LIVE - 100),
        is_complete=lambda raw: len(raw) > 100,
    ),
)


class Filled:
    """A database of one size, and a store that answers from it."""

    def __init__(self, log: bus.Bus, url: str, total: int, shard: str) -> None:
        self.total = total
        self.over = stored.over(total)
        self._log = log
        self._url = url
        self._shard = shard

    async def open(self) -> None:
        """Begin to answer."""
        with psycopg.connect(self._url) as connection:
            connection.execute("UPDATE projection.checkpoint SET shard = %s", [self._shard])
        self._pools = await open_pools(self._url, Config())
        progress = Progress()
        progress.set(self.over + stored.LIVE, "bench")
        self._questions = Questions(
            self._log, self._pools, shard=self._shard, config=Config(), progress=progress
        )
        await self._questions.open()

    async def close(self) -> None:
        """Answer no more."""
        await self._questions.close()
        await self._pools.close()

    async def ask(self, asked: _Asked, times: int) -> tuple[float, int]:
        """Milliseconds of the answer, the median of so many, and how many were not complete."""
        taken, faults = [], 0
        for n in range(times):
            payload = pack(asked.question(self.over, n))
            began = time.perf_counter()
            raw = await self._log.request(
                query_subject(self._shard, asked.name), payload, timeout_s=_TIMEOUT_S
            )
            taken.append((time.perf_counter() - began) * 1000)
            answer = unpack(raw, Answer)
            faults += answer.status != "ok" or not asked.is_complete(bytes(answer.result))
        return statistics.median(taken), faults


async def _measure(
    nats: NatsServer, postgres: PostgresServer, scale: Scale, powers: int
) -> Measured:
    sizes = [10**power for power in range(4, 6 if scale.is_quick else powers + 1)]
    log = await bus.connect(bus.BusSettings(url=nats.url))
    filled = []
    for number, total in enumerate(sizes):
        name = f"growth_{number}"
        with psycopg.connect(postgres.url("postgres", superuser=True), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} OWNER nightdesk".encode())
        await migrate(postgres.url(name))
        await asyncio.to_thread(stored.fill, postgres.url(name), total)
        filled.append(Filled(log, postgres.url(name), total, f"g{number}"))
    for one in filled:
        await one.open()
    rows = [await _row(asked, filled, scale) for asked in _QUESTIONS]
    for one in filled:
        await one.close()
    await log.close()
    return Measured(rows=rows)


async def _row(asked: _Asked, filled: Sequence[Filled], scale: Scale) -> Row:
    faults = 0
    runs: list[list[float]] = []
    for one in filled:
        await one.ask(asked, 20)
    for _ in range(scale.runs):
        run = []
        for one in filled:
            taken, wrong = await one.ask(asked, _ASKED)
            run.append(taken)
            faults += wrong
        runs.append(run)
    medians = [statistics.median(column) for column in zip(*runs, strict=True)]
    notes: dict[str, float | str] = {
        f"ms at {one.total:,}": round(taken, 2) for one, taken in zip(filled, medians, strict=True)
    }
    return Row(
        figure="B8",
        what=asked.what,
        unit="× from first to last",
        ours=[run[-1] / run[0] for run in runs],
        reach=_MOST,
        is_less_better=True,
        faults=Faults(lost=faults),
        notes=notes,
    )


@contextmanager
def servers() -> Iterator[tuple[NatsServer, PostgresServer]]:
    """A durable nats-server and PostgreSQL, empty, in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        (directory / "nats").mkdir()
        (directory / "postgres").mkdir(mode=0o711)
        nats = NatsServer(NatsSettings(directory=directory / "nats", log=directory / "nats.log"))
        postgres = PostgresServer(
            PostgresSettings(directory=directory / "postgres", log=directory / "postgres.log")
        )
        nats.start()
        postgres.start()
        try:
            yield nats, postgres
        finally:
            postgres.kill()
            nats.kill()


def measure(scale: Scale, powers: int = 7) -> Measured:
    """B8, up to ten to the power of `powers` messages."""
    with servers() as (nats, postgres):
        return uvloop.run(_measure(nats, postgres, scale, powers))


def main() -> int:
    """Measure and show: up to 10⁷ messages, 10⁶ with --million, 10⁵ with --quick."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    scale = Scale(is_quick="--quick" in sys.argv)
    found = measure(scale, 6 if "--million" in sys.argv else 7)
    report.show(found.rows, console)
    return 1 if any(row.is_void for row in found.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
