"""Rules on pages and attributes: judged where people's words are readable, obeyed where they are not."""

from __future__ import annotations

import asyncio

import psycopg

from shared.clock import new_id
from shared.codec import decode_event
from shared.events import ConditionsJudged, ConversationStarted
from tests.support.gateway_world import Device, World, open_twin
from tests.support.log import PATIENCE_S, until_none
from tests.support.rest import Api, Office
from tests.support.services import service

_RULES = [
    {"skill": "tea", "level": 2, "page": "/secret-sale*"},
    {"skill": "latin", "level": 3, "attribute": "plan", "equals": "platinum"},
]

_STARTS = 4
"""So many at once, that one of them falls between the look of a change and its writing."""


async def test_a_page_and_an_attribute_route_without_being_seen(
    office: Office, world: World
) -> None:
    """The rule holds from the start by the page, and from the change on by the attribute; explain says so; neither the
    page nor the attribute nor what the policy asks of them stands anywhere in the log."""
    await office.admin.patch(f"/agents/{office.ann_id}", {"skills": {"tea": 2, "latin": 3}})
    body = {"name": "Day", "skill_rules": _RULES}
    policy = await office.admin.made("/policies", body)
    shown = policy["skill_rules"]
    assert [(r["page"], r["attribute"], r["equals"]) for r in shown] == [
        ("/secret-sale*", "", ""),
        ("", "plan", "platinum"),
    ]
    again = await office.admin.patch(f"/policies/{policy['policy_id']}", {"skill_rules": _RULES})
    assert again.json["version"] == policy["version"], "the same conditions are the same document"
    inbox = f"/inboxes/{office.inbox['inbox_id']}"
    await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})
    visitor, contact_id = await office.arrive()
    conversation_id = new_id()
    begun = {
        "conversation_id": conversation_id,
        "page": "https://shop.example/secret-sale/tea?from=mail",
        "message": {"message_id": new_id(), "text": "how much?"},
    }
    assert (await visitor.post("/conversations", begun)).status == 201
    path = f"/conversations/{conversation_id}/explain"
    settings = {"NIGHTDESK_NATS_URL": world.around.nats.url_of("dispatcher")}
    with service("dispatcher", world.around, settings=settings):

        async def needs(*wanted: tuple[str, int]) -> None:
            async def others() -> list[str]:
                told = (await office.admin.get(path)).json.get("needs") or []
                found = [(each["skill"], each["level"]) for each in told]
                return [] if found == list(wanted) else [str(found)]

            await until_none(others)

        await needs(("tea", 2))
        change = {"attributes": {"plan": "platinum"}}
        known = await office.ann.patch(f"/contacts/{contact_id}", change)
        assert known.json["attributes"] == {"plan": "platinum"}
        await needs(("tea", 2), ("latin", 3))
        because = (await office.admin.get(path)).json["needs"][1]["because"]
        assert "known of the visitor" in because
        gone = await office.ann.patch(f"/contacts/{contact_id}", {"attributes": {"plan": None}})
        assert gone.json["attributes"] == {}
        await needs(("tea", 2))
    payloads = await _payloads(world)
    for word in (b"secret-sale", b"platinum", b"plan"):
        assert not [payload for payload in payloads if word in payload], word
    assert (await visitor.patch(f"/contacts/{contact_id}", change)).status == 403


