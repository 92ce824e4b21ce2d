"""What holds for every log, however it was cut into batches and however often the store was started again."""

from __future__ import annotations

from collections import defaultdict
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from services.store.fold import Broken, Changes, Record, State, fold, forget, inbox
from services.store.fold.state import Folded, row_of
from shared import events as e
from shared.ids import AccountId, ContactId
from tests.support.memory_tables import Tables, fold_all, fold_batch
from tests.unit.store.worlds import (
    ACCOUNTS,
    CONTACTS,
    CONVERSATIONS,
    DEVICES,
    INBOX,
    MESSAGES,
    logs,
    record,
)

_cuts = st.lists(st.tuples(st.integers(1, 7), st.sampled_from(["keep", "drop", "ahead"])))


def _fold_cut(records: list[Record], cuts: list[tuple[int, str]]) -> Tables:
    """Fold in batches. "drop": a restart before the batch. "ahead": the batch is folded before the one before it
    is committed, as the leading store does."""
    tables, state = Tables(), State()
    pending: list[Changes] = []
    rest = list(records)
    for size, how in [*cuts, (len(rest) or 1, "keep")]:
        if how != "ahead":
            for changes in pending:
                tables.write(changes)
                forget(state, changes)
            pending.clear()
        if how == "drop":
            state = State()
        batch, rest = rest[:size], rest[size:]
        pending.append(fold_batch(tables, state, batch))
    for changes in pending:
        tables.write(changes)
    return tables


@settings(max_examples=120, deadline=None)
@given(logs, _cuts)
def test_any_split_gives_the_same_tables(
    records: list[Record], cuts: list[tuple[int, str]]
) -> None:
    """Batches, restarts between them and folding ahead of the commit change no row."""
    assert _fold_cut(records, cuts).rows() == fold_all(records).rows()


@settings(max_examples=60, deadline=None)
@given(logs)
def test_what_devices_say_together_counts_as_if_each_said_it(records: list[Record]) -> None:
    """Receipts that a gateway collected into one event make the rows that they would make one by one."""
    together, single = State(), State()
    for each in records:
        event = each.event
        said = event.each() if isinstance(event, e.ReceivedTogether) else (event,)
        changes = Changes()
        fold(together, changes, each)
        alone = Changes()
        for one in said:
            fold(single, alone, Record(each.position, each.at_ns, each.family, one))
        assert (changes.receipts, changes.receipt_owners) == (alone.receipts, alone.receipt_owners)
        assert changes.devices == alone.devices
        tell = [(owner.received, owner.devices) for owner in together.owners.values()]
        assert tell == [(owner.received, owner.devices) for owner in single.owners.values()]


@settings(max_examples=60, deadline=None)
@given(logs)
def test_seq_is_dense_and_in_log_order(records: list[Record]) -> None:
    """A conversation's messages count 1, 2, 3 … in the order of the log, and the row knows the last."""
    tables = fold_all(records)
    seqs = defaultdict(list)
    for row in sorted(tables.messages.values(), key=lambda x: x.position):
        seqs[row.account_id, row.conversation_id].append(row.seq)
    for found in seqs.values():
        assert found == list(range(1, len(found) + 1))
    for key, folded in tables.conversations.items():
        assert folded.last_seq == len(seqs[key])


@settings(max_examples=60, deadline=None)
@given(logs)
def test_inboxes_are_chains(records: list[Record]) -> None:
    """Each entry names the one before it; an event makes at most one entry in an inbox; a message comes once."""
    tables = fold_all(records)
    heads: dict[str, int] = {}
    messages = set()
    for entry in tables.entries:
        assert entry.prev == heads.get(entry.owner_id, 0) < entry.position
        heads[entry.owner_id] = entry.position
        if entry.kind == "message":
            assert entry.message is not None
            once = (entry.message.account_id, entry.owner_id, entry.message.message_id)
            assert once not in messages
            messages.add(once)


