"""What the gateway asks the dispatcher: where a conversation stands in the queue."""

from __future__ import annotations

from shared.bus import Bus
from shared.codec import pack, unpack
from shared.commands import AskQueue, QueueAnswer
from shared.crashpoints import crashpoint
from shared.ids import AccountId, ConversationId
from shared.subjects import command_subject


async def ask_queue(
    bus: Bus, shard: str, account_id: AccountId, conversation_id: ConversationId
) -> QueueAnswer:
    """The first dispatcher's answer. Raises `Unavailable`."""
    subject = command_subject(shard, "dispatcher", "estimate")
    question = AskQueue(account_id=account_id, conversation_id=conversation_id)
    crashpoint("gateway.queue.ask")
    return unpack(await bus.request(subject, pack(question), timeout_s=2.0), QueueAnswer)