async def test_what_begins_again_is_judged_by_what_is_known_now(
    office: Office, world: World
) -> None:
    """A conversation was resolved; meanwhile its visitor became a premium customer and the policy got another rule. The
    next message, by REST or WebSocket, and an agent who opens it, put a new judgement into the log before what opens it,
    once; while it is open, messages are judged no further."""
    await office.admin.patch(f"/agents/{office.ann_id}", {"skills": {"tea": 2, "latin": 3}})
    policy = await office.admin.made("/policies", {"name": "Day", "skill_rules": _RULES[:1]})
    inbox = f"/inboxes/{office.inbox['inbox_id']}"
    await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})
    visitor, contact_id = await office.arrive()
    conversation_id, started = await office.start(visitor)
    path = f"/conversations/{conversation_id}"

    async def resolve(after: object) -> None:
        body = {"status": "resolved", "seen_up_to": int(str(after))}
        done = await office.admin.post(f"{path}/status", body)
        assert done.status == 200
        seen = await office.admin.get(path, Nightdesk_Position=done.position)
        assert seen.json["status"] == "resolved"

    await resolve(started.position)
    await office.admin.patch(f"/policies/{policy['policy_id']}", {"skill_rules": _RULES})
    known = {"attributes": {"plan": "platinum"}}
    assert (await office.ann.patch(f"/contacts/{contact_id}", known)).status == 200
    device = Device(await visitor.http.ws_connect(world.ws_url, protocols=["nightdesk.v1"]))
    await device.hello(visitor.token)
    try:
        posted = started
        for text in ("again", "and more"):
            body = {"message_id": new_id(), "text": text}
            posted = await visitor.post(f"{path}/messages", body)
            assert posted.status == 201, text
        await resolve(posted.position)
        await device.post(conversation_id, "still there?")
        last = await device.post(conversation_id, "hello?")
        await resolve(last["position"])
        opened = await office.admin.post(f"{path}/status", {"status": "open"})
    finally:
        await device.leave()
    await office.admin.get(path, Nightdesk_Position=opened.position)
    assert int(opened.position) > last["position"]
    story = [
        type(event).__name__
        for payload in await _payloads(world)
        if getattr(event := decode_event(payload), "conversation_id", None) == conversation_id
    ]
    again = ["ConditionsJudged", "MessagePosted", "MessagePosted", "StatusChanged"]
    assert story[3:] == [*again, *again, "ConditionsJudged", "StatusChanged"]
    assert len(await _met(world, conversation_id)) == 1
    told = (await office.admin.get(f"{path}/explain")).json["decisions"]
    assert [step["what"] for step in told].count("judged") == 3


async def test_changes_of_a_contact_in_the_same_moment_are_all_kept(
    office: Office, world: World
) -> None:
    """Whoever was told that an attribute is kept finds it, whatever others changed at the same time at this gateway or
    another."""
    _, contact_id = await office.arrive()
    path = f"/contacts/{contact_id}"
    names = [f"a{number}" for number in range(8)]
    with open_twin(world) as twin:
        other = Api(office.ann.http, twin.url, office.ann.token)
        answers = await asyncio.gather(
            *(
                (office.ann, other)[number % 2].patch(path, {"attributes": {name: "x"}})
                for number, name in enumerate(names)
            )
        )
    assert {answer.status for answer in answers} == {200}
    last = max((answer.position for answer in answers), key=int)
    told = await office.ann.get(path, Nightdesk_Position=last)
    assert sorted(told.json["attributes"]) == names


async def test_a_conversation_that_starts_while_its_contact_changes_is_judged_by_the_change(
    office: Office, world: World
) -> None:
    """Start and change in the same moment at two gateways, both told yes: whichever came first, the log ends with a
    judgement by what is known now."""
    await office.admin.patch(f"/agents/{office.ann_id}", {"skills": {"tea": 2, "latin": 3}})
    policy = await office.admin.made("/policies", {"name": "Day", "skill_rules": _RULES})
    inbox = f"/inboxes/{office.inbox['inbox_id']}"
    await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})
    with open_twin(world) as twin:
        for round_ in range(8):
            visitor, contact_id = await office.arrive()
            begun = [
                {"conversation_id": new_id(), "message": {"message_id": new_id(), "text": "hello"}}
                for _ in range(_STARTS)
            ]
            change = {"attributes": {"plan": "platinum"}}
            url = (world.url, twin.url)[round_ % 2]
            agent = Api(office.ann.http, url, office.ann.token)
            answers = await asyncio.gather(
                *(visitor.post("/conversations", each) for each in begun),
                agent.patch(f"/contacts/{contact_id}", change),
            )
            assert [answer.status for answer in answers] == [*[201] * _STARTS, 200]
            async with asyncio.timeout(PATIENCE_S):
                # The log is looked at where the store keeps it, which is a moment later.
                while not all([await _met(world, each["conversation_id"]) for each in begun]):
                    pass


async def _met(world: World, conversation_id: object) -> tuple[str, ...]:
    """The conditions that the conversation meets, by the last word of the log."""
    found: tuple[str, ...] = ()
    for payload in await _payloads(world):
        event = decode_event(payload)
        if isinstance(event, ConversationStarted | ConditionsJudged):
            found = event.met if event.conversation_id == conversation_id else found
    return found


async def _payloads(world: World) -> list[bytes]:
    connection = await psycopg.AsyncConnection.connect(world.around.database_url, autocommit=True)
    async with connection:
        rows = await connection.execute("SELECT payload FROM truth.events ORDER BY position")
        return [bytes(payload) for (payload,) in await rows.fetchall()]
