"""WebSocket frames, subprotocol `nightdesk.v1`: JSON text, one object a frame, at most 64 KiB.

The client's first frame is `hello`, within 5 s. An empty object is a ping either way; any traffic counts as life.
Close codes 3000–3499: come back (first try after 0–1 s at random, then full jitter growing to 5 s in the first minute of
an outage and to 20 s after it); 3500–3999: don't.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.wire.views import AuthorView, EntryView, LookerView, MessageView, ReceiptView

SUBPROTOCOL = "nightdesk.v1"
MAX_FRAME_BYTES = 65_536
MAX_TEXT_CHARS = 8_000

CLOSE_CODES: dict[int, tuple[str, str]] = {
    3000: ("restarting", "the gateway restarts; come back after the time that `bye` named"),
    3001: ("silent", "nothing was heard from the client for two ping intervals"),
    3002: ("unavailable", "the gateway can't serve this session now"),
    3008: (
        "too_slow",
        "the client reads too slowly and its queue is full: resume from your cursor",
    ),
    3009: ("token_expired", "the token ran out: fetch a fresh one and come back"),
    3500: ("bad_frame", "not a JSON object of a known form"),
    3501: ("unauthorized", "the token is missing, wrong, forged or revoked"),
    3502: ("hello_timeout", "no hello within 5 s"),
    3503: ("frame_too_large", "a frame of more than 64 KiB"),
    3504: ("replaced", "the same device said hello on a newer connection"),
    3505: ("too_many_faults", "the client went on sending frames that were refused"),
    3506: ("origin_not_allowed", "this web origin is not on the inbox's list"),
}


class _In(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """Settings of frames that clients send."""


class Hello(_In, frozen=True, kw_only=True, tag="hello"):
    """Opens the session. `device` is a UUID that the client keeps. `resume`: the last `cursor` it got, or null for
    a fresh start (then `welcome.cursor` is now; load a snapshot by REST)."""

    token: str
    device: str
    resume: str | None = None
    client: str = ""


class Send(_In, frozen=True, kw_only=True, tag="send"):
    """Post a message. `message_id` is made by the sender (UUIDv7); say `resend` when it may have been sent before.
    `seen_up_to` (agents): position of the last entry of the conversation that the author had been shown; left out,
    everything stored when the frame arrives counts as seen. `only_if_seen` (agents, with `seen_up_to`): refused with
    `crossed` when somebody else wrote after that. Two that are sent at two gateways in the same moment may still both
    be posted; the later is then marked `crossed`."""

    id: int
    conversation_id: str
    message_id: str
    text: str
    content_type: Literal["text"] = "text"
    resend: bool = False
    seen_up_to: int | None = None
    only_if_seen: bool = False


class Received(_In, frozen=True, kw_only=True, tag="received"):
    """This device holds every entry up to `up_to`. Not answered. `alerted`: the newest position that this device made
    itself heard for, 0 for none. Say it if you can: left out, an acknowledgement before `alert_until` counts as
    having been heard, and after a later one you are told again."""

    up_to: int
    alerted: int | None = None


class Read(_In, frozen=True, kw_only=True, tag="read"):
    """The person has seen the conversation up to `up_to`. Not answered."""

    conversation_id: str
    up_to: int


class Typing(_In, frozen=True, kw_only=True, tag="typing"):
    """The person types (or stopped). Passes beside the log; not answered."""

    conversation_id: str
    is_typing: bool = True


class Looking(_In, frozen=True, kw_only=True, tag="looking"):
    """For agents: this device has the conversation open (or closed it). Answered with `looking`: who else has it open.
    Holds until it is closed or the connection ends, so say it again on a new one. A device has at most 8 open; one more
    takes the place of the one that it opened first. Passes beside the log."""

    conversation_id: str
    is_looking: bool = True


ClientFrame = Hello | Send | Received | Read | Typing | Looking


class _Out(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """Settings of frames that the server sends."""


class Welcome(_Out, frozen=True, kw_only=True, tag="welcome"):
    """The session is open. `recovered`: true, entries after the given cursor follow; false, the cursor can't be
    used (or none was given): reload by REST and go on from `cursor`; null: unknown now, keep what you have and say
    hello again later. `unread` is null when unknown. `position` is where `cursor` stands: the `prev` of the next
    entry, and what a client that reloaded acknowledges. `at` is the server's time, to read `alert_until` by."""

    connection: int
    ping_s: int
    recovered: bool | None
    unread: int | None
    cursor: str | None
    you: AuthorView
    position: int | None = None
    at: str | None = None


class Ok(_Out, frozen=True, kw_only=True, tag="ok"):
    """Done, durably. `position` is where it stands in the log."""

    id: int
    position: int
    message_id: str | None = None


class Err(_Out, frozen=True, kw_only=True, tag="err"):
    """Not done, or (code "unknown") nobody knows yet: send the same id again. `retry`: whether the same frame may
    succeed later."""

    code: str
    message: str
    retry: bool
    id: int | None = None


class Entries(_Out, frozen=True, kw_only=True, tag="entries"):
    """Entries of your inbox, in order. `cursor` stands after the last of them: keep it, once they are kept.
    `current`: nothing more was stored when this was sent."""

    entries: list[EntryView]
    cursor: str
    current: bool


class Receipts(_Out, frozen=True, kw_only=True, tag="receipts"):
    """How far others got in your conversations."""

    receipts: list[ReceiptView]


class Changed(_Out, frozen=True, kw_only=True, tag="changed"):
    """A list that is no inbox, or the counts beside it, changed at `position`: fetch it again if you show it. For agents.
    `team_ids`: whose; none of them when it may be anybody's."""

    position: int
    team_ids: list[str]


class TypingNow(_Out, frozen=True, kw_only=True, tag="typing"):
    """Somebody else types in one of your conversations, or in one that you look at."""

    conversation_id: str
    by: AuthorView
    is_typing: bool


class LookingNow(_Out, frozen=True, kw_only=True, tag="looking"):
    """The other agents who have the conversation open or type in it: all of them (at most 50, the longest there
    first), at every change, to those who look at it too and to whoever holds it. Never for visitors."""

    conversation_id: str
    agents: list[LookerView]


class Moved(_Out, frozen=True, kw_only=True, tag="moved"):
    """For agents: something happened in a conversation that this device looks at and its agent does not hold. `kind` is
    that of an inbox entry, `message` stands with a message. May be lost, and "unknown" says that something may have
    been: then read the conversation again."""

    conversation_id: str
    position: int
    kind: str
    message: MessageView | None = None


class Alert(_Out, frozen=True, kw_only=True, tag="alert"):
    """For agents: nobody has answered for what stands at `position` (and perhaps before it), and this device holds the
    alert lock now. Make yourself heard, unless `alert_until` has passed or you did so for this position or a later
    one; then say `received` once more. `fence` grows with every move of the lock: ignore a frame with a lower one
    than you have seen."""

    position: int
    alert_until: str
    fence: int


class Bye(_Out, frozen=True, kw_only=True, tag="bye"):
    """The server is about to close. Come back after `retry_after_ms`."""

    code: str
    retry_after_ms: int


ServerFrame = (
    Welcome | Ok | Err | Entries | Receipts | Changed | TypingNow | LookingNow | Moved | Alert | Bye
)
