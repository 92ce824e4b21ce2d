"""What could have stood where a client wrote a word that is none of the choices, or a field that is not there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect

from shared.errors import Rejected

_MOST_CHARS = 300
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_AT = re.compile(r"^(Invalid enum value [^`]*?)( - at `\$([^`]*)`)?$")


def with_choices(refusal: Rejected, kind: Any) -> Rejected:
    """The refusal with the words that are allowed there, if that is what was wrong."""
    found = _AT.match(refusal.message)
    if found is None:
        return refusal
    steps = [a or b for a, b in _STEP.findall(found[3] or refusal.pointer or "")]
    words = sorted(_words(inspect.type_info(kind), steps))
    if not words:
        return refusal
    text = f"{found[1]}; it is one of {', '.join(words)}{found[2] or ''}"
    return Rejected(refusal.code, text, pointer=refusal.pointer)


def of_frame(fault: msgspec.ValidationError, kind: type[msgspec.Struct]) -> Rejected:
    """What is wrong with a frame of a kind, and what may stand there."""
    text = with_choices(Rejected("invalid", str(fault)[:_MOST_CHARS]), kind).message
    if "unknown field" in text:
        text = f"{text}; there are {', '.join(kind.__struct_fields__)}"
    return Rejected("invalid", text)


def _words(kind: Any, steps: Sequence[str]) -> set[str]:
    match kind:
        case inspect.Metadata(type=inner):
            return _words(inner, steps)
        case inspect.UnionType(types=types):
            return {word for each in types for word in _words(each, steps)}
        case inspect.LiteralType(values=values) if not steps:
            return {str(value) for value in values}
        case inspect.StructType(fields=fields) if steps:
            fitting = [field for field in fields if field.encode_name == steps[0]]
            return {word for field in fitting for word in _words(field.type, steps[1:])}
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner) if steps:
            return _words(inner, steps[1:])
        case inspect.DictType(value_type=inner) if steps:
            return _words(inner, steps[1:])
        case _:
            return set()
