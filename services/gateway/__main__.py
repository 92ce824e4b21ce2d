"""`python -m services.gateway`."""

from __future__ import annotations

from services.gateway.app import serve
from services.gateway.config import GatewayConfig
from shared import runtime

if __name__ == "__main__":
    runtime.run("gateway", GatewayConfig, serve)
