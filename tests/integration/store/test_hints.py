"""What gateways are told on their own: a chain of hints per bucket that misses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

from shared import codec, queries
from shared.bus import CoreMessage
from shared.packed import entries_of
from shared.subjects import bucket_of, hint_subject
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.traffic import (
    assigned,
    created,
    day,
    posted,
    read_by,
    received_by,
    staff,
)
from tests.support.desk import ACCOUNT, agent_id, contact_id, started
from tests.support.log import until
from tests.support.services import Surroundings, TestLog, service, wait_ready


@asynccontextmanager
async def hints_of(log: TestLog, bucket: int) -> AsyncIterator[list[queries.Hint]]:
    """The hints of a bucket as they come."""
    found: list[queries.Hint] = []

    async def heard(message: CoreMessage) -> None:
        assert len(message.payload) <= 512 * 1024
        found.append(codec.unpack(message.payload, queries.Hint))

    subscription = await log.bus.subscribe(hint_subject(log.shard, bucket), heard)
    try:
        yield found
    finally:
        await subscription.close()


def is_chain(hints: list[queries.Hint]) -> bool:
    """Whether each hint goes on where the one before it ended."""
    return all(a.to == b.since for a, b in pairwise(hints))


async def test_hints_hold_every_entry_in_a_chain(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Who hears all hints of a bucket knows every entry that reading the inboxes gives."""
    async with hints_of(log, bucket_of(ACCOUNT)) as hints, store_here(around, batch_entries=40):
        await until(lambda: bool(hints))
        last = await log.append_mixed(day(400, seed=9, conversations=5))
        await until(lambda: hints[-1].to >= last)
        assert is_chain(hints)
        told = {(x.owner_id, x.position): x.prev for hint in hints for x in hint.entries}
        owners = [agent_id("ann"), agent_id("bob")] + [contact_id(f"c{i}") for i in range(5)]
        for owner in owners:
            question = queries.ReadInbox(account_id=ACCOUNT, owner_id=owner, at_least=last)
            page = await asker.ask("inbox", question, queries.InboxPage)
            assert not page.more
            read = {(owner, x.position): x.prev for x in entries_of(page, question)}
            assert read == {key: prev for key, prev in told.items() if key[0] == owner}


async def test_a_hint_brings_texts_ranges_receipts_and_their_owners(
    around: Surroundings, log: TestLog
) -> None:
    """A gateway can deliver from the hint alone: the message, what came with an assignment, who got how far."""
    async with hints_of(log, bucket_of(ACCOUNT)) as hints, store_here(around):
        await log.append("conversation", created("v"), started("v"))
        await log.append("message", posted("v", "m0"), posted("v", "m1"))
        position = (await log.append("routing", assigned("v", "ann")))[0]
        last = (await log.append("receipt", received_by(staff("ann"), "d", position)))[0]
        await until(lambda: bool(hints) and hints[-1].to >= last)
    entries = [x for hint in hints for x in hint.entries]
    messages = [x for x in entries if x.kind == "message"]
    assert [(x.owner_id, x.message.body) for x in messages if x.message] == [
        (contact_id("v"), b"m0"),
        (contact_id("v"), b"m1"),
    ]
    given = next(x for x in entries if x.kind == "conversation_assigned")
    assert [row.body for row in given.messages] == [b"m0", b"m1"]
    assert not given.more
    receipts = [
        (r, o) for hint in hints for r, o in zip(hint.receipts, hint.receipt_owners, strict=True)
    ]
    assert [(r.recipient.id, r.received, set(o.split())) for r, o in receipts] == [
        (agent_id("ann"), position, {contact_id("v")})
    ]
    assert {name for hint in hints for name in hint.lists} == {(ACCOUNT, "")}


async def test_a_lost_hint_is_made_good_from_where_it_begins(
    around: Surroundings, log: TestLog
) -> None:
    """Who misses a hint asks for what moved since the end of the one before it. So nothing that a hint tells lies at or
    before that place, also where one commit is told in several: its receipts may be older than its last messages."""
    read: set[int] = set()
    for name in (f"v{number}" for number in range(60)):
        await log.append("conversation", created(name), started(name))
        await log.append("routing", assigned(name, "ann"))
        texts = (posted(name, f"{name} {number} {'x' * 8_000}") for number in range(3))
        seen = (await log.append("message", *texts))[-1]
        read.update(await log.append("receipt", read_by(staff("ann"), name, seen)))
    last = max(read)
    async with hints_of(log, bucket_of(ACCOUNT)) as hints, store_here(around, batch_entries=500):
        await until(lambda: bool(hints) and hints[-1].to >= last)
    assert is_chain(hints)
    assert sum(bool(hint.entries) for hint in hints) > 1, "the commit fitted into one hint"
    told = [(hint, row.position) for hint in hints for row in hint.entries]
    told += [(hint, row.position) for hint in hints for row in hint.receipts]
    assert read <= {position for _, position in told}
    assert not [position for hint, position in told if not hint.since < position <= hint.to]


async def test_what_was_read_is_told_to_the_reader_too(around: Surroundings, log: TestLog) -> None:
    """What an agent read on one device is news for their others, whatever else the same commit holds of them."""
    async with hints_of(log, bucket_of(ACCOUNT)) as hints, store_here(around):
        await log.append("conversation", created("v"), started("v"))
        await log.append("message", posted("v", "m0"), posted("v", "m1"))
        position = (await log.append("routing", assigned("v", "ann")))[0]
        last = (
            await log.append(
                "receipt",
                read_by(staff("ann"), "v", position - 1),
                received_by(staff("ann"), "d", position),
            )
        )[-1]
        await until(lambda: bool(hints) and hints[-1].to >= last)
    told = [
        (row.read, row.received, set(owners.split()))
        for hint in hints
        for row, owners in zip(hint.receipts, hint.receipt_owners, strict=True)
    ]
    everybody = {contact_id("v"), agent_id("ann")}
    assert any(read == position - 1 and owners == everybody for read, _, owners in told), told
    assert any(received == position and contact_id("v") in o for _, received, o in told), told


async def test_a_quiet_bucket_hears_that_nothing_happened(
    around: Surroundings, log: TestLog
) -> None:
    """Empty hints come every second in every bucket and move with the checkpoint."""
    other = (bucket_of(ACCOUNT) + 1) % 16
    async with hints_of(log, other) as hints, store_here(around):
        last = (await log.append("conversation", created("v"), started("v")))[-1]
        await until(lambda: len(hints) > 2 and hints[-1].to >= last)
    assert is_chain(hints)
    assert not any(hint.entries for hint in hints)


async def test_after_a_crash_the_chain_shows_its_break(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """The first hint of a new term begins at the checkpoint it took over, so a missed one is noticed."""
    async with hints_of(log, bucket_of(ACCOUNT)) as hints:
        with service("store", around) as store:
            last = await log.append_mixed(day(50, seed=3, conversations=2))
            await asker.until_stored(last)
            # Its answer may be here before its hint.
            await until(lambda: bool(hints) and hints[-1].to >= last)
            store.kill()
            hints.clear()
            store.start()
            wait_ready(store)
            await until(lambda: bool(hints))
    assert (hints[0].since, hints[0].to) == (last, last)