@settings(max_examples=80, deadline=None)
@given(logs)
def test_an_agent_is_given_every_message_once(records: list[Record]) -> None:
    """Whoever holds a conversation was given all of it, by single entries and by ranges, and nothing twice."""
    # An agent belongs to one account, so the other one has no conversations here.
    tables = fold_all([x for x in records if not _is_start_of(ACCOUNTS[1], x)])
    given_to: dict[tuple[str, str], list[int]] = defaultdict(list)
    agents = set()
    for entry in tables.entries:
        key = (entry.owner_id, entry.conversation_id)
        if entry.kind == "conversation_assigned":
            agents.add(key)
        if entry.to_seq:
            given_to[key] += range(entry.from_seq, entry.to_seq + 1)
        if entry.kind == "message" and entry.message is not None:
            given_to[key].append(entry.message.seq)
    for key in agents:
        assert given_to[key] == sorted(set(given_to[key]))
    for folded in tables.conversations.values():
        state = folded.state
        if state.agent_id is not None:
            found = given_to[state.agent_id, state.conversation_id]
            assert found == list(range(1, folded.last_seq + 1))


@settings(max_examples=80, deadline=None)
@given(logs, _cuts)
def test_counts_are_what_counting_finds(records: list[Record], cuts: list[tuple[int, str]]) -> None:
    """However it was batched, the tallies are those of the conversations, and who waits unread by any agent is unread."""
    tables = _fold_cut(records, cuts)
    counted: dict[object, tuple[int, ...]] = {}
    for folded in tables.conversations.values():
        state = folded.state
        of_desk = [
            receipt.read
            for receipt in tables.receipts.values()
            if receipt.recipient.kind == "agent"
            and (receipt.account_id, receipt.conversation_id) == folded.key
        ]
        waits = state.unanswered and state.phase == "active"
        is_unread = waits and state.unanswered[-1] > max(of_desk, default=0)
        key = (
            state.account_id,
            (state.inbox_id, state.team_id, state.status, state.agent_id is not None),
        )
        row = row_of(folded)
        more = (1, bool(is_unread), row.overdue, row.escalated)
        counted[key] = tuple(a + b for a, b in zip(counted.get(key, (0,) * 4), more, strict=True))
    assert tables.tallies == counted


@settings(max_examples=80, deadline=None)
@given(logs, st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=12))
def test_late_is_what_still_waits(records: list[Record], lates: list[tuple[int, bool]]) -> None:
    """Overdue and escalated is what the record says of the wait, or the case, that goes on: never of one that was
    answered, resolved or is asleep, whenever the record of it comes."""
    tables, state = Tables(), State()
    opened: dict[object, int] = {}
    on_record: set[tuple[object, str, int]] = set()
    position = 0
    for number, original in enumerate(records):
        about = next(iter(tables.conversations.values()), None)
        cases = [is_case for when, is_case in lates if when == number and about is not None]
        late = [_late(about, opened, is_case=is_case) for is_case in cases if about is not None]
        on_record |= {(about.key, x.deadline, x.waiting_since) for x in late if about is not None}
        happened: list[e.Event | Broken] = [*late]
        if not isinstance(original.event, e.DeadlineMissed | e.Escalated):
            happened.append(original.event)
        for event in happened:
            position += 1
            tables.write(fold_batch(tables, state, [record(position, event)]))
            for folded in tables.conversations.values():
                _note_opening(folded, opened, position)
                assert row_of(folded).overdue == _is_late(folded, opened, on_record)


def _late(about: Folded, opened: dict[object, int], *, is_case: bool) -> e.DeadlineMissed:
    return e.DeadlineMissed(
        account_id=about.state.account_id,
        conversation_id=about.state.conversation_id,
        writer="w",
        deadline="resolution" if is_case else "first_response",
        waiting_since=opened.get(about.key, 0) if is_case else about.state.waiting_since,
    )


def _note_opening(folded: Folded, opened: dict[object, int], position: int) -> None:
    """As the dispatcher has it: from what first waits until it is resolved."""
    if folded.state.phase == "resolved":
        opened.pop(folded.key, None)
    elif folded.state.unanswered:
        opened.setdefault(folded.key, position)


def _is_late(
    folded: Folded, opened: dict[object, int], on_record: set[tuple[object, str, int]]
) -> bool:
    key, its = folded.key, folded.state
    waits = its.phase == "active" and its.waiting_since > 0
    is_overdue = waits and (key, "first_response", its.waiting_since) in on_record
    return is_overdue or (key, "resolution", opened.get(key, -1)) in on_record


