"""Who types: passes between gateways beside the log and may be lost."""

from __future__ import annotations

import structlog

from services.gateway import metrics
from services.gateway.access import Facts
from services.gateway.looking_relay import LookingRelay
from services.gateway.parts import Parts
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from shared.codec import pack, to_json
from shared.commands import Typing
from shared.crashpoints import crashpoint
from shared.errors import Malformed, Rejected, Unavailable
from shared.events import Author
from shared.ids import ConversationId
from shared.subjects import bucket_of, ephemeral_subject
from shared.wire.frames import TypingNow

log = structlog.get_logger(__name__)


class TypingRelay:
    """`tell` what a session says, `hear` what others say."""

    def __init__(self, parts: Parts, *, registry: Registry, looking: LookingRelay) -> None:
        self._bus = parts.bus
        self._shard = parts.shared.shard
        self._access = parts.access
        self._views = parts.views
        self._registry = registry
        self._looking = looking

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

    async def hear(self, typing: Typing) -> None:
        """Somebody types: told to the visitor, to whoever holds the conversation and to those who look at it."""
        try:
            sessions = await self._concerned(typing)
        except (Malformed, Rejected, Unavailable) as err:
            log.debug("typing_dropped", code=err.code)
            return
        by = self._views.author(typing.account_id, Author(kind=typing.by_kind, id=typing.by_id))
        frame = to_json(
            TypingNow(conversation_id=typing.conversation_id, by=by, is_typing=typing.is_typing)
        )
        for session in sessions:
            if session.device_id != typing.origin and session.owner_id != typing.by_id:
                session.send(frame)
                metrics.SENT.labels("typing").inc()

    async def _concerned(self, typing: Typing) -> dict[Session, None]:
        """Our sessions that the conversation concerns."""
        found = dict.fromkeys(self._registry.of_owner(typing.contact_id))
        if self._registry.agents_of(typing.account_id):
            conversation_id = ConversationId(typing.conversation_id)
            facts = await self._access.facts(typing.account_id, conversation_id)
            if facts.agent_id is not None:
                found |= dict.fromkeys(self._registry.of_owner(facts.agent_id))
            found |= dict.fromkeys(self._looking.watchers(conversation_id))
        return found
