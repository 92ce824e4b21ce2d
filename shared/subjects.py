"""Every NATS subject, built in one place. Subjects hold a shard, a family or a bucket, never an id:
filters over many subjects are slow, and ids are personal data.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Literal, get_args

Family = Literal[
    "message",
    "receipt",
    "conversation",
    "account",
    "presence",
    "routing",
    "notification",
    "retention",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
FENCED: frozenset[Family] = frozenset(
    {"account", "presence", "routing", "notification", "retention"}
)
"""Families with one writer at a time, appended with an expected last subject sequence."""

HINT_BUCKETS = 16


def event_subject(shard: str, family: Family) -> str:
    """Subject of the log for one family of events: `nd.ev.<shard>.<family>`."""
    return f"nd.ev.{shard}.{family}"


def all_events(shard: str) -> str:
    """Wildcard over every family of a shard; what the stream listens to."""
    return f"nd.ev.{shard}.*"


def family_of(subject: str) -> str:
    """The family token of an event subject."""
    return subject.rsplit(".", 1)[1]


@lru_cache(maxsize=65536)
def bucket_of(account_id: str) -> int:
    """The hint bucket of an account, 0..15; stable across processes and releases."""
    return zlib.crc32(account_id.encode()) % HINT_BUCKETS


def hint_subject(shard: str, bucket: int) -> str:
    """Core subject on which the store tells gateways what it committed for a bucket of accounts."""
    return f"nd.hint.{shard}.{bucket}"


def ephemeral_subject(shard: str, bucket: int) -> str:
    """Core subject for what passes beside the log (typing, who is looking: `shared.commands.Ephemeral`)."""
    return f"nd.eph.{shard}.{bucket}"


def query_subject(shard: str, name: str) -> str:
    """Request/reply subject of one store query (`shared.queries`); stores listen in a queue group."""
    return f"nd.q.{shard}.{name}"


def beats_subject(shard: str) -> str:
    """Core subject on which gateways report connections to presence (`shared.commands.Beats`)."""
    return f"nd.pr.{shard}.beats"


def command_subject(shard: str, service: str, name: str) -> str:
    """Request/reply subject of a wish sent to the one service that owns the answer."""
    return f"nd.cmd.{shard}.{service}.{name}"
