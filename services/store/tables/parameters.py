"""Ids as one binary parameter of a statement: psycopg encodes a list element by element, and PostgreSQL would parse
36 characters an id instead of copying 16 bytes."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from services.store.tables.copying import uuid_array

_UUID_ARRAY_OID = 2951


class UuidArray:
    """Ids for `%s::uuid[]`. ValueError for what is no id."""

    def __init__(self, identifiers: Collection[str]) -> None:
        self.content = uuid_array(identifiers)


class _UuidArrayDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: UuidArray) -> Buffer:
        return obj.content


# For every connection that is opened from now on.
psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
