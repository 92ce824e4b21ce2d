"""What only REST needs beside the gateway's shared parts: limits, sign-in, identity secrets."""

from __future__ import annotations

import dataclasses

from services.gateway.asking import Asking
from services.gateway.auth import IdentitySecrets, SignIn
from services.gateway.limits import Limiter
from services.gateway.parts import Parts
from services.gateway.rest.request_keys import RequestKeys
from services.gateway.rest.turns import Turns
from shared.ids import Position


class Reached:
    """How far the log is known to reach: a client that names a position beyond it has not got it from us."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._position: Position = 0

    def note(self, position: Position) -> None:
        """A position that we gave to a client."""
        self._position = max(self._position, position)

    async def has(self, position: Position) -> bool:
        """Whether the log reaches there; asks it only beyond what is known. Raises `Unavailable`."""
        if position > self._position:
            self.note(await self._asking.end_of_log())
        return position <= self._position


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """Made once by `open_door`."""

    parts: Parts
    limiter: Limiter
    sign_in: SignIn
    identities: IdentitySecrets
    reached: Reached
    request_keys: RequestKeys
    turns: Turns


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
        reached=Reached(parts.asking),
        request_keys=RequestKeys(parts.pool, wait_s=parts.config.ask_timeout_s),
        turns=Turns(wait_s=parts.config.ask_timeout_s),
    )
