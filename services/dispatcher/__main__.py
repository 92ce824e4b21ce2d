"""Start the dispatcher: `python -m services.dispatcher`."""

from __future__ import annotations

from services.dispatcher.app import serve
from services.dispatcher.config import Config
from shared.runtime import run
from shared.weight import FollowerWeight

if __name__ == "__main__":
    run("dispatcher", Config, serve, weight=FollowerWeight)
