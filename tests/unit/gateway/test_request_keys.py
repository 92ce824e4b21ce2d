"""What the memory of Idempotency-Keys gives away: nothing that can be guessed."""

from __future__ import annotations

from services.gateway.rest.request_keys import digest_of
from shared.crypto import KeyRing, MasterKey, new_stored_key
from tests.support import desk

_PATH = "/api/v1/conversations/x/rating"
_BODY = b'{"score":1,"comment":"too slow"}'


def _ring(master: bytes) -> KeyRing:
    ring = KeyRing(MasterKey(master))
    for purpose in ("data", "fingerprint"):
        ring.add(new_stored_key(MasterKey(master), desk.ACCOUNT, purpose))
    return ring


def test_nobody_without_the_keys_can_check_a_guess() -> None:
    """Bodies hold what people wrote (comments, notes), so the digest beside a key says the same to nobody else: the
    same request under other keys has another digest, while a repeat under the same keys has the same."""
    one, other = _ring(b"a" * 32), _ring(b"b" * 32)
    digest = digest_of(one, desk.ACCOUNT, _PATH, _BODY)
    assert digest == digest_of(one, desk.ACCOUNT, _PATH, _BODY)
    assert digest != digest_of(other, desk.ACCOUNT, _PATH, _BODY)
    assert digest != digest_of(one, desk.ACCOUNT, _PATH, _BODY + b" ")
