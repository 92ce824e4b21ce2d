"""The JSON of a message's entry, cut where it differs from one to the next. Cut from a sample view, so that whoever puts
an entry together from these pieces writes what `Views` and msgspec write."""

from __future__ import annotations

from collections.abc import Iterator

from shared.codec import to_json
from shared.wire.views import AuthorView, EntryView, MessageView

_SAMPLE = EntryView(
    position=1111,
    prev=2222,
    at="@at",
    kind="message",
    conversation_id="@talk",
    message=MessageView(
        conversation_id="@talk",
        message_id="@message",
        seq=3333,
        position=1111,
        at="@at",
        author=AuthorView(kind="visitor", id="@author"),
        content_type="@type",
        text="@text",
        device_id="@device",
        seen_up_to=4444,
    ),
)
QUIET = b'"alert":false,"alert_until":null'
_VALUES = (
    *(b"1111", b"2222", b"@at", b"@talk", QUIET, b"true", b"@talk", b"@message", b"3333", b"1111"),
    *(b"@at", to_json(AuthorView(kind="visitor", id="@author")), b'"@type"', b'"@text"'),
    *(b'"@device"', b"4444"),
)


def _pieces() -> Iterator[bytes]:
    """What stands before each value of an entry, and after the last."""
    rest = to_json(_SAMPLE)
    for value in _VALUES:
        before, found, rest = rest.partition(value)
        assert found, "the order of the views has changed"
        yield before
    yield rest


# fmt: off
(POSITION, PREV, AT, TALK, ALERT, HELD, ITS_TALK, MESSAGE, SEQ, ITS_POSITION,
 ITS_AT, AUTHOR, TYPE, TEXT, DEVICE, SEEN, END) = _pieces()
# fmt: on
