"""A visitor asks for their place: the gateway asks the dispatcher, both as real processes with their own rights."""

from __future__ import annotations

from tests.support.gateway_world import World
from tests.support.log import until_none
from tests.support.rest import Office
from tests.support.services import service


async def test_the_visitor_learns_the_place(office: Office, world: World) -> None:
    """Queued at place 1, expected time not known; somebody else's conversation is not found."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/queue"
    settings = {"NIGHTDESK_NATS_URL": world.around.nats.url_of("dispatcher")}
    with service("dispatcher", world.around, settings=settings):

        async def nobody_knows() -> list[str]:
            answer = await visitor.get(path)
            return [] if answer.json.get("place") else ["no place yet"]

        await until_none(nobody_knows, timeout_s=20)
        answer = await visitor.get(path)
        assert (answer.json["state"], answer.json["place"]) == ("queued", 1)
        assert (answer.json["expected_s"], answer.json["is_open"]) == (None, None)
        stranger, _ = await office.arrive()
        assert (await stranger.get(path)).status == 404
    assert (await visitor.get(path)).status == 503
