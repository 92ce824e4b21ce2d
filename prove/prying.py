"""Somebody of another account who asks for what is not theirs, all day: everything must be refused, whatever has just
been killed, restarted or forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nightdesk_client import Client, NightdeskClientError
from prove.diary import Diary, Said
from prove.people import Hours, Person

_PAUSE_S = (0.2, 0.8)
_RECENT = 50

_Question = Callable[[Client, Said], Awaitable[object]]


async def _own_list(client: Client, said: Said) -> object:
    """Their own list may be read; nothing of others may be in it."""
    page = await client.conversations.page()
    found = [x for x in page.data if x.conversation_id == said.conversation_id]
    if not found:
        raise _Refused
    return found


class _Refused(Exception):
    """Nothing came of it, as it must be."""


_QUESTIONS: dict[str, _Question] = {
    "conversation": lambda client, said: client.conversations.get(said.conversation_id),
    "messages": lambda client, said: client.conversations.messages(said.conversation_id),
    "notes": lambda client, said: client.conversations.notes(said.conversation_id),
    "explanation": lambda client, said: client.conversations.explain(said.conversation_id),
    "timeline": lambda client, said: client.conversations.timeline(said.message_id),
    "list": _own_list,
    "claim": lambda client, said: client.conversations.claim(said.conversation_id),
    "note": lambda client, said: client.conversations.add_note(said.conversation_id, "hello"),
    "message": lambda client, said: client.conversations.post(said.conversation_id, "hello"),
    "status": lambda client, said: client.conversations.set_status(
        said.conversation_id, "resolved", seen_up_to=said.position
    ),
    "read": lambda client, said: client.conversations.mark_read(
        said.conversation_id, said.position
    ),
    "retraction": lambda client, said: client.conversations.retract(said.message_id),
}


async def pry(person: Person, diary: Diary, hours: Hours, *, house: str) -> None:
    """Until cancelled, on the person's first device. What is given is written into the diary."""
    while True:
        await asyncio.sleep(person.chance.uniform(*_PAUSE_S))
        await hours.wait()
        client = person.devices[0].client
        foreign = [s for s in diary.accepted() if s.house != house]
        if client is None or not foreign:
            continue
        said = person.chance.choice(foreign[-_RECENT:])
        name = person.chance.choice(list(_QUESTIONS))
        try:
            await _QUESTIONS[name](client, said)
        except (_Refused, NightdeskClientError, RuntimeError):
            # Refused; or a server is away, or the device moved.
            continue
        diary.pried.append(f"{name} of {said.conversation_id} given to {person.id}")
