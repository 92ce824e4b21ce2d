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
settings.register_profile(
    "house", deadline=None, suppress_health_check=_TOO_BUSY, derandomize=not _EXPLORES
)
settings.load_profile("house")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stacks run one after the other in one worker, all else by file in the other.

    Two stacks at once on two cores would measure each other's load. The end-to-end tests come
    first, because the longest group decides when everything is done.
    """
    for item in items:
        level, _, _ = item.nodeid.removeprefix("tests/").partition("/")
        group = "e2e" if level == "e2e" else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


class _EndToEndFirst:
    """Registered after the random order is made, so that it stays random within each level."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e/"))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_EndToEndFirst(), "end-to-end-first")
