"""Where commands find the running stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import installation
from shared.errors import Refused


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No stack of the developer's own is in the way."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUN_DIR", "GATEWAY_URL", "NATS_URL"):
        monkeypatch.delenv(f"NIGHTDESK_{name}", raising=False)


def test_a_stack_in_another_directory_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Commands look where the stack was told to lie; the environment goes before what stands there."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.json").write_text(
        '{"gateway_url":"http://a","nats_url":"nats://b"}'
    )
    with pytest.raises(Refused, match="NIGHTDESK_GATEWAY_URL"):
        installation.find("gateway_url")
    monkeypatch.setenv("NIGHTDESK_RUN_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("NIGHTDESK_NATS_URL", "nats://c")
    found = installation.find("gateway_url", "nats_url")
    assert (found.gateway_url, found.nats_url) == ("http://a", "nats://c")
