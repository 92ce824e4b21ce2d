"""What happens to a conversation reaches both sides, every device of every agent concerned, and the counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shared.clock import new_id
from tests.integration.desk.test_odd_input import colleague, on_duty
from tests.support.gateway_world import Device, Frame, World
from tests.support.rest import Api, Office

# Everything below takes some 100 ms on a quiet machine, and the machine of a test is not.
_AT_ONCE_S = 60.0


def _entry(kind: str, **wanted: Any) -> Callable[[Frame], bool]:
    """An entry of that kind whose conversation looks like this."""

    def matches(frame: Frame) -> bool:
        return frame.get("op") == "entries" and any(
            entry["kind"] == kind
            and all((entry.get("conversation") or {}).get(k) == v for k, v in wanted.items())
            for entry in frame["entries"]
        )

    return matches


def _receipt(state: str, up_to: int, by: str) -> Callable[[Frame], bool]:
    return lambda frame: (
        frame.get("op") == "receipts"
        and any(r["by"]["id"] == by and r[state] >= up_to for r in frame["receipts"])
    )


def _changed(after: int) -> Callable[[Frame], bool]:
    return lambda frame: frame.get("op") == "changed" and frame["position"] > after


class Scene:
    """Two agents of one team with two devices each, and a visitor."""

    def __init__(self, office: Office, world: World) -> None:
        self.office = office
        self.world = world
        self.conversation_id = new_id()
        self.ben: Api
        self.anns: list[Device] = []
        self.bens: list[Device] = []
        self.visitor: Api
        self.screen: Device

    async def open(self) -> None:
        """All connected; neither agent takes anything yet."""
        self.ben, ben_id = await colleague(self.office, "ben")
        for agent, agent_id in ((self.office.ann, self.office.ann_id), (self.ben, ben_id)):
            await agent.call("PUT", f"/agents/{agent_id}/availability", {"availability": "away"})
        self.anns = [await on_duty(self.office, self.world, self.office.ann) for _ in range(2)]
        self.bens = [await on_duty(self.office, self.world, self.ben) for _ in range(2)]
        self.visitor, _ = await self.office.arrive()
        self.screen = await on_duty(self.office, self.world, self.visitor)

    async def leave(self) -> None:
        """Disconnect everybody."""
        for device in (*self.anns, *self.bens, self.screen):
            await device.leave()

    async def told(self, devices: list[Device], matches: Callable[[Frame], bool]) -> None:
        """Every one of these devices hears it."""
        for device in devices:
            await device.until(matches, timeout_s=_AT_ONCE_S)

    async def counts(self, agent: Api, position: int) -> dict[str, Any]:
        """What the agent's screen shows once it heard of a change there."""
        answer = await agent.get("/conversations/counts", Nightdesk_Position=str(position))
        assert answer.status == 200, answer
        return dict(answer.json)

    async def wish(self, agent: Api, status: str, **more: Any) -> int:
        """Set the status; the position."""
        path = f"/conversations/{self.conversation_id}/status"
        answer = await agent.post(path, {"status": status, **more})
        assert answer.status == 200, answer
        return int(answer.position)


@pytest.fixture
async def scene(office: Office, world: World) -> AsyncIterator[Scene]:
    """Connected and ready."""
    made = Scene(office, world)
    await made.open()
    yield made
    await made.leave()


async def test_every_state_reaches_both_sides_and_the_counts(scene: Scene) -> None:
    """Queued, open, received, read, replied, snoozed, resolved: the visitor's screen, both devices of the agent who has
    it and both of a colleague hear of each, and the counts are right as soon as they do."""
    ann, conversation_id = scene.office.ann, scene.conversation_id
    body = {"conversation_id": conversation_id, "message": {"message_id": new_id(), "text": "?"}}
    asked = int((await scene.visitor.post("/conversations", body)).position)
    await scene.told(scene.anns + scene.bens, _changed(asked - 1))
    for agent in (ann, scene.ben):
        counts = await scene.counts(agent, asked)
        assert (counts["unassigned"]["conversations"], counts["all"]["team_unread"]) == (1, 1)

    await ann.call("PUT", f"/agents/{scene.office.ann_id}/availability", {"availability": "online"})
    await scene.told([scene.screen], _entry("conversation_changed", status="open"))
    await scene.told(scene.anns, _entry("conversation_assigned"))
    await scene.told(scene.bens, _changed(asked + 1))
    given = next(e for e in scene.anns[0].entries() if e["kind"] == "conversation_assigned")
    # An entry does not count; who wants the number asks for it.
    assert given["conversation"]["unread"] is None
    counts = await scene.counts(ann, given["position"])
    assert (counts["mine"]["by_status"]["open"], counts["mine"]["unread"]) == (1, 1)
    assert counts["unassigned"]["conversations"] == 0

    await scene.anns[0].say(op="received", up_to=given["position"])
    await scene.told([scene.screen], _receipt("received", asked, scene.office.ann_id))
    await scene.anns[0].say(op="read", conversation_id=conversation_id, up_to=asked)
    is_read = _receipt("read", asked, scene.office.ann_id)
    await scene.told([scene.screen, scene.anns[1]], is_read)
    await scene.told(scene.anns + scene.bens, _changed(given["position"]))
    counts = await scene.counts(scene.ben, given["position"])
    assert (counts["all"]["team_unread"], counts["teams"][0]["team_unread"]) == (0, 0)

    answered = (await scene.anns[0].post(conversation_id, "!", seen_up_to=asked))["position"]
    await scene.told([scene.screen, *scene.anns], _entry("message"))
    await scene.told(scene.bens, _changed(answered - 1))
    assert (await scene.counts(scene.ben, answered))["all"]["by_status"]["replied"] == 1

    until = "2099-01-01T00:00:00Z"
    at = await scene.wish(ann, "snoozed", until=until, seen_up_to=answered)
    await scene.told([scene.screen, *scene.anns], _entry("conversation_changed", status="snoozed"))
    await scene.told(scene.bens, _changed(at - 1))
    at = await scene.wish(ann, "resolved", seen_up_to=at)
    await scene.told([scene.screen], _entry("conversation_changed", status="resolved"))
    await scene.told(scene.anns, _entry("conversation_left"))
    await scene.told(scene.bens, _changed(at - 1))
    counts = await scene.counts(scene.ben, at)
    assert (counts["all"]["by_status"]["resolved"], counts["all"]["team_unread"]) == (1, 0)


