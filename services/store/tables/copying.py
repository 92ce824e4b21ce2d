"""Rows in the binary format of COPY (PostgreSQL manual, "COPY", file formats).

Written by hand because a message makes four rows: psycopg's general encoder costs as much as all the rest of the
fold. Ids are canonical text in Python and 16 bytes in a row. ValueError or struct.error: a value that no row can hold.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

SIGNATURE = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"

_LENGTH = struct.Struct(">i")
_INT8 = struct.Struct(">iq")
_ARRAY = struct.Struct(">iiiiii")
_ARRAY_HEAD = struct.Struct(">iiiii")
_EMPTY = struct.Struct(">iiii")
_COLUMNS = struct.Struct(">h")
_TRUE = b"\0\0\0\1\1"
_FALSE = b"\0\0\0\1\0"
_INT8_OID = 20
_TEXT_OID = 25
_UUID_OID = 2950
_NO_INT8 = _EMPTY.pack(12, 0, 0, _INT8_OID)
_NO_TEXT = _EMPTY.pack(12, 0, 0, _TEXT_OID)
_UUID_LENGTH = b"\0\0\0\x10"


@lru_cache(maxsize=131072)
def some_uuid(identifier: str) -> bytes:
    """A uuid column that is never null; ValueError for anything but a canonical id. Kept, because the ids of a
    message appear in four rows and those of its conversation again and again."""
    raw = bytes.fromhex(identifier.replace("-", ""))
    if len(raw) != 16:
        raise ValueError("not a UUID")
    return _UUID_LENGTH + raw


def uuid(identifier: str | None) -> bytes:
    """A uuid column."""
    return NULL if identifier is None else some_uuid(identifier)


def int8(number: int) -> bytes:
    """A bigint column."""
    return _INT8.pack(8, number)


def boolean(value: bool) -> bytes:  # noqa: FBT001 - one value, as for every other type here
    """A boolean column."""
    return _TRUE if value else _FALSE


def blob(value: bytes) -> bytes:
    """A bytea column."""
    return _LENGTH.pack(len(value)) + value


def text(value: str | None) -> bytes:
    """A text column. ValueError for NUL, which PostgreSQL can't hold."""
    if value is None:
        return NULL
    if "\0" in value:
        raise ValueError("NUL in a text")
    raw = value.encode()
    return _LENGTH.pack(len(raw)) + raw


@lru_cache(maxsize=65536)
def word(value: str) -> bytes:
    """A text column that is never null and has few different values: kinds, subjects, authors."""
    return text(value)


def int8_array(numbers: Sequence[int]) -> bytes:
    """A bigint[] column."""
    count = len(numbers)
    if not count:
        return _NO_INT8
    values = [8] * (2 * count)
    values[1::2] = numbers
    return _ARRAY.pack(20 + 12 * count, 1, 0, _INT8_OID, count, 1) + _int8s(count).pack(*values)


@lru_cache(maxsize=256)
def _int8s(count: int) -> struct.Struct:
    return struct.Struct(">" + "iq" * count)


def text_array(values: Sequence[str]) -> bytes:
    """A text[] column."""
    if not values:
        return _NO_TEXT
    content = b"".join([text(value) for value in values])
    return _ARRAY.pack(20 + len(content), 1, 0, _TEXT_OID, len(values), 1) + content


def uuid_array(identifiers: Collection[str]) -> bytes:
    """A uuid[] as a binary parameter, without the length in front. ValueError for what is no id."""
    content = b"".join(map(some_uuid, identifiers))
    return _ARRAY_HEAD.pack(1, 0, _UUID_OID, len(identifiers), 1) + content


def row(*columns: bytes) -> bytes:
    """One row of encoded columns."""
    return _COLUMNS.pack(len(columns)) + b"".join(columns)


def array_literal(numbers: Iterable[int]) -> str:
    """Numbers as one parameter for `%s::bigint[]`: cheaper than a list, which psycopg encodes element by element."""
    return "{" + ",".join(map(str, numbers)) + "}"
