"""PostgreSQL: connections with the settings that keep a frozen process harmless, migrations, the checkpoint.

Lifecycle: `open_pool` for questions, `connect` for one writer; both are closed by who opened them.
Never: a session that can hold a lock while its process is frozen; a migration that is edited after it ran;
a checkpoint that moves without the rows it stands for, or moves for a store that no longer leads.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
from collections.abc import AsyncIterator, Mapping
from importlib import resources
from typing import Any

import msgspec
import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared.clock import new_id
from shared.errors import Refused, Unavailable
from shared.ids import Position

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

CONNECT_TIMEOUT_S = 5
LEASE_S = 2.5
"""How long a silent leader keeps the checkpoint; a standby takes over after it."""

_MIGRATION_LOCK = 0x6E69676874
_SESSION = {
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "3s",
    "synchronous_commit": "on",
    "timezone": "UTC",
}
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError)


class _UuidAsText(Loader):
    """UUIDs are canonical text everywhere in this code; PostgreSQL prints exactly that."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("ascii")


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _adapt(connection: AdaptContext) -> None:
    connection.adapters.register_loader("uuid", _UuidAsText)


async def _configure(connection: Connection) -> None:
    _adapt(connection)
    # One snapshot an answer: what is told as of a checkpoint must not hold what came after it.
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)


def _arguments(
    name: str,
    schema: str,
    statement_timeout_s: float,
    special: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    settings = (
        _SESSION
        | dict(special or {})
        | {
            "search_path": f"{schema},truth",
            "statement_timeout": f"{int(statement_timeout_s * 1000)}ms",
        }
    )
    return {
        "autocommit": True,
        "options": _options(settings),
        "application_name": f"nightdesk {name}",
        "connect_timeout": CONNECT_TIMEOUT_S,
        # Without these a server that vanished is noticed after a quarter of an hour.
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
    }


@contextlib.contextmanager
def lost_as_unavailable(doing: str) -> Any:
    """Map lost connections, lock time-outs and a server that starts or stops to `Unavailable`.

    Errors of data or of our statements pass through: they are no reason to try again.
    """
    try:
        yield
    except _LOST as err:
        raise Unavailable(
            f"the database could not be asked while {doing}: {type(err).__name__}"
        ) from err
    except psycopg.errors.InternalError as err:
        raise Unavailable(f"the database broke off while {doing}: {type(err).__name__}") from err


async def connect(
    url: str, *, name: str, schema: str = "projection", statement_timeout_s: float = 30.0
) -> Connection:
    """One connection for a writer, in autocommit mode, with `schema` first in its search path. Raises `Unavailable`."""
    with lost_as_unavailable("connecting"):
        connection: Connection = await psycopg.AsyncConnection.connect(
            url, **_arguments(name, schema, statement_timeout_s)
        )
    _adapt(connection)
    return connection


async def open_pool(
    url: str,
    *,
    name: str,
    size: int = 4,
    statement_timeout_s: float = 5.0,
    special: Mapping[str, str] | None = None,
) -> Pool:
    """A pool that connects in the background, so that a service starts while the database is away; take connections
    with `borrow`. Transactions begun with `connection.transaction()` see one snapshot. `special`: settings of
    PostgreSQL for these connections."""
    pool: Pool = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=size,
        timeout=2.0,
        # The pause between tries doubles; after this the next one who asks starts over, so that a server that is
        # back is used at once and not after the rest of a pause of 16 s.
        reconnect_timeout=2.0,
        max_waiting=1000,
        open=False,
        kwargs=_arguments(name, "projection", statement_timeout_s, special),
        configure=_configure,
        check=_check,
    )
    await pool.open()
    return pool


async def _check(connection: Connection) -> None:
    """Refuse a connection that its server has closed. A server that goes, or is killed, leaves something to read on the
    socket; to ask every time would be a round trip before every question."""
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    if socket.poll(0):
        await AsyncConnectionPool.check_connection(connection)


@contextlib.asynccontextmanager
async def borrow(pool: Pool, *, timeout_s: float = 2.0) -> AsyncIterator[Connection]:
    """A connection of the pool. Raises `Unavailable` when none is to be had or it breaks."""
    with lost_as_unavailable("asking"):
        async with pool.connection(timeout=timeout_s) as connection:
            yield connection


async def guard_durability(url: str, *, mode: str) -> list[str]:
    """Refuse a server that forgets what it committed: `Refused` with one clear line.

    In mode "development" fsync and full_page_writes may be off, and are returned to be warned of; they only matter
    when the machine loses power. `synchronous_commit` loses commits in a mere crash of the server.
    """
    with lost_as_unavailable("connecting"):
        # Without our session settings, which would hide what the server does.
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        async with connection:
            found = await connection.execute(
                "SELECT name FROM pg_settings WHERE setting = 'off'"
                " AND name IN ('fsync', 'synchronous_commit', 'full_page_writes')"
            )
            off = sorted([row[0] for row in await found.fetchall()])
    if off and (mode != "development" or "synchronous_commit" in off):
        text = ", ".join(f"{name}=off" for name in off)
        raise Refused(f"PostgreSQL runs with {text}: commits could be lost", code="lazy_database")
    return off


