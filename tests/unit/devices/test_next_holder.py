"""Given what was heard of an agent's devices, when nobody answers, then the lock goes where it was not yet."""

from __future__ import annotations

from services.presence.heard import Device
from services.presence.lock import Move, Patience, Scene, Unanswered, next_holder
from services.presence.state import Agent
from tests.support import desk

_PATIENCE = Patience(lease_s=15, pause_s=2, wait_s=5)


def test_one_that_had_no_turn_comes_before_one_that_woke_up() -> None:
    """The device last used slept through its turn and is awake again; another one that was not tried comes first."""
    woken, fresh, holder = (desk.device_id(name) for name in ("woken", "fresh", "holder"))
    leases = {"g:1": 115.0}
    scene = Scene(
        agent=Agent(primary=holder, fence=3, tried={woken: 10, holder: 10}),
        online=(woken, fresh, holder),
        devices={
            woken: Device(leases=leases, active_s=50.0, awake_s=98.0),
            fresh: Device(leases=leases, active_s=20.0),
            holder: Device(leases=leases, active_s=10.0),
        },
        unanswered=Unanswered(oldest=10, newest=10, until_ns=1, silent={holder: 6.0}, age_s=16.0),
        moved_s=94.0,
    )
    assert next_holder(scene, 100.0, _PATIENCE) == Move(device_id=fresh, why="unanswered")
