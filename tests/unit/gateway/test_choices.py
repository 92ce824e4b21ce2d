"""What is refused names what is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.gateway.choices import of_frame
from shared.wire.frames import ClientFrame, Read, Send

_SEND = {"op": "send", "id": 1, "conversation_id": "c", "message_id": "m", "text": "t"}


@pytest.mark.parametrize(
    ("kind", "frame", "said"),
    [
        (Send, _SEND | {"content_type": "html"}, "'html'; it is one of text - at `$.content_type`"),
        (Send, _SEND | {"colour": "red"}, "there are id, conversation_id, message_id, text, "),
        (Send, _SEND | {"id": "one"}, "Expected `int`, got `str` - at `$.id`"),
        (Read, {"op": "read", "conversation_id": "c"}, "missing required field `up_to`"),
    ],
)
def test_a_frame_that_does_not_fit_is_told_what_does(
    kind: type[msgspec.Struct], frame: dict[str, Any], said: str
) -> None:
    """The words of a choice, the fields that there are, the type that is wanted, and where."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(frame), type=ClientFrame)
    refusal = of_frame(caught.value, kind)
    assert refusal.code == "invalid"
    assert said in refusal.message
