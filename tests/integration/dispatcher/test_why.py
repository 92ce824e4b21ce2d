"""The dispatcher tells why, as a process on the real log: now from what it folded, then from what is stored."""

from __future__ import annotations

from shared import codec
from shared.commands import AskLoads, LoadsAnswer
from shared.events import ConversationAssigned
from shared.explaining import AskThen, AskWhy, Recalled, Standing
from shared.subjects import command_subject
from tests.support import desk
from tests.support.log import PATIENCE_S
from tests.support.services import (
    Surroundings,
    TestLog,
    acknowledging,
    service,
    store_and_purge,
    wait_ready,
)


async def test_a_restarted_dispatcher_tells_why_now_and_then(
    log: TestLog, around: Surroundings
) -> None:
    """Who could take it and what excludes the others, for what waits; the same list as recorded, for what was given
    by another process whose log is purged from the stream by now; and what each agent has."""
    names = ("ann", "bob", "eve")
    agents = [desk.agent(name, capacity=2) for name in names]
    await log.append("account", *agents, desk.team("ann", "bob"), desk.inbox(), desk.policy())
    async with acknowledging(log, "ann", "bob"):
        with service("dispatcher", around):
            await log.append("presence", desk.online("ann"))
            for name in "abc":
                await log.append("conversation", desk.started(name))
                await log.append("message", desk.wrote(name))
            await log.until(2, ConversationAssigned)
    await store_and_purge(log, around)
    position, _ = log.events(ConversationAssigned)[1]
    with service("dispatcher", around) as process:
        wait_ready(process)
        asked = AskThen(
            account_id=desk.ACCOUNT,
            conversation_id=desk.conversation_id("b"),
            decision=position,
        )
        told = codec.unpack(await _ask(log, around, "recall", asked), Recalled)
        assert told.outcome == "exact"
        rules = {each.agent_id: each.rule for each in told.verdicts}
        assert rules == {
            desk.agent_id("ann"): "",
            desk.agent_id("bob"): "offline",
            desk.agent_id("eve"): "not_in_team",
        }
        assert told.verdicts[0].held == 1
        question = AskWhy(account_id=desk.ACCOUNT, conversation_id=desk.conversation_id("c"))
        now = codec.unpack(await _ask(log, around, "explain", question), Standing)
        assert (now.state, now.is_waiting, now.place) == ("queued", True, 1)
        found = [each for each in now.verdicts if each.agent_id == desk.agent_id("ann")]
        assert [(each.rule, each.held, each.capacity) for each in found] == [("at_capacity", 2, 2)]
        asked_loads = AskLoads(account_id=desk.ACCOUNT)
        loads = codec.unpack(await _ask(log, around, "loads", asked_loads), LoadsAnswer)
        assert [(x.agent_id, x.occupation, x.held, x.channels) for x in loads.agents] == [
            (desk.agent_id("ann"), "at_capacity", 2, {"web": 2})
        ]


async def _ask(log: TestLog, around: Surroundings, name: str, question: object) -> bytes:
    subject = command_subject(around.shard, "dispatcher", name)
    return await log.bus.request(subject, codec.pack(question), timeout_s=PATIENCE_S)
