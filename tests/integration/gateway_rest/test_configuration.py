"""Configuration by REST: documents with versions, checked against each other, made once."""

from __future__ import annotations

import asyncio

from shared.clock import new_id
from shared.database import connect
from shared.events import PriorityChanged
from tests.support.gateway_world import World, open_twin
from tests.support.rest import PASSWORD, Api, Json, Office
from tests.support.services import open_test_log


async def test_a_document_is_made_once_for_an_idempotency_key(office: Office) -> None:
    """The same request again finds the same document; another body under the key is a conflict."""
    for path, body, other in (
        ("/teams", {"name": "Night"}, {"name": "Day"}),
        ("/inboxes", {"name": "Night"}, {"name": "Night", "channel": "mail"}),
        ("/policies", {"name": "Night", "first_response_s": 60}, {"name": "Night"}),
        ("/agents", _agent("n"), _agent("m")),
    ):
        key = new_id()
        first = await office.admin.post(path, body, Idempotency_Key=key)
        again = await office.admin.post(path, body, Idempotency_Key=key)
        assert (first.status, again.status) == (201, 201), path
        assert first.json == again.json
        conflict = await office.admin.post(path, other, Idempotency_Key=key)
        assert (conflict.status, conflict.code) == (409, "idempotency_conflict"), path


def _agent(name: str) -> dict[str, object]:
    return {"name": name, "email": f"{name}-{new_id()}@office.example", "password": PASSWORD}


async def test_a_change_names_the_version_it_means(office: Office) -> None:
    """With If-Match of an older version: 412 and nothing changes; with the present one the version moves on."""
    path = f"/teams/{office.team_id}"
    shown = await office.admin.get(path)
    assert shown.headers["ETag"] == f'"{shown.json["version"]}"'
    changed = await office.admin.patch(path, {"name": "Late"}, If_Match=shown.headers["ETag"])
    assert (changed.status, changed.json["name"]) == (200, "Late")
    assert changed.json["members"] == shown.json["members"]
    stale = await office.admin.patch(path, {"name": "Early"}, If_Match=shown.headers["ETag"])
    assert (stale.status, stale.code) == (412, "version_mismatch")
    rubbish = await office.admin.patch(path, {"name": "Early"}, If_Match="yesterday")
    assert rubbish.status == 412
    assert (await office.admin.get(path)).json["name"] == "Late"


async def test_documents_refer_to_what_exists(office: Office, elsewhere: Office) -> None:
    """Unknown ids, and those of another account, are named by a pointer; nothing is saved."""
    for path, body, pointer in (
        ("/teams", {"name": "x", "members": {elsewhere.ann_id: 0}}, f"/members/{elsewhere.ann_id}"),
        ("/inboxes", {"name": "x", "team_id": elsewhere.team_id}, "/team_id"),
        ("/inboxes", {"name": "x", "policy_id": new_id()}, "/policy_id"),
        ("/inboxes", {"name": "x", "origins": ["shop.example"]}, "/origins/0"),
        ("/inboxes", {}, "/name"),
    ):
        answer = await office.admin.post(path, body)
        assert (answer.status, answer.code) == (400, "invalid"), body
        assert answer.json["errors"][0]["pointer"] == pointer
    for path in (
        f"/teams/{elsewhere.team_id}",
        f"/inboxes/{elsewhere.inbox['inbox_id']}",
        f"/agents/{elsewhere.ann_id}",
    ):
        assert (await office.admin.get(path)).status == 404
        assert (await office.admin.patch(path, {"name": "mine"})).status == 404
        assert (await office.admin.delete(path)).status == 404


async def test_an_address_belongs_to_one_agent_of_the_installation(
    office: Office, elsewhere: Office
) -> None:
    """In the account and in every other, whatever its spelling; after a removal it is free again."""
    body = _agent("one")
    made = await office.admin.made("/agents", body)
    shouted = {**body, "email": str(body["email"]).upper()}
    for admin in (office.admin, elsewhere.admin):
        answer = await admin.post("/agents", shouted)
        assert (answer.status, answer.code) == (409, "duplicate_email")
    taken = await office.admin.patch(f"/agents/{office.ann_id}", {"email": body["email"]})
    assert taken.status == 409
    assert (await office.admin.delete(f"/agents/{made['agent_id']}")).status == 204
    again = await office.admin.made("/agents", body)
    assert again["agent_id"] != made["agent_id"]
    await office.anybody.sign_in(str(body["email"]))


async def test_a_moved_address_signs_in_and_the_old_one_does_not(office: Office) -> None:
    """The password stays, the address changes."""
    body = _agent("mover")
    made = await office.admin.made("/agents", body)
    email = f"moved-{new_id()}@office.example"
    changed = await office.admin.patch(f"/agents/{made['agent_id']}", {"email": email})
    assert changed.json["email"] == email
    await office.anybody.sign_in(email)
    old = await office.anybody.post(
        "/auth/login", {"email": body["email"], "password": body["password"]}
    )
    assert old.status == 401


