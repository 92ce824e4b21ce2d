"""Start presence: `python -m services.presence`."""

from __future__ import annotations

from services.presence.app import serve
from services.presence.config import Config
from shared.runtime import run

if __name__ == "__main__":
    run("presence", Config, serve)
