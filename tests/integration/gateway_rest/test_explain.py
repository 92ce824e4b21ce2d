"""A night, told afterwards: why nobody had it, who was picked and why not the others, what comes next and when."""

from __future__ import annotations

from typing import Any

from shared.clock import new_id
from tests.support.gateway_world import Device, World
from tests.support.log import until_none
from tests.support.rest import PASSWORD, Api, Office
from tests.support.services import service

Json = dict[str, Any]


async def _told_until(asker: Api, path: str, key: str, wanted: object) -> Json:
    """The answer of `explain` once it says this."""
    found: list[Json] = []

    async def other() -> list[str]:
        answer = await asker.get(path)
        found.append(answer.json)
        return [] if answer.json.get(key) == wanted else [f"{key}: {answer.json.get(key)}"]

    await until_none(other)
    return found[-1]


async def test_a_night_can_be_read_in_the_morning(office: Office, world: World) -> None:
    """At night: nobody has the skill, then somebody who is away, with the deadline as the next step. In the morning:
    given to the one who came, with every agent's verdict, and each step of the message with its time and reason."""
    policy = await office.admin.made(
        "/policies", {"name": "Day", "first_response_s": 3600, "escalate_after_s": 600}
    )
    body = {"policy_id": policy["policy_id"], "skills": {"tea": 2, "latin": 3}}
    bob = {"name": "Bob", "email": f"{new_id()}@office.example", "password": PASSWORD}
    await office.admin.made("/agents", bob | {"skills": {"tea": 5, "latin": 5}})
    ruled = await office.admin.patch(f"/inboxes/{office.inbox['inbox_id']}", body)
    assert ruled.status == 200, ruled
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor, "salve")
    path = f"/conversations/{conversation_id}/explain"
    settings = {"NIGHTDESK_NATS_URL": world.around.nats.url_of("dispatcher")}
    with service("dispatcher", world.around, settings=settings):
        night = await _told_until(office.admin, path, "place", 1)
        assert "no one of team Desk has latin at level 3" in night["summary"], night["summary"]
        assert [each["what"] for each in night["next_steps"]] == ["first_response", "escalate"]
        assert all(each["at"] and each["text"] for each in night["next_steps"])
        rules = {each["name"]: each["rule"] for each in night["candidates"]}
        assert (rules["Ann"], rules["Bob"]) == ("missing_skill", "not_in_team")
        ann = {"skills": {"tea": 3, "latin": 4}}
        await office.admin.patch(f"/agents/{office.ann_id}", ann)
        async with office.anybody.http.ws_connect(world.ws_url, protocols=["nightdesk.v1"]) as ws:
            device = Device(ws)
            await device.hello(office.ann.token)
            assert await device.until_texts(1) == ["salve"]
            entry = device.entries()[-1]
            await device.say(op="received", up_to=entry["position"])
            given = await _told_until(office.ann, path, "owner", office.ann_id)
            message_id = entry["messages"][0]["message_id"]
            timeline = f"/messages/{message_id}/timeline"

            async def not_received() -> list[str]:
                steps = (await office.ann.get(timeline)).json["steps"]
                return [] if any(s["what"] == "received" for s in steps) else ["not received"]

            await until_none(not_received)
        steps = (await office.ann.get(timeline)).json["steps"]
    assert [s["what"] for s in steps] == ["accepted", "queued", "assigned", "received"]
    assert all(s["at"] and s["text"] for s in steps)
    decision = given["decision"]
    assert (decision["outcome"], decision["position"]) == ("exact", steps[2]["position"])
    assert [(c["name"], c["rule"]) for c in decision["candidates"]][:1] == [("Ann", None)]
    assert "was picked" in decision["candidates"][0]["text"]
    older = (await office.ann.get(f"{path}?decision={steps[1]['position']}")).json
    assert older["decision"]["outcome"] == "unavailable", "the dispatcher is gone by now"
    assert (older["next_steps"], older["decision"]["candidates"]) == (None, None)
    assert "does not answer" in older["summary"]
    assert (await office.ann.get(f"{path}?decision=1")).status == 404