async def test_somebody_must_be_left_who_can_configure(office: Office) -> None:
    """The last administrator is neither removed nor made an agent."""
    me = (await office.admin.get("/me")).json["id"]
    admins = [a for a in (await office.admin.get("/agents")).json["data"] if a["role"] == "admin"]
    assert [a["agent_id"] for a in admins] == [me]
    for answer in (
        await office.admin.delete(f"/agents/{me}"),
        await office.admin.patch(f"/agents/{me}", {"role": "agent"}),
    ):
        assert (answer.status, answer.code) == (409, "last_admin")


async def test_a_removed_agent_leaves_the_teams(office: Office) -> None:
    """No team names an agent who does not exist."""
    made = await office.admin.made("/agents", _agent("leaver"))
    members = {office.ann_id: 1, made["agent_id"]: 2}
    await office.admin.patch(f"/teams/{office.team_id}", {"members": members})
    await office.admin.delete(f"/agents/{made['agent_id']}")
    team = (await office.admin.get(f"/teams/{office.team_id}")).json
    assert team["members"] == {office.ann_id: 1}


async def test_what_is_needed_is_not_removed(office: Office) -> None:
    """A team that an inbox hands its conversations to stays; afterwards it goes, and the inbox with its key."""
    kept = await office.admin.delete(f"/teams/{office.team_id}")
    assert (kept.status, kept.code) == (409, "in_use")
    visitor, _ = await office.arrive()
    assert (await office.admin.delete(f"/inboxes/{office.inbox['inbox_id']}")).status == 204
    gone = await office.anybody.post(f"/inboxes/{office.inbox['inbox_key']}/contacts", {})
    assert gone.status == 404
    assert (await visitor.get("/conversations")).status == 401
    assert (await office.admin.delete(f"/teams/{office.team_id}")).status == 204


async def test_roles_are_held(office: Office) -> None:
    """Agents change their own name and password and nothing else; addresses are for administrators."""
    mine = f"/agents/{office.ann_id}"
    assert (await office.ann.patch(mine, {"name": "Ann B."})).json["name"] == "Ann B."
    forbidden: list[Json] = [
        {"role": "admin"},
        {"capacity": 50},
        {"email": "x@y.example"},
        {"skills": {}},
    ]
    for body in forbidden:
        assert (await office.ann.patch(mine, body)).status == 403, body
    me = (await office.admin.get("/me")).json["id"]
    assert (await office.ann.patch(f"/agents/{me}", {"name": "x"})).status == 403
    assert (await office.ann.get(f"/agents/{me}")).json["email"] is None
    assert (await office.ann.get(mine)).json["email"] is not None
    for method, path in (
        ("POST", "/agents"),
        ("POST", "/teams"),
        ("POST", "/inboxes"),
        ("POST", "/policies"),
        ("POST", "/labels"),
        ("POST", "/api_keys"),
        ("GET", "/api_keys"),
        ("DELETE", mine),
    ):
        answer = await office.ann.call(method, path, {} if method == "POST" else None)
        assert answer.status == 403, path


async def test_availability_is_the_agents_word_or_a_supervisors(office: Office) -> None:
    """Recorded as an event and shown; an agent does not speak for another."""
    path = f"/agents/{office.ann_id}/availability"
    told = await office.ann.call("PUT", path, {"availability": "busy"})
    assert told.status == 200
    states = (await office.admin.get("/presence")).json["data"]
    assert {s["agent_id"]: s["availability"] for s in states}[office.ann_id] == "busy"
    me = (await office.admin.get("/me")).json["id"]
    other = await office.ann.call("PUT", f"/agents/{me}/availability", {"availability": "away"})
    assert other.status == 403
    wrong = await office.ann.call("PUT", path, {"availability": "asleep"})
    assert wrong.json["errors"][0]["pointer"] == "/availability"


async def test_labels_and_policies(office: Office) -> None:
    """A label is known by its name; a policy's absent fields stay."""
    name = f"label {new_id()} 退款/é"
    await office.admin.made("/labels", {"name": name, "colour": "#fff"})
    again = await office.admin.post("/labels", {"name": name, "colour": "#fff"})
    assert again.status == 201
    other = await office.admin.post("/labels", {"name": name, "colour": "#000"})
    assert (other.status, other.code) == (409, "duplicate_name")
    for unreachable in (".", ".."):
        refused = await office.admin.post("/labels", {"name": unreachable})
        assert (refused.status, refused.json["errors"][0]["pointer"]) == (400, "/name")
    policy = await office.admin.made("/policies", {"name": "Slow", "next_response_s": 600})
    changed = await office.admin.patch(f"/policies/{policy['policy_id']}", {"name": "Slower"})
    assert (changed.json["name"], changed.json["next_response_s"]) == ("Slower", 600)
    plain = f"plain-{new_id()}"
    await office.admin.made("/labels", {"name": plain})
    assert (await office.admin.patch(f"/labels/{plain}", {"colour": "red"})).status == 200
    assert (await office.admin.delete(f"/labels/{plain}")).status == 204
    assert (await office.admin.delete(f"/labels/{plain}")).status == 404


