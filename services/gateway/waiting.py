"""What the gateway asks the dispatcher: where a conversation stands in the queue, and why; what the agents have."""

from __future__ import annotations

from shared.bus import Bus
from shared.codec import pack, unpack
from shared.commands import AgentLoad, AskLoads, AskQueue, LoadsAnswer, QueueAnswer
from shared.crashpoints import crashpoint
from shared.explaining import AskThen, AskWhy, Recalled, Standing
from shared.ids import AccountId, AgentId, ConversationId
from shared.subjects import command_subject

_PAST_S = 8.0


async def ask_queue(
    bus: Bus, shard: str, account_id: AccountId, conversation_id: ConversationId
) -> QueueAnswer:
    """The first dispatcher's answer. Raises `Unavailable`."""
    subject = command_subject(shard, "dispatcher", "estimate")
    question = AskQueue(account_id=account_id, conversation_id=conversation_id)
    crashpoint("gateway.queue.ask")
    return unpack(await bus.request(subject, pack(question), timeout_s=2.0), QueueAnswer)


async def ask_why(
    bus: Bus, shard: str, account_id: AccountId, conversation_id: ConversationId
) -> Standing:
    """How it stands at the log's end. Raises `Unavailable`."""
    subject = command_subject(shard, "dispatcher", "explain")
    question = AskWhy(account_id=account_id, conversation_id=conversation_id)
    crashpoint("gateway.why.ask")
    return unpack(await bus.request(subject, pack(question), timeout_s=2.0), Standing)


async def ask_loads(
    bus: Bus, shard: str, account_id: AccountId, agent_id: AgentId | None = None
) -> dict[AgentId, AgentLoad]:
    """What each agent has, or one of them. Raises `Unavailable`."""
    subject = command_subject(shard, "dispatcher", "loads")
    question = AskLoads(account_id=account_id, agent_id=agent_id)
    crashpoint("gateway.loads.ask")
    answer = unpack(await bus.request(subject, pack(question), timeout_s=2.0), LoadsAnswer)
    return {each.agent_id: each for each in answer.agents}


async def ask_then(bus: Bus, shard: str, question: AskThen) -> Recalled:
    """A decision of the past made again. Raises `Unavailable`, also when others ask for a long past just now."""
    subject = command_subject(shard, "dispatcher", "recall")
    crashpoint("gateway.then.ask")
    return unpack(await bus.request(subject, pack(question), timeout_s=_PAST_S), Recalled)
