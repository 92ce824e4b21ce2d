"""`python -m services.gateway`."""

from __future__ import annotations

from shared.starting import spare_imports

spare_imports()

from services.gateway.app import serve  # noqa: E402 - behind `spare_imports`
from services.gateway.config import GatewayConfig  # noqa: E402 - behind `spare_imports`
from shared import runtime  # noqa: E402 - behind `spare_imports`

if __name__ == "__main__":
    runtime.run("gateway", GatewayConfig, serve)
