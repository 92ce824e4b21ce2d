"""`python -m services.store`."""

from __future__ import annotations

from services.store.app import serve
from services.store.config import Config
from shared import runtime
from shared.weight import FollowerWeight

if __name__ == "__main__":
    runtime.run("store", Config, serve, weight=FollowerWeight)
