"""Keys and ciphertext. Broker, database, archives and every service but the edges see only what `KeyRing.seal`
returns.

Ciphertext is `version ‖ key id (16) ‖ nonce (12, random) ‖ AES-256-GCM`. The associated data is of fixed length and
binds a text to its account, its id, its revision and its part, so a row moved elsewhere doesn't open. A master
key (32 bytes, from a file) wraps the data keys; wrapped keys lie in PostgreSQL, committed before their first use.
"""

from __future__ import annotations

import functools
import hmac
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from shared.errors import Malformed, Refused
from shared.ids import AccountId

VERSION = 1
HEAD_BYTES = 1 + 16
"""Version and key id: texts that begin with the same ones are opened by the same `KeyRing.opener`."""
_HEAD = HEAD_BYTES + 12
Opener = Callable[[bytes, bytes], bytes]
_PARTS = {
    "body": 1,
    "note": 2,
    "profile": 3,
    "name": 4,
    "email": 5,
    "comment": 6,
    "page": 7,
    "condition": 8,
}


class MasterKey:
    """The installation's root secret: wraps data keys and derives the keys for tokens and look-ups."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:
            raise Refused("the master key must be 32 bytes (64 hex digits in its file)")
        self._secret = secret
        self._wrap = AESGCM(self.derive("wrap"))

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HMAC-SHA256 of its name): "token", "login", …"""
        return hmac.digest(self._secret, b"nightdesk " + purpose.encode(), "sha256")

    def wrap(self, key: bytes, *, key_id: str, account_id: str) -> bytes:
        """A data key as it is stored."""
        nonce = os.urandom(12)
        return nonce + self._wrap.encrypt(nonce, key, f"{account_id} {key_id}".encode())

    def unwrap(self, wrapped: bytes, *, key_id: str, account_id: str) -> bytes:
        """The data key again. Raises `Refused` when the master key is another one."""
        try:
            return self._wrap.decrypt(wrapped[:12], wrapped[12:], f"{account_id} {key_id}".encode())
        except InvalidTag as err:
            raise Refused("a data key does not open: wrong master key file?") from err


