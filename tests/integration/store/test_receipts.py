"""When a message first reached somebody's device."""

from __future__ import annotations

import msgspec

from shared import events as e
from shared import queries as q
from tests.integration.store.conftest import Asker, store_here
from tests.integration.store.traffic import created, posted, received_by, staff
from tests.support.desk import ACCOUNT, agent_id, conversation_id, device_id, started
from tests.support.services import Surroundings, TestLog


async def test_whose_device_had_it_first_is_found(
    around: Surroundings, log: TestLog, asker: Asker
) -> None:
    """Also among receipts that were collected into one event; who never acknowledged it is not found."""
    async with store_here(around):
        await log.append("conversation", created("v"), started("v"))
        posted_at = (await log.append("message", posted("v", "m")))[0]
        together = e.ReceivedTogether(
            account_id=ACCOUNT,
            receipts=tuple(
                e.Receipt(recipient=staff(name), device_id=device_id(name), up_to=up_to)
                for name, up_to in (("bob", posted_at - 1), ("ann", posted_at))
            ),
        )
        at = (await log.append("receipt", received_by(staff("cid"), "d", posted_at), together))[-1]
        question = q.FindReceived(
            account_id=ACCOUNT,
            conversation_id=conversation_id("v"),
            recipient_id=agent_id("ann"),
            since=posted_at,
            at_least=at,
        )
        row = await asker.ask("received", question, q.ReceivedRow)
        assert (row.position, row.device_id, row.up_to) == (at, device_id("ann"), posted_at)
        never = msgspec.structs.replace(question, recipient_id=agent_id("bob"))
        assert (await asker.answer("received", never)).status == "not_found"
