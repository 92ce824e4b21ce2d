"""Parameters of statements that are encoded here, in binary: psycopg encodes a list element by element, and
PostgreSQL would parse 36 characters an id instead of copying 16 bytes."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from services.store.tables.binary import uuid_array

_UUID_ARRAY_OID = 2951


class UuidArray:
    """Ids for `%s::uuid[]`. ValueError for what is no id."""

    def __init__(self, identifiers: Collection[str]) -> None:
        self.content = uuid_array(identifiers)


class Encoded:
    """A value in binary for a placeholder whose cast says of which type it is."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class _EncodedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Encoded | UuidArray) -> Buffer:
        return obj.content


class _UuidArrayDumper(_EncodedDumper):
    oid = _UUID_ARRAY_OID


# For every connection that is opened from now on.
psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
psycopg.adapters.register_dumper(Encoded, _EncodedDumper)
