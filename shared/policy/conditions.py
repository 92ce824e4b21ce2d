"""Conditions on what people wrote: the page a visitor came from, and attributes of a contact. Only a gateway sees both
in clear, so only a gateway judges them; the log holds the names of those that are met. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Met when all that is given is so. `page`: a pattern in which * stands for anything, for the path when it begins
    with a slash, else for host and path. `attribute`: its name; `equals`: its value, any when empty."""

    page: str = ""
    attribute: str = ""
    equals: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return not (self.page or self.attribute)


def is_met(condition: Condition, page: str, attributes: Mapping[str, str]) -> bool:
    """Whether the conversation that began on `page`, of a contact with these attributes, fits."""
    if condition.page and not _is_on(condition.page, page):
        return False
    if not condition.attribute:
        return True
    value = attributes.get(condition.attribute)
    return value is not None and condition.equals in ("", value)


def _is_on(pattern: str, page: str) -> bool:
    """Query and fragment never count, nor does the case of the host."""
    try:
        parts = urlsplit(page)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    path = parts.path or "/"
    return _fits(pattern, path if pattern.startswith("/") else host + path)


def _fits(pattern: str, text: str) -> bool:
    """Piece by piece from the left: no pattern, whoever wrote it, takes longer than its length times the text's."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in rest[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])
