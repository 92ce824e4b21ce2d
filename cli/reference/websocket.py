"""`websocket.md`: the frames of both sides."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from cli.reference.markdown import code, document, fields, prose
from shared.wire import frames

_INTRO = """The address is `/ws` on the gateway's port; the running gateway serves the same as AsyncAPI at `/api/v1/asyncapi.json`.
`op` names the frame.
Objects such as EntryView are described with [REST](rest.md#objects), close codes with the [errors](errors.md#websocket-close-codes)."""


def page() -> str:
    """The whole page."""
    sections = [prose(frames)]
    for title, union in (("From the client", _CLIENT), ("From the server", _SERVER)):
        sections += [f"## {title}", *(_frame(kind) for kind in typing.get_args(union))]
    return document("WebSocket", _INTRO, sections)


def _frame(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    return f"### {code(tag)}\n\n{prose(kind)}\n\n{fields(kind)}"


_CLIENT: Any = frames.ClientFrame
_SERVER: Any = frames.ServerFrame
