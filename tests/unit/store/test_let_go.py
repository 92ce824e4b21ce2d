"""What the store no longer needs it lets go of."""

from __future__ import annotations

from services.store.fold import Changes, State, forget
from shared.events import Author
from shared.queries import MessageRow
from tests.unit.store.worlds import ACCOUNTS, CONTACTS, CONVERSATIONS, MESSAGES


def test_a_batch_written_in_stretches_leaves_no_text_in_memory() -> None:
    """A store that is far behind writes rows before its batch ends: once that is committed their texts go as well."""
    state, changes = State(), Changes()
    row = MessageRow(
        account_id=ACCOUNTS[0],
        conversation_id=CONVERSATIONS[0],
        message_id=MESSAGES[0],
        seq=1,
        position=1,
        at_ns=1,
        author=Author(kind="visitor", id=CONTACTS[0]),
        content_type="text",
        body=b"long",
    )
    key = (ACCOUNTS[0], MESSAGES[0])
    state.messages[key] = changes.messages[key] = row
    changes.begin_again()
    forget(state, changes)
    assert not state.messages
