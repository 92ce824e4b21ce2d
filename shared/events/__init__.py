"""The only definitions of events. One module a family; `Event` is the closed union of all of them.

An event is never renamed or retyped; new fields have defaults; new meaning is a new event.
No event holds a number that a projection gave, and no event holds a secret or readable text that people
wrote: `bytes` fields named body, name, email, profile, comment, page, sealed are ciphertext (`shared.crypto`).
"""

from __future__ import annotations

from shared.events.account import (
    AccountCreated,
    AccountEvent,
    AccountPart,
    AgentRemoved,
    AgentSaved,
    InboxRemoved,
    InboxSaved,
    LabelRemoved,
    LabelSaved,
    PolicyRemoved,
    PolicySaved,
    RoutingPart,
    RoutingSaved,
    TeamRemoved,
    TeamSaved,
    parts_of,
)
from shared.events.conversation import (
    AssignmentRequested,
    ClaimRequested,
    ConditionsJudged,
    ContactChanged,
    ContactCreated,
    ContactMerged,
    ConversationEvent,
    ConversationStarted,
    LabelsChanged,
    NoteAdded,
    PriorityChanged,
    Rated,
    StatusChanged,
)
from shared.events.envelope import Author, Envelope, WriterStarted
from shared.events.message import MessageEdited, MessageEvent, MessagePosted, MessageRetracted
from shared.events.presence import (
    AgentOffline,
    AgentOnline,
    AvailabilityChanged,
    PresenceEvent,
    PrimaryDeviceChanged,
)
from shared.events.receipt import Read, Receipt, ReceiptEvent, Received, ReceivedTogether
from shared.events.routing import (
    AssignmentRefused,
    ConversationAssigned,
    ConversationQueued,
    DeadlineMissed,
    Escalated,
    Explanation,
    RoutingEvent,
    Scored,
)

Event = (
    MessageEvent
    | ReceiptEvent
    | ConversationEvent
    | AccountEvent
    | PresenceEvent
    | RoutingEvent
    | WriterStarted
)

__all__ = [
    "AccountCreated",
    "AccountEvent",
    "AccountPart",
    "AgentOffline",
    "AgentOnline",
    "AgentRemoved",
    "AgentSaved",
    "AssignmentRefused",
    "AssignmentRequested",
    "Author",
    "AvailabilityChanged",
    "ClaimRequested",
    "ConditionsJudged",
    "ContactChanged",
    "ContactCreated",
    "ContactMerged",
    "ConversationAssigned",
    "ConversationEvent",
    "ConversationQueued",
    "ConversationStarted",
    "DeadlineMissed",
    "Envelope",
    "Escalated",
    "Event",
    "Explanation",
    "InboxRemoved",
    "InboxSaved",
    "LabelRemoved",
    "LabelSaved",
    "LabelsChanged",
    "MessageEdited",
    "MessageEvent",
    "MessagePosted",
    "MessageRetracted",
    "NoteAdded",
    "PolicyRemoved",
    "PolicySaved",
    "PresenceEvent",
    "PrimaryDeviceChanged",
    "PriorityChanged",
    "Rated",
    "Read",
    "Receipt",
    "ReceiptEvent",
    "Received",
    "ReceivedTogether",
    "RoutingEvent",
    "RoutingPart",
    "RoutingSaved",
    "Scored",
    "StatusChanged",
    "TeamRemoved",
    "TeamSaved",
    "WriterStarted",
    "parts_of",
]
