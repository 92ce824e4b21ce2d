"""`queries.md`: what services ask the store, and the hints by which it speaks on its own."""

from __future__ import annotations

import msgspec

from cli.reference.markdown import document, fields, prose
from cli.reference.rest import structs_of
from shared import queries

_INTRO = """For people who work on Nightdesk itself: clients use the REST and WebSocket interfaces.
MessagePack over core NATS; a question goes to `nd.q.<shard>.<name>`, a hint comes on `nd.hint.<shard>.<bucket>`."""


def page() -> str:
    """The whole page, in the order of the module."""
    sections = [f"## {kind.__name__}\n\n{prose(kind)}\n\n{fields(kind)}" for kind in _structs()]
    return document("Questions to the store", _INTRO, [prose(queries), *sections])


def _structs() -> list[type[msgspec.Struct]]:
    return [each for each in structs_of(queries) if msgspec.structs.fields(each)]