async def test_a_key_belongs_to_one_request(office: Office) -> None:
    """The same request again is done once and told the same place; another under the key is refused, at any path."""
    key, name = new_id(), f"keyed-{new_id()}"
    first = await office.admin.post("/labels", {"name": name}, Idempotency_Key=key)
    again = await office.admin.post("/labels", {"name": name}, Idempotency_Key=key)
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    other = await office.admin.post("/labels", {"name": f"{name}-2"}, Idempotency_Key=key)
    assert (other.status, other.code) == (409, "idempotency_conflict")
    names = [label["name"] for label in (await office.admin.get("/labels")).json["data"]]
    assert f"{name}-2" not in names
    assert (await office.ann.post("/labels", {"name": name}, Idempotency_Key=key)).status == 403


async def test_a_wish_with_a_key_is_wished_once(office: Office) -> None:
    """Its repeat is told where the first stands; a refused one gives its key back."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path, key = f"/conversations/{conversation_id}/priority", new_id()
    first = await office.ann.post(path, {"priority": "high"}, Idempotency_Key=key)
    again = await office.ann.post(path, {"priority": "high"}, Idempotency_Key=key)
    assert (first.status, again.status) == (200, 200)
    assert again.json == first.json
    other = await office.ann.post(path, {"priority": "low"}, Idempotency_Key=key)
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assign, fresh = f"/conversations/{conversation_id}/assign", new_id()
    wrong = await office.ann.post(assign, {"agent_id": new_id()}, Idempotency_Key=fresh)
    assert wrong.status == 400
    right = await office.ann.post(assign, {"agent_id": office.ann_id}, Idempotency_Key=fresh)
    assert right.status == 202


async def test_equal_requests_at_once_are_one(office: Office, world: World) -> None:
    """Twelve equal requests with one key at two gateways at the same moment: one event, one answer for all."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path, key = f"/conversations/{conversation_id}/priority", new_id()
    with open_twin(world) as twin:
        other = Api(office.ann.http, twin.url, office.ann.token)
        answers = await asyncio.gather(
            *(
                (office.ann, other)[n % 2].post(path, {"priority": "high"}, Idempotency_Key=key)
                for n in range(12)
            )
        )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.position for answer in answers}) == 1
    async with open_test_log(world.around.nats, world.around.shard) as log:
        await log.pass_time(0.0)
        changes = [e for _, e in log.events(PriorityChanged) if isinstance(e, PriorityChanged)]
    assert len([e for e in changes if e.conversation_id == conversation_id]) == 1


