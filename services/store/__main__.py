"""`python -m services.store`."""

from __future__ import annotations

from shared.starting import spare_imports

spare_imports()

from services.store.app import serve  # noqa: E402 - behind `spare_imports`
from services.store.config import Config  # noqa: E402 - behind `spare_imports`
from shared import runtime  # noqa: E402 - behind `spare_imports`
from shared.weight import FollowerWeight  # noqa: E402 - behind `spare_imports`

if __name__ == "__main__":
    runtime.run("store", Config, serve, weight=FollowerWeight)
