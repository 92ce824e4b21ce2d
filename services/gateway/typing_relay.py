"""Who types: passes between gateways beside the log and may be lost."""

from __future__ import annotations

import structlog

from services.gateway import metrics
from services.gateway.access import Access, Facts
from services.gateway.sessions.registry import Registry
from services.gateway.tokens import Principal
from services.gateway.views import Views
from shared.bus import Bus, CoreMessage
from shared.codec import pack, to_json, unpack
from shared.commands import Typing
from shared.crashpoints import crashpoint
from shared.errors import Malformed, Rejected, Unavailable
from shared.events import Author
from shared.ids import ConversationId
from shared.subjects import HINT_BUCKETS, bucket_of, ephemeral_subject
from shared.wire.frames import TypingNow

log = structlog.get_logger(__name__)

_AT_ONCE = 8


class TypingRelay:
    """`tell` what a session says, `start` to hear what others say."""

    def __init__(
        self, bus: Bus, shard: str, registry: Registry, access: Access, views: Views
    ) -> None:
        self._bus = bus
        self._shard = shard
        self._registry = registry
        self._access = access
        self._views = views

    async def start(self) -> None:
        """Listen to every bucket."""
        for bucket in range(HINT_BUCKETS):
            subject = ephemeral_subject(self._shard, bucket)
            await self._bus.subscribe(subject, self._hear, concurrency=_AT_ONCE)

    async def tell(
        self, principal: Principal, device_id: str, facts: Facts, *, is_typing: bool
    ) -> None:
        """Somebody types in a conversation that they may write in."""
        if principal.kind == "integration":
            return
        typing = Typing(
            account_id=principal.account_id,
            conversation_id=facts.conversation_id,
            contact_id=facts.contact_id,
            by_kind=principal.kind,
            by_id=principal.id,
            is_typing=is_typing,
            origin=device_id,
        )
        subject = ephemeral_subject(self._shard, bucket_of(principal.account_id))
        crashpoint("gateway.typing")
        await self._bus.publish(subject, pack(typing))

    async def _hear(self, message: CoreMessage) -> None:
        try:
            typing = unpack(message.payload, Typing)
            owners = await self._owners(typing)
        except (Malformed, Rejected, Unavailable) as err:
            log.debug("typing_dropped", code=err.code)
            return
        by = self._views.author(typing.account_id, Author(kind=typing.by_kind, id=typing.by_id))
        frame = to_json(
            TypingNow(conversation_id=typing.conversation_id, by=by, is_typing=typing.is_typing)
        )
        for owner_id in owners:
            for session in self._registry.of_owner(owner_id):
                if session.device_id != typing.origin:
                    session.send(frame)
                    metrics.SENT.labels("typing").inc()

    async def _owners(self, typing: Typing) -> list[str]:
        """Those of our sessions' inboxes that the conversation concerns."""
        owners = [typing.contact_id] if self._registry.of_owner(typing.contact_id) else []
        if self._registry.agents_of(typing.account_id):
            facts = await self._access.facts(
                typing.account_id, ConversationId(typing.conversation_id)
            )
            if facts.agent_id is not None:
                owners.append(facts.agent_id)
        return [owner_id for owner_id in owners if owner_id != typing.by_id]
