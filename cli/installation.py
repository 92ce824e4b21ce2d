"""Where the installation's servers are: the environment, else `.run/state.json` of the development stack."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from shared.errors import Refused

STATE_FILE = Path(".run") / "state.json"


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of an installation; empty when unknown."""

    gateway_url: str = ""
    ws_url: str = ""
    nats_url: str = ""
    nats_monitor_url: str = ""
    database_url: str = ""
    master_key_file: str = ""


def find(*needed: str) -> Installation:
    """The installation's addresses; each of `needed` is known. Raises `Refused` that names what is missing."""
    state = Installation()
    if STATE_FILE.is_file():
        try:
            state = msgspec.json.decode(STATE_FILE.read_bytes(), type=Installation)
        except (OSError, msgspec.DecodeError) as err:
            raise Refused(f"{STATE_FILE} can't be read: {type(err).__name__}") from err
    names = [field.name for field in msgspec.structs.fields(Installation)]
    known = {n: os.environ.get(f"NIGHTDESK_{n.upper()}") or getattr(state, n) for n in names}
    missing = [f"NIGHTDESK_{name.upper()}" for name in needed if not known[name]]
    if missing:
        raise Refused(
            f"not set: {', '.join(missing)} (and no running stack under {STATE_FILE.parent})"
        )
    return Installation(**known)
