"""Fixtures for every level; each starts its server on first use only."""

from tests.support.servers import (
    database_url,
    empty_database_url,
    fresh_nats,
    fresh_postgres,
    nats_server,
    postgres_server,
    server_directory,
    shard,
    template_database,
)
from tests.support.stack import stack

__all__ = [
    "database_url",
    "empty_database_url",
    "fresh_nats",
    "fresh_postgres",
    "nats_server",
    "postgres_server",
    "server_directory",
    "shard",
    "stack",
    "template_database",
]