async def test_what_a_colleague_reads_is_read_on_all_their_devices(scene: Scene) -> None:
    """Somebody who does not hold the conversation reads it: their other device hears of it, and it is unread for nobody's
    team list any more."""
    body = {
        "conversation_id": scene.conversation_id,
        "message": {"message_id": new_id(), "text": "?"},
    }
    asked = int((await scene.visitor.post("/conversations", body)).position)
    await scene.bens[0].say(op="read", conversation_id=scene.conversation_id, up_to=asked)
    ben_id = scene.bens[0].frames[0]["you"]["id"]
    await scene.told([scene.bens[1]], _receipt("read", asked, ben_id))
    await scene.told(scene.anns, _changed(asked))
    counts = await scene.counts(scene.office.ann, asked + 1)
    assert (counts["unassigned"]["conversations"], counts["all"]["team_unread"]) == (1, 0)


async def test_what_a_removed_team_had_is_the_inboxes_teams(scene: Scene) -> None:
    """Whoever may open it finds it in the list, under their team and in the counts, although nothing queues it again."""
    admin, ann = scene.office.admin, scene.office.ann
    _, contact_id = await scene.office.arrive()
    body = {"conversation_id": scene.conversation_id, "contact_id": contact_id}
    await admin.made("/conversations", body)
    team = await admin.made("/teams", {"name": f"Soon gone {new_id()}", "members": {}})
    wished = await admin.post(
        f"/conversations/{scene.conversation_id}/assign", {"team_id": team["team_id"]}
    )
    await scene.told(scene.anns, _changed(int(wished.position) - 1))
    at = await scene.wish(admin, "resolved", seen_up_to=int(wished.position))
    known = {"Nightdesk_Position": str(at)}
    listed = f"/conversations?view=all&contact={contact_id}"
    assert (await ann.get(listed, **known)).json["data"] == []

    assert (await admin.call("DELETE", f"/teams/{team['team_id']}")).status == 204
    assert (await ann.get(f"/conversations/{scene.conversation_id}")).status == 200
    of_team = f"team={scene.office.team_id}"
    for query in (listed, f"{listed}&{of_team}"):
        data = (await ann.get(query, **known)).json["data"]
        assert [each["conversation_id"] for each in data] == [scene.conversation_id]
    counts = f"/conversations/counts?contact={contact_id}"
    for query in (counts, f"{counts}&{of_team}"):
        assert (await ann.get(query, **known)).json["all"]["conversations"] == 1


async def test_counts_are_for_the_desk(office: Office) -> None:
    """Visitors are refused, an agent of no team sees none of a team's, API keys and wrong ids are told apart."""
    visitor, _ = await office.arrive()
    _, started = await office.start(visitor)
    path = "/conversations/counts"
    at = {"Nightdesk_Position": started.position}
    assert (await visitor.get(path)).code == "forbidden"
    email = f"zoe-{new_id()}@office.example"
    await office.admin.made("/agents", {"name": "Z", "email": email, "password": "correct horse 9"})
    stranger = await office.anybody.sign_in(email, "correct horse 9")
    assert (await stranger.get(path, **at)).json["all"]["conversations"] == 0
    assert (await office.ann.get(f"{path}?team={office.team_id}", **at)).json["all"][
        "team_unread"
    ] == 1
    inbox = office.inbox["inbox_id"]
    found = (await office.admin.get(f"{path}?inbox={inbox}&channel=web", **at)).json
    assert (found["all"]["team_unread"], found["is_cut"], found["mine"]["conversations"]) == (
        1,
        False,
        0,
    )
    assert (await office.ann.get(f"{path}?team=nobody")).code == "bad_id"
