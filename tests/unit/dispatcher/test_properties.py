"""Random worlds: whatever people and time do, nothing is in limbo, over capacity or decided twice, and a process
that restarts anywhere goes on as if it had never stopped."""

from __future__ import annotations

import random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.dispatcher.decide import Settings, State, World, decide
from services.dispatcher.decide.archive import find
from shared import codec, events
from shared.events import ConversationAssigned, Event
from shared.events.conversation import Priority
from shared.ids import InboxId, PolicyId, TeamId
from shared.policy.document import DAYS, FallbackTeam, Hours, Interval, SkillRule
from tests.support import desk
from tests.unit.dispatcher.reference import RULES, Rule
from tests.unit.dispatcher.simulation import Simulation

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is no simpler life, so shrinking would only take time."""
AGENTS = ["ann", "bob", "cai", "dan"]
TEAM_B = TeamId(desk.identifier("team b"))
INBOX_B = InboxId(desk.identifier("inbox b"))
POLICY_B = PolicyId(desk.identifier("policy b"))
_MOST_LIVES = 150
PRIORITIES: list[Priority] = ["urgent", "high", "normal", "low"]


class Life:
    """People and time at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.simulation = Simulation(Settings(burst=self.dice.choice([1, 2, 5]), round_events=7))
        self.names: list[str] = []
        # Else so few are free at once that it hardly matters how one is chosen among several.
        self.is_staffed = self.dice.random() < 0.7
        self.simulation.tell(
            *(self._profile(name) for name in AGENTS),
            desk.team("ann", "bob", "cai", priorities={"bob": self.dice.choice([0, 0, 1])}),
            desk.team("cai", "dan", team_id=TEAM_B),
            desk.inbox(),
            desk.inbox(
                inbox_id=INBOX_B,
                team_id=self.dice.choice([None, TEAM_B]),
                skills={"tax": 2},
                policy_id=POLICY_B,
            ),
            self._policy(desk.POLICY),
            self._policy(POLICY_B),
        )
        if self.is_staffed:
            self.simulation.tell(*(desk.online(name, device=f"{name}0") for name in AGENTS))

    def _policy(self, policy_id: PolicyId) -> Event:
        """Every setting is drawn anew, also in mid-flight."""
        dice = self.dice
        weekly = tuple(Interval(day=day, start="08:00", end="20:00") for day in DAYS[:5])
        rule = SkillRule(
            skill="tax",
            level=dice.randint(1, 3),
            language=dice.choice(["", "zh"]),
            channel=dice.choice(["", "mail"]),
            label=dice.choice(["", "vip"]),
            condition=dice.choice(["", "gold"]),
        )
        own = dice.choice([None, Hours(zone="Asia/Shanghai", weekly=weekly[:3])])
        fallback = FallbackTeam(
            team_id=TEAM_B, after_s=45, when_closed=dice.random() < 0.5, hours=own
        )
        return desk.policy(
            policy_id,
            first_response_s=40,
            next_response_s=60,
            resolution_s=dice.choice([0, 200]),
            reassign_after_s=dice.choice([0, 30]),
            escalate_after_s=dice.choice([0, 50]),
            ageing_s=dice.choice([0, 30]),
            strategy=dice.choice(["balanced", "round_robin", "longest_idle", "manual"]),
            prefer_previous_agent=dice.random() < 0.7,
            previous_agent_wait_s=dice.choice([0, 60]),
            fallback_teams=dice.choice([(), (fallback,)]),
            outside_hours=dice.choice(["assign", "wait"]),
            skill_rules=dice.choice([(), (rule,)]),
            hours=Hours(zone="Europe/Berlin", weekly=weekly),
            deadline_clock=dice.choice(["clock", "business"]),
        )

    def live(self) -> None:
        """Something happens."""
        for event in self.happening():
            self.simulation.append(event)

    def pass_time(self) -> None:
        """A moment or a minute, sometimes a night or a weekend."""
        seconds = self.dice.choice([0.01, 1, 20, 50, 70])
        if self.dice.random() < 0.05:
            seconds = self.dice.choice([6, 9, 40]) * 3600
        self.simulation.now_ns += int(seconds * 1e9)

    def _profile(self, name: str) -> Event:
        skills = {
            s: self.dice.choice([2, 2, 5, 1])
            for s in ("tax", "lang:zh")
            if self.dice.random() < 0.6
        }
        channels = self.dice.choice([None, {"mail": 1}])
        capacity = self.dice.choice([4, 8] if self.is_staffed else [0, 1, 2, 3, 4])
        return desk.agent(name, capacity=capacity, skills=skills, channels=channels)

    def happening(self) -> list[Event]:
        dice, agent = self.dice, self.dice.choice(AGENTS)
        position = self.simulation.position
        kind = dice.randrange(17) if self.names else 0
        name = dice.choice(self.names) if self.names else ""
        seen = dice.choice([position, position, dice.randint(0, position)])
        match kind:
            case 0 | 1 | 2:
                return self._arrival()
            case 3 | 4:
                return [desk.wrote(name, message=dice.choice([None, f"again {name}"]))]
            case 5:
                return [desk.answered(name, agent, seen_up_to=seen)]
            case 6:
                return [desk.resolved(name, agent, seen_up_to=seen)]
            case 7:
                until_ns = self.simulation.now_ns + int(dice.choice([-1, 5, 60]) * 1e9)
                until_ns = dice.choice([0, until_ns])
                return [desk.snoozed(name, agent, seen_up_to=seen, until_ns=until_ns)]
            case 8:
                return [desk.claim(name, dice.choice([*AGENTS, "nobody"]))]
            case 9:
                to = dice.choice([None, agent, "nobody"])
                to_team = dice.choice([None, TEAM_B, TeamId(desk.identifier("no team"))])
                return [desk.hand_over(name, by=agent, to=to, to_team=to_team)]
            case 10 | 11:
                return [desk.online(agent, device=f"{agent}{dice.randrange(2)}")]
            case 12:
                return [desk.offline(agent, device=f"{agent}{dice.randrange(2)}")]
            case 13 | 14:
                return [desk.received(agent, position)]
            case 15:
                return [desk.availability(agent, dice.choice(["online", "busy", "away"]))]
            case _:
                return [
                    dice.choice(
                        [
                            desk.removed(agent),
                            self._profile(agent),
                            self._merge(name),
                            desk.inbox_removed(INBOX_B),
                            self._policy(dice.choice([desk.POLICY, POLICY_B])),
                            desk.labelled(name, "vip"),
                            desk.judged(name, *dice.choice([(), ("gold",), ("gold", "other")])),
                        ]
                    )
                ]

    def _arrival(self) -> list[Event]:
        name = f"c{len(self.names)}"
        self.names.append(name)
        started = desk.started(
            name,
            priority=self.dice.choice(PRIORITIES),
            language=self.dice.choice(["", "zh", "xx"]),
            channel=self.dice.choice(["web", "mail"]),
            contact=self.dice.choice([name, "regular"]),
            inbox_id=self.dice.choice([desk.INBOX, INBOX_B]),
        )
        return [started, desk.wrote(name)] if self.dice.random() < 0.9 else [started]

    def _merge(self, name: str) -> Event:
        return events.ContactMerged(
            account_id=desk.ACCOUNT,
            contact_id=desk.contact_id(name),
            into=desk.contact_id("regular"),
        )


