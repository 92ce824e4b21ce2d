"""Fixtures for every level, each started on first use only, and how tests share two cores."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

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
from tests.support.surroundings import own_surroundings

__all__ = [
    "database_url",
    "empty_database_url",
    "fresh_nats",
    "fresh_postgres",
    "nats_server",
    "own_surroundings",
    "postgres_server",
    "server_directory",
    "shard",
    "stack",
    "template_database",
]


# How long an example takes, to be made or to be run, says how busy the machine is, not whether the code is right.
_TOO_BUSY = [HealthCheck.too_slow]
# The same examples in every run, so that a red test says something of the change that it is run for; and others
# whenever somebody goes looking for them.
_EXPLORES = bool(os.environ.get("NIGHTDESK_TEST_EXPLORE"))
_LEVELS = ["e2e", "integration", "contract", "unit"]
settings.register_profile(
    "house", deadline=None, suppress_health_check=_TOO_BUSY, derandomize=not _EXPLORES
)
settings.load_profile("house")


class _LongestFirst:
    """The files in the order in which workers take them: whole stacks, then single services, then what takes no time.

    Whoever is done first takes the next file, so the small ones at the end fill both workers evenly. Registered after
    the random order is made, so that it stays random within each level.
    """

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=_level)


def _level(item: pytest.Item) -> int:
    name = item.nodeid.removeprefix("tests/").partition("/")[0]
    return _LEVELS.index(name) if name in _LEVELS else len(_LEVELS)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_LongestFirst(), "longest-first")
