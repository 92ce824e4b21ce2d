"""Columns in PostgreSQL's binary format, in the two forms that rows travel in: as the input of COPY, and as elements
of an array of a table's row type (PostgreSQL manual, "COPY", file formats; `record_recv`).

Written by hand because a message makes five rows: psycopg's general encoder costs as much as all the rest of the
fold. Ids are canonical text in Python and 16 bytes in a row. ValueError or struct.error: a value that no row can hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache

SIGNATURE = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"
TRAILER = b"\xff\xff"

_LENGTH = struct.Struct(">i")
_ARRAY_HEAD = struct.Struct(">iiiii")
_BOOL_OID = 16
_BYTEA_OID = 17
_INT8_OID = 20
_INT2_OID = 21
_TEXT_OID = 25
_TEXTS_OID = 1009
_INT8S_OID = 1016
_TIME_OID = 1184
_UUID_OID = 2950
_NO_ITEMS = {
    oid: struct.pack(">iii", 0, 0, item)
    for oid, item in ((_INT8S_OID, _INT8_OID), (_TEXTS_OID, _TEXT_OID))
}


class Form:
    """How a row and its columns begin: COPY names the length of a column, a record its type and its length.

    `numbers` packs columns of fixed size, each after its mark: `form.numbers("qqh")(form.int8, 1, form.int8, 2,
    form.int2, 3)`. What repeats is kept encoded; ids appear in five rows and those of a conversation again and again.
    """

    def __init__(self, *, is_typed: bool) -> None:
        self.is_typed = is_typed
        self._mark = struct.Struct(">q" if is_typed else ">i").pack
        self._head = struct.Struct(">i" if is_typed else ">h").pack
        self.int8 = self._of(_INT8_OID, 8)
        self.int2 = self._of(_INT2_OID, 2)
        self.time = self._of(_TIME_OID, 8)
        self.bool = self._of(_BOOL_OID, 1)
        self.bytea = self._of(_BYTEA_OID, 0)
        """To be added to the size: what stands before the content."""
        self._text = self._of(_TEXT_OID, 0)
        self._uuid = self._mark(self._of(_UUID_OID, 16))
        self.no_uuid = self._mark(self._of(_UUID_OID, -1))
        self.no_text = self._mark(self._of(_TEXT_OID, -1))
        self.uuid = lru_cache(maxsize=65536)(self._some_uuid)
        # Ids of messages come once and never again: they would push those out that come back.
        self.fresh = lru_cache(maxsize=1024)(self._some_uuid)
        self.pair = lru_cache(maxsize=65536)(self._pair)
        self.word = lru_cache(maxsize=65536)(self.text)
        self.words = lru_cache(maxsize=65536)(self._words)

    def _of(self, oid: int, length: int) -> int:
        return (oid << 32) | (length & 0xFFFFFFFF) if self.is_typed else length

    def head(self, columns: int) -> bytes:
        """Before the columns of a row."""
        return self._head(columns)

    def numbers(self, codes: str, *, has_blob: bool = False) -> Callable[..., bytes]:
        """A function that packs marks and values in turn; codes as those of `struct`. `has_blob`: and what stands before
        a bytea column that follows."""
        mark = "q" if self.is_typed else "i"
        last = mark if has_blob else ""
        return struct.Struct(">" + "".join([mark + code for code in codes]) + last).pack

    def _some_uuid(self, identifier: str) -> bytes:
        return self._uuid + raw_uuid(identifier)

    def _pair(self, first: str, second: str) -> bytes:
        return self.uuid(first) + self.uuid(second)

    def blob_mark(self, size: int) -> bytes:
        """Before the content of a bytea column."""
        return self._mark(self.bytea + size)

    def text(self, value: str) -> bytes:
        """A text column. ValueError for NUL, which PostgreSQL can't hold."""
        raw = _text(value)
        return self._mark(self._text + len(raw)) + raw

    def _words(self, *values: str) -> bytes:
        return b"".join([self.word(value) for value in values])

    def int8s(self, numbers: Sequence[int]) -> bytes:
        """A bigint[] column."""
        count = len(numbers)
        if not count:
            return self._array(_INT8S_OID, _NO_ITEMS[_INT8S_OID])
        values = [8] * (2 * count)
        values[1::2] = numbers
        head = _ARRAY_HEAD.pack(1, 0, _INT8_OID, count, 1)
        return self._array(_INT8S_OID, head + _int8s(count).pack(*values))

    def texts(self, values: Sequence[str]) -> bytes:
        """A text[] column."""
        if not values:
            return self._array(_TEXTS_OID, _NO_ITEMS[_TEXTS_OID])
        raws = [_text(value) for value in values]
        head = _ARRAY_HEAD.pack(1, 0, _TEXT_OID, len(values), 1)
        content = b"".join([_LENGTH.pack(len(raw)) + raw for raw in raws])
        return self._array(_TEXTS_OID, head + content)

    def _array(self, oid: int, content: bytes) -> bytes:
        return self._mark(self._of(oid, len(content))) + content


@lru_cache(maxsize=256)
def _int8s(count: int) -> struct.Struct:
    return struct.Struct(">" + "iq" * count)


def _text(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("NUL in a text")
    return value.encode()


def raw_uuid(identifier: str) -> bytes:
    """The 16 bytes of a canonical id; ValueError for anything else."""
    raw = bytes.fromhex(identifier.replace("-", ""))
    if len(raw) != 16:
        raise ValueError("not a UUID")
    return raw


COPY = Form(is_typed=False)
RECORDS = Form(is_typed=True)


def uuid_array(identifiers: Collection[str]) -> bytes:
    """A uuid[] as a binary parameter. ValueError for what is no id."""
    content = b"".join([COPY.uuid(identifier) for identifier in identifiers])
    return _ARRAY_HEAD.pack(1, 0, _UUID_OID, len(identifiers), 1) + content


def record_array(oid: int, records: Sequence[bytes]) -> bytes:
    """An array of records of the row type `oid` as a binary parameter."""
    parts = [_ARRAY_HEAD.pack(1, 0, oid, len(records), 1)]
    for record in records:
        parts += (_LENGTH.pack(len(record)), record)
    return b"".join(parts)


def array_literal(numbers: Iterable[int]) -> str:
    """Numbers as one parameter for `%s::bigint[]`: cheaper than a list, which psycopg encodes element by element."""
    return "{" + ",".join(map(str, numbers)) + "}"
