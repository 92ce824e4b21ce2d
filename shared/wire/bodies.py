"""REST requests and answers under `/api/v1`. Requests forbid unknown fields."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shared.conversation import Status
from shared.events.account import Role
from shared.events.conversation import Priority, SettableStatus
from shared.events.presence import Availability
from shared.wire.views import (
    AgentView,
    ContactView,
    ConversationView,
    InboxView,
    LabelView,
    MessageView,
    NoteView,
    PolicyView,
    TeamView,
)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=8_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Email = Annotated[
    str, msgspec.Meta(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")
]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=31_536_000)]
Skills = Annotated[
    dict[Word, Annotated[int, msgspec.Meta(ge=1, le=5)]], msgspec.Meta(max_length=100)
]
Channels = Annotated[
    dict[
        Annotated[str, msgspec.Meta(min_length=1, max_length=16, pattern=r"^[a-z_]*$")],
        Annotated[int, msgspec.Meta(ge=0, le=1_000)],
    ],
    msgspec.Meta(max_length=100),
]
"""At most so many conversations of a channel at once."""


class _In(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of requests."""


class _Out(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of answers."""


# ---------------------------------------------------------------- sign-in


class Login(_In, frozen=True, kw_only=True):
    """POST /auth/login."""

    email: Email
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Refresh(_In, frozen=True, kw_only=True):
    """POST /auth/refresh and /auth/logout."""

    refresh_token: Annotated[str, msgspec.Meta(max_length=512)]


class Tokens(_Out, frozen=True, kw_only=True):
    """A short access token and the refresh token that replaces the one before it."""

    access_token: str
    expires_in_s: int
    refresh_token: str
    account_id: str
    agent_id: str
    role: Role


class Me(_Out, frozen=True, kw_only=True):
    """GET /me: who the token is."""

    kind: Literal["visitor", "agent", "integration"]
    id: str
    account_id: str
    role: Literal["visitor", "agent", "supervisor", "admin", "integration"]
    agent: AgentView | None = None
    contact: ContactView | None = None


class Arrive(_In, frozen=True, kw_only=True):
    """POST /inboxes/{inbox_key}/contacts: a visitor arrives. `identity_token` is a JWT (HS256) that the site's back
    end signed: `sub` is the visitor's id there; `name`, `email`, `exp`, `iat`. `visitor_token`: the anonymous token
    that the device had before; its conversations move to the identified contact."""

    identity_token: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    visitor_token: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    name: Name | None = None
    email: Email | None = None
    attributes: Annotated[
        dict[Word, Annotated[str, msgspec.Meta(max_length=500)]], msgspec.Meta(max_length=50)
    ] = {}


class ChangeContact(_In, frozen=True, kw_only=True):
    """PATCH /contacts/{id}: absent fields stay, null forgets. Of `attributes` only those named change."""

    name: Name | msgspec.UnsetType | None = msgspec.UNSET
    email: Email | msgspec.UnsetType | None = msgspec.UNSET
    attributes: (
        Annotated[
            dict[Word, Annotated[str, msgspec.Meta(max_length=500)] | None],
            msgspec.Meta(max_length=50),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class Arrived(_Out, frozen=True, kw_only=True):
    """The visitor's id and token."""

    contact_id: str
    visitor_token: str
    expires_in_s: int


# ---------------------------------------------------------------- conversations


class FirstMessage(_In, frozen=True, kw_only=True):
    """A message posted together with its conversation."""

    message_id: str
    text: Text


class StartConversation(_In, frozen=True, kw_only=True):
    """POST /conversations. `conversation_id` is made by the client (UUIDv7): sending it again is harmless.
    `Idempotency-Key`, when given, must be the `conversation_id`. Visitors give `inbox_id` never (their token names it); agents and integrations give `contact_id`. `page`: the
    address on which it began, kept secret; rules of the policy may ask for it."""

    conversation_id: str
    contact_id: str | None = None
    language: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[A-Za-z0-9-]*$")] = ""
    channel: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[a-z_]*$")] = ""
    priority: Priority = "normal"
    page: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    message: FirstMessage | None = None


class PostMessage(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/messages. `Idempotency-Key`, when given, must be the `message_id`. `only_if_seen` (agents,
    with `seen_up_to`): 409 `crossed` when somebody else wrote after that, and nothing is posted."""

    message_id: str
    text: Text
    content_type: Literal["text"] = "text"
    resend: bool = False
    seen_up_to: int | None = None
    only_if_seen: bool = False


class EditMessage(_In, frozen=True, kw_only=True):
    """PATCH /messages/{id}."""

    text: Text
    revision: Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class Posted(_Out, frozen=True, kw_only=True):
    """201: durable. `repeated`: this MessageID was accepted before, at `position`."""

    message_id: str
    position: int
    repeated: bool = False


class Wished(_Out, frozen=True, kw_only=True):
    """202: the wish is durable at `position`; its outcome is an event that follows."""

    position: int


class Assign(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/assign: to an agent, or back to a team's queue. `seen_up_to` as for messages: the wish is
    refused (`already_assigned`) when somebody else's was met after that."""

    agent_id: str | None = None
    team_id: str | None = None
    seen_up_to: int | None = None


class ChangeLabels(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/labels."""

    add: Annotated[list[Word], msgspec.Meta(max_length=50)] = []
    remove: Annotated[list[Word], msgspec.Meta(max_length=50)] = []


class AddNote(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/notes."""

    note_id: str
    text: Text


class ChangeStatus(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/status. `until` (RFC 3339) for snoozed; `seen_up_to` as for messages."""

    status: SettableStatus
    seen_up_to: int | None = None
    until: str | None = None


class ChangePriority(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/priority."""

    priority: Priority


class MarkRead(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/read."""

    up_to: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Rate(_In, frozen=True, kw_only=True):
    """POST /conversations/{id}/rating."""

    score: Annotated[int, msgspec.Meta(ge=1, le=5)]
    comment: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


class PageInfo(_Out, frozen=True, kw_only=True):
    """`next` goes into `after=`; null on the last page."""

    next: str | None


class Conversations(_Out, frozen=True, kw_only=True):
    """A page of conversations."""

    data: list[ConversationView]
    page: PageInfo


class Count(_Out, frozen=True, kw_only=True):
    """How many conversations, also in each status. `team_unread`: of them somebody waits in, and no agent has read the
    newest; `overdue`: a deadline is past; `escalated`: so long that the supervisors were told."""

    conversations: int
    by_status: dict[Status, int]
    team_unread: int
    overdue: int
    escalated: int


class MyCount(Count, frozen=True, kw_only=True):
    """What the asker holds. `unread`: in so many conversations, not messages, there is something that the asker has
    not read."""

    unread: int


class TeamCount(Count, frozen=True, kw_only=True):
    """Those of one team; null: of no team, and no team has their inbox (`team=none`)."""

    team_id: str | None


class ConversationCounts(_Out, frozen=True, kw_only=True):
    """Each number is the length of a list of `GET /conversations`: `all`, `mine` and `unassigned` those of `view=`, each
    of `teams` that of `view=all&team=`; `by_status` with `status=`, `team_unread` with `team_unread=true`, and so
    `overdue`, `escalated` and `unread`. `mine` is null for API keys, who hold none. `is_cut`: more than 10,000 match the filters, or are mine,
    and were not counted further."""

    all: Count
    mine: MyCount | None
    unassigned: Count
    teams: list[TeamCount]
    is_cut: bool


class Messages(_Out, frozen=True, kw_only=True):
    """Messages in ascending `seq`. `more`: there are more in the direction asked."""

    data: list[MessageView]
    more: bool


class Notes(_Out, frozen=True, kw_only=True):
    """Notes, oldest first."""

    data: list[NoteView]
    more: bool


class QueuePlace(_Out, frozen=True, kw_only=True):
    """GET /conversations/{id}/queue. `place`: among those whom the same agents may take; 1 is next, null waits in no queue. `expected_s`: from how long
    conversations of the team have taken and who is here now; null is not known. `is_open`: null without business
    hours; `opens_at`: when they open next, `opens_at_local` the same by the clock of their time zone `zone`. `is_escalated`: the supervisors were told that it waits too long.
    `given_at`: when whoever has it was told, at night the person on call; null while nobody has it."""

    conversation_id: str
    state: Status
    place: int | None
    expected_s: int | None
    is_open: bool | None
    opens_at: str | None
    opens_at_local: str | None
    zone: str | None
    is_escalated: bool
    waiting_since_at: str | None
    given_at: str | None


# ---------------------------------------------------------------- configuration


class SaveAgent(_In, frozen=True, kw_only=True):
    """POST /agents. `channel_capacity`: of `capacity`, at most so many of a channel."""

    name: Name
    email: Email
    password: Annotated[str, msgspec.Meta(min_length=10, max_length=200)]
    role: Role = "agent"
    capacity: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5
    skills: Skills = {}
    channel_capacity: Channels = {}


class ChangeAgent(_In, frozen=True, kw_only=True):
    """PATCH /agents/{id}; absent fields stay. `removed: true` removes the agent."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    email: Email | msgspec.UnsetType = msgspec.UNSET
    password: Annotated[str, msgspec.Meta(min_length=10, max_length=200)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    role: Role | msgspec.UnsetType = msgspec.UNSET
    capacity: Annotated[int, msgspec.Meta(ge=0, le=1_000)] | msgspec.UnsetType = msgspec.UNSET
    skills: Skills | msgspec.UnsetType = msgspec.UNSET
    channel_capacity: Channels | msgspec.UnsetType = msgspec.UNSET


class SetAvailability(_In, frozen=True, kw_only=True):
    """PUT /agents/{id}/availability."""

    availability: Availability


class SaveTeam(_In, frozen=True, kw_only=True):
    """POST /teams, PATCH /teams/{id} (absent fields stay)."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    members: (
        Annotated[
            dict[str, Annotated[int, msgspec.Meta(ge=0, le=1_000)]], msgspec.Meta(max_length=5_000)
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class SaveInbox(_In, frozen=True, kw_only=True):
    """POST /inboxes, PATCH /inboxes/{id} (absent fields stay)."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    channel: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=16, pattern=r"^[a-z_]*$")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    team_id: str | msgspec.UnsetType | None = msgspec.UNSET
    skills: Skills | msgspec.UnsetType = msgspec.UNSET
    policy_id: str | msgspec.UnsetType | None = msgspec.UNSET
    origins: (
        Annotated[list[Annotated[str, msgspec.Meta(max_length=255)]], msgspec.Meta(max_length=100)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class SaveLabel(_In, frozen=True, kw_only=True):
    """POST /labels."""

    name: Word
    colour: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[#A-Za-z0-9]*$")] = ""


class ChangeLabel(_In, frozen=True, kw_only=True):
    """PATCH /labels/{name}."""

    colour: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^[#A-Za-z0-9]*$")]


class AccountView(_Out, frozen=True, kw_only=True):
    """GET /account."""

    account_id: str
    name: str | None
    version: int


class AgentState(_Out, frozen=True, kw_only=True):
    """How an agent is now."""

    agent_id: str
    online: bool
    availability: Availability


class AgentStates(_Out, frozen=True, kw_only=True):
    """GET /presence."""

    data: list[AgentState]


class MakeApiKey(_In, frozen=True, kw_only=True):
    """POST /api_keys (admins)."""

    name: Name
    role: Literal["integration"] = "integration"


class ApiKey(_Out, frozen=True, kw_only=True):
    """The key in full is shown this once."""

    api_key_id: str
    name: str
    api_key: str | None = None
    created_at: str | None = None


class IdentitySecret(_Out, frozen=True, kw_only=True):
    """POST /inboxes/{id}/identity_secret: the secret with which the site's back end signs identity tokens; shown
    once, replaces the one before."""

    inbox_id: str
    secret: str


class Agents(_Out, frozen=True, kw_only=True):
    """GET /agents."""

    data: list[AgentView]


class Teams(_Out, frozen=True, kw_only=True):
    """GET /teams."""

    data: list[TeamView]


class Inboxes(_Out, frozen=True, kw_only=True):
    """GET /inboxes."""

    data: list[InboxView]


class Policies(_Out, frozen=True, kw_only=True):
    """GET /policies."""

    data: list[PolicyView]


class Labels(_Out, frozen=True, kw_only=True):
    """GET /labels."""

    data: list[LabelView]


class ApiKeys(_Out, frozen=True, kw_only=True):
    """GET /api_keys."""

    data: list[ApiKey]


class Problem(_Out, frozen=True, kw_only=True):
    """An error, RFC 9457 (`application/problem+json`). `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []
