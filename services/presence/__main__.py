"""Start presence: `python -m services.presence`."""

from __future__ import annotations

from shared.starting import spare_imports

spare_imports()

from services.presence.app import serve  # noqa: E402 - behind `spare_imports`
from services.presence.config import Config  # noqa: E402 - behind `spare_imports`
from shared.runtime import run  # noqa: E402 - behind `spare_imports`

if __name__ == "__main__":
    run("presence", Config, serve)
