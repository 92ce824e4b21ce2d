"""JSON from outside: refused with a reason, never with its content, never with a crash."""

from __future__ import annotations

import msgspec
import pytest

from shared.bus import Delivery, digest
from shared.codec import from_json, pack, unpack
from shared.errors import Malformed, Rejected
from shared.queries import Answer, GetMessage


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    count: int = 0


_DECODER = msgspec.json.Decoder(_Asked)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{",
        b'{"text": 1}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "a", "unknown": 1}',
        b'{"text": "secret-word", "count": "x"}',
        b"[" * 100_000,
        b'{"text": ' + b"[" * 50_000,
    ],
)
def test_bad_json_is_rejected(payload: bytes) -> None:
    """Half, wrong, unknown, too deep or not UTF-8: an answer for the sender that repeats nothing of it."""
    with pytest.raises(Rejected) as caught:
        from_json(payload, _DECODER)
    assert caught.value.code in {"invalid", "malformed"}
    assert "secret-word" not in caught.value.message


def test_structs_between_processes_come_back() -> None:
    """What is packed is unpacked to the same, and something else is Malformed."""
    question = GetMessage(account_id="a", message_id="m", at_least=5)  # type: ignore[arg-type]
    assert unpack(pack(question), GetMessage) == question
    with pytest.raises(Malformed):
        unpack(b"\xc1", GetMessage)
    with pytest.raises(Malformed):
        unpack(pack([1, 2]), Answer)


def test_a_digest_tells_subject_and_payload_apart() -> None:
    """No two pairs run into each other."""
    assert digest(Delivery(1, "ab", 0, b"c")) != digest(Delivery(1, "a", 0, b"bc"))
    assert len(digest(Delivery(1, "a", 0, b""))) == 16
