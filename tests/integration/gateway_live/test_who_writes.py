"""Lists say who writes, to those who answer; what a key that is gone had sealed is shown as gone, on every way."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

import aiohttp

from shared import clock, events
from shared.crypto import KeyRing, new_stored_key
from shared.events import Author
from shared.ids import ContactId, MessageId
from tests.support.gateway_world import Desk
from tests.support.rest import Api, Json


def _lost(desk: Desk) -> KeyRing:
    """A key that nobody kept."""
    ring = KeyRing(desk.world.master)
    for purpose in ("data", "fingerprint"):
        ring.add(new_stored_key(desk.world.master, desk.account_id, purpose))
    return ring


def _profile(desk: Desk, ring: KeyRing, contact_id: ContactId) -> events.ContactChanged:
    said = json.dumps({"name": "Wang Li", "email": "w@x.example", "attributes": {"tier": "gold"}})
    return events.ContactChanged(
        account_id=desk.account_id,
        contact_id=contact_id,
        profile=ring.seal(desk.account_id, said.encode(), of=contact_id, part="profile"),
        by=Author(kind="visitor", id=contact_id),
    )


async def _listed(session: aiohttp.ClientSession, desk: Desk, token: str, at: int) -> Json:
    answer = await Api(session, desk.world.url, token).get(
        "/conversations", Nightdesk_Position=str(at)
    )
    assert answer.status == 200, answer
    found: Json = answer.json["data"][0]
    return found


async def test_a_list_says_who_writes(desk: Desk) -> None:
    """Name, address and attributes as the site gave them, in the list and for one conversation; not to the visitor, whose
    own it is, nor in an entry, which says what changed."""
    contact_id, conversation_id = await desk.conversation()
    agent = await desk.agent(desk.ann)
    at = await desk.assign(conversation_id, desk.ann)
    (at,) = await desk.append("conversation", _profile(desk, desk.ring, contact_id))
    async with aiohttp.ClientSession() as session:
        row = await _listed(session, desk, desk.agent_token(desk.ann), at)
        contact = row["contact"]
        assert (contact["name"], contact["email"]) == ("Wang Li", "w@x.example")
        assert (contact["attributes"], contact["erased"]) == ({"tier": "gold"}, False)
        api = Api(session, desk.world.url, desk.agent_token(desk.ann))
        one = await api.get(f"/conversations/{conversation_id}")
        assert one.json["contact"] == contact
        own = await _listed(session, desk, desk.visitor_token(contact_id), at)
        assert own["contact"] is None
    told = await agent.until(lambda frame: frame.get("op") == "entries")
    assert told["entries"][0]["conversation"]["contact"] is None


async def test_what_a_lost_key_sealed_is_shown_as_gone(desk: Desk) -> None:
    """The contact as erased, the message as unreadable: in lists, over REST, live and on a resume; the rest goes on."""
    contact_id, conversation_id = await desk.conversation()
    before = (await desk.agent(desk.ann)).cursor
    live = await desk.agent(desk.ann)
    await desk.assign(conversation_id, desk.ann)
    lost, message_id = _lost(desk), MessageId(clock.new_id())
    body = lost.seal(desk.account_id, b"gone", of=message_id, part="body")
    posted = events.MessagePosted(
        account_id=desk.account_id,
        conversation_id=conversation_id,
        message_id=message_id,
        author=Author(kind="visitor", id=contact_id),
        content_type="text",
        body=body,
        fingerprint=secrets.token_bytes(32),
        device_id=None,
    )
    await desk.append("conversation", _profile(desk, lost, contact_id))
    (at,) = await desk.append("message", posted)
    shown = [await live.until(lambda frame: _message(frame, message_id) is not None)]
    later = await desk.agent(desk.ann, resume=before, device=str(uuid.uuid4()))
    shown.append(await later.until(lambda frame: _message(frame, message_id) is not None))
    messages = [_message(frame, message_id) for frame in shown]
    async with aiohttp.ClientSession() as session:
        row = await _listed(session, desk, desk.agent_token(desk.ann), at)
        api = Api(session, desk.world.url, desk.agent_token(desk.ann))
        read = await api.get(f"/conversations/{conversation_id}/messages")
    contact = row["contact"]
    assert (contact["name"], contact["attributes"], contact["erased"]) == (None, {}, True)
    messages += [row["last_message"], read.json["data"][0]]
    assert [(m["text"], m["unreadable"]) for m in messages if m] == [(None, True)] * 4


def _message(frame: dict[str, Any], message_id: str) -> Json | None:
    entries = frame["entries"] if frame.get("op") == "entries" else []
    found = [
        message
        for entry in entries
        for message in (entry["message"], *entry["messages"])
        if message is not None and message["message_id"] == message_id
    ]
    return found[0] if found else None
