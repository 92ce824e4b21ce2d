"""Conversations by REST: start, lists, rights, wishes."""

from __future__ import annotations

import asyncio

from shared.clock import new_id
from tests.support.rest import Answer, Api, Office


async def test_starting_twice_is_starting_once(office: Office) -> None:
    """The same conversation and message again: 200, the same position, one message in the history."""
    visitor, contact_id = await office.arrive()
    body = {
        "conversation_id": new_id(),
        "language": "zh",
        "message": {"message_id": new_id(), "text": "你好"},
    }
    first = await visitor.post("/conversations", body)
    assert (first.status, first.json["status"]) == (201, "queued")
    assert first.json["contact_id"] == contact_id
    again = await visitor.post("/conversations", body)
    assert (again.status, again.position) == (200, first.position)
    history = await visitor.get(
        f"/conversations/{body['conversation_id']}/messages", Nightdesk_Position=first.position
    )
    assert [(m["seq"], m["text"]) for m in history.json["data"]] == [(1, "你好")]


async def test_a_lost_first_message_is_posted_by_the_repeat(office: Office) -> None:
    """The conversation was started without it: the repeat with a message posts the message."""
    visitor, _ = await office.arrive()
    conversation_id = new_id()
    bare = await visitor.post("/conversations", {"conversation_id": conversation_id})
    assert (bare.status, bare.json["status"]) == (201, "replied")
    body = {
        "conversation_id": conversation_id,
        "message": {"message_id": new_id(), "text": "now"},
    }
    repeat = await visitor.post("/conversations", body)
    assert repeat.status == 200
    assert int(repeat.position) > int(bare.position)
    shown = await visitor.get(
        f"/conversations/{conversation_id}/messages", Nightdesk_Position=repeat.position
    )
    assert [m["text"] for m in shown.json["data"]] == ["now"]


async def _attempts(intruder: Api, conversation_id: str, message_id: str) -> list[Answer]:
    path = f"/conversations/{conversation_id}"
    message = {"message_id": new_id(), "text": "let me in"}
    return [
        await intruder.get(path),
        await intruder.get(f"{path}/messages"),
        await intruder.post(f"{path}/messages", message),
        await intruder.post(f"{path}/status", {"status": "resolved"}),
        await intruder.patch(f"/messages/{message_id}", {"text": "changed", "revision": 1}),
        await intruder.delete(f"/messages/{message_id}"),
    ]


async def test_what_is_somebody_elses_does_not_exist(office: Office, elsewhere: Office) -> None:
    """Another visitor, another account's visitor and another account's administrator all get 404, as for nothing."""
    visitor, _ = await office.arrive()
    conversation_id, started = await office.start(visitor)
    history = await visitor.get(
        f"/conversations/{conversation_id}/messages", Nightdesk_Position=started.position
    )
    message_id = history.json["data"][0]["message_id"]
    neighbour, _ = await office.arrive()
    foreigner, _ = await elsewhere.arrive()
    for intruder in (neighbour, foreigner, elsewhere.admin):
        answers = await _attempts(intruder, conversation_id, message_id)
        assert [(a.status, a.code) for a in answers] == [(404, "not_found")] * len(answers)
        nothing = (await intruder.get(f"/conversations/{new_id()}")).json
        found = answers[0].json
        assert {**found, "request_id": ""} == {**nothing, "request_id": ""}
    taken = await neighbour.post("/conversations", {"conversation_id": conversation_id})
    assert taken.status == 404
    assert len((await visitor.get(f"/conversations/{conversation_id}/messages")).json["data"]) == 1