# ---------------------------------------------------------------- migrations


def _migrations() -> list[tuple[str, str]]:
    folder = resources.files("shared.migrations")
    files = sorted(x.name for x in folder.iterdir() if x.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in files]


async def migrate(url: str) -> list[str]:
    """Apply what is missing, in order, each file in its own transaction; the names applied.

    Two that start at once wait for each other. Raises `Refused` when an applied file was edited or is missing here
    (a newer release ran on this database), `Unavailable` when the server can't be reached.
    """
    connection = await connect(url, name="migrate", statement_timeout_s=3600)
    try:
        with lost_as_unavailable("migrating"):
            await connection.execute("SET lock_timeout = '60s'")
            await connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
            return await _apply(connection, _migrations())
    finally:
        await connection.close()


async def _apply(connection: Connection, migrations: list[tuple[str, str]]) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.nightdesk_migrations"
        " (name text PRIMARY KEY, sha256 text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.execute("SELECT name, sha256 FROM public.nightdesk_migrations")
    applied: dict[str, str] = dict(await rows.fetchall())
    unknown = set(applied) - {name for name, _ in migrations}
    if unknown:
        raise Refused(f"the database is of a newer release: {', '.join(sorted(unknown))}")
    done = []
    for name, text in migrations:
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if applied.get(name, checksum) != checksum:
            raise Refused(f"migration {name} was edited after it ran")
        if name in applied:
            continue
        async with connection.transaction():
            await connection.execute(text.encode())
            await connection.execute(
                "INSERT INTO public.nightdesk_migrations (name, sha256) VALUES (%s, %s)",
                [name, checksum],
            )
        done.append(name)
    return done


# ---------------------------------------------------------------- the checkpoint


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The last position whose rows are committed, the digest of its event, and the numbers' epoch.

    `leader` is the store that writes; `is_fresh`: it showed itself within `LEASE_S` by the server's clock.
    """

    position: Position
    digest: bytes | None
    epoch: str
    leader: str = ""
    is_fresh: bool = False


async def read_checkpoint(connection: Connection, shard: str) -> Checkpoint:
    """The shard's checkpoint; the first reader makes it, at 0 with a new epoch."""
    query = (
        "SELECT position, digest, epoch, leader, beat > clock_timestamp() - make_interval(secs => %s)"
        " FROM checkpoint WHERE shard = %s"
    )
    rows = await (await connection.execute(query, [LEASE_S, shard])).fetchall()
    if not rows:
        await connection.execute(
            "INSERT INTO checkpoint (shard, position, epoch) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING",
            [shard, new_id()],
        )
        rows = await (await connection.execute(query, [LEASE_S, shard])).fetchall()
    position, digest, epoch, leader, is_fresh = rows[0]
    return Checkpoint(
        position=position, digest=digest, epoch=epoch, leader=leader, is_fresh=is_fresh
    )


async def take_lead(connection: Connection, shard: str, leader: str) -> Checkpoint | None:
    """Become the writer if nobody is, or the one that was fell silent. The checkpoint to go on from, or None."""
    done = await connection.execute(
        "UPDATE checkpoint SET leader = %(leader)s, beat = clock_timestamp() WHERE shard = %(shard)s"
        " AND (leader = %(leader)s OR beat <= clock_timestamp() - make_interval(secs => %(lease)s))",
        {"leader": leader, "shard": shard, "lease": LEASE_S},
    )
    return await read_checkpoint(connection, shard) if done.rowcount else None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the checkpoint. `to` may equal `expected`: that renews the lease and says whether we still lead."""

    shard: str
    leader: str
    expected: Position
    to: Position
    digest: bytes | None = None
    at_ns: int = 0

    @property
    def parameters(self) -> list[Any]:
        """Of `MOVE_CHECKPOINT`, in its order."""
        return [self.to, self.digest, self.at_ns, self.shard, self.expected, self.leader]


MOVE_CHECKPOINT = (
    "UPDATE checkpoint SET position = %s, digest = coalesce(%s, digest),"
    " at_ns = greatest(at_ns, %s), beat = clock_timestamp()"
    " WHERE shard = %s AND position = %s AND leader = %s"
)
"""Compare-and-set; it changes no row when somebody else leads. For statements that write the rows of the step too."""


async def move_checkpoint(connection: Connection, move: Move) -> bool:
    """Compare-and-set inside the batch's transaction. False: somebody else leads; roll back and stand by."""
    done = await connection.execute(MOVE_CHECKPOINT, move.parameters)
    return done.rowcount == 1


async def give_up_lead(connection: Connection, shard: str, leader: str) -> None:
    """Let a standby take over at once; for an orderly stop."""
    await connection.execute(
        "UPDATE checkpoint SET beat = '-infinity' WHERE shard = %s AND leader = %s", [shard, leader]
    )
