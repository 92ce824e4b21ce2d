"""The documented wire as this client reads it: JSON objects of REST and frames of the WebSocket.

Unknown fields and unknown kinds are ignored, so a newer server works with an older client.
"""

from __future__ import annotations

import msgspec

SUBPROTOCOL = "nightdesk.v1"
CLOSE_DONT_RETURN = range(3500, 4000)
CLOSE_TOKEN_EXPIRED = 3009
CLOSE_UNAUTHORIZED = 3501


class _In(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of what the server sends."""


# ---------------------------------------------------------------- objects


class Author(_In, frozen=True, kw_only=True):
    """Who wrote: `kind` is visitor, agent, integration or system."""

    kind: str
    id: str
    name: str | None = None


class Message(_In, frozen=True, kw_only=True):
    """A message. `seq` is dense within its conversation, `position` orders everything."""

    conversation_id: str
    message_id: str
    seq: int
    position: int
    at: str
    author: Author
    content_type: str = "text"
    text: str | None = None
    revision: int = 0
    device_id: str | None = None
    seen_up_to: int = 0
    automatic: bool = False
    crossed: bool = False
    retracted: bool = False
    unreadable: bool = False
    state: str | None = None


class Note(_In, frozen=True, kw_only=True):
    """A note for colleagues."""

    conversation_id: str
    note_id: str
    position: int
    at: str
    author: Author
    text: str | None = None


class Receipt(_In, frozen=True, kw_only=True):
    """How far somebody got in a conversation, by position."""

    conversation_id: str
    by: Author
    received: int = 0
    read: int = 0


class Contact(_In, frozen=True, kw_only=True):
    """A visitor. `erased`: what was known of them can never be read again."""

    contact_id: str
    inbox_id: str
    is_identified: bool
    name: str | None = None
    email: str | None = None
    attributes: dict[str, str] = {}
    merged_into: str | None = None
    created_at: str | None = None
    erased: bool = False


class Conversation(_In, frozen=True, kw_only=True):
    """A conversation as its viewer may see it. `version` is the position of its last change."""

    conversation_id: str
    inbox_id: str
    contact_id: str
    status: str
    channel: str = ""
    language: str = ""
    priority: str = "normal"
    labels: list[str] = []
    team_id: str | None = None
    agent_id: str | None = None
    previous_agent_id: str | None = None
    waiting_since: int = 0
    waiting_since_at: str | None = None
    snoozed_until: str | None = None
    last_seq: int = 0
    last_position: int = 0
    version: int = 0
    created_at: str = ""
    updated_at: str = ""
    rating: int = 0
    unread: int | None = 0
    last_message: Message | None = None
    receipts: list[Receipt] = []
    overdue: bool = False
    escalated: bool = False
    contact: Contact | None = None


class InboxEntry(_In, frozen=True, kw_only=True):
    """One entry of an inbox. `prev` is the position of the entry before it: holding another one is a gap."""

    position: int
    prev: int
    at: str
    kind: str
    conversation_id: str
    alert: bool = False
    alert_until: str | None = None
    held: bool = True
    message: Message | None = None
    note: Note | None = None
    conversation: Conversation | None = None
    from_seq: int = 0
    to_seq: int = 0
    messages: list[Message] = []
    more: bool = False


# ---------------------------------------------------------------- frames


class _Out(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", omit_defaults=True):
    """Settings of frames to the server."""


class Hello(_Out, frozen=True, kw_only=True, tag="hello"):
    """Opens the session."""

    token: str
    device: str
    resume: str | None = None
    client: str = ""


class Send(_Out, frozen=True, kw_only=True, tag="send"):
    """Post a message."""

    id: int
    conversation_id: str
    message_id: str
    text: str
    resend: bool = False
    seen_up_to: int | None = None
    only_if_seen: bool = False


class Received(_Out, frozen=True, kw_only=True, tag="received"):
    """This device holds every entry up to `up_to`. `alerted`: the newest one it made itself heard for."""

    up_to: int
    alerted: int | None = None


class Read(_Out, frozen=True, kw_only=True, tag="read"):
    """The person has seen the conversation up to `up_to`."""

    conversation_id: str
    up_to: int


class Typing(_Out, frozen=True, tag="typing", kw_only=True, omit_defaults=False):
    """The person types, or stopped."""

    conversation_id: str
    is_typing: bool = True


class Looking(_Out, frozen=True, tag="looking", kw_only=True, omit_defaults=False):
    """An agent has the conversation open, or closed it."""

    conversation_id: str
    is_looking: bool = True


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """Settings of frames from the server."""


class Welcome(_Frame, frozen=True, kw_only=True, tag="welcome"):
    """The session is open. `at` is the server's time."""

    connection: int
    you: Author
    ping_s: int = 25
    recovered: bool | None = None
    unread: int | None = None
    cursor: str | None = None
    position: int | None = None
    at: str | None = None


class Ok(_Frame, frozen=True, kw_only=True, tag="ok"):
    """Durable at `position`."""

    id: int
    position: int
    message_id: str | None = None


class Err(_Frame, frozen=True, kw_only=True, tag="err"):
    """Not done; with code "unknown" nobody knows yet."""

    code: str
    message: str
    retry: bool
    id: int | None = None


class Entries(_Frame, frozen=True, kw_only=True, tag="entries"):
    """Entries of the inbox, in order; `cursor` stands after the last."""

    entries: list[InboxEntry]
    cursor: str
    current: bool = True


class Receipts(_Frame, frozen=True, kw_only=True, tag="receipts"):
    """How far others got."""

    receipts: list[Receipt]


class Changed(_Frame, frozen=True, kw_only=True, tag="changed"):
    """A list that is no inbox changed."""

    position: int
    team_ids: list[str] = []


class TypingNow(_Frame, frozen=True, kw_only=True, tag="typing"):
    """Somebody else types."""

    conversation_id: str
    by: Author
    is_typing: bool


class Looker(_In, frozen=True, kw_only=True):
    """An agent who has a conversation open."""

    agent: Author
    since: str


class LookingNow(_Frame, frozen=True, kw_only=True, tag="looking"):
    """All other agents who have the conversation open now."""

    conversation_id: str
    agents: list[Looker]


class Moved(_Frame, frozen=True, kw_only=True, tag="moved"):
    """Something happened in a conversation that this device looks at and its agent does not hold."""

    conversation_id: str
    position: int
    kind: str
    message: Message | None = None


class Alert(_Frame, frozen=True, kw_only=True, tag="alert"):
    """This device became the one that makes itself heard, for what stands at `position`."""

    position: int
    alert_until: str | None = None
    fence: int = 0


class Bye(_Frame, frozen=True, kw_only=True, tag="bye"):
    """The server is about to close."""

    code: str
    retry_after_ms: int


Frame = (
    Welcome | Ok | Err | Entries | Receipts | Changed | TypingNow | LookingNow | Moved | Alert | Bye
)
Signal = Receipts | Changed | TypingNow | LookingNow | Moved
_KNOWN = {
    "welcome",
    "ok",
    "err",
    "entries",
    "receipts",
    "changed",
    "typing",
    "looking",
    "moved",
    "alert",
    "bye",
}


class _Head(msgspec.Struct, kw_only=True):
    op: str = ""


_heads = msgspec.json.Decoder(_Head)
_frames: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def decode_frame(text: str) -> Frame | None:
    """The frame, or None for a ping and for kinds that this client does not know.

    Raises `msgspec.DecodeError` when it is no frame at all.
    """
    if _heads.decode(text).op not in _KNOWN:
        return None
    return _frames.decode(text)


def encode_frame(frame: Hello | Send | Received | Read | Typing | Looking) -> str:
    """The frame as JSON text."""
    return _encoder.encode(frame).decode()
