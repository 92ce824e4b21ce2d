"""The fault campaign in short: kills only, every process in its turn, silence after some of them."""

from __future__ import annotations

import pytest

from prove.campaign import Campaign, Settings
from prove.plan import Fault
from prove.site import open_site

_MOST_S = 300.0


def _kill(*victims: str, for_s: float = 0.0, is_silent: bool = False) -> Fault:
    return Fault(deed="kill", victims=victims, after_s=0.7, for_s=for_s, is_silent=is_silent)


FAULTS = [
    _kill("postgres", "presence-1", for_s=0.2),
    _kill("gateway-1", "dispatcher-1", "dispatcher-2"),
    _kill("nats", for_s=0.2),
    _kill("store-1", "store-2", is_silent=True),
    _kill(),
    _kill(),
    _kill(),
]


@pytest.mark.timeout(900)
def test_kills_break_no_promise() -> None:
    """Whatever is killed, and even if nobody writes afterwards: nothing accepted is lost, doubled, swapped or unseen."""
    settings = Settings(seed=1, seconds=_MOST_S, visitors=5, agents=2, silence_s=1.0)
    told: list[str] = []
    with open_site(seed="short") as site:
        result = Campaign(site, settings, told.append).run(iter(FAULTS))
    assert result.findings.broken == {}, "\n".join(told)
    assert result.silences == 1
    assert result.accepted > 20
