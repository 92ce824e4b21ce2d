"""Markdown for the generated pages: tables, prose from docstrings, types in the reader's words."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

MADE = "<!-- Made from the code by `nightdesk reference`; edit the code, not this page. -->"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")


def cell(text: str) -> str:
    """Text that stays inside its table cell."""
    return plain(" ".join(text.split())).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty string when there are no rows."""
    lines = ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *lines])


def prose(thing: object) -> str:
    """A docstring as paragraphs, one sentence a line."""
    paragraphs = (inspect.getdoc(thing) or "").split("\n\n")
    lines = (_SENTENCE_END.split(plain(" ".join(text.split()))) for text in paragraphs)
    return "\n\n".join("\n".join(each) for each in lines)


def plain(text: str) -> str:
    """Text whose angle brackets are not taken for HTML; code in backticks stays as it is."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "\\<") for part in parts[::2]]
    return "`".join(parts)


def document(title: str, intro: str, sections: Iterable[str]) -> str:
    """A whole page, ended by a line break."""
    parts = [f"# {title}", MADE, intro, *sections]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(value: object) -> str:
    """A value as code."""
    return f"`{value}`"


def type_name(hint: Any) -> str:
    """A type as a reader of the wire sees it: "list of …", "… or null", the words of a Literal."""
    args = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin is Literal:
        return " or ".join(code(value) for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(arg) for arg in args if arg is not msgspec.UnsetType)
    if origin in (tuple, list):
        return _sequence(args)
    if origin is dict:
        return f"map of {type_name(args[0])} to {type_name(args[1])}"
    return _PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def _sequence(args: tuple[Any, ...]) -> str:
    if len(args) == 1 or args[1] is Ellipsis:
        return f"list of {type_name(args[0])}"
    return "(" + ", ".join(type_name(arg) for arg in args) + ")"


_PLAIN: dict[Any, str] = {type(None): "null", str: "text", float: "number", bool: "true or false"}


def fields(kind: type[msgspec.Struct], *, what: str = "field") -> str:
    """The fields of a struct with type and default."""
    hints = typing.get_type_hints(kind, include_extras=True)
    rows = [
        (code(field.encode_name), type_name(hints[field.name]), _default(field))
        for field in msgspec.structs.fields(kind)
    ]
    return table((what, "type", "default"), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        factory: Any = field.default_factory
        value = factory()
    if value in ("", b"", (), [], {}):
        return "empty"
    if value is msgspec.UNSET:
        return "absent"
    return code(_words(value))


def _words(value: object) -> object:
    """A default as JSON would spell it."""
    if value is None or isinstance(value, msgspec.Raw):
        return "null"
    return str(value).lower() if isinstance(value, bool) else value
