"""Bad input of a whole desk, tried on the running system: a clear error or a defined result, on record, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared.clock import new_id
from tests.support.gateway_world import Device, World
from tests.support.log import until_none
from tests.support.rest import PASSWORD, Api, Json, Office


async def on_duty(office: Office, world: World, agent: Api) -> Device:
    """A device of the agent, welcomed."""
    device = Device(await office.anybody.http.ws_connect(world.ws_url, protocols=["nightdesk.v1"]))
    await device.hello(agent.token)
    return device


async def colleague(office: Office, name: str, **fields: object) -> tuple[Api, str]:
    """Another agent, in ann's team, signed in, and their id."""
    email = f"{name}-{new_id()}@office.example"
    body = {"name": name, "email": email, "password": PASSWORD, **fields}
    agent_id = (await office.admin.made("/agents", body))["agent_id"]
    team = (await office.admin.get(f"/teams/{office.team_id}")).json
    members = {**team["members"], agent_id: 1}
    assert (
        await office.admin.patch(f"/teams/{office.team_id}", {"members": members})
    ).status == 200
    return await office.anybody.sign_in(email), agent_id


async def shown(office: Office, conversation_id: str, is_so: Callable[[Json], Any]) -> Json:
    """The conversation, once it is as wanted."""

    async def missing() -> list[Json]:
        answer = (await office.admin.get(f"/conversations/{conversation_id}")).json
        return [] if is_so(answer) else [answer]

    await until_none(missing)
    return dict((await office.admin.get(f"/conversations/{conversation_id}")).json)


async def refusals(office: Office, conversation_id: str, count: int = 1) -> list[str]:
    """What the record says was refused, once there is so much."""
    found: list[str] = []

    async def missing() -> list[str]:
        answer = await office.admin.get(f"/conversations/{conversation_id}/explain")
        steps = answer.json["decisions"]
        found[:] = [s["detail"]["code"] for s in steps if s["what"] == "refused"]
        return [] if len(found) >= count else ["not yet"]

    await until_none(missing)
    return found


async def test_an_agent_removed_while_holding_loses_the_desk_not_the_visitors(
    office: Office, world: World
) -> None:
    """Their device is sent away, their token is worth nothing, and what they held goes on in its old place."""
    leaver, leaver_id = await colleague(office, "leaver")
    device = await on_duty(office, world, leaver)
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor, "before")
    held = await shown(office, conversation_id, lambda c: c["agent_id"] == leaver_id)
    assert (await office.admin.delete(f"/agents/{leaver_id}")).status == 204
    assert await device.closed() == 3501
    assert (await leaver.get("/me")).status == 401
    waits = await shown(office, conversation_id, lambda c: c["agent_id"] is None)
    assert (waits["status"], waits["waiting_since"]) == ("queued", held["waiting_since"])
    ann = await on_duty(office, world, office.ann)
    assert await ann.until_texts(1) == ["before"]
    assert (await shown(office, conversation_id, lambda c: c["agent_id"]))[
        "agent_id"
    ] == office.ann_id
    await device.leave()
    await ann.leave()


async def test_two_supervisors_at_once(office: Office) -> None:
    """One wins; the other's wish is refused on record, not carried out a moment later."""
    boss, _ = await colleague(office, "boss", role="supervisor")
    _, bob_id = await colleague(office, "bob")
    visitor, _ = await office.arrive()
    conversation_id, answer = await office.start(visitor)
    await shown(office, conversation_id, lambda c: c["status"] == "queued")
    path = f"/conversations/{conversation_id}/assign"
    seen = int(answer.position)
    wishes = await asyncio.gather(
        office.admin.post(path, {"agent_id": office.ann_id, "seen_up_to": seen}),
        boss.post(path, {"agent_id": bob_id, "seen_up_to": seen}),
    )
    assert [wish.status for wish in wishes] == [202, 202]
    assert await refusals(office, conversation_id) == ["already_assigned"]
    first = min(wishes, key=lambda wish: int(wish.position))
    expected = office.ann_id if first is wishes[0] else bob_id
    assert (await shown(office, conversation_id, lambda c: c["agent_id"]))["agent_id"] == expected


async def test_claims_on_what_was_just_given_away(office: Office) -> None:
    """Of two claims and an assignment at once exactly one is granted, and the others are on record."""
    bob, _ = await colleague(office, "bob")
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    answers = await asyncio.gather(
        office.admin.post(f"{path}/assign", {"agent_id": office.ann_id}),
        office.ann.post(f"{path}/claim"),
        bob.post(f"{path}/claim"),
    )
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert await refusals(office, conversation_id, 2) == ["already_assigned"] * 2
    assert (await shown(office, conversation_id, lambda c: c["agent_id"]))["status"] == "open"


async def test_a_team_without_members_keeps_what_waits(office: Office, world: World) -> None:
    """It waits on record, the deadline runs, the team of the policy is asked, and nothing is lost."""
    empty = await office.admin.made("/teams", {"name": "Empty"})
    policy = await office.admin.made(
        "/policies",
        {
            "name": "Quick",
            "first_response_s": 1,
            "fallback_teams": [{"team_id": office.team_id, "after_s": 2}],
        },
    )
    await office.admin.patch(
        f"/inboxes/{office.inbox['inbox_id']}",
        {"team_id": empty["team_id"], "policy_id": policy["policy_id"]},
    )
    ann = await on_duty(office, world, office.ann)
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor, "anybody?")
    assert await ann.until_texts(1) == ["anybody?"]
    told = await office.admin.get(f"/conversations/{conversation_id}/explain")
    decisions = told.json["decisions"]
    steps = [step["what"] for step in decisions]
    assert steps[0] == "queued"
    assert "Empty" in decisions[0]["text"]
    assert "deadline_missed" in steps
    assert any(step["what"] == "queued" and "Desk" in step["text"] for step in decisions)
    refused = await office.admin.patch(
        f"/policies/{policy['policy_id']}",
        {"fallback_teams": [{"team_id": empty["team_id"], "after_s": 2}]},
    )
    assert refused.json["errors"][0]["pointer"] == "/fallback_teams/0/team_id"
    await ann.leave()


async def test_the_queue_of_a_removed_team_is_seen_by_the_inbox_s(office: Office) -> None:
    """What was sent to a team that is removed comes back to the inbox's team, whose agents see and claim it."""
    night = await office.admin.made("/teams", {"name": "Night"})
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    await office.admin.post(f"{path}/assign", {"team_id": night["team_id"]})
    await shown(office, conversation_id, lambda c: c["team_id"] == night["team_id"])
    assert (await office.ann.get(path)).status == 404
    assert (await office.admin.delete(f"/teams/{night['team_id']}")).status == 204
    await shown(office, conversation_id, lambda c: c["team_id"] == office.team_id)
    listed = (await office.ann.get("/conversations?view=unassigned")).json["data"]
    assert conversation_id in [each["conversation_id"] for each in listed]
    await office.ann.post(f"{path}/claim")
    await shown(office, conversation_id, lambda c: c["agent_id"] == office.ann_id)