def _is_start_of(account_id: AccountId, found: Record) -> bool:
    event = found.event
    return isinstance(event, e.ConversationStarted) and event.account_id == account_id


@settings(max_examples=60, deadline=None)
@given(logs)
def test_receipts_only_grow(records: list[Record]) -> None:
    """Folding more of the log never takes back that something was received or read."""
    tables, state = Tables(), State()
    before: dict[object, tuple[int, int]] = {}
    for event in records:
        tables.write(fold_batch(tables, state, [event]))
        for key, row in tables.receipts.items():
            received, read = before.get(key, (0, 0))
            assert row.received >= received
            assert row.read >= read
            before[key] = (row.received, row.read)


@settings(max_examples=60, deadline=None)
@given(logs)
def test_waiting_times_follow_the_waiting_positions(records: list[Record]) -> None:
    """Every unanswered position has its own log time beside it."""
    for folded in fold_all(records).conversations.values():
        assert folded.unanswered_ns == tuple(p * 1_000 for p in folded.state.unanswered)


def test_a_crowded_inbox_forgets_nothing() -> None:
    """Entries that are dropped from memory, because too many are unacknowledged, count when a receipt comes."""
    account, contact = ACCOUNTS[0], CONTACTS[0]
    visitor = e.Author(kind="visitor", id=contact)
    log: list[e.Event] = [
        e.ConversationStarted(
            account_id=account, conversation_id=x, inbox_id=INBOX, contact_id=contact, by=visitor
        )
        for x in CONVERSATIONS[:2]
    ]
    for number, talk in enumerate([CONVERSATIONS[0], CONVERSATIONS[0], CONVERSATIONS[1]]):
        message = e.MessagePosted(
            account_id=account,
            conversation_id=talk,
            message_id=MESSAGES[number],
            author=visitor,
            content_type="text",
            body=b"",
            fingerprint=b"f",
        )
        log.append(message)
    log.append(
        e.Received(account_id=account, recipient=visitor, device_id=DEVICES[0], up_to=len(log))
    )
    tables, state = Tables(), State()
    with mock.patch.object(inbox, "_MOST_RECENT", 1):
        for position, event in enumerate(log, 1):
            changes = fold_batch(tables, state, [record(position, event)])
            tables.write(changes)
            forget(state, changes)
    assert tables.receipts[account, CONVERSATIONS[0], contact].received == 4
    assert tables.receipts[account, CONVERSATIONS[1], contact].received == 5


def test_a_profile_is_changed_from_the_one_it_was_made_from() -> None:
    """Two who change it in the same moment: the first counts, the second is made again from what is there by then; what
    crossed a merge is of nobody; a change of an older release counts always."""
    contact, other = CONTACTS[:2]

    def changed(of: ContactId, profile: bytes, base: int | None) -> e.Event:
        by = e.Author(kind="visitor", id=of)
        return e.ContactChanged(
            account_id=ACCOUNTS[0], contact_id=of, profile=profile, by=by, base=base
        )

    created = [
        e.ContactCreated(account_id=ACCOUNTS[0], contact_id=each, inbox_id=INBOX)
        for each in (contact, other)
    ]
    crossing = [
        changed(contact, b"first", 0),
        changed(contact, b"second", 0),
        changed(contact, b"both", 1),
    ]
    log: list[e.Event] = [*created, *crossing]
    tables = fold_all([record(n, event) for n, event in enumerate(log, start=1)])
    row = tables.contacts[ACCOUNTS[0], contact]
    assert (row.profile, row.profile_revision) == (b"both", 2)
    merged = e.ContactMerged(account_id=ACCOUNTS[0], contact_id=other, into=contact)
    log += [merged, changed(other, b"of nobody", 2)]
    tables = fold_all([record(n, event) for n, event in enumerate(log, start=1)])
    assert tables.contacts[ACCOUNTS[0], contact].profile == b"both"
    log.append(changed(contact, b"as of old", None))
    tables = fold_all([record(n, event) for n, event in enumerate(log, start=1)])
    assert tables.contacts[ACCOUNTS[0], contact].profile == b"as of old"
