"""A visitor asks for their place: the gateway asks the dispatcher, both as real processes with their own rights."""

from __future__ import annotations

import datetime as dt

from shared.policy.document import DAYS
from tests.support.gateway_world import World
from tests.support.log import until_none
from tests.support.rest import Office
from tests.support.services import service


async def test_the_visitor_learns_the_place(office: Office, world: World) -> None:
    """Queued at place 1, expected time not known; somebody else's conversation is not found. And what
    agents have is known while a dispatcher answers, else unknown."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/queue"
    settings = {"NIGHTDESK_NATS_URL": world.around.nats.url_of("dispatcher")}
    with service("dispatcher", world.around, settings=settings):

        async def nobody_knows() -> list[str]:
            answer = await visitor.get(path)
            return [] if answer.json.get("place") else ["no place yet"]

        await until_none(nobody_knows)
        answer = await visitor.get(path)
        assert (answer.json["state"], answer.json["place"]) == ("queued", 1)
        assert (answer.json["expected_s"], answer.json["is_open"]) == (None, None)
        # Three days from now, so that it is closed whenever this runs.
        day = DAYS[(dt.datetime.now(dt.UTC).weekday() + 3) % 7]
        week = [{"day": day, "start": "00:00", "end": "00:01"}]
        far = {"zone": "Asia/Shanghai", "weekly": week}
        policy = await office.admin.made("/policies", {"name": "Sundays", "hours": far})
        inbox = f"/inboxes/{office.inbox['inbox_id']}"
        await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})

        async def not_closed() -> list[str]:
            told = (await visitor.get(path)).json
            return [] if told["opens_at_local"] else ["no hours yet"]

        await until_none(not_closed)
        told = (await visitor.get(path)).json
        assert told["opens_at_local"].endswith("T00:00:00+08:00")
        assert (told["zone"], told["opens_at"][10:]) == ("Asia/Shanghai", "T16:00:00.000Z")
        stranger, _ = await office.arrive()
        assert (await stranger.get(path)).status == 404
        agents = (await office.admin.get("/agents")).json["data"]
        assert [each["load"]["capacity"] for each in agents] == [x["capacity"] for x in agents]
    assert (await visitor.get(path)).status == 503
    agents = (await office.admin.get("/agents")).json["data"]
    assert {each["load"] for each in agents} == {None}
