"""Asks the server, after everything, what it kept: histories, receipts, and the reasons of every assignment."""

from __future__ import annotations

import asyncio

from cli.replay.ledger import Found
from cli.replay.play import Play
from nightdesk_client import Message, Staff

_PAGE = 100
_LOOKS = 10
_BETWEEN_LOOKS_S = 0.2
_OTHER = {"visitor": "agent", "agent": "visitor"}
_ASSIGNED = "assigned"


async def look_up(staff: Staff, play: Play) -> Found:
    """Everything about one conversation. Raises `ApiError`."""
    read = await _read(staff, play)
    explained = await staff.conversations.explain(play.conversation_id)
    assignments = [x for x in explained.decisions if x.what == _ASSIGNED]
    return Found(
        messages=await _history(staff, play.conversation_id),
        owners=play.owners,
        explained=frozenset(x.by for x in assignments if x.by and _has_reasons(x.detail)),
        unexplained_decisions=sum(not _has_reasons(x.detail) for x in assignments),
        read=read,
    )


async def _read(staff: Staff, play: Play) -> dict[str, int]:
    """How far each side has read. Read marks are collected on their way, so the last ones get a moment."""
    read: dict[str, int] = {}
    for _ in range(_LOOKS):
        conversation = await staff.conversations.get(play.conversation_id)
        read = {}
        for receipt in conversation.receipts:
            read[receipt.by.kind] = max(read.get(receipt.by.kind, 0), receipt.read)
        if all(read.get(_OTHER[x.side], 0) >= x.sent.position for x in play.said):
            break
        await asyncio.sleep(_BETWEEN_LOOKS_S)
    return read


def _has_reasons(detail: dict[str, object]) -> bool:
    """Why, on which state of the world, and who or what made the choice."""
    chosen = detail.get("winner") or detail.get("requested_by") or detail.get("trigger") != "queue"
    return bool(detail.get("trigger") and detail.get("state_position") and chosen)


async def _history(staff: Staff, conversation_id: str) -> list[Message]:
    found: list[Message] = []
    more = True
    while more:
        after_seq = found[-1].seq if found else 0
        page = await staff.conversations.messages(conversation_id, after_seq=after_seq, limit=_PAGE)
        found += page.data
        more = page.more and bool(page.data)
    return found
