"""The demo account: what `nightdesk seed` makes and what the tools that try an installation out sign in with."""

from __future__ import annotations

import os
import uuid

import msgspec

_DEMO = uuid.UUID("3f0d1e8a-9b0c-5c55-8f51-5f9c7a0c1d2e")
ACCOUNT_ID = str(uuid.uuid5(_DEMO, "account"))
ADMIN_ID = str(uuid.uuid5(_DEMO, "admin"))
ACCOUNT_NAME = "Demo"
INBOX_NAME = "Demo shop"
DEVELOPMENT_PASSWORD = "nightdesk-demo"
"""Only in development mode; elsewhere each agent gets one of their own, shown once."""


class DemoAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of the demo account."""

    name: str
    email: str
    role: str
    skills: dict[str, int]
    teams: tuple[str, ...]


ADMIN = DemoAgent(
    name="林晓 Lin Xiao",
    email="lin@demo.example",
    role="admin",
    skills={"lang:zh": 5, "lang:en": 4, "billing": 3},
    teams=("Support", "Billing"),
)
AGENTS = (
    ADMIN,
    DemoAgent(
        name="Anna Berg",
        email="anna@demo.example",
        role="supervisor",
        skills={"lang:en": 5, "lang:zh": 2, "technical": 4},
        teams=("Support",),
    ),
    DemoAgent(
        name="Tom Okoro",
        email="tom@demo.example",
        role="agent",
        skills={"lang:en": 5, "lang:zh": 3, "billing": 5},
        teams=("Support", "Billing"),
    ),
)
TEAMS = ("Support", "Billing")
LABELS = {"refund": "#c2410c", "vip": "#7c3aed"}


def is_development() -> bool:
    """Whether fixed passwords are allowed."""
    return os.environ.get("NIGHTDESK_MODE") == "development"
