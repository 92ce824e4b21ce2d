"""Start the dispatcher: `python -m services.dispatcher`."""

from __future__ import annotations

from shared.starting import spare_imports

spare_imports()

from services.dispatcher.app import serve  # noqa: E402 - behind `spare_imports`
from services.dispatcher.config import Config  # noqa: E402 - behind `spare_imports`
from shared.runtime import run  # noqa: E402 - behind `spare_imports`
from shared.weight import FollowerWeight  # noqa: E402 - behind `spare_imports`

if __name__ == "__main__":
    run("dispatcher", Config, serve, weight=FollowerWeight)
