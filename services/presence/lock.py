"""Which device of an agent holds the alert lock, pure: the one last used, until it does not answer.

Ages are taken as gateways said them and never carried on by our clock: a report that was lost delays a move, it never
makes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.presence.heard import NEVER_S, Device, Heard
from services.presence.state import Agent, AgentKey
from shared.events.presence import MoveReason
from shared.ids import DeviceId, Position

_UNHEARD = Device()


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long what is waited for, in seconds."""

    lease_s: float
    pause_s: float
    wait_s: float


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of an agent that no device answered. `silent`: how long each device that was told has acknowledged
    nothing; `age_s`: how long the oldest waits, where nobody can say which device was told."""

    oldest: Position
    newest: Position
    until_ns: int
    silent: dict[DeviceId, float]
    age_s: float


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """All that counts for one agent. `moved_s`: when the lock last moved."""

    agent: Agent
    online: Sequence[DeviceId]
    devices: Mapping[DeviceId, Device]
    unanswered: Unanswered | None
    moved_s: float

    def device(self, device_id: DeviceId | None) -> Device:
        """What was heard of a device."""
        return self.devices.get(device_id, _UNHEARD) if device_id is not None else _UNHEARD


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """The lock goes to `device_id`, None: to nobody."""

    device_id: DeviceId | None
    why: MoveReason


def unanswered(heard: Heard, key: AgentKey, now_s: float, *, lease_s: float) -> Unanswered | None:
    """What the gateways together know of an agent's unanswered alerts."""
    answered = heard.answered.get(key, 0)
    found = [
        waiting
        for told in heard.waits.get(key, {}).values()
        if now_s - told.at_s <= lease_s
        for waiting in told.waiting
        if waiting.newest > answered
    ]
    if not found:
        return None
    # Where a gateway's oldest is answered elsewhere, nothing is known of the age of what is left.
    ages = [x.age_s for x in found if x.oldest > answered or x.device_id is not None]
    return Unanswered(
        oldest=min(max(x.oldest, answered + 1) for x in found),
        newest=max(x.newest for x in found),
        until_ns=max(x.until_ns for x in found),
        silent={x.device_id: x.age_s for x in found if x.device_id is not None},
        age_s=max(ages, default=0.0),
    )


def next_holder(scene: Scene, now_s: float, patience: Patience) -> Move | None:
    """Where the lock goes now; None: it stays.

    Invariants, for any order of beats, answers, losses and restarts:
    - exactly one device of those online holds the lock, none when none is online; its fence grows by one with each move;
    - the lock does not move away from a holder that answers, unless the person uses another device or the holder is gone;
    - while alerts are unanswered, a device gets the lock for that reason at most once, unless it showed that it woke up;
    - a device that did not answer never gets the lock back by connecting, while another one that was not tried is there;
    - an alert that nobody answered moves on while a connected device is left that was not tried.
    """
    agent = scene.agent
    if not scene.online:
        return Move(device_id=None, why="offline") if agent.primary is not None else None
    if agent.primary not in scene.online:
        why: MoveReason = "offline" if agent.primary is not None else "connected"
        return Move(device_id=_best(scene, scene.online, now_s), why=why)
    used = max(scene.online, key=lambda d: (scene.device(d).active_s, d == agent.primary))
    if used != agent.primary and _was_used(scene, used, now_s, patience):
        return Move(device_id=used, why="used")
    if _is_waited_for(scene, now_s, patience):
        left = [d for d in scene.online if _may_be_tried(scene, d, now_s, patience)]
        if left:
            return Move(device_id=_best(scene, left, now_s), why="unanswered")
    return None


def _was_used(scene: Scene, device_id: DeviceId, now_s: float, patience: Patience) -> bool:
    """Used later than the holder, and since the lock moved: what the person did before, on a device that then gave
    no answer, must not bring it back."""
    active_s = scene.device(device_id).active_s
    since_s = max(scene.device(scene.agent.primary).active_s, scene.moved_s)
    return active_s > since_s and now_s - scene.moved_s >= patience.pause_s


def _is_waited_for(scene: Scene, now_s: float, patience: Patience) -> bool:
    """Whether the holder had its time and did not answer."""
    waiting, holder = scene.unanswered, scene.agent.primary
    if waiting is None or holder is None or now_s - scene.moved_s < patience.wait_s:
        return False
    age_s = waiting.silent.get(holder)
    if age_s is not None:
        return age_s >= patience.wait_s
    # Nobody says that the holder was told. One that is gone is not waited for; of one that is there, the gateway may
    # know of an answer that its next beat will tell.
    slack_s = patience.lease_s if _is_reporting(scene.device(holder), now_s, patience) else 0.0
    return waiting.age_s >= patience.wait_s + slack_s


def _is_reporting(device: Device, now_s: float, patience: Patience) -> bool:
    renewed_s = max(device.leases.values(), default=NEVER_S) - patience.lease_s
    return now_s - renewed_s <= patience.lease_s * 2 / 3


def _may_be_tried(scene: Scene, device_id: DeviceId, now_s: float, patience: Patience) -> bool:
    waiting, device = scene.unanswered, scene.device(device_id)
    if waiting is None or not device.is_connected(now_s):
        return False
    had_turn = scene.agent.tried.get(device_id, 0) >= waiting.oldest
    is_silent = waiting.silent.get(device_id, 0.0) >= patience.wait_s
    if not had_turn and not is_silent:
        return True
    return device_id != scene.agent.primary and device.awake_s > scene.moved_s


def _best(scene: Scene, among: Sequence[DeviceId], now_s: float) -> DeviceId:
    """A connected one that had no turn with these alerts, then the one last used, then the one online longest."""
    waiting, tried = scene.unanswered, scene.agent.tried
    order = {device_id: number for number, device_id in enumerate(scene.online)}

    def rank(device_id: DeviceId) -> tuple[bool, bool, float, int]:
        device = scene.device(device_id)
        had_turn = waiting is not None and tried.get(device_id, 0) >= waiting.oldest
        return device.is_connected(now_s), not had_turn, device.active_s, -order[device_id]

    return max(among, key=rank)
