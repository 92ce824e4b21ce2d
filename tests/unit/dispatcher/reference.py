"""The routing rule written a second time, slowly and without any index, to compare with."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from services.dispatcher.decide import Settings
from services.dispatcher.decide.archive import previous_agent
from services.dispatcher.decide.state import NEVER, Agent, Office, State, Track
from shared.directory import Account
from shared.events import ConversationAssigned, ConversationQueued, RoutingEvent
from shared.ids import AccountId, AgentId, ConversationId, TeamId

_RANK = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
_Score = tuple[bool, tuple[float, ...], AgentId]
_FULL = "full"
_SCORES = {
    "balanced": ("skill", "team", "load", "turn"),
    "round_robin": ("team", "turn", "load", "skill"),
    "longest_idle": ("skill", "team", "idle", "load"),
}
RULES = (
    *("member", "skilled", "speaks", "closed", "offline", "availability", "barred", "lifted"),
    *("capacity", "pace", "lapsed", "channel_capacity", "manual", "kept", "returning"),
    *("urgency", "ageing", "place", "known", "id"),
    *(f"balanced {part}" for part in _SCORES["balanced"]),
    *("round_robin team", "round_robin turn", "round_robin skill"),
    *("longest_idle skill", "longest_idle team", "longest_idle idle"),
)
"""Everything that may decide who gets what, by the names under which `Rule` can leave it out. The load is not among
them where it comes after the turn or the idle time: those are the same only for two who never had a conversation."""


class Rule:
    """One account at one moment. `left_out`: one of `RULES` that is not looked at."""

    def __init__(
        self, state: State, account_id: AccountId, settings: Settings, now_ns: int
    ) -> None:
        self.left_out = ""
        self.office: Office = state.offices[account_id]
        self.account: Account = state.account(account_id)
        self.settings = settings
        self.now_ns = now_ns
        self.position = state.position
        self.drafted = 0
        self.held: dict[AgentId, int] = {}
        self.unacknowledged: dict[AgentId, int] = {}
        self.channels: dict[tuple[AgentId, str], int] = {}
        self.turn = {name: agent.last_assigned for name, agent in self.office.agents.items()}
        self.idle = {name: agent.idle_since for name, agent in self.office.agents.items()}
        for track in self.office.tracks.values():
            self._count(track)

    def picks(self, decided: list[RoutingEvent]) -> list[tuple[ConversationId, AgentId]]:
        """Who gets what from the queues, after what the round decided apart from them."""
        moved = [event for event in decided if _is_apart_from_queues(event)]
        for event in moved:
            self.drafted += 1
            if isinstance(event, ConversationAssigned):
                self._give(event.agent_id, self.office.tracks[event.conversation_id])
        handled = {event.conversation_id for event in moved}
        returning = [self._returns(event) for event in moved]
        first = min((place for place in returning if place is not None), default=None)
        waiting = [track for track in self.office.tracks.values() if track.is_waiting]
        waiting.sort(key=self._order)
        found = []
        for track in waiting:
            if self._uses("returning") and first is not None and self._order(track) > first:
                # The next round has them both in the queue.
                break
            conversation_id = track.conversation.conversation_id
            scores = [self._score(track, each) for each in self.account.agents]
            free = [score for score in scores if score is not None]
            if free and conversation_id not in handled and not self._is_kept(track):
                self.drafted += 1
                best = self._best(free)
                self._give(best, track)
                found.append((conversation_id, best))
        return found

    def _uses(self, rule: str) -> bool:
        return rule != self.left_out

    def _best(self, free: list[_Score]) -> AgentId:
        if self._uses("id"):
            return min(free)[-1]
        return max(score[-1] for score in free if score[:-1] == min(free)[:-1])

    def _returns(self, event: RoutingEvent) -> tuple[int, int, str] | None:
        """Where it will wait once the event is stored; None if it will not."""
        track = self.office.tracks[event.conversation_id]
        if isinstance(event, ConversationAssigned):
            return None
        if not isinstance(event, ConversationQueued) and not track.is_waiting:
            return None
        if track.is_queued or track.conversation.unanswered:
            return self._order(track)
        return (_RANK[track.conversation.priority], 2**63, event.conversation_id)

    def _count(self, track: Track) -> None:
        conversation = track.conversation
        owner = conversation.agent_id
        if owner is None or conversation.phase == "resolved":
            return
        is_active = conversation.phase == "active"
        self.held[owner] = self.held.get(owner, 0) + is_active
        key = (owner, conversation.channel)
        self.channels[key] = self.channels.get(key, 0) + is_active
        if track.lease_s and self.office.agents[owner].received < conversation.assigned:
            self.unacknowledged[owner] = self.unacknowledged.get(owner, 0) + 1

    def _give(self, agent_id: AgentId, track: Track) -> None:
        key = (agent_id, track.conversation.channel)
        self.channels[key] = self.channels.get(key, 0) + 1
        self.held[agent_id] = self.held.get(agent_id, 0) + 1
        self.unacknowledged[agent_id] = self.unacknowledged.get(agent_id, 0) + 1
        self.idle[agent_id] = self.turn[agent_id] = self.position + self.drafted

    def _score(self, track: Track, agent_id: AgentId) -> _Score | None:
        """None for an agent who may not have it."""
        policy, _ = self.account.policy_of(track.conversation.inbox_id)
        obstacle = self._obstacle(track, agent_id)
        if obstacle is not None or (policy.strategy == "manual" and self._uses("manual")):
            return None
        profile = self.account.agents[agent_id]
        number, team_id = self._through(track, agent_id)
        rank = 10_000 * number
        rank += self.account.teams[team_id].members.get(agent_id, 0) if team_id else 0
        values = {
            "skill": -sum(profile.skills.get(each, 0) for each in self._needs(track, team_id)),
            "team": rank,
            "load": self.held.get(agent_id, 0) / max(1, profile.capacity),
            "turn": self.turn.get(agent_id, 0),
            "idle": self.idle.get(agent_id, 0),
        }
        strategy = "balanced" if policy.strategy == "manual" else policy.strategy
        parts = tuple(
            values[part] if self._uses(f"{strategy} {part}") else 0 for part in _SCORES[strategy]
        )
        known = previous_agent(self.office, self.office.contact_of(track))
        is_known = policy.prefer_previous_agent and known == agent_id and self._uses("known")
        return (not is_known, parts, agent_id)

    def _obstacle(self, track: Track, agent_id: AgentId) -> str | None:
        """Why the agent may not have it; `_FULL` when only because they have enough."""
        profile = self.account.agents[agent_id]
        presence = self.office.agents.get(agent_id, Agent())
        if self._through(track, agent_id)[0] < 0:
            return "stranger or unskilled or not at work"
        if self._uses("offline") and not presence.devices:
            return "absent"
        if self._uses("availability") and presence.availability != "online":
            return "absent"
        if self._uses("barred") and self._is_barred(track, agent_id, presence):
            return "barred"
        channel = track.conversation.channel
        held = self.held.get(agent_id, 0)
        open_now = self.unacknowledged.get(agent_id, 0)
        of_channel = self.channels.get((agent_id, channel), 0)
        full = {
            "capacity": held >= profile.capacity,
            "pace": open_now >= max(1, self.settings.burst * presence.tempo // 8),
            "lapsed": presence.received < presence.lapsed,
            "channel_capacity": of_channel >= profile.channel_capacity.get(channel, 10**9),
        }
        return _FULL if any(full[rule] and self._uses(rule) for rule in full) else None

    def _is_kept(self, track: Track) -> bool:
        policy, _ = self.account.policy_of(track.conversation.inbox_id)
        known = previous_agent(self.office, self.office.contact_of(track))
        if not policy.prefer_previous_agent or known is None or not self._uses("kept"):
            return False
        if known not in self.account.agents:
            return False
        began_ns = track.times.get(track.conversation.waiting_since, track.queued_ns)
        is_patient = self.now_ns < began_ns + policy.previous_agent_wait_s * 10**9
        return is_patient and self._obstacle(track, known) == _FULL

    def _order(self, track: Track) -> tuple[int, int, str]:
        conversation = track.conversation
        policy, _ = self.account.policy_of(conversation.inbox_id)
        rank = _RANK[conversation.priority] if self._uses("urgency") else 0
        if policy.ageing_s and self._uses("ageing"):
            began_ns = track.times.get(conversation.waiting_since, track.queued_ns)
            waited_ns = max(0, self.now_ns - began_ns)
            rank = max(0, rank - waited_ns // (policy.ageing_s * 10**9))
        since = track.since if self._uses("place") else 0
        return (rank, since, conversation.conversation_id)

    def _through(self, track: Track, agent_id: AgentId) -> tuple[int, TeamId | None]:
        """The first team through which the agent may have it, and its number; -1 for none."""
        for number, team_id in enumerate(self._teams(track)):
            team = self.account.teams.get(team_id or TeamId(""))
            is_member = team is None or agent_id in team.members or not self._uses("member")
            skills = self.account.agents[agent_id].skills
            wanted = self._needs(track, team_id).items()
            is_able = all(
                skills.get(skill, 0) >= level
                or not self._uses("speaks" if skill.startswith("lang:") else "skilled")
                for skill, level in wanted
            )
            if is_member and is_able and not (number == 0 and self._is_closed(track)):
                return number, team_id
        return -1, None

    def _teams(self, track: Track) -> list[TeamId | None]:
        """The inbox's team, or where it was sent by hand, and the fallback teams since."""
        inbox = self.account.inboxes.get(track.conversation.inbox_id)
        last = track.conversation.team_id
        first = None
        for team_id in (track.wanted_team_id, inbox.team_id if inbox else last):
            first = first or (team_id if team_id in self.account.teams else None)
        found = [first]
        if track.fallen_since == track.since:
            later = track.fallen_to[track.fallen_past :]
            found += [each for each in later if each in self.account.teams and each not in found]
        return found

    def _is_closed(self, track: Track) -> bool:
        """By the clock on the wall of the time zone, not by the product's calendar."""
        policy, _ = self.account.policy_of(track.conversation.inbox_id)
        if policy.outside_hours == "assign" or policy.hours is None or not self._uses("closed"):
            return False
        if track.wanted_team_id in self.account.teams:
            return False
        wall = datetime.fromtimestamp(self.now_ns // 10**9, ZoneInfo(policy.hours.zone))
        if f"{wall:%Y-%m-%d}" in policy.hours.holidays:
            return True
        return not any(
            each.day == f"{wall:%A}".lower() and each.start <= f"{wall:%H:%M}" < each.end
            for each in policy.hours.weekly
        )

    def _needs(self, track: Track, team_id: TeamId | None) -> dict[str, int]:
        conversation = track.conversation
        inbox = self.account.inboxes.get(conversation.inbox_id)
        needs = dict(inbox.skills) if inbox else {}
        policy, _ = self.account.policy_of(conversation.inbox_id)
        for rule in policy.skill_rules:
            same = [
                rule.language == conversation.language or not rule.language,
                rule.channel == conversation.channel or not rule.channel,
                rule.label in conversation.labels or not rule.label,
                rule.condition in track.met or not rule.condition,
            ]
            if all(same) and needs.get(rule.skill, 0) < rule.level:
                needs[rule.skill] = rule.level
        speaks = f"lang:{conversation.language}"
        team = self.account.teams.get(team_id or TeamId(""))
        has_speaker = any(
            speaks in agent.skills and (team is None or agent_id in team.members)
            for agent_id, agent in self.account.agents.items()
        )
        if conversation.language and policy.language_skills and has_speaker:
            needs.setdefault(speaks, 1)
        return needs

    def _is_barred(self, track: Track, agent_id: AgentId, presence: Agent) -> bool:
        pardon_ns = track.barred_ns + self.settings.pardon_s * 10**9
        if track.barred_agent_id != agent_id or self.now_ns >= pardon_ns:
            return False
        return (
            track.barred_until == NEVER
            or not self._uses("lifted")
            or presence.received < track.barred_until
        )


def _is_apart_from_queues(event: RoutingEvent) -> bool:
    match event:
        case ConversationAssigned():
            return event.why.winner is None
        case ConversationQueued():
            return event.why.trigger != "waiting"
        case _:
            return type(event).__name__ == "AssignmentRefused"
