"""What people are shown of rows of the store."""

from __future__ import annotations

from types import SimpleNamespace

from services.gateway.tokens import Principal
from services.gateway.views import Views
from shared.events import Author
from shared.ids import AccountId, ConversationId, MessageId, clash_id
from shared.queries import MessageRow

_ACCOUNT = AccountId("a")
_SENT_AS = MessageId("0190163d-8694-739b-aea5-966c26f8ad90")


class _Ring:
    """Says what a text was opened under."""

    def open(self, account_id: str, blob: bytes, *, of: str, part: str, revision: int) -> bytes:
        return of.encode()


def _shown(*, clash_of: MessageId | None, message_id: MessageId, revision: int) -> str | None:
    views = Views(SimpleNamespace(ring=_Ring()), SimpleNamespace())  # type: ignore[arg-type]
    row = MessageRow(
        account_id=_ACCOUNT,
        conversation_id=ConversationId("c"),
        message_id=message_id,
        seq=2,
        position=9,
        at_ns=0,
        author=Author(kind="visitor", id="v"),
        content_type="text",
        body=b"sealed",
        revision=revision,
        id_clash=clash_of is not None,
        clash_of=clash_of,
    )
    viewer = Principal(kind="visitor", id="v", account_id=_ACCOUNT, role="visitor")
    return views.message(row, viewer).text


def test_a_clash_is_readable() -> None:
    """What two gateways accepted under one id is read under the id it was sealed with; its edits under its own."""
    kept_as = clash_id(_SENT_AS, 9)
    assert _shown(clash_of=None, message_id=_SENT_AS, revision=0) == _SENT_AS
    assert _shown(clash_of=_SENT_AS, message_id=kept_as, revision=0) == _SENT_AS
    assert _shown(clash_of=_SENT_AS, message_id=kept_as, revision=1) == kept_as
