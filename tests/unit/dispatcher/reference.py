"""The routing rule written a second time, slowly and without any index, to compare with."""

from __future__ import annotations

from services.dispatcher.decide.state import NEVER, Agent, Office, State, Track
from shared.events import ConversationAssigned, RoutingEvent
from shared.ids import AgentId

_RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}


def expected(
    state: State, decided: list[RoutingEvent], *, now_ns: int, burst: int, pardon_s: int
) -> list[tuple[str, AgentId]]:
    """Who should get what from the queues in this round, given what the round decides apart from the queues."""
    found: list[tuple[str, AgentId]] = []
    for account_id in sorted(state.offices):
        office = state.offices[account_id]
        account = state.account(account_id)
        held: dict[AgentId, int] = {}
        open_: dict[AgentId, int] = {}
        idle = {a: office.agents[a].last_assigned for a in office.agents}
        for track in office.tracks.values():
            c = track.conversation
            if c.agent_id and c.phase != "resolved":
                held[c.agent_id] = held.get(c.agent_id, 0) + (c.phase == "active")
                if track.lease_s and office.agents[c.agent_id].received < c.assigned:
                    open_[c.agent_id] = open_.get(c.agent_id, 0) + 1
        handled = set()
        order = 0
        for event in decided:
            is_pick = isinstance(event, ConversationAssigned) and event.why.winner is not None
            if is_pick or type(event).__name__ in ("DeadlineMissed", "Escalated"):
                continue
            if type(event).__name__ == "ConversationQueued" and event.why.trigger == "waiting":  # type: ignore[union-attr]
                continue
            handled.add(event.conversation_id)
            order += 1
            if isinstance(event, ConversationAssigned):
                held[event.agent_id] = held.get(event.agent_id, 0) + 1
                open_[event.agent_id] = open_.get(event.agent_id, 0) + 1
                idle[event.agent_id] = state.position + order
        waiting = [t for t in office.tracks.values() if t.is_waiting]
        waiting.sort(
            key=lambda t: (_RANK[t.conversation.priority], t.since, t.conversation.conversation_id)
        )
        for track in waiting:
            c = track.conversation
            if c.conversation_id in handled:
                continue
            policy, _ = account.policy_of(c.inbox_id)
            inbox = account.inboxes.get(c.inbox_id)
            team_id = track.wanted_team_id if track.wanted_team_id in account.teams else None
            if team_id is None and inbox and inbox.team_id in account.teams:
                team_id = inbox.team_id
            needs = dict(inbox.skills) if inbox else {}
            language = f"lang:{c.language}"
            has_speaker = any(language in a.skills for a in account.agents.values())
            if c.language and policy.language_skills and has_speaker:
                needs.setdefault(language, 1)
            best = None
            for agent_id, profile in account.agents.items():
                priority = 0
                if team_id is not None:
                    if agent_id not in account.teams[team_id].members:
                        continue
                    priority = account.teams[team_id].members[agent_id]
                presence = office.agents.get(agent_id, Agent())
                if any(profile.skills.get(s, 0) < level for s, level in needs.items()):
                    continue
                if not presence.devices or presence.availability != "online":
                    continue
                if held.get(agent_id, 0) >= profile.capacity or open_.get(agent_id, 0) >= burst:
                    continue
                if _is_barred(track, agent_id, presence, now_ns, pardon_s):
                    continue
                is_previous = policy.prefer_previous_agent and _previous(office, track) == agent_id
                score = (
                    not is_previous,
                    -sum(profile.skills.get(s, 0) for s in needs),
                    priority,
                    held.get(agent_id, 0) / max(1, profile.capacity),
                    idle.get(agent_id, 0),
                    agent_id,
                )
                if best is None or score < best:
                    best = score
            if best is not None:
                winner = best[-1]
                order += 1
                held[winner] = held.get(winner, 0) + 1
                open_[winner] = open_.get(winner, 0) + 1
                idle[winner] = state.position + order
                found.append((c.conversation_id, winner))
    return found


def _previous(office: Office, track: Track) -> AgentId | None:
    return office.previous.get(office.contact_of(track))


def _is_barred(
    track: Track, agent_id: AgentId, presence: Agent, now_ns: int, pardon_s: int
) -> bool:
    if track.barred_agent_id != agent_id or now_ns >= track.barred_ns + pardon_s * 10**9:
        return False
    return track.barred_until == NEVER or presence.received < track.barred_until