def read_master_key(path: str) -> MasterKey:
    """The master key from a file of 64 hex digits. Raises `Refused` with one clear line."""
    try:
        return MasterKey(bytes.fromhex(Path(path).read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as err:
        raise Refused(f"cannot read the master key file: {type(err).__name__}") from err


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `keys`. `purpose` "data" encrypts; "fingerprint" never rotates, so repeats stay repeats."""

    account_id: AccountId
    key_id: str
    purpose: str
    wrapped: bytes


def new_stored_key(master: MasterKey, account_id: AccountId, purpose: str) -> StoredKey:
    """A fresh wrapped key; commit it before its first use."""
    key_id = str(uuid.uuid4())
    wrapped = master.wrap(os.urandom(32), key_id=key_id, account_id=account_id)
    return StoredKey(account_id=account_id, key_id=key_id, purpose=purpose, wrapped=wrapped)


class Keyed:
    """HMAC-SHA256 with one key. The state after the key is kept and copied: `hmac.digest` sets it up each time, which is
    four fifths of what a short message costs (3.4 µs against 0.6)."""

    def __init__(self, key: bytes) -> None:
        self._begun = HMAC(key, SHA256())

    def tag(self, message: bytes) -> bytes:
        """The 32 bytes for a message."""
        one = self._begun.copy()
        one.update(message)
        return one.finalize()


class KeyRing:
    """Unwrapped keys in memory, by account. The newest data key seals, every one opens."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._open: dict[bytes, AESGCM] = {}
        self._sealing: dict[AccountId, tuple[bytes, AESGCM]] = {}
        self._fingerprint: dict[AccountId, Keyed] = {}

    def add(self, stored: StoredKey) -> None:
        """Learn a key. Rows must come in the order of their creation: the last data key seals."""
        key = self._master.unwrap(
            stored.wrapped, key_id=stored.key_id, account_id=stored.account_id
        )
        if stored.purpose == "fingerprint":
            self._fingerprint.setdefault(stored.account_id, Keyed(key))
            return
        key_id = uuid.UUID(stored.key_id).bytes
        cipher = AESGCM(key)
        self._open[key_id] = cipher
        self._sealing[stored.account_id] = (key_id, cipher)

    def has(self, account_id: AccountId) -> bool:
        """Whether texts of this account can be sealed and fingerprinted."""
        return account_id in self._sealing and account_id in self._fingerprint

    def knows(self, blob: bytes) -> bool:
        """Whether the key of this ciphertext is in the ring (if not: read `keys` again)."""
        return blob[1:17] in self._open

    def seal(
        self, account_id: AccountId, text: bytes, *, of: str, part: str, revision: int = 0
    ) -> bytes:
        """Encrypt `text`, a `part` ("body", "name", …) of the thing with id `of`. KeyError without a key."""
        key_id, cipher = self._sealing[account_id]
        nonce = os.urandom(12)
        bound = _bound(account_id, of, part, revision, key_id)
        return b"\x01" + key_id + nonce + cipher.encrypt(nonce, text, bound)

    def open(
        self, account_id: AccountId, blob: bytes, *, of: str, part: str, revision: int = 0
    ) -> bytes:
        """Decrypt. Raises `Malformed` when the key is unknown or the text is not the one that was sealed."""
        key_id = blob[1:17]
        cipher = self._open.get(key_id)
        if len(blob) < _HEAD + 16 or blob[0] != VERSION or cipher is None:
            raise Malformed("ciphertext of an unknown version or key", code="undecryptable")
        bound = _bound(account_id, of, part, revision, key_id)
        try:
            return cipher.decrypt(blob[17:_HEAD], blob[_HEAD:], bound)
        except InvalidTag as err:
            raise Malformed("ciphertext does not belong here", code="undecryptable") from err

    def opener(self, account_id: AccountId, head: bytes, *, part: str) -> Opener:
        """Opens many first revisions: called with the 16 bytes of the id and the ciphertext. What it can't open raises
        `InvalidTag` or ValueError there; `open` says why."""
        cipher = self._open.get(head[1:])
        if len(head) != HEAD_BYTES or head[0] != VERSION or cipher is None:
            return _closed
        decrypt, before, after = cipher.decrypt, _id_bytes(account_id), _REVISION_0[part] + head[1:]
        return lambda thing, blob: decrypt(
            blob[HEAD_BYTES:_HEAD], blob[_HEAD:], before + thing + after
        )

    def fingerprint(self, account_id: AccountId, *fields: bytes) -> bytes:
        """HMAC over length-prefixed fields: tells a repeat of a MessageID from a clash."""
        message = b"".join([part for x in fields for part in (len(x).to_bytes(4, "big"), x)])
        return self._fingerprint[account_id].tag(message)


def _closed(_thing: bytes, _blob: bytes) -> bytes:
    raise ValueError("ciphertext of an unknown version or key")


def _bound(account_id: str, of: str, part: str, revision: int, key_id: bytes) -> bytes:
    tail = _REVISION_0[part] if not revision else _tail(part, revision)
    thing = bytes.fromhex(of.replace("-", ""))
    if len(thing) != 16:
        raise ValueError("a text is bound to a UUID")
    return _id_bytes(account_id) + thing + tail + key_id


@functools.lru_cache(maxsize=4096)
def _id_bytes(account_id: str) -> bytes:
    """There are few accounts and many messages."""
    return uuid.UUID(account_id).bytes


def _tail(part: str, revision: int) -> bytes:
    return revision.to_bytes(4, "big") + _PARTS[part].to_bytes(1, "big")


_REVISION_0 = {part: _tail(part, 0) for part in _PARTS}
