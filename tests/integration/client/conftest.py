"""The scripted gateway, and waiting times without chance so that no test waits for a back-off."""

from __future__ import annotations

import pytest

from tests.support.scripted_gateway import scripted_gateway

__all__ = ["scripted_gateway"]


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightdesk_client.backoff.random.uniform", lambda low, _high: low)
    monkeypatch.setattr("nightdesk_client.live._ASK_AGAIN_S", (0.05, 0.05))
