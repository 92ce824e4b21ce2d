"""Who works at a simulated desk and what is asked of them: drawn once a seed, and changed while it runs."""

from __future__ import annotations

import random

from shared import events as e
from shared.ids import AccountId, AgentId, DeviceId, InboxId, PolicyId, TeamId
from simulate import policies

SKILLS = ("tax", "lang:zh", "lang:de")
UNKNOWN_SKILL = "juggling"
DAY_S = 86_400
_WHOLE = (e.TeamSaved, e.InboxSaved, e.PolicySaved)
"""What the whole document may set."""


def identifier(kind: int, number: int) -> str:
    """A UUID that a person can read in a trace."""
    return f"{kind:08x}-0000-7000-8000-{number:012x}"


class Worker:
    """An agent as a person: a shift, devices, and how quick they are."""

    def __init__(self, dice: random.Random, account_id: AccountId, number: int) -> None:
        self.account_id = account_id
        self.agent_id = AgentId(identifier(0xA, number))
        self.devices = [DeviceId(identifier(0xD, number * 10 + n)) for n in range(3)]
        self.begins_s = dice.choice([0, 6, 8, 9, 9, 14, 22]) * 3600 + dice.randrange(1800)
        self.lasts_s = dice.choice([2, 6, 8, 8, 9]) * 3600
        self.is_quick = dice.random() < 0.8
        self.flaps = dice.choice([0.0, 0.02, 0.2])
        self.free_days = {day for day in range(7) if dice.random() < 0.25}

    def is_on_duty(self, day: int, second: int) -> bool:
        """Whether they should be at work."""
        since = (second - self.begins_s) % DAY_S
        return day not in self.free_days and since < self.lasts_s


class Firm:
    """One account's documents."""

    def __init__(self, dice: random.Random, number: int) -> None:
        self.dice = dice
        self.account_id = AccountId(identifier(0xACC, number))
        self.number = number
        first = number * 100
        count = dice.randint(3, 12)
        self.workers = [Worker(dice, self.account_id, first + n) for n in range(count)]
        self.teams = [TeamId(identifier(0x7EA, first + n)) for n in range(dice.randint(1, 3))]
        self.inboxes = [InboxId(identifier(0xB0, first + n)) for n in range(dice.randint(1, 4))]
        self.policies = [PolicyId(identifier(0xF0, first + n)) for n in range(2)]
        # Lots of its own, so that the weeks of known seeds go on as they did.
        self._lots = random.Random(hash(dice.getstate()[1]))
        self._edited: e.TeamSaved | e.InboxSaved | e.PolicySaved | None = None

    def opening(self) -> list[e.Event]:
        """How the account begins."""
        created: list[e.Event] = [
            e.AccountCreated(account_id=self.account_id, writer="gateway", name=b"")
        ]
        created += [self.agent(worker) for worker in self.workers]
        created += [self.team(team_id) for team_id in self.teams]
        created += [self.policy(policy_id) for policy_id in self.policies]
        return created + [self.inbox(inbox_id) for inbox_id in self.inboxes]

    def change(self) -> e.Event:
        """Somebody edits the configuration while everything runs: one document, or the whole of it, which sets another
        one back to what it was when it was edited last."""
        event, before = self._change(), self._edited
        if not isinstance(event, _WHOLE):
            return event
        self._edited = event
        if before is None or self._lots.random() < 0.7:
            return event
        parts = (before, event)
        return e.RoutingSaved(account_id=self.account_id, writer="gateway", parts=parts)

    def _change(self) -> e.Event:
        dice = self.dice
        worker = dice.choice(self.workers)
        match dice.randrange(9):
            case 0 | 1:
                return self.agent(worker)
            case 2 if dice.random() < 0.4:
                return e.AgentRemoved(
                    account_id=self.account_id, writer="gateway", agent_id=worker.agent_id
                )
            case 3 | 4:
                return self.team(dice.choice(self.teams))
            case 5 if dice.random() < 0.2:
                return e.PolicyRemoved(
                    account_id=self.account_id, writer="gateway", policy_id=self.policies[-1]
                )
            case 5:
                return self.policy(dice.choice(self.policies))
            case 6 if len(self.teams) > 1 and dice.random() < 0.3:
                return e.TeamRemoved(
                    account_id=self.account_id, writer="gateway", team_id=self.teams[-1]
                )
            case 7 if dice.random() < 0.3:
                return e.InboxRemoved(
                    account_id=self.account_id, writer="gateway", inbox_id=self.inboxes[-1]
                )
            case _:
                return self.inbox(dice.choice(self.inboxes))

    def agent(self, worker: Worker) -> e.Event:
        """An agent with other skills and another capacity."""
        dice = self.dice
        return e.AgentSaved(
            account_id=self.account_id,
            writer="gateway",
            agent_id=worker.agent_id,
            name=b"",
            email=b"",
            capacity=dice.choice([0, 1, 2, 3, 3, 4, 5, 8]),
            skills={skill: dice.randint(1, 5) for skill in SKILLS if dice.random() < 0.5},
            channel_capacity=dice.choice([{}, {}, {"web": 2}, {"mail": 1}, {"web": 1, "mail": 0}]),
        )

    def team(self, team_id: TeamId) -> e.Event:
        """A team with other members; now and then with none."""
        dice = self.dice
        share = dice.choice([0.0, 0.5, 0.8, 1.0, 1.0])
        members = {w.agent_id: dice.randint(0, 2) for w in self.workers if dice.random() < share}
        return e.TeamSaved(
            account_id=self.account_id,
            writer="gateway",
            team_id=team_id,
            name="team",
            members=members,
        )

    def inbox(self, inbox_id: InboxId) -> e.Event:
        """A door, perhaps one that asks what nobody can do."""
        dice = self.dice
        skills = dice.choice([{}, {}, {}, {"tax": 2}, {"tax": 4}, {UNKNOWN_SKILL: 1}])
        return e.InboxSaved(
            account_id=self.account_id,
            writer="gateway",
            inbox_id=inbox_id,
            inbox_key=inbox_id,
            name="inbox",
            team_id=dice.choice([None, *self.teams, *self.teams]),
            skills=skills,
            policy_id=dice.choice([None, *self.policies, *self.policies]),
        )

    def policy(self, policy_id: PolicyId) -> e.Event:
        """Other rules."""
        return policies.drawn(self.dice, self.account_id, policy_id, self.teams)
