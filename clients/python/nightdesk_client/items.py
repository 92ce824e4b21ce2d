"""What an application gets from a client: items of `entries()`, the outcome of `send`, and a bookmark to keep."""

from __future__ import annotations

import msgspec

from nightdesk_client.wire import Conversation, InboxEntry, Message, Note


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The message is durable. `position` is its place in the log."""

    message_id: str
    position: int


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation begun, with its first message when one was given."""

    conversation_id: str
    message_id: str | None
    position: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, yielded exactly once and in order within its conversation.

    `kind` is message, message_edited, message_retracted, note, conversation_assigned, conversation_left or
    conversation_changed. `is_history`: the message came with an assignment or a reload, not on its own. `alert`:
    `on_alert` was called for it.
    """

    kind: str
    conversation_id: str
    position: int
    at: str
    alert: bool = False
    held: bool = True
    is_history: bool = False
    message: Message | None = None
    note: Note | None = None
    conversation: Conversation | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Make yourself heard now, for what stands at `position`. `is_moved`: another device was to do so and did not
    answer; then `conversation_id` is not known, and the entry was or will be yielded as usual."""

    position: int
    conversation_id: str | None = None
    is_moved: bool = False


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """The server could not go on from the cursor (or there was none): these are the conversations as of now.

    What the application has not been given yet of their messages follows as entries, so an application that only
    reads messages may pass over this item; one that shows lists replaces them.
    """

    conversations: list[Conversation]


Item = Entry | Reset


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device stands. Keep it (it is plain JSON) to go on after a restart of the application.

    `ahead`: messages that a reload showed before the inbox came to them, with their positions. `alerted`: the newest
    position that this device made itself heard for.
    """

    device: str
    cursor: str | None = None
    position: int | None = None
    ahead: dict[str, int] = {}
    alerted: int = 0


class Statistics(msgspec.Struct, kw_only=True):
    """Counters of one client, for tools and curiosity."""

    connections: int = 0
    repeats_dropped: int = 0
    gaps: int = 0
    resends: int = 0
    resets: int = 0


def entry_of(entry: InboxEntry, *, alert: bool) -> Entry:
    """What the application sees of an entry; messages that came along are yielded by themselves."""
    return Entry(
        kind=entry.kind,
        conversation_id=entry.conversation_id,
        position=entry.position,
        at=entry.at,
        alert=alert,
        held=entry.held,
        message=entry.message,
        note=entry.note,
        conversation=entry.conversation,
    )


def history_entry(message: Message) -> Entry:
    """A message that came with an assignment or a reload."""
    return Entry(
        kind="message",
        conversation_id=message.conversation_id,
        position=message.position,
        at=message.at,
        is_history=True,
        message=message,
    )
