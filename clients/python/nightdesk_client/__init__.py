"""Nightdesk for Python: send once, receive once, in order, whatever the network does in between.

`Visitor.arrive`, `Visitor.returning` and `Agent.sign_in` give a connected `Client`; `Staff` calls REST only.
"""

from nightdesk_client.agent import Agent
from nightdesk_client.client import Client, Options
from nightdesk_client.errors import (
    ApiError,
    Closed,
    NightdeskClientError,
    SendRefused,
    SessionRefused,
    SignedOut,
    Unreachable,
)
from nightdesk_client.ids import new_id
from nightdesk_client.items import Alert, Bookmark, Entry, Item, Reset, Sent, Started
from nightdesk_client.outbox import FileOutbox, MemoryOutbox, Outbox
from nightdesk_client.staff import Staff
from nightdesk_client.visitor import Visitor
from nightdesk_client.wire import (
    Author,
    Changed,
    Conversation,
    Looker,
    LookingNow,
    Message,
    Moved,
    Note,
    Receipt,
    Receipts,
    Signal,
    TypingNow,
)

__all__ = [
    "Agent",
    "Alert",
    "ApiError",
    "Author",
    "Bookmark",
    "Changed",
    "Client",
    "Closed",
    "Conversation",
    "Entry",
    "FileOutbox",
    "Item",
    "Looker",
    "LookingNow",
    "MemoryOutbox",
    "Message",
    "Moved",
    "NightdeskClientError",
    "Note",
    "Options",
    "Outbox",
    "Receipt",
    "Receipts",
    "Reset",
    "SendRefused",
    "Sent",
    "SessionRefused",
    "Signal",
    "SignedOut",
    "Staff",
    "Started",
    "TypingNow",
    "Unreachable",
    "Visitor",
    "new_id",
]
