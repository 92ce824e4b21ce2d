"""What other gateways say beside the log, each to the part that heeds it."""

from __future__ import annotations

from typing import assert_never

import msgspec
import structlog

from services.gateway.looking_relay import LookingRelay
from services.gateway.typing_relay import TypingRelay
from shared.bus import Bus, CoreMessage
from shared.commands import Ephemeral, Looking, Typing
from shared.crashpoints import crashpoint
from shared.subjects import HINT_BUCKETS, ephemeral_subject

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_decoder: msgspec.msgpack.Decoder[Ephemeral] = msgspec.msgpack.Decoder(Ephemeral)


class Hearing:
    """`start` once; nothing heard here is waited for by anybody."""

    def __init__(self, bus: Bus, shard: str, *, typing: TypingRelay, looking: LookingRelay) -> None:
        self._bus = bus
        self._shard = shard
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
            case _:
                assert_never(note)