def _check_round(life: Life) -> list[events.RoutingEvent]:
    """Decide once, compare with the slow rule and with a restarted process, fold; sometimes only after something else
    has happened, as the fence allows."""
    simulation = life.simulation
    decided = simulation.round()
    world = simulation.world
    assert decided == simulation.round(), "asked twice, it says the same"
    packed = codec.pack(world.state)
    restarted = World(codec.unpack(packed, State), simulation.settings)
    again = decide(restarted, simulation.now_ns, evidence=simulation.evidence, writer="test")
    assert decided == again, "a process restarted from a snapshot decides the same"
    picks = [
        (e.conversation_id, e.agent_id)
        for e in decided
        if isinstance(e, ConversationAssigned) and e.why.winner is not None
    ]
    limits = simulation.settings
    wanted = Rule(world.state, desk.ACCOUNT, limits, simulation.now_ns).picks(decided)
    assert picks == wanted[: len(picks)]
    if len(decided) < limits.round_events:
        assert picks == wanted
    is_crossed = life.dice.random() < 0.2
    if is_crossed:
        life.live()
    for event in decided:
        simulation.append(event)
    return [] if is_crossed else decided


def _check_capacity(simulation: Simulation, decided: list[events.RoutingEvent]) -> None:
    account = simulation.world.state.account(desk.ACCOUNT)
    floor = simulation.world.floor(desk.ACCOUNT)
    for event in decided:
        if isinstance(event, ConversationAssigned) and event.why.winner is not None:
            held = floor.holding(event.agent_id).held
            assert held <= account.agents[event.agent_id].capacity


