"""How a password and an address are kept: argon2id, and a keyed hash by which the address is found. Shared by the
gateway, which checks them, and the operator's commands, which make the first ones."""

from __future__ import annotations

import hashlib
import hmac

import argon2

from shared.crypto import MasterKey

# What OWASP names for servers: 19 MiB, two passes, one lane; some 20 ms.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of a password that nobody knows; to make one here would be a twentieth of what a gateway takes to start.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$MORGZQ5GZDprzTYb/KUK8A$lxmtLugOP29qdNoybGPcmBZdNQtCHrmQbyvuZHU8X78"


def hash_password(password: str) -> bytes:
    """What is kept instead of the password. Takes some 20 ms of a core: use a thread in a service."""
    return _HASHER.hash(password).encode()


def is_password(password: str, kept: bytes | None) -> bool:
    """Whether it is the password. Takes as long when there is none to compare with (`kept` None)."""
    try:
        _HASHER.verify(kept.decode() if kept else _NOBODY, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return kept is not None


def normal_email(email: str) -> str:
    """The spelling in which addresses are compared."""
    return email.strip().casefold()


def login_lookup(master: MasterKey, email: str) -> str:
    """The keyed hash under which a password is found, so that the table of credentials holds no address."""
    key = master.derive("login")
    return hmac.new(key, normal_email(email).encode(), hashlib.sha256).hexdigest()
