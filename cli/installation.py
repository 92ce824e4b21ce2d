"""Where the installation's servers are: the environment, else `state.json` of the development stack, which lies
under `.run` or in NIGHTDESK_RUN_DIR."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from shared.errors import Refused


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of an installation; empty when unknown."""

    gateway_url: str = ""
    ws_url: str = ""
    nats_url: str = ""
    nats_monitor_url: str = ""
    database_url: str = ""
    master_key_file: str = ""


def state_file() -> Path:
    """Where the development stack writes its addresses."""
    return Path(os.environ.get("NIGHTDESK_RUN_DIR") or ".run") / "state.json"


def find(*needed: str) -> Installation:
    """The installation's addresses; each of `needed` is known. Raises `Refused` that names what is missing."""
    state = Installation()
    path = state_file()
    if path.is_file():
        try:
            state = msgspec.json.decode(path.read_bytes(), type=Installation)
        except (OSError, msgspec.DecodeError) as err:
            raise Refused(f"{path} can't be read: {type(err).__name__}") from err
    names = [field.name for field in msgspec.structs.fields(Installation)]
    known = {n: os.environ.get(f"NIGHTDESK_{n.upper()}") or getattr(state, n) for n in names}
    missing = [f"NIGHTDESK_{name.upper()}" for name in needed if not known[name]]
    if missing:
        raise Refused(f"not set: {', '.join(missing)} (and no running stack under {path.parent})")
    return Installation(**known)
