"""What other gateways say beside the log, each to the part that heeds it."""

from __future__ import annotations

from typing import assert_never

import msgspec
import structlog

from services.gateway.looking_relay import LookingRelay
from services.gateway.parts import Parts
from services.gateway.sessions.registry import Registry
from services.gateway.typing_relay import TypingRelay
from shared.bus import CoreMessage
from shared.commands import Connected, Ephemeral, KeyRevoked, Looking, Typing
from shared.crashpoints import crashpoint
from shared.subjects import HINT_BUCKETS, ephemeral_subject

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_decoder: msgspec.msgpack.Decoder[Ephemeral] = msgspec.msgpack.Decoder(Ephemeral)


class Hearing:
    """`start` once; nothing heard here is waited for by anybody."""

    def __init__(
        self, parts: Parts, *, registry: Registry, typing: TypingRelay, looking: LookingRelay
    ) -> None:
        self._bus = parts.bus
        self._shard = parts.shared.shard
        self._gateway = parts.name
        self._tokens = parts.tokens
        self._registry = registry
        self._typing = typing
        self._looking = looking

    async def start(self) -> None:
        """Listen to every bucket, then ask what was said before."""
        for bucket in range(HINT_BUCKETS):
            subject = ephemeral_subject(self._shard, bucket)
            crashpoint("gateway.start.ephemeral")
            await self._bus.subscribe(subject, self._hear, concurrency=_AT_ONCE)
        await self._looking.start()

    async def _hear(self, message: CoreMessage) -> None:
        try:
            note = _decoder.decode(message.payload)
        except (msgspec.DecodeError, RecursionError):
            # From a gateway of another release, perhaps: it is lost, as all that passes here may be.
            log.debug("ephemeral_unreadable")
            return
        match note:
            case Typing():
                await self._typing.hear(note)
            case Looking():
                await self._looking.hear(note)
            case Connected():
                self._end_older(note)
            case KeyRevoked():
                self._tokens.forget_api_key(note.lookup)
            case _:
                assert_never(note)

    def _end_older(self, note: Connected) -> None:
        """A device has one session: the newest, and of two in the same moment the same one for both gateways."""
        if note.gateway == self._gateway:
            return
        for device in note.devices:
            session = self._registry.of_device(device.owner_id, device.device_id)
            if session is not None and (device.at_ns, note.gateway) > (
                session.hello_ns,
                self._gateway,
            ):
                session.close(3504)
