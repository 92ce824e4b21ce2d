"""The EVENTS streams: make one, check that it can keep the promises, look at its state and entries.

Never: a stream that deletes by itself (age, count, discard old), acknowledges before it has written,
or answers reads from a node that may be behind. What is found otherwise is refused at start.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any, Literal

import aiohttp
import msgspec

from shared.bus.api import ApiFailed, api_request, ask_again
from shared.bus.connection import Bus
from shared.bus.delivery import Delivery
from shared.bus.wire import time_ns
from shared.errors import Refused, Unavailable
from shared.subjects import all_events

_NAME_IN_USE = 10058
_STREAM_NOT_FOUND = 10059
_NO_MESSAGE = 10037
_LOG_ID = "nightdesk_log"
"""Metadata of a stream: its name for ever, given when it is made, so that a log made anew is told from the old one."""


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a new stream is made; `replicas` is also the least that an existing one must have."""

    replicas: int = 1
    max_bytes: int = 8 * 1024**3
    max_message_bytes: int = 1024**2
    max_consumers: int = 1000


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log begins and ends, how full it is, and the server's clock (ns since 1970)."""

    first: int
    last: int
    bytes: int
    max_bytes: int
    now_ns: int

    @property
    def fill(self) -> float:
        """Bytes as a part of the size limit; 0 when there is no limit."""
        return self.bytes / self.max_bytes if self.max_bytes > 0 else 0.0


class _Config(msgspec.Struct, frozen=True):
    name: str = ""
    subjects: list[str] = []
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    persist_mode: str = ""
    max_age: int = 0
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    max_bytes: int = -1
    max_consumers: int = -1
    num_replicas: int = 1
    allow_atomic: bool = False
    deny_purge: bool = False
    metadata: dict[str, str] = {}
    subject_transform: dict[str, Any] | None = None
    mirror: dict[str, Any] | None = None


class _State(msgspec.Struct, frozen=True):
    first_seq: int = 0
    last_seq: int = 0
    bytes: int = 0


class _Stored(msgspec.Struct, frozen=True):
    subject: str
    seq: int
    time: str
    data: str = ""


class _ConsumerConfig(msgspec.Struct, frozen=True):
    max_deliver: int = -1


class _Consumer(msgspec.Struct, frozen=True):
    name: str = ""
    config: _ConsumerConfig = _ConsumerConfig()


class _Consumers(msgspec.Struct, frozen=True):
    total: int = 0
    consumers: list[_Consumer] = []


class _Answer(msgspec.Struct, frozen=True):
    config: _Config = _Config()
    state: _State = _State()
    ts: str = ""
    message: _Stored | None = None


def stream_name(shard: str) -> str:
    """The stream that holds a shard's log."""
    return f"EVENTS_{shard}"


async def ensure_stream(
    bus: Bus, shard: str, settings: StreamSettings, *, may_make: bool = True
) -> str:
    """Make the stream if it is absent, else check it; the name that this log was given when it was made, empty for
    one that was made by somebody else.

    Refused: it exists and would lose or delete entries, or it is absent and must not be made: then a log is gone
    that the database knows. Unavailable: no answer, or no room for it.
    """
    name = stream_name(shard)
    wanted = {
        "name": name,
        "subjects": [all_events(shard)],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": settings.max_bytes,
        "max_msg_size": settings.max_message_bytes,
        "max_consumers": settings.max_consumers,
        "num_replicas": settings.replicas,
        "allow_atomic": True,
        "allow_direct": False,
        "metadata": {_LOG_ID: secrets.token_hex(16)},
    }
    try:
        config = await _config(bus, name)
        if config is None and not may_make:
            raise Refused(
                f"stream {name} is gone, and the database has what it held: restore it",
                code="log_gone",
            )
        if config is None:
            await api_request(bus, f"STREAM.CREATE.{name}", wanted)
            config = await _config(bus, name)
    except ApiFailed as err:
        if err.error.err_code != _NAME_IN_USE:
            raise Unavailable(f"stream {name} can't be made: {err}", code="no_stream") from err
        config = await _config(bus, name)
    if config is None:
        raise Unavailable(f"stream {name} vanished while it was made", code="no_stream")
    faults = _faults(config, shard, settings)
    if faults:
        raise Refused(f"stream {name}: {'; '.join(faults)}", code="unsafe_stream")
    await _check_consumers(bus, name)
    return config.metadata.get(_LOG_ID, "")


async def _check_consumers(bus: Bus, name: str) -> None:
    """A consumer with `max_deliver` skips entries and looks healthy: whoever reads with it loses some."""
    offset = 0
    while True:
        try:
            raw = await api_request(bus, f"CONSUMER.LIST.{name}", {"offset": offset})
        except ApiFailed as err:
            raise Unavailable(f"no list of {name}'s consumers: {err}", code="no_stream") from err
        page = msgspec.json.decode(raw, type=_Consumers)
        skipping = [each.name for each in page.consumers if each.config.max_deliver > 0]
        if skipping:
            raise Refused(
                f"stream {name} has consumers with max_deliver, which skip entries:"
                f" {', '.join(skipping)}",
                code="unsafe_consumer",
            )
        offset += len(page.consumers)
        if offset >= page.total or not page.consumers:
            return


