"""`events.md`: every event with its family, tag, fields and meaning."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

import shared.events
from cli.reference.markdown import code, document, fields, prose
from cli.reference.rest import structs_of
from shared import events
from shared.policy import document as policy
from shared.subjects import FAMILIES, FENCED

_UNIONS: dict[str, Any] = {
    "message": events.MessageEvent,
    "receipt": events.ReceiptEvent,
    "conversation": events.ConversationEvent,
    "account": events.AccountEvent,
    "presence": events.PresenceEvent,
    "routing": events.RoutingEvent,
}
_PARTS: tuple[type[msgspec.Struct], ...] = (
    events.Author,
    events.Envelope,
    events.Scored,
    events.Explanation,
    *structs_of(policy),
)

_INTRO = """Events are the facts in the log.
They lie there as MessagePack maps; `type` holds the tag.
A subject is `nd.ev.<shard>.<family>`.
A *fenced* family has one writer at a time: it is appended only if nothing newer than what its writer has folded lies in it.
An event's position and time are the log's and stand beside it, not in it.
A field at its default is left out; unknown fields are ignored."""


def page() -> str:
    """The whole page."""
    sections = [prose(shared.events), _families()]
    for family, union in _UNIONS.items():
        sections.append(f"## Family `{family}`" + (" (fenced)" if family in FENCED else ""))
        sections.extend(_section(kind) for kind in typing.get_args(union))
    sections += ["## In every fenced family", _section(events.WriterStarted)]
    sections += ["## Parts of events", *(_part(kind) for kind in _PARTS)]
    return document("Events", _INTRO, sections)


def missing() -> set[str]:
    """Names of events in the union that no family here lists; must be empty."""
    listed = {kind for union in _UNIONS.values() for kind in typing.get_args(union)}
    known = set(typing.get_args(events.Event)) - {events.WriterStarted}
    return {kind.__name__ for kind in known - listed}


def _families() -> str:
    """A line for families that have a subject but no event yet."""
    empty = [code(family) for family in FAMILIES if family not in _UNIONS]
    if not empty:
        return ""
    return f"The families {', '.join(empty)} have a subject, and no event in this release."


def _section(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    return f"### {kind.__name__}\n\nTag {code(tag)}.\n{prose(kind)}\n\n{fields(kind)}"


def _part(kind: type[msgspec.Struct]) -> str:
    return f"### {kind.__name__}\n\n{prose(kind)}\n\n{fields(kind)}"
