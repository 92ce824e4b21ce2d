"""Random logs over a small world, so that everything meets everything: repeats, clashes, strangers, merges."""

from __future__ import annotations

import uuid

from hypothesis import strategies as st

from services.store.fold import Broken, Record
from shared import events as e
from shared.ids import (
    AccountId,
    AgentId,
    ContactId,
    ConversationId,
    DeviceId,
    InboxId,
    MessageId,
    NoteId,
)
from shared.subjects import Family

_NAMES = uuid.UUID("7f0f0a5e-3f5e-4c55-9d1c-5b5f7c1f0002")


def name(text: str) -> str:
    """The same UUID for the same name."""
    return str(uuid.uuid5(_NAMES, text))


ACCOUNTS = [AccountId(name("account a")), AccountId(name("account b"))]
CONVERSATIONS = [ConversationId(name(f"conversation {i}")) for i in range(3)]
CONTACTS = [ContactId(name(f"contact {i}")) for i in range(3)]
AGENTS = [AgentId(name(f"agent {i}")) for i in range(2)]
MESSAGES = [MessageId(name(f"message {i}")) for i in range(30)]
NOTES = [NoteId(name(f"note {i}")) for i in range(3)]
DEVICES = [DeviceId(name(f"device {i}")) for i in range(2)]
INBOX = InboxId(name("inbox"))
WHY = e.Explanation(trigger="queue", policy_version=0, state_position=0)

_account = st.sampled_from([ACCOUNTS[0]] * 19 + [ACCOUNTS[1]])
_conversation = st.sampled_from([*CONVERSATIONS[:2] * 3, CONVERSATIONS[2]])
_contact = st.sampled_from(CONTACTS)
_agent = st.sampled_from(AGENTS)
_message = st.sampled_from(MESSAGES)
_seen = st.integers(0, 60)
_visitor = st.builds(e.Author, kind=st.just("visitor"), id=_contact)
_staff = st.builds(e.Author, kind=st.just("agent"), id=_agent)
_robot = st.builds(
    e.Author, kind=st.sampled_from(["integration", "system"]), id=st.just(name("robot"))
)
_author = st.one_of(_visitor, _staff, _robot)
_team = st.sampled_from([None, name("team")])
_print = st.sampled_from([b"f", b"f", b"f", b"g"])
_of = {"account_id": _account, "conversation_id": _conversation}

_started = st.builds(
    e.ConversationStarted, **_of, inbox_id=st.just(INBOX), contact_id=_contact, by=_visitor
)
_posted = st.builds(
    e.MessagePosted,
    **_of,
    message_id=_message,
    author=_author,
    content_type=st.just("text"),
    body=st.binary(max_size=3),
    fingerprint=_print,
    seen_up_to=_seen,
    automatic=st.booleans(),
)
_assigned = st.builds(
    e.ConversationAssigned,
    **_of,
    writer=st.just("w"),
    agent_id=_agent,
    team_id=_team,
    why=st.just(WHY),
)
_queued = st.builds(
    e.ConversationQueued,
    **_of,
    writer=st.just("w"),
    team_id=_team,
    waiting_since=_seen,
    why=st.just(WHY),
)
_status = st.builds(
    e.StatusChanged,
    **_of,
    by=_staff,
    status=st.sampled_from(["open", "snoozed", "resolved"]),
    seen_up_to=_seen,
)
_received = st.builds(
    e.Received,
    account_id=_account,
    recipient=_author,
    device_id=st.sampled_from(DEVICES),
    up_to=_seen,
)
_received_together = st.builds(
    e.ReceivedTogether,
    account_id=_account,
    receipts=st.lists(
        st.builds(e.Receipt, recipient=_author, device_id=st.sampled_from(DEVICES), up_to=_seen),
        min_size=2,
        max_size=4,
    ).map(tuple),
)
_read = st.builds(e.Read, **_of, recipient=_author, up_to=_seen)
_merged = st.builds(e.ContactMerged, account_id=_account, contact_id=_contact, into=_contact)
_created = st.builds(
    e.ContactCreated, account_id=_account, contact_id=_contact, inbox_id=st.just(INBOX)
)
_changed = st.builds(
    e.ContactChanged,
    account_id=_account,
    contact_id=_contact,
    profile=st.sampled_from([b"p", b"q"]),
    by=_visitor,
    base=st.sampled_from([None, 0, 1]),
)
_edited = st.builds(
    e.MessageEdited,
    **_of,
    message_id=_message,
    revision=st.integers(1, 3),
    author=_author,
    body=st.just(b"edited"),
)
_retracted = st.builds(e.MessageRetracted, **_of, message_id=_message, author=_author)
_noted = st.builds(
    e.NoteAdded, **_of, note_id=st.sampled_from(NOTES), author=_staff, body=st.just(b"n")
)
_labels = st.builds(e.LabelsChanged, **_of, by=_staff, added=st.just(("x",)))
_rated = st.builds(e.Rated, **_of, by=_visitor, score=st.integers(1, 5))
_priority = st.builds(
    e.PriorityChanged, **_of, by=_staff, priority=st.sampled_from(["urgent", "low"])
)
_missed = st.builds(
    e.DeadlineMissed,
    **_of,
    writer=st.just("w"),
    deadline=st.sampled_from(["first_response", "next_response", "resolution"]),
    waiting_since=_seen,
)
_escalated = st.builds(
    e.Escalated,
    **_of,
    writer=st.just("w"),
    waiting_since=_seen,
    deadline=st.sampled_from(["response", "resolution"]),
)
_claimed = st.builds(e.ClaimRequested, **_of, agent_id=_agent)
_primary = st.builds(
    e.PrimaryDeviceChanged,
    account_id=_account,
    writer=st.just("w"),
    agent_id=_agent,
    device_id=st.sampled_from(DEVICES),
    fence=st.integers(1, 4),
)
_broken = st.builds(
    Broken,
    reason=st.just("unreadable"),
    envelope=st.builds(e.Envelope, **_of, type=st.just("message_posted"), message_id=_message),
)
_event = st.one_of(
    *[_posted] * 6,
    *[_assigned] * 3,
    *[_received] * 3,
    *[_received_together] * 2,
    *[_started] * 2,
    *[_status] * 2,
    _queued,
    _read,
    _merged,
    _created,
    _changed,
    _edited,
    _retracted,
    _noted,
    _labels,
    _rated,
    _priority,
    _missed,
    _escalated,
    _claimed,
    _primary,
    _broken,
)


def record(position: int, event: e.Event | Broken) -> Record:
    """An event at its place; the family only matters for what can't be read."""
    family: Family = "message" if isinstance(event, Broken) else "conversation"
    return Record(position, position * 1_000, family, event)


def _begin() -> list[e.Event]:
    author = e.Author(kind="visitor", id=CONTACTS[0])
    contacts: list[e.Event] = [
        e.ContactCreated(account_id=ACCOUNTS[0], contact_id=contact, inbox_id=INBOX)
        for contact in CONTACTS[:2]
    ]
    return contacts + [
        e.ConversationStarted(
            account_id=ACCOUNTS[0],
            conversation_id=conversation,
            inbox_id=INBOX,
            contact_id=CONTACTS[0],
            by=author,
        )
        for conversation in CONVERSATIONS[:2]
    ]


logs = st.lists(_event, min_size=20, max_size=60).map(
    lambda events: [record(i + 1, event) for i, event in enumerate([*_begin(), *events])]
)