async def test_who_holds_a_key_and_dies_does_not_keep_it(office: Office, world: World) -> None:
    """While somebody else carries the request out a repeat is told to come again; when nobody lives who does, the
    repeat is carried out."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path, key = f"/conversations/{conversation_id}/priority", new_id()
    await office.ann.post(path, {"priority": "high"}, Idempotency_Key=key)
    held = "UPDATE folded.request_keys SET position = NULL, holder = gen_random_uuid(), held_until = now()"
    where = " WHERE key = %s"
    connection = await connect(world.around.database_url, name="test")
    try:
        await connection.execute((held + " + interval '1 minute'" + where).encode(), [key])
        busy = await office.ann.post(path, {"priority": "high"}, Idempotency_Key=key)
        assert (busy.status, busy.code) == (409, "in_progress")
        assert busy.headers["Retry-After"] == "1"
        await connection.execute((held + where).encode(), [key])
    finally:
        await connection.close()
    again = await office.ann.post(path, {"priority": "high"}, Idempotency_Key=key)
    assert again.status == 200


async def test_a_policy_that_cannot_be_obeyed_names_every_place(office: Office) -> None:
    """400 with a pointer for each fault; the document stays as it was. What fits comes back as it was sent."""
    refused = await office.admin.post(
        "/policies",
        {
            "name": "Broken",
            "skill_rules": [{"skill": "nobody has it", "language": "de"}],
            "fallback_teams": [{"team_id": "00000000-0000-4000-8000-000000000000", "after_s": 60}],
            "hours": {"zone": "Nowhere/Town", "weekly": []},
        },
    )
    assert refused.status == 400
    assert [each["pointer"] for each in refused.json["errors"]] == [
        "/skill_rules/0/skill",
        "/fallback_teams/0/team_id",
        "/hours/zone",
        "/hours/weekly",
    ]
    hours = {
        "zone": "Europe/Berlin",
        "weekly": [{"day": "monday", "start": "09:00", "end": "17:00"}],
        "holidays": ["2026-12-25"],
    }
    policy = await office.admin.made(
        "/policies", {"name": "Day", "hours": hours, "deadline_clock": "business"}
    )
    assert (policy["hours"], policy["deadline_clock"]) == (hours, "business")
    path = f"/policies/{policy['policy_id']}"
    refused = await office.admin.patch(path, {"hours": None})
    assert [each["pointer"] for each in refused.json["errors"]] == ["/deadline_clock"]
    assert (await office.admin.get(path)).json == policy


async def test_what_a_policy_names_is_not_removed(office: Office) -> None:
    """A team that a policy falls back on and a label that a rule names stay, until the policy lets go of them."""
    label = f"tax-{new_id()}"
    await office.admin.made("/labels", {"name": label})
    team = await office.admin.made("/teams", {"name": "Night", "members": {office.ann_id: 1}})
    policy = await office.admin.made(
        "/policies",
        {
            "name": "Careful",
            "skill_rules": [{"skill": "tea", "label": label}],
            "fallback_teams": [{"team_id": team["team_id"], "after_s": 60}],
        },
    )
    paths = (f"/teams/{team['team_id']}", f"/labels/{label}")
    for path in paths:
        kept = await office.admin.delete(path)
        assert (kept.status, kept.code) == (409, "in_use")
    letting_go: Json = {"skill_rules": [], "fallback_teams": []}
    await office.admin.patch(f"/policies/{policy['policy_id']}", letting_go)
    for path in paths:
        assert (await office.admin.delete(path)).status == 204


async def test_a_removed_policy_leaves_the_defaults(office: Office) -> None:
    """The inbox that it ruled names none any more; a stale version and a second removal are refused."""
    policy = await office.admin.made("/policies", {"name": "Strict", "first_response_s": 60})
    path, inbox = f"/policies/{policy['policy_id']}", f"/inboxes/{office.inbox['inbox_id']}"
    await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})
    await office.admin.patch(path, {"name": "Stricter"})
    stale = await office.admin.delete(path, If_Match=f'"{policy["version"]}"')
    assert (stale.status, stale.code) == (412, "version_mismatch")
    assert (await office.ann.delete(path)).status == 403
    assert (await office.admin.delete(path)).status == 204
    assert (await office.admin.get(inbox)).json["policy_id"] is None
    assert (await office.admin.get(path)).status == 404
    assert (await office.admin.delete(path)).status == 404
    refused = await office.admin.patch(inbox, {"policy_id": policy["policy_id"]})
    assert refused.json["errors"][0]["pointer"] == "/policy_id"


async def test_an_inbox_asks_for_what_somebody_can(office: Office) -> None:
    """A skill that no agent has, or not at that level, would make everybody wait for ever."""
    inbox = f"/inboxes/{office.inbox['inbox_id']}"
    can = f"tea-{new_id()}"  # Other tests' agents of the account can have any other.
    await office.admin.patch(f"/agents/{office.ann_id}", {"skills": {can: 2}})
    for skills, wrong in (({"juggling": 1}, "juggling"), ({can: 3}, can)):
        refused = await office.admin.patch(inbox, {"skills": skills})
        assert refused.status == 400, refused.json
        assert refused.json["errors"][0]["pointer"] == f"/skills/{wrong}"
    assert (await office.admin.patch(inbox, {"skills": {can: 2}})).status == 200


async def test_numbers_that_make_no_sense_are_named(office: Office) -> None:
    """Negative capacity, level 0, level 6, a deadline of minus one: refused with the place; capacity 0 is a wish."""
    agent = f"/agents/{office.ann_id}"
    wrong: list[tuple[Json, str]] = [
        ({"capacity": -1}, "/capacity"),
        ({"capacity": 1.5}, "/capacity"),
        ({"skills": {"tea": 0}}, "/skills"),
        ({"skills": {"tea": 6}}, "/skills"),
        ({"channel_capacity": {"web": -1}}, "/channel_capacity"),
    ]
    for body, pointer in wrong:
        refused = await office.admin.patch(agent, body)
        assert refused.json["errors"][0]["pointer"] == pointer, body
    refused = await office.admin.post("/policies", {"name": "x", "first_response_s": -1})
    assert refused.json["errors"][0]["pointer"] == "/first_response_s"
    assert (await office.admin.patch(agent, {"capacity": 0})).json["capacity"] == 0