def _check_wishes(simulation: Simulation) -> None:
    log = [event for _, _, event in simulation.log]
    office = simulation.world.state.offices[desk.ACCOUNT]
    wishes = [
        e
        for e in log
        if isinstance(e, events.ClaimRequested | events.AssignmentRequested)
        and find(office, desk.ACCOUNT, e.conversation_id) is not None
    ]
    granted = [
        e
        for e in log
        if isinstance(e, ConversationAssigned | events.ConversationQueued) and e.why.requested_by
    ]
    refused = [e for e in log if isinstance(e, events.AssignmentRefused)]
    assert len(wishes) == len(granted) + len(refused), "every wish has one answer"


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_random_worlds_keep_every_promise(seed: int) -> None:
    """In a random life: the fast rule is the slow rule, nobody is over capacity unless asked for, nothing is in
    limbo, decisions come to an end, every wish is answered once, and restarts from the log or a snapshot change nothing."""
    life = Life(seed)
    simulation = life.simulation
    for _ in range(60):
        life.live()
        if life.dice.random() < 0.3:
            life.pass_time()
        if life.dice.random() < 0.6:
            _check_capacity(simulation, _check_round(life))
    simulation.settle()
    replayed = simulation.replayed()
    assert codec.pack(replayed.state) == codec.pack(simulation.world.state)
    assert decide(replayed, simulation.now_ns, evidence=simulation.evidence, writer="test") == []
    simulation.wait(3600)
    _check_wishes(simulation)


def test_random_worlds_hang_on_every_rule() -> None:
    """Each rule and each part of each strategy decides in some of the lives that are drawn: who would leave it out of
    the product is found out there."""
    idle = dict.fromkeys(RULES)
    for seed in range(_MOST_LIVES):
        life = Life(seed)
        for _ in range(60):
            life.live()
            if life.dice.random() < 0.3:
                life.pass_time()
            if life.dice.random() < 0.6:
                _strike_off(idle, life.simulation)
        if not idle:
            return
    raise AssertionError(f"in {_MOST_LIVES} lives nothing hung on {', '.join(idle)}")


def _strike_off(idle: dict[str, None], simulation: Simulation) -> None:
    """Take off the list the rules without which this round would go another way; then let it happen."""
    decided = simulation.round()

    def picks(left_out: str) -> list[tuple[str, str]]:
        state, limits = simulation.world.state, simulation.settings
        rule = Rule(state, desk.ACCOUNT, limits, simulation.now_ns)
        rule.left_out = left_out
        return list(rule.picks(decided))

    wanted = picks("")
    if simulation.world.waiting() + len(wanted):
        for rule in [each for each in idle if picks(each) != wanted]:
            del idle[rule]
    for event in decided:
        simulation.append(event)


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_any_split_gives_the_same_state(seed: int) -> None:
    """However the log is cut into batches and restarts from snapshots, the folded state is the same, byte for byte."""
    life = Life(seed)
    for _ in range(80):
        life.live()
        life.pass_time()
        life.simulation.settle()
    log = life.simulation.log
    world = World(State(), life.simulation.settings)
    for position, at_ns, event in log:
        world.evolve(event, position, at_ns)
        if life.dice.random() < 0.1:
            packed = codec.pack(world.state)
            world = World(codec.unpack(packed, State), life.simulation.settings)
        if life.dice.random() < 0.2:
            decide(world, at_ns, evidence=life.simulation.evidence, writer="standby")
    assert codec.pack(world.state) == codec.pack(life.simulation.world.state)
