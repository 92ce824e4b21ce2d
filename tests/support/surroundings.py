"""A database, a shard and a directory for services that several tests share, on the shared servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from deploy.dev.nats_server import NatsServer
from deploy.dev.postgres_server import PostgresServer
from tests.support.servers import own_database
from tests.support.services import Surroundings

OwnSurroundings = Callable[[str], AbstractContextManager[Surroundings]]


@pytest.fixture(scope="session")
def own_surroundings(
    nats_server: NatsServer,
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> OwnSurroundings:
    """For as long as a fixture of any scope wants them: used with a name, in a `with`."""

    @contextmanager
    def opened(name: str) -> Iterator[Surroundings]:
        with own_database(postgres_server, template_database) as database_url:
            yield Surroundings(
                nats=nats_server,
                database_url=database_url,
                shard=f"t{uuid.uuid4().hex[:12]}",
                directory=tmp_path_factory.mktemp(name),
            )

    return opened
