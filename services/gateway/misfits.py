"""Everything in a request that does not fit its description, not only the first place: who keeps a long document in a
file wants to mend it once. Pure."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

import msgspec

from services.gateway.choices import with_choices
from shared.errors import Rejected

Misfit = tuple[str, str]
"""JSON pointer and what is wrong there."""
_MOST = 100
_MOST_CHARS = 300
_MOST_PARTS = 10_000
"""What is longer is too long as a whole; to look at each part of it would hold up everybody else."""
_AT = re.compile(r" - at `.*$")


def misfits(raw: bytes, kind: Any) -> list[Misfit]:
    """The first hundred places, in the order of the description. `raw` is JSON."""
    return list(islice(_misfits(msgspec.json.decode(raw), kind, ""), _MOST))


def _misfits(value: Any, kind: Any, at: str) -> Iterator[Misfit]:
    kind = _given(kind)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as err:
        inner = list(islice(_inside(value, kind, at), _MOST))
        text = _AT.sub("", str(err))[:_MOST_CHARS]
        yield from inner or [(at or "/", with_choices(Rejected("invalid", text), kind).message)]


def _given(kind: Any) -> Any:
    """The kind of what stands there, which is not "nothing stands there"."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    found = [each for each in typing.get_args(kind) if each is not msgspec.UnsetType]
    return found[0] if len(found) == 1 else typing.Union[tuple(found)]  # noqa: UP007 - of a list


def _inside(value: Any, kind: Any, at: str) -> Iterator[Misfit]:
    """What is wrong with the parts of a value; nothing when it is the value itself."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, list | dict) and len(value) > _MOST_PARTS:
        return
    if origin is Annotated:
        yield from _inside(value, args[0], at)
    elif origin in (typing.Union, types.UnionType):
        # Of what may stand there besides null there is one that has parts.
        for each in args:
            yield from _inside(value, each, at)
    elif origin is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _misfits(each, args[0], f"{at}/{number}")
    elif origin is dict and isinstance(value, dict):
        for key, each in value.items():
            yield from _misfits(key, args[0], f"{at}/{_step(key)}")
            yield from _misfits(each, args[1], f"{at}/{_step(key)}")
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        yield from _of_struct(value, kind, at)


def _of_struct(value: dict[str, Any], kind: type[msgspec.Struct], at: str) -> Iterator[Misfit]:
    hints = _hints(kind)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        if name in value:
            yield from _misfits(value[name], hints[field.name], f"{at}/{name}")
        elif field.required:
            yield f"{at}/{name}", "is missing"
    if kind.__struct_config__.forbid_unknown_fields:
        for name in value:
            if name not in fields:
                yield (
                    f"{at}/{_step(name)}",
                    f"there is no such field; there are {', '.join(fields)}",
                )


@lru_cache(maxsize=200)
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