async def test_visitors_see_their_own_and_nothing_of_the_inside(office: Office) -> None:
    """No labels, notes or filters by agent; other people's conversations are not in the list."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    await office.start((await office.arrive())[0])
    await office.admin.made("/labels", {"name": "vip"})
    path = f"/conversations/{conversation_id}"
    labelled = await office.ann.post(f"{path}/labels", {"add": ["vip"]})
    noted = await office.ann.post(f"{path}/notes", {"note_id": new_id(), "text": "careful"})
    at = {"Nightdesk_Position": noted.position}
    assert int(noted.position) > int(labelled.position)
    inside = (await office.ann.get(path, **at)).json
    assert inside["labels"] == ["vip"]
    outside = (await visitor.get("/conversations", **at)).json["data"]
    assert [(c["conversation_id"], c["labels"]) for c in outside] == [(conversation_id, [])]
    assert (await visitor.get(f"{path}/notes")).status == 403
    assert (await visitor.get(f"{path}/explain")).status == 403
    assert (await visitor.get("/agents")).status == 403
    assert (await visitor.get(f"/conversations?agent={office.ann_id}")).status == 403
    notes = (await office.ann.get(f"{path}/notes", **at)).json["data"]
    assert [n["text"] for n in notes] == ["careful"]


async def test_lists_filter_and_page(office: Office) -> None:
    """Each filter narrows; pages follow each other without gaps or repeats."""
    visitor, contact_id = await office.arrive()
    ids = [(await office.start(visitor, f"question {n}"))[0] for n in range(5)]
    last = await office.admin.post(f"/conversations/{ids[0]}/status", {"status": "resolved"})
    at = {"Nightdesk_Position": last.position}
    mine = f"/conversations?contact={contact_id}"
    assert len((await office.admin.get(mine, **at)).json["data"]) == 5
    resolved = (await office.admin.get(f"{mine}&status=resolved", **at)).json["data"]
    assert [c["conversation_id"] for c in resolved] == [ids[0]]
    waiting = (await office.admin.get(f"{mine}&view=unassigned&order=waiting", **at)).json["data"]
    assert [c["conversation_id"] for c in waiting] == ids[1:]
    assert (await office.admin.get(f"{mine}&team={new_id()}", **at)).json["data"] == []
    seen, after = [], ""
    while True:
        page = (await office.admin.get(f"{mine}&limit=2&after={after}", **at)).json
        seen += [c["conversation_id"] for c in page["data"]]
        after = page["page"]["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(ids)
    assert len(seen) == 5


async def test_agents_list_what_is_theirs_and_their_teams(
    office: Office, elsewhere: Office
) -> None:
    """`mine` is what the agent holds; an agent outside the team does not see the team's conversations."""
    visitor, contact_id = await office.arrive()
    conversation_id, started = await office.start(visitor)
    at = {"Nightdesk_Position": started.position}
    seen = (await office.ann.get(f"/conversations?view=all&contact={contact_id}", **at)).json
    assert [c["conversation_id"] for c in seen["data"]] == [conversation_id]
    assert (await office.ann.get(f"/conversations?contact={contact_id}", **at)).json["data"] == []
    email = f"bob-{new_id()}@office.example"
    await office.admin.made(
        "/agents", {"name": "Bob", "email": email, "password": "correct horse battery"}
    )
    bob = await office.anybody.sign_in(email)
    assert (await bob.get(f"/conversations/{conversation_id}")).status == 404
    assert (await bob.post(f"/conversations/{conversation_id}/claim")).status == 404
    for view in ("all", "unassigned"):
        listed = await bob.get(f"/conversations?view={view}&contact={contact_id}", **at)
        assert listed.json["data"] == []
    empty = (await elsewhere.admin.get(f"/conversations?contact={contact_id}")).json["data"]
    assert empty == []


async def test_wishes_are_durable_and_checked(office: Office) -> None:
    """202 with a position; unknown agents, teams and labels are named by a pointer."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    assigned = await office.ann.post(f"{path}/assign", {"agent_id": office.ann_id})
    assert assigned.status == 202
    assert assigned.json["position"] == int(assigned.position)
    claimed = await office.ann.post(f"{path}/claim")
    assert int(claimed.position) > int(assigned.position)
    for name, body, pointer in (
        ("assign", {"agent_id": new_id()}, "/agent_id"),
        ("assign", {"team_id": new_id()}, "/team_id"),
        ("assign", {"team_id": "a.b"}, "/team_id"),
        ("labels", {"add": ["nope"]}, "/add/0"),
        ("status", {"status": "snoozed"}, "/until"),
        ("status", {"status": "resolved", "seen_up_to": -1}, "/seen_up_to"),
    ):
        refused = await office.ann.post(f"{path}/{name}", body)
        assert refused.status == 400, refused
        assert refused.json["errors"][0]["pointer"] == pointer


async def test_status_rating_and_reading(office: Office) -> None:
    """Visitors resolve and rate, agents don't rate; what was read is no longer unread."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    answered = await office.ann.post(
        f"{path}/messages", {"message_id": new_id(), "text": "an answer"}
    )
    at = {"Nightdesk_Position": answered.position}
    shown = (await visitor.get(path, **at)).json
    assert (shown["unread"], shown["status"]) == (1, "replied")
    read = await visitor.post(f"{path}/read", {"up_to": int(answered.position)})
    at = {"Nightdesk_Position": read.position}
    assert (await visitor.get(path, **at)).json["unread"] == 0
    rated = await visitor.post(f"{path}/rating", {"score": 4, "comment": "kind"})
    assert rated.status == 200
    assert (await office.ann.post(f"{path}/rating", {"score": 5})).status == 403
    assert (await visitor.post(f"{path}/status", {"status": "open"})).status == 403
    resolved = await visitor.post(f"{path}/status", {"status": "resolved"})
    shown = (await office.admin.get(path, Nightdesk_Position=resolved.position)).json
    assert (shown["status"], shown["rating"]) == ("resolved", 4)


