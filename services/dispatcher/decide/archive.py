"""Conversations that are over. Nothing can fall due in them, so all that is kept is what a later message, label or wish
needs to go on from: some sixty bytes. Pure."""

from __future__ import annotations

from typing import get_args

import msgspec

from services.dispatcher.decide.shelf import pack_id, unpack_id
from services.dispatcher.decide.state import Office, Track
from shared import codec
from shared.conversation import Conversation
from shared.errors import Malformed
from shared.events.conversation import Priority
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, Position, TeamId

_PRIORITIES: tuple[Priority, ...] = get_args(Priority)


class _Record(msgspec.Struct, frozen=True, array_like=True):
    """A resolved conversation; words and ids that repeat are numbers in `Office.names`."""

    contact: bytes
    started: Position
    last_entry: Position
    last_message: Position
    last_answer: Position
    inbox: int
    channel: int
    language: int
    priority: int
    team: int
    previous: int
    answered_by: int
    labels: tuple[int, ...]
    met: tuple[int, ...] = ()
    moved: Position = 0
    moved_by: int = 0


def shelve(office: Office, track: Track) -> bool:
    """Put a conversation that is over on the shelf. False: it is not over, or too unusual for a shelf."""
    state = track.conversation
    if state.phase != "resolved" or track.requests or state.unanswered:
        return False
    if any((state.agent_id, track.wanted_team_id, track.barred_agent_id)):
        # A decision of ours crossed the end in the log, and the store keeps what it says. Without an owner here, a
        # visitor who writes again would stand in a queue and on an agent's screen at once.
        return False
    record = _Record(
        contact=pack_id(state.contact_id),
        started=state.started,
        last_entry=state.last_entry,
        last_message=state.last_message,
        last_answer=state.last_answer,
        inbox=_number(office, state.inbox_id),
        channel=_number(office, state.channel),
        language=_number(office, state.language),
        priority=_PRIORITIES.index(state.priority),
        team=_number(office, state.team_id),
        previous=_number(office, state.previous_agent_id),
        answered_by=_number(office, state.last_answer_agent_id),
        labels=tuple(_number(office, label) for label in state.labels),
        met=tuple(_number(office, condition) for condition in track.met),
        moved=track.moved,
        moved_by=_number(office, track.moved_by),
    )
    if not office.resolved.put(state.conversation_id, codec.pack(record)):
        return False
    del office.tracks[state.conversation_id]
    contact_id = office.contact_of(track)
    known = office.previous.get(contact_id)
    if known is not None and office.known.put(contact_id, pack_id(known)):
        del office.previous[contact_id]
    return True


def fetch(office: Office, account_id: AccountId, conversation_id: ConversationId) -> None:
    """Take a conversation from the shelf, if it lies there: something is said about it again."""
    if conversation_id in office.tracks:
        return
    record = office.resolved.pop(conversation_id)
    if record is not None:
        office.tracks[conversation_id] = _track(office, account_id, conversation_id, record)


def find(office: Office, account_id: AccountId, conversation_id: ConversationId) -> Track | None:
    """The conversation, wherever it is; for reading only."""
    track = office.tracks.get(conversation_id)
    if track is not None:
        return track
    record = office.resolved.get(conversation_id)
    return None if record is None else _track(office, account_id, conversation_id, record)


def previous_agent(office: Office, contact_id: ContactId) -> AgentId | None:
    """Who last had a conversation of the contact."""
    known = office.previous.get(contact_id)
    if known is not None:
        return known
    packed = office.known.get(contact_id)
    return None if packed is None else AgentId(unpack_id(packed))


def _number(office: Office, word: str | None) -> int:
    """0 for none."""
    if word is None:
        return 0
    return office.names.setdefault(word, len(office.names) + 1)


def _track(
    office: Office, account_id: AccountId, conversation_id: ConversationId, packed: bytes
) -> Track:
    try:
        record = codec.unpack(packed, _Record)
    except Malformed as err:
        raise AssertionError(
            f"conversation {conversation_id} can't be read from its shelf"
        ) from err
    names = list(office.names)

    def word(number: int) -> str | None:
        return names[number - 1] if number else None

    team, previous, answered_by = (
        word(each) for each in (record.team, record.previous, record.answered_by)
    )
    return Track(
        conversation=Conversation(
            account_id=account_id,
            conversation_id=conversation_id,
            inbox_id=InboxId(names[record.inbox - 1]),
            contact_id=ContactId(unpack_id(record.contact)),
            channel=names[record.channel - 1],
            language=names[record.language - 1],
            priority=_PRIORITIES[record.priority],
            started=record.started,
            labels=tuple(names[each - 1] for each in record.labels),
            team_id=TeamId(team) if team is not None else None,
            previous_agent_id=AgentId(previous) if previous is not None else None,
            phase="resolved",
            last_message=record.last_message,
            last_entry=record.last_entry,
            last_answer=record.last_answer,
            last_answer_agent_id=AgentId(answered_by) if answered_by is not None else None,
        ),
        met=tuple(names[each - 1] for each in record.met),
        moved=record.moved,
        moved_by=names[record.moved_by - 1],
    )
