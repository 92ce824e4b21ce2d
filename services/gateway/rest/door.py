"""What only REST needs beside the gateway's shared parts: limits, sign-in, identity secrets."""

from __future__ import annotations

import dataclasses

from services.gateway.auth import IdentitySecrets, SignIn
from services.gateway.limits import Limiter
from services.gateway.parts import Parts


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """Made once by `open_door`."""

    parts: Parts
    limiter: Limiter
    sign_in: SignIn
    identities: IdentitySecrets


def open_door(parts: Parts) -> Door:
    """Put it together from the gateway's parts."""
    return Door(
        parts=parts,
        limiter=parts.limits,
        sign_in=SignIn(
            pool=parts.pool,
            master=parts.master,
            limiter=parts.limits,
            refresh_token_s=parts.config.refresh_token_s,
        ),
        identities=IdentitySecrets(parts.pool, parts.master),
    )
