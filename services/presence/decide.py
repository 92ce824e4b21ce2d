"""Facts out of evidence, pure: who came online, who is gone for good, which device holds the alert lock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.presence import lock
from services.presence.heard import NEVER_S, Device, Heard
from services.presence.state import Agent, AgentKey, State
from shared.events import (
    AgentOffline,
    AgentOnline,
    AvailabilityChanged,
    PresenceEvent,
    PrimaryDeviceChanged,
)
from shared.ids import DeviceId

MOST_EVENTS = 200
_UNHEARD = Device()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, and who writes."""

    writer: str
    lease_s: float
    grace_s: float
    primary_pause_s: float
    alert_wait_s: float = 5.0


class _Moment(msgspec.Struct, frozen=True):
    heard: Heard
    now_s: float
    terms: Terms


def decide(
    state: State, heard: Heard, agents: Iterable[AgentKey], now_s: float, terms: Terms
) -> list[PresenceEvent]:
    """What to record about these agents now; at most about `MOST_EVENTS`, never half an agent's."""
    events: list[PresenceEvent] = []
    moment = _Moment(heard, now_s, terms)
    for key in agents:
        if len(events) >= MOST_EVENTS:
            break
        if state.exists(key):
            events += _decide_about(state.agent(key), key, moment)
        else:
            events += _remove(state, key, terms)
    return events


def everybody(state: State, heard: Heard) -> dict[AgentKey, None]:
    """All agents that anything is recorded, heard or wished about."""
    recorded = ((account_id, a) for account_id, agents in state.agents.items() for a in agents)
    return dict.fromkeys([*recorded, *heard.agents, *heard.wishes])


def _decide_about(agent: Agent, key: AgentKey, moment: _Moment) -> list[PresenceEvent]:
    heard, now_s, terms = moment.heard, moment.now_s, moment.terms
    events: list[PresenceEvent] = []
    account_id, agent_id = key
    devices = heard.agents.get(key, {})
    online = dict.fromkeys(agent.devices)
    for device_id, device in devices.items():
        if device_id not in online and device.is_connected(now_s):
            online[device_id] = None
            events.append(
                AgentOnline(
                    account_id=account_id,
                    writer=terms.writer,
                    agent_id=agent_id,
                    device_id=device_id,
                )
            )
    for device_id in agent.devices:
        device = devices.get(device_id, _UNHEARD)
        if not device.is_connected(now_s) and _is_gone(device, moment):
            del online[device_id]
            events.append(
                AgentOffline(
                    account_id=account_id,
                    writer=terms.writer,
                    agent_id=agent_id,
                    device_id=device_id,
                    why=device.parting,
                )
            )
    events += _move_lock(agent, key, online, moment)
    wish = heard.wishes.get(key)
    if wish is not None and wish != agent.availability:
        events.append(
            AvailabilityChanged(
                account_id=account_id, writer=terms.writer, agent_id=agent_id, availability=wish
            )
        )
    return events


def _is_gone(device: Device, moment: _Moment) -> bool:
    """Only while gateways are heard at all, and not before a full lease after the evidence was last broken."""
    heard, now_s, terms = moment.heard, moment.now_s, moment.terms
    if now_s - heard.beat_s > terms.lease_s:
        return False
    return now_s >= max(device.gone_s, heard.fresh_s + terms.lease_s) + terms.grace_s


def _move_lock(
    agent: Agent, key: AgentKey, online: dict[DeviceId, None], moment: _Moment
) -> list[PresenceEvent]:
    heard, now_s, terms = moment.heard, moment.now_s, moment.terms
    patience = lock.Patience(
        lease_s=terms.lease_s, pause_s=terms.primary_pause_s, wait_s=terms.alert_wait_s
    )
    scene = lock.Scene(
        agent=agent,
        online=tuple(online),
        devices=heard.agents.get(key, {}),
        unanswered=lock.unanswered(heard, key, now_s, lease_s=terms.lease_s),
        moved_s=heard.moved_s.get(key, NEVER_S),
    )
    move = lock.next_holder(scene, now_s, patience)
    if move is None:
        return []
    account_id, agent_id = key
    waiting = scene.unanswered if move.device_id is not None else None
    return [
        PrimaryDeviceChanged(
            account_id=account_id,
            writer=terms.writer,
            agent_id=agent_id,
            device_id=move.device_id,
            fence=agent.fence + 1,
            why=move.why,
            alert=waiting.newest if waiting is not None else 0,
            alert_until_ns=waiting.until_ns if waiting is not None else 0,
        )
    ]


def _remove(state: State, key: AgentKey, terms: Terms) -> list[PresenceEvent]:
    """An agent who is no longer configured has no devices; what is heard of them counts for nothing."""
    account_id, agent_id = key
    agent = state.agents.get(account_id, {}).get(agent_id)
    if agent is None:
        return []
    events: list[PresenceEvent] = [
        AgentOffline(
            account_id=account_id,
            writer=terms.writer,
            agent_id=agent_id,
            device_id=device_id,
            why="agent_removed",
        )
        for device_id in agent.devices
    ]
    if agent.primary is not None:
        events.append(
            PrimaryDeviceChanged(
                account_id=account_id,
                writer=terms.writer,
                agent_id=agent_id,
                device_id=None,
                fence=agent.fence + 1,
                why="removed",
            )
        )
    return events
