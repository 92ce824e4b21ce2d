"""Of two edits with one revision the first in the log stays. Which one that is can only be told when the log has both, so
an edit is looked at again behind its own position, before anybody is told that it was made."""

from __future__ import annotations

from services.gateway.rest.route import Call
from services.gateway.rest.story import Fact, read_history
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.events import MessageEdited, MessageRetracted
from shared.ids import Position
from shared.queries import GetMessage, MessageRow


async def check_taken(call: Call[object, object], edit: MessageEdited, position: Position) -> None:
    """Whether the message was changed by this edit, which stands at `position`. Rejected: "stale_revision" when another
    edit, "conflict" when a retraction stood before it. OutcomeUnknown: the store can't say now."""
    try:
        row = await call.parts.asking.message(
            GetMessage(account_id=edit.account_id, message_id=edit.message_id, at_least=position)
        )
        if row.body == edit.body:
            return
        history = await read_history(call.parts, call.who, edit.conversation_id, position)
    except Unavailable as err:
        raise OutcomeUnknown("it is not known yet which of the edits came first") from err
    refusal = _refusal(history, edit, row)
    if refusal is not None:
        raise refusal


def stale(row: MessageRow) -> Rejected:
    """Somebody else was first."""
    return Rejected(
        "stale_revision", f"the message is at revision {row.revision}", pointer="/revision"
    )


def _refusal(history: list[Fact], edit: MessageEdited, row: MessageRow) -> Rejected | None:
    """By the store's rule: an edit counts if its revision is higher than that of all that counted before."""
    revision = 0
    for fact in history:
        match fact.event:
            case MessageRetracted(message_id=edit.message_id):
                return Rejected("conflict", "the message was retracted")
            case MessageEdited(message_id=edit.message_id) as e if e.revision > revision:
                revision = e.revision
                # Each was sealed with a nonce of its own: no other edit has this ciphertext.
                if e.body == edit.body:
                    return None
            case _:
                pass
    return stale(row)
