"""What is written: texts of 300 bytes and frames that carry them, made as cheaply as the generator can."""

from __future__ import annotations

import itertools
import time

TEXT_BYTES = 300
_WORDS = (
    "Where is my parcel? It was to come on Tuesday and the page still says that it is on its way. "
)
_FILL = (_WORDS * 4)[: TEXT_BYTES - 12]
_counter = itertools.count()


def new_id() -> str:
    """A UUIDv7; unique within this process."""
    number = next(_counter)
    moment = f"{time.time_ns() // 1_000_000:012x}"
    return (
        f"{moment[:8]}-{moment[8:]}-7{number >> 48 & 0xFFF:03x}-8000-{number & 0xFFFFFFFFFFFF:012x}"
    )


def new_text() -> tuple[str, str]:
    """A message id and a text that is like no other."""
    message_id = new_id()
    return message_id, text_of(message_id)


def text_of(message_id: str) -> str:
    """The same for the same id."""
    return message_id[-12:] + _FILL


def send_frame(
    number: int, conversation_id: str, message_id: str, text: str, *, resend: bool = False
) -> bytes:
    """The frame that posts it."""
    again = ',"resend":true' if resend else ""
    return (
        f'{{"op":"send","id":{number},"conversation_id":"{conversation_id}",'
        f'"message_id":"{message_id}","text":"{text}"{again}}}'
    ).encode()