async def _config(bus: Bus, name: str) -> _Config | None:
    try:
        raw = await api_request(bus, f"STREAM.INFO.{name}")
    except ApiFailed as err:
        if err.error.err_code == _STREAM_NOT_FOUND:
            return None
        raise
    return msgspec.json.decode(raw, type=_Answer).config


def _faults(config: _Config, shard: str, settings: StreamSettings) -> list[str]:
    checks = (
        (config.storage != "file", "not on file storage"),
        (config.discard != "new", "discards old entries when it is full"),
        (config.max_age != 0, "has an age limit"),
        (config.max_msgs > 0 or config.max_msgs_per_subject > 0, "has a count limit"),
        (config.max_bytes <= 0, "has no size limit"),
        (
            config.num_replicas < settings.replicas,
            f"has {config.num_replicas} replicas where {settings.replicas} are configured",
        ),
        (config.persist_mode == "async", "acknowledges before it writes (persist mode async)"),
        (config.retention != "limits", f"has retention {config.retention}"),
        (not config.allow_atomic, "does not allow atomic batches"),
        (config.max_consumers <= 0, "has no positive limit of consumers"),
        (all_events(shard) not in config.subjects, "lacks the subjects of its shard"),
        (config.mirror is not None, "is a mirror"),
        (config.subject_transform is not None, "changes subjects"),
    )
    return [fault for is_fault, fault in checks if is_fault]


async def stream_state(bus: Bus, shard: str) -> StreamState:
    """Ask the stream's leader. Unavailable: no answer, or there is no such stream."""
    try:
        raw = await ask_again(bus, f"STREAM.INFO.{stream_name(shard)}")
    except ApiFailed as err:
        raise Unavailable(f"no state of {stream_name(shard)}: {err}", code="no_stream") from err
    answer = msgspec.json.decode(raw, type=_Answer)
    return StreamState(
        first=answer.state.first_seq,
        last=answer.state.last_seq,
        bytes=answer.state.bytes,
        max_bytes=answer.config.max_bytes,
        now_ns=time_ns(answer.ts),
    )


async def event_at(bus: Bus, shard: str, position: int) -> Delivery | None:
    """The entry at `position` from the stream's leader; None if there is none."""
    return await _get(bus, shard, {"seq": position})


async def last_of(bus: Bus, shard: str, subject: str) -> Delivery | None:
    """The last entry of `subject` from the stream's leader; None if there is none."""
    return await _get(bus, shard, {"last_by_subj": subject})


async def _get(bus: Bus, shard: str, query: dict[str, Any]) -> Delivery | None:
    try:
        raw = await ask_again(bus, f"STREAM.MSG.GET.{stream_name(shard)}", query)
    except ApiFailed as err:
        if err.error.err_code == _NO_MESSAGE:
            return None
        raise Unavailable(f"can't read {stream_name(shard)}: {err}", code="no_stream") from err
    stored = msgspec.json.decode(raw, type=_Answer).message
    if stored is None:
        return None
    return Delivery(
        position=stored.seq,
        subject=stored.subject,
        at_ns=time_ns(stored.time),
        payload=base64.b64decode(stored.data),
    )


class _JetStreamConfig(msgspec.Struct, frozen=True):
    sync_always: bool = False
    sync_interval: int = 0


class _JetStream(msgspec.Struct, frozen=True):
    config: _JetStreamConfig | None = None


class _Varz(msgspec.Struct, frozen=True):
    server_id: str = ""
    server_name: str = ""
    jetstream: _JetStream = _JetStream()


async def check_durability(
    bus: Bus, *, monitor_url: str | None, servers: int = 1
) -> Literal["always", "unknown"]:
    """Find out whether the servers write to disk before they acknowledge (`sync_interval: always`).

    A client connection can't tell; the monitoring port can: `/varz` has `jetstream.config.sync_always`
    only when it is on (nats-server 2.15.1). `monitor_url` lists every server's, separated by commas, of which there are
    `servers` at least. One that is away can't be judged and acknowledges nothing: who starts meanwhile needs the word of
    most of them, and of the one it is connected to.
    "unknown": too few URLs, no answer at all, or none of them is the server we are connected to.
    Unavailable: too few of them answer. Refused: a server acknowledges first and writes later.
    """
    urls = [part.strip() for part in (monitor_url or "").split(",") if part.strip()]
    seen = set()
    for url in urls:
        varz = await _varz(url, bus.settings.request_timeout_s)
        if varz is None or varz.jetstream.config is None:
            continue
        if not varz.jetstream.config.sync_always:
            raise Refused(
                f"nats-server {varz.server_name} acknowledges before it writes to disk:"
                " set jetstream sync_interval to always",
                code="lazy_sync",
            )
        seen.add(varz.server_id)
    if len(urls) < servers or not seen:
        return "unknown"
    if 2 * len(seen) <= len(urls) or (len(seen) < len(urls) and bus.client.server_id not in seen):
        raise Unavailable(
            f"{len(seen)} of {len(urls)} nats-servers answer at their monitoring addresses",
            code="monitor_silent",
        )
    return "always" if bus.client.server_id in seen else "unknown"


async def _varz(url: str, timeout_s: float) -> _Varz | None:
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(url.rstrip("/") + "/varz") as response,
        ):
            return msgspec.json.decode(await response.read(), type=_Varz)
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
        return None
