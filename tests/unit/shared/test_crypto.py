"""Ciphertext opens only where it belongs; keys rotate; a wrong master key says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto import KeyRing, MasterKey, new_stored_key, read_master_key
from shared.errors import Malformed, Refused
from shared.ids import AccountId

_MASTER = MasterKey(b"m" * 32)
_A = AccountId("11111111-1111-4111-8111-111111111111")
_B = AccountId("22222222-2222-4222-8222-222222222222")
_ID = "33333333-3333-4333-8333-333333333333"
_OTHER = "44444444-4444-4444-8444-444444444444"


def _ring(*accounts: AccountId) -> KeyRing:
    ring = KeyRing(_MASTER)
    for account in accounts or (_A,):
        for purpose in ("data", "fingerprint"):
            ring.add(new_stored_key(_MASTER, account, purpose))
    return ring


@given(st.binary(max_size=5000))
def test_what_was_sealed_opens_to_the_same(text: bytes) -> None:
    """Sealing keeps every byte, and hides it."""
    ring = _ring()
    blob = ring.seal(_A, text, of=_ID, part="body", revision=3)
    assert ring.open(_A, blob, of=_ID, part="body", revision=3) == text
    assert len(text) < 8 or text not in blob


@pytest.mark.parametrize(
    ("account", "of", "part", "revision"),
    [
        (_B, _ID, "body", 1),
        (_A, _OTHER, "body", 1),
        (_A, _ID, "note", 1),
        (_A, _ID, "body", 2),
    ],
)
def test_ciphertext_does_not_open_elsewhere(
    account: AccountId, of: str, part: str, revision: int
) -> None:
    """A row copied to another account, message, part or revision is refused."""
    ring = _ring(_A, _B)
    blob = ring.seal(_A, b"text", of=_ID, part="body", revision=1)
    with pytest.raises(Malformed):
        ring.open(account, blob, of=of, part=part, revision=revision)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_noticed(index: int, flip: int) -> None:
    """Every byte of the ciphertext counts: version, key id, nonce, text and tag."""
    ring = _ring()
    blob = bytearray(ring.seal(_A, b"some text", of=_ID, part="body"))
    blob[index % len(blob)] ^= flip
    with pytest.raises(Malformed):
        ring.open(_A, bytes(blob), of=_ID, part="body")


@pytest.mark.parametrize("length", [0, 1, 16, 17, 28, 29, 44])
def test_a_stump_is_malformed(length: int) -> None:
    """Short bytes raise Malformed and nothing else."""
    ring = _ring()
    blob = ring.seal(_A, b"text", of=_ID, part="body")
    with pytest.raises(Malformed):
        ring.open(_A, blob[:length], of=_ID, part="body")


def test_the_newest_key_seals_and_every_key_opens() -> None:
    """Rotation is adding a key: what was sealed before stays readable."""
    ring = _ring()
    before = ring.seal(_A, b"old", of=_ID, part="body")
    ring.add(new_stored_key(_MASTER, _A, "data"))
    after = ring.seal(_A, b"new", of=_ID, part="body")
    assert before[1:17] != after[1:17]
    assert ring.open(_A, before, of=_ID, part="body") == b"old"
    assert ring.open(_A, after, of=_ID, part="body") == b"new"


def test_fingerprints_outlive_rotation_and_keep_fields_apart() -> None:
    """A repeat stays a repeat for ever; the first fingerprint key counts; fields can't run into each other."""
    ring = _ring()
    before = ring.fingerprint(_A, b"ab", b"c")
    ring.add(new_stored_key(_MASTER, _A, "data"))
    ring.add(new_stored_key(_MASTER, _A, "fingerprint"))
    assert ring.fingerprint(_A, b"ab", b"c") == before
    assert ring.fingerprint(_A, b"a", b"bc") != before


def test_another_master_key_opens_nothing() -> None:
    """The wrong key file is one clear refusal, not garbage."""
    stored = new_stored_key(_MASTER, _A, "data")
    with pytest.raises(Refused, match="wrong master key"):
        KeyRing(MasterKey(b"n" * 32)).add(stored)


def test_a_wrapped_key_is_bound_to_its_account() -> None:
    """A row of `keys` given to another account does not unwrap."""
    stored = new_stored_key(_MASTER, _A, "data")
    with pytest.raises(Refused):
        _MASTER.unwrap(stored.wrapped, key_id=stored.key_id, account_id=_B)


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "00" * 33, "\xff"])
def test_a_bad_master_key_file_is_refused(tmp_path: Path, content: str) -> None:
    """Too short, too long, not hex, not there: refused without a word of its content."""
    path = tmp_path / "master.key"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(Refused) as caught:
        read_master_key(str(path))
    assert not content or content not in str(caught.value)
    with pytest.raises(Refused):
        read_master_key(str(tmp_path / "absent"))
