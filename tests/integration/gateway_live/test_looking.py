"""Who is on it: colleagues see who has a conversation open, at every gateway, and visitors never do."""

from __future__ import annotations

from shared import clock, events
from shared.ids import TeamId
from tests.support.gateway_world import Desk, Device, Frame, World, open_desk, open_twin, open_world
from tests.support.log import PATIENCE_S
from tests.support.services import Surroundings

_SOON = {"NIGHTDESK_GATEWAY_LOOKS_AGAIN_S": "0.3"}


async def looks(device: Device, conversation_id: str, *, is_looking: bool = True) -> None:
    """Say that the conversation is open on this device."""
    await device.say(op="looking", conversation_id=conversation_id, is_looking=is_looking)


async def sees(device: Device, *agents: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the last that the device was told are these agents."""

    def told(_frame: Frame) -> bool:
        shown = [f for f in device.frames if f.get("op") == "looking"]
        return bool(shown) and [a["agent"]["id"] for a in shown[-1]["agents"]] == list(agents)

    await device.until(told, timeout_s=timeout_s)


async def test_agents_see_each_other_come_and_go(desk: Desk) -> None:
    """Who opens a conversation learns at once who is there, by name; those there learn who came and who left."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor = await desk.visitor(contact_id)
    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    await looks(ann, conversation_id)
    await sees(ann)
    await looks(bob, conversation_id)
    await sees(bob, desk.ann)
    await sees(ann, desk.bob)
    shown = [f for f in ann.frames if f.get("op") == "looking"][-1]["agents"][0]
    assert shown["agent"] == {"kind": "agent", "id": desk.bob, "name": "Bob"}
    assert shown["since"].endswith("Z")
    await looks(bob, conversation_id, is_looking=False)
    await sees(ann)
    await looks(bob, conversation_id)
    await sees(ann, desk.bob)
    await bob.leave()
    await sees(ann)
    await ann.post(conversation_id, "done")
    await visitor.until_texts(1)
    assert not [frame for frame in visitor.frames if frame.get("op") == "looking"]


async def test_whoever_types_is_on_it(desk: Desk) -> None:
    """An agent who only types is seen, sees who is there, and is told of the visitor's typing while they look."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor = await desk.visitor(contact_id)
    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    await looks(ann, conversation_id)
    await sees(ann)
    await bob.say(op="typing", conversation_id=conversation_id)
    await sees(bob, desk.ann)
    await sees(ann, desk.bob)
    typing = await ann.op("typing")
    assert (typing["by"]["id"], typing["is_typing"]) == (desk.bob, True)
    await visitor.op("typing")
    await visitor.say(op="typing", conversation_id=conversation_id)
    await bob.until(lambda f: f.get("op") == "typing" and f["by"]["id"] == contact_id)


async def test_the_holder_is_told_even_when_they_look_elsewhere(desk: Desk) -> None:
    """Whoever holds a conversation learns that a colleague opened it."""
    _, conversation_id = await desk.conversation()
    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    await desk.assign(conversation_id, desk.ann)
    await ann.op("entries")
    await looks(bob, conversation_id)
    await sees(ann, desk.bob)


async def _refused(desk: Desk, conversation_id: str) -> Device:
    """Bob's device, as soon as the gateway has folded that he may not look; one that asks too often is sent away."""
    while True:
        device = await desk.agent(desk.bob)
        await looks(device, conversation_id)
        answer = await device.until(lambda frame: frame.get("op") in ("err", "looking"))
        if answer.get("code") == "not_found":
            return device
        await device.leave()


async def test_only_agents_who_may_see_it(desk: Desk) -> None:
    """Visitors and agents of other teams are refused; who loses the right is no longer told."""
    contact_id, conversation_id = await desk.conversation()
    await desk.assign(conversation_id, desk.ann)
    visitor, ann, bob = (
        await desk.visitor(contact_id),
        await desk.agent(desk.ann),
        await desk.agent(desk.bob),
    )
    await looks(visitor, conversation_id)
    assert (await visitor.op("err"))["code"] == "forbidden"
    await looks(bob, conversation_id)
    await sees(bob)
    own = {"account_id": desk.account_id, "writer": "test"}
    members = {desk.ann: 0}
    team = events.TeamSaved(**own, team_id=desk.team_id, name="desk", members=members)  # type: ignore[arg-type]
    other = events.TeamSaved(
        **own,  # type: ignore[arg-type]
        team_id=TeamId(clock.new_id()),
        name="other",
        members={desk.bob: 0},
    )
    await desk.append("account", team, other)
    stranger = await _refused(desk, conversation_id)
    told = len(bob.frames)
    await looks(ann, conversation_id)
    await sees(ann, desk.bob)
    await stranger.post(conversation_id, "no")
    assert [f for f in bob.frames[told:] if f.get("op") == "looking"] == []


async def test_a_device_has_at_most_eight_open(desk: Desk) -> None:
    """A ninth takes the place of the first, so that nobody is shown where they are not."""
    first = ""
    ann, bob = await desk.agent(desk.ann), await desk.agent(desk.bob)
    for number in range(9):
        _, conversation_id = await desk.conversation()
        first = first or conversation_id
        await looks(bob, conversation_id)
        if number == 0:
            await bob.op("looking")
            await looks(ann, first)
            await sees(ann, desk.bob)
    await sees(ann)


async def test_opening_and_closing_without_end_is_refused(desk: Desk) -> None:
    """Each is told to colleagues, so there is a limit, and the answer says to come again later."""
    _, conversation_id = await desk.conversation()
    ann = await desk.agent(desk.ann)
    for number in range(200):
        await looks(ann, conversation_id, is_looking=number % 2 == 0)
    refused = await ann.op("err")
    assert (refused["code"], refused["retry"]) == ("rate_limited", True)


async def one_session_a_device(desk: Desk, first: World, second: World) -> None:
    """A device that comes back at another gateway has one session: the newer."""
    phone, tablet = clock.new_id(), clock.new_id()
    contact_id, _ = await desk.conversation()
    desk.world = first
    old, other = await desk.visitor(contact_id, device=phone), await desk.visitor(contact_id)
    desk.world = second
    new = await desk.visitor(contact_id, device=phone)
    await desk.visitor(contact_id, device=tablet)
    assert await old.closed() == 3504
    assert (other.close_code, new.close_code) == (None, None)


async def test_gateways_tell_each_other(around: Surroundings) -> None:
    """An agent at another gateway is seen, also by a gateway that started later; one that dies takes its lookers
    along."""
    with open_world(around, settings=_SOON) as world:
        async with open_desk(world) as desk:
            _, conversation_id = await desk.conversation()
            await desk.assign(conversation_id, desk.ann)
            here = await desk.agent(desk.ann)
            await looks(here, conversation_id)
            await sees(here)
            with open_twin(world, settings=_SOON) as twin:
                desk.world = twin
                there = await desk.agent(desk.bob)
                await looks(there, conversation_id)
                await sees(there, desk.ann)
                await sees(here, desk.bob)
                await one_session_a_device(desk, world, twin)
                twin.gateway.kill()
                await sees(here)