async def test_staff_start_conversations_for_a_contact(office: Office) -> None:
    """They name the contact; without one, or with one of another account, nothing is started."""
    visitor, contact_id = await office.arrive()
    body = {"conversation_id": new_id(), "contact_id": contact_id, "priority": "high"}
    started = await office.ann.post("/conversations", body)
    assert (started.status, started.json["priority"]) == (201, "high")
    listed = (await visitor.get("/conversations", Nightdesk_Position=started.position)).json
    assert [c["conversation_id"] for c in listed["data"]] == [body["conversation_id"]]
    nobody = await office.ann.post("/conversations", {"conversation_id": new_id()})
    assert nobody.json["errors"][0]["pointer"] == "/contact_id"
    unknown = {"conversation_id": new_id(), "contact_id": new_id()}
    assert (await office.ann.post("/conversations", unknown)).status == 404


async def test_of_two_who_begin_the_same_one_is_told_that_there_is_none(office: Office) -> None:
    """Two visitors with one id in the same moment: the second is not told that their message stands where only the
    first reads it."""
    (one, _), (two, _) = await office.arrive(), await office.arrive()
    bodies = [
        {"conversation_id": conversation_id, "message": {"message_id": new_id(), "text": text}}
        for conversation_id in [new_id()]
        for text in ("the one's", "the two's")
    ]
    both = await asyncio.gather(
        one.post("/conversations", bodies[0]), two.post("/conversations", bodies[1])
    )
    assert sorted(answer.status for answer in both) == [201, 404]
    first = 0 if both[0].status == 201 else 1
    path = f"/conversations/{bodies[0]['conversation_id']}/messages"
    shown = await (one, two)[first].get(path, Nightdesk_Position=both[first].position)
    assert [m["text"] for m in shown.json["data"]] == [("the one's", "the two's")[first]]


async def test_the_key_of_a_conversation_is_its_id(office: Office) -> None:
    """Another Idempotency-Key would let a repeat with a fresh id begin a second conversation: it is refused."""
    visitor, _ = await office.arrive()
    body = {"conversation_id": new_id()}
    refused = await visitor.post("/conversations", body, Idempotency_Key=new_id())
    assert (refused.status, refused.code) == (400, "idempotency_mismatch")
    key = body["conversation_id"].upper()
    assert (await visitor.post("/conversations", body, Idempotency_Key=key)).status == 201
    assert (await visitor.post("/conversations", body, Idempotency_Key=key)).status == 200


async def test_beginning_what_is_another_team_s_shows_and_posts_nothing(office: Office) -> None:
    """Who knows the ids of a conversation and its contact gets no more by starting it again than by asking for it."""
    visitor, contact_id = await office.arrive()
    conversation_id, started = await office.start(visitor, "for the desk only")
    email = f"bob-{new_id()}@office.example"
    await office.admin.made(
        "/agents", {"name": "Bob", "email": email, "password": "correct horse battery"}
    )
    bob = await office.anybody.sign_in(email)
    again = {"conversation_id": conversation_id, "contact_id": contact_id}
    message = {"message_id": new_id(), "text": "from nobody of the team"}
    for body in (again, {**again, "message": message}):
        refused = await bob.post("/conversations", body, Nightdesk_Position=started.position)
        assert (refused.status, refused.code) == (404, "not_found")
    said = await office.ann.post(
        "/conversations", {**again, "message": {"message_id": new_id(), "text": "from the desk"}}
    )
    assert said.status == 200
    at = {"Nightdesk_Position": said.position}
    texts = (await visitor.get(f"/conversations/{conversation_id}/messages", **at)).json["data"]
    assert [m["text"] for m in texts] == ["for the desk only", "from the desk"]
    assert (await office.admin.get(f"/conversations/{conversation_id}", **at)).json["agent_id"] in (
        None,
        office.ann_id,
    )


async def test_a_position_that_the_log_has_not_reached_is_refused(office: Office) -> None:
    """It would be waited for in vain; a position that was given is waited for."""
    refused = await office.admin.get("/conversations", Nightdesk_Position="9000000000000000000")
    assert (refused.status, refused.code) == (400, "invalid")
    for text in ("-1", "x", "1e3", "99999999999999999999", "١"):
        if text.isascii():
            answer = await office.admin.get("/conversations", Nightdesk_Position=text)
            assert answer.status == 400, text


async def test_view_and_agent_are_both_heeded(office: Office) -> None:
    """`agent` is never silently replaced by `mine`: they agree, or the question is refused."""
    stranger = new_id()
    both = await office.ann.get(f"/conversations?view=mine&agent={stranger}")
    assert (both.status, both.code) == (400, "invalid")
    assert both.json["errors"][0]["pointer"] == "?agent"
    assert (await office.ann.get(f"/conversations?view=mine&agent={office.ann_id}")).status == 200
    assert (await office.ann.get(f"/conversations?agent={stranger}")).json["data"] == []
