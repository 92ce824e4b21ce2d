"""Messages by REST: once, in order, by the right people."""

from __future__ import annotations

from shared.clock import new_id
from tests.support.rest import Office


async def test_posting_twice_is_posting_once(office: Office) -> None:
    """The same id and text: the first position, `repeated`. The same id and another text: 409."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    body = {"message_id": new_id(), "text": "once"}
    first = await visitor.post(path, body, Idempotency_Key=body["message_id"])
    assert (first.status, first.json["repeated"]) == (201, False)
    again = await visitor.post(path, {**body, "resend": True})
    assert (again.json["position"], again.json["repeated"]) == (first.json["position"], True)
    other = await visitor.post(path, {**body, "text": "twice"})
    assert (other.status, other.code) == (409, "id_conflict")
    mismatch = await visitor.post(path, body, Idempotency_Key=new_id())
    assert (mismatch.status, mismatch.code) == (400, "idempotency_mismatch")


async def test_an_old_id_is_looked_up_before_it_is_appended(office: Office) -> None:
    """An id from days ago, or of another version, is found in the store: still posted once."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    for message_id in (
        "0190163d-8694-739b-aea5-966c26f8ad" + new_id()[-2:],
        "a2c1f3d0-9f0e-4a4b-8c7d-" + new_id()[-12:],
    ):
        body = {"message_id": message_id, "text": "from long ago"}
        first = await visitor.post(path, body)
        assert first.status == 201, first
        again = await visitor.post(path, body)
        assert again.json["position"] == first.json["position"]


async def test_history_is_dense_and_pages_both_ways(office: Office) -> None:
    """`seq` counts without gaps; after_seq and before_seq walk it in either direction."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor, "message 1")
    path = f"/conversations/{conversation_id}/messages"
    posted = [
        await visitor.post(path, {"message_id": new_id(), "text": f"message {number}"})
        for number in range(2, 8)
    ]
    at = {"Nightdesk_Position": posted[-1].position}
    forward = (await visitor.get(f"{path}?after_seq=2&limit=3", **at)).json
    assert [m["seq"] for m in forward["data"]] == [3, 4, 5]
    assert forward["more"]
    back = (await visitor.get(f"{path}?before_seq=4", **at)).json
    assert [m["text"] for m in back["data"]] == ["message 1", "message 2", "message 3"]
    assert not back["more"]
    positions = [m["position"] for m in (await visitor.get(path, **at)).json["data"]]
    assert positions == sorted(positions)


async def test_only_the_author_edits_and_a_supervisor_may_retract(office: Office) -> None:
    """Higher revisions replace, lower ones are refused; a retracted text is gone, its place stays."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    message_id = new_id()
    await visitor.made(path, {"message_id": message_id, "text": "tpyo"})
    assert (await office.ann.patch(f"/messages/{message_id}", _edit("x", 1))).status == 403
    edited = await visitor.patch(f"/messages/{message_id}", _edit("typo", 2))
    assert edited.status == 200
    at = {"Nightdesk_Position": edited.position}
    shown = (await office.ann.get(path, **at)).json["data"][-1]
    assert (shown["text"], shown["revision"]) == ("typo", 2)
    lower = await visitor.patch(f"/messages/{message_id}", _edit("older", 1), **at)
    assert (lower.status, lower.code) == (412, "stale_revision")
    repeat = await visitor.patch(f"/messages/{message_id}", _edit("typo", 2), **at)
    assert repeat.json["repeated"]
    assert (await office.ann.delete(f"/messages/{message_id}")).status == 403
    gone = await office.admin.delete(f"/messages/{message_id}")
    at = {"Nightdesk_Position": gone.position}
    shown = (await visitor.get(path, **at)).json["data"][-1]
    assert (shown["text"], shown["retracted"], shown["seq"]) == (None, True, 2)
    late = await visitor.patch(f"/messages/{message_id}", _edit("again", 3), **at)
    assert (late.status, late.code) == (409, "conflict")


def _edit(text: str, revision: int) -> dict[str, object]:
    return {"text": text, "revision": revision}


async def test_an_answer_covers_only_what_its_author_had_seen(office: Office) -> None:
    """With `seen_up_to` before the visitor's second message the conversation goes on waiting."""
    visitor, _ = await office.arrive()
    conversation_id, started = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    second = await visitor.post(f"{path}/messages", {"message_id": new_id(), "text": "and?"})
    body = {"message_id": new_id(), "text": "an answer", "seen_up_to": int(started.position)}
    answer = await office.ann.post(f"{path}/messages", body)
    shown = (await office.ann.get(path, Nightdesk_Position=answer.position)).json
    assert shown["waiting_since"] == int(second.position)


async def test_the_timeline_tells_each_step(office: Office) -> None:
    """Accepted, answered and edited with positions and times; not for visitors."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    message_id = new_id()
    await visitor.made(path, {"message_id": message_id, "text": "where is it"})
    await visitor.patch(f"/messages/{message_id}", _edit("where is it?", 1))
    answered = await office.ann.post(path, {"message_id": new_id(), "text": "on its way"})
    told = await office.admin.get(
        f"/messages/{message_id}/timeline", Nightdesk_Position=answered.position
    )
    steps = told.json["steps"]
    assert [s["what"] for s in steps] == ["accepted", "edited", "answered"]
    assert all(s["at"].endswith("Z") for s in steps)
    assert (await visitor.get(f"/messages/{message_id}/timeline")).status == 403


async def test_a_strict_answer_by_rest(office: Office) -> None:
    """409 `crossed` when the visitor wrote again unseen; it is for agents, and only with `seen_up_to`."""
    visitor, _ = await office.arrive()
    conversation_id, first = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    again = await visitor.post(path, {"message_id": new_id(), "text": "hurry"})
    body = {"message_id": new_id(), "text": "Yes.", "only_if_seen": True}
    refused = await office.ann.post(path, {**body, "seen_up_to": int(first.position)})
    assert (refused.status, refused.code) == (409, "crossed")
    assert (await office.ann.post(path, body)).json["errors"][0]["pointer"] == "/only_if_seen"
    assert (await visitor.post(path, {**body, "seen_up_to": 1})).status == 400
    done = await office.ann.post(path, {**body, "seen_up_to": int(again.position)})
    assert done.status == 201
