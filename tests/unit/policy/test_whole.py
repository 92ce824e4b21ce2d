"""The routing document: read, sent back, replaced; what is wrong is named with its place, everything at once."""

from __future__ import annotations

import itertools
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import directory
from shared.directory import Account, Directory
from shared.errors import Rejected
from shared.events import AccountEvent, Event, PolicySaved, RoutingSaved
from shared.ids import PolicyId
from shared.policy.conditions import Condition
from shared.policy.document import SkillRule
from shared.policy.whole import Draft, draft
from shared.wire.policies import Conceal
from shared.wire.routing import RoutingDocument, document_of
from tests.support import desk

ANN, BOB = desk.agent_id("ann"), desk.agent_id("bob")
TEAMS = [desk.identifier(f"team {number}") for number in range(3)]
POLICIES = [desk.identifier(f"policy {number}") for number in range(3)]
INBOXES = [desk.identifier(f"inbox {number}") for number in range(2)]


def _account(*more: Event) -> Account:
    state = Directory()
    begun = [
        desk.agent("ann", skills={"tax": 3}),
        desk.agent("bob"),
        *(desk.inbox(inbox_id=cast("Any", i), team_id=None, policy_id=None) for i in INBOXES),
    ]
    for position, event in enumerate([*begun, *more], start=1):
        directory.evolve(state, cast("AccountEvent", event), position)
    return state.accounts[desk.ACCOUNT]


def _reveal(_policy: PolicySaved, rule: SkillRule) -> Condition | None:
    return msgspec.json.decode(rule.sealed, type=Condition) if rule.condition else Condition()


def _concealing(_policy_id: PolicyId, _before: PolicySaved | None) -> Conceal:
    return lambda asked: (str(hash(asked)), msgspec.json.encode(asked))


def _read(account: Account) -> dict[str, Any]:
    """As a client gets it."""
    return cast("dict[str, Any]", msgspec.to_builtins(document_of(account, _reveal)))


def _drafted(account: Account, document: object) -> Draft:
    body = msgspec.convert(document, RoutingDocument)
    return draft(body, account, _concealing, writer="w")


def _folded(account: Account, *events: AccountEvent) -> Account:
    state = Directory(
        accounts={desk.ACCOUNT: msgspec.convert(msgspec.to_builtins(account), Account)}
    )
    for position, event in enumerate(events, start=account.routing + 1):
        directory.evolve(state, event, position)
    return state.accounts[desk.ACCOUNT]


def _applied(account: Account, document: object) -> Account:
    parts = _drafted(account, document).parts
    if not parts:
        return account
    return _folded(account, RoutingSaved(account_id=desk.ACCOUNT, writer="w", parts=parts))


def _places(account: Account, document: object) -> set[str]:
    with pytest.raises(Rejected) as refused:
        _drafted(account, document)
    return {pointer for pointer, _ in refused.value.faults}


_HOURS = {
    "zone": "Europe/Berlin",
    "weekly": [{"day": "monday", "start": "09:00", "end": "17:00"}],
    "holidays": ["2026-12-25"],
}
_RULES: list[dict[str, Any]] = [
    {"skill": "tax", "level": 2, "language": "de"},
    {"skill": "tax", "page": "/prices*"},
    {"skill": "tax", "attribute": "plan", "equals": "gold"},
]
_SETTINGS: list[dict[str, Any]] = [
    {"hours": _HOURS, "outside_hours": "wait"},
    {"first_response_s": 60, "reassign_after_s": 30},
    {"strategy": "round_robin", "ageing_s": 600, "language_skills": False},
    {"previous_agent_wait_s": 20},
]


@st.composite
def _documents(some: st.DrawFn) -> dict[str, Any]:
    """Documents that can be obeyed, in any order and with anything left out that may be."""
    members = st.dictionaries(st.sampled_from([ANN, BOB]), st.integers(0, 9), min_size=1)
    teams = [
        {"team_id": team_id, "name": some(st.sampled_from("xyz")), "members": some(members)}
        for team_id in some(st.permutations(TEAMS))[: some(st.integers(1, 3))]
    ]
    team_ids = [str(team["team_id"]) for team in teams]
    policies = []
    for policy_id in some(st.permutations(POLICIES))[: some(st.integers(0, 3))]:
        policy: dict[str, Any] = {"policy_id": policy_id, "name": some(st.sampled_from("pq"))}
        for chosen in some(st.lists(st.sampled_from(_SETTINGS), max_size=2)):
            policy |= chosen
        policy["skill_rules"] = some(st.lists(st.sampled_from(_RULES), unique_by=str, max_size=3))
        policy["fallback_teams"] = [
            {"team_id": some(st.sampled_from(team_ids)), "after_s": 60}
            for _ in range(some(st.integers(0, 1)))
        ]
        policies.append(policy)
    inboxes = [
        {
            "inbox_id": inbox_id,
            "team_id": some(st.sampled_from([None, *team_ids])),
            "policy_id": some(st.sampled_from([None, *(p["policy_id"] for p in policies)])),
            "skills": some(st.sampled_from([{}, {"tax": 1}])),
        }
        for inbox_id in INBOXES
    ]
    agents = [
        {"agent_id": ANN, "skills": {"tax": 3}, "capacity": some(st.integers(0, 4))},
        {"agent_id": BOB, "channel_capacity": some(st.sampled_from([{}, {"mail": 2}]))},
    ]
    return {"agents": agents, "teams": teams, "policies": policies, "inboxes": inboxes}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it means: every default written out, lists in order, names for the reader and version left out."""
    body = msgspec.convert(document, RoutingDocument)
    found = _read(_applied(_account(), msgspec.to_builtins(body)))
    return _meant(found)


def _meant(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "version"}


def _covers(found: Any, given_: Any) -> bool:
    """Whether all that was given is found; lists of documents in any order."""
    if isinstance(given_, dict):
        return all(_covers(found[key], value) for key, value in given_.items())
    if isinstance(given_, list) and given_ and isinstance(given_[0], dict):
        return len(found) == len(given_) and all(
            any(_covers(each, wanted) for each in found) for wanted in given_
        )
    return bool(found == given_)


@settings(max_examples=40, deadline=None)
@given(first=_documents(), second=_documents())
def test_what_is_applied_is_what_is_read(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Whatever was there before; sent back as it was read it changes nothing, and nothing is left of the one before."""
    once = _applied(_account(), first)
    account = _applied(once, second)
    found = _read(account)
    assert _covers(found, second)
    assert _meant(found) == _plain(second)
    assert _drafted(account, found).parts == ()


@settings(max_examples=40, deadline=None)
@given(first=_documents(), second=_documents())
def test_single_saves_come_to_the_same_document(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """One event with all that changed, or an event each: the same document, and both move its version."""
    account = _applied(_account(), first)
    parts = _drafted(account, second).parts
    one_by_one = _folded(account, *parts)
    at_once = _applied(account, second)
    assert _meant(_read(one_by_one)) == _meant(_read(at_once))
    assert one_by_one.routing == account.routing + len(parts)
    assert at_once.routing == account.routing + bool(parts)


def test_only_what_changed_is_saved() -> None:
    """One name in one team: one part, whatever else the document holds."""
    account = _account(desk.team("ann"), desk.policy())
    document = _read(account)
    document["teams"][0]["name"] = "Late"
    (part,) = _drafted(account, document).parts
    assert cast("Any", part).name == "Late"


def test_the_version_moves_with_what_routes_and_with_nothing_else() -> None:
    """A name of an agent and an inbox's origins are no part of the document."""
    account = _account(desk.team("ann"))
    before = account.routing
    inbox = next(iter(account.inboxes.values()))
    renamed = msgspec.structs.replace(account.agents[ANN], name=b"other")
    opened = msgspec.structs.replace(inbox, origins=("https://shop.example",))
    assert _folded(account, renamed, opened).routing == before
    abler = msgspec.structs.replace(account.agents[ANN], skills={"tax": 4})
    assert _folded(account, abler).routing == before + 1


def test_every_mistake_is_named_with_its_place() -> None:
    """Of whatever kind, all in one answer, and nothing is drafted."""
    nobody = desk.identifier("nobody")
    document = {
        "agents": [{"agent_id": ANN}, {"agent_id": nobody}],
        "teams": [
            {"team_id": TEAMS[0], "name": "a", "members": {nobody: 0}},
            {"team_id": TEAMS[0], "name": "b"},
            {"team_id": "x", "name": "c"},
        ],
        "policies": [
            {"policy_id": POLICIES[0]},
            {
                "policy_id": POLICIES[1],
                "name": "p",
                "skill_rules": [{"skill": "tax", "language": "de"}],
                "fallback_teams": [{"team_id": TEAMS[1], "after_s": 60}],
                "hours": {"zone": "Europe/Nowhere", "weekly": []},
                "escalate_after_s": 5,
            },
            {
                "policy_id": POLICIES[2],
                "name": "q",
                "skill_rules": [{"skill": "tax", "equals": "gold"}],
                "fallback_teams": [{"team_id": "y", "after_s": 60}],
            },
        ],
        "inboxes": [
            {
                "inbox_id": INBOXES[0],
                "team_id": TEAMS[2],
                "policy_id": nobody,
                "skills": {"a/b": 1},
            },
        ],
    }
    assert _places(_account(), document) == {
        "/agents",
        "/agents/1/agent_id",
        f"/teams/0/members/{nobody}",
        "/teams/1/team_id",
        "/teams/2/team_id",
        "/policies/0/name",
        "/policies/1/skill_rules/0/skill",
        "/policies/1/fallback_teams/0/team_id",
        "/policies/1/hours/zone",
        "/policies/1/hours/weekly",
        "/policies/1/escalate_after_s",
        "/policies/2/skill_rules/0/equals",
        "/policies/2/fallback_teams/0/team_id",
        "/inboxes",
        "/inboxes/0/team_id",
        "/inboxes/0/policy_id",
        "/inboxes/0/skills/a~1b",
    }


def test_agents_are_left_alone_by_a_document_without_them() -> None:
    """Who keeps people out of the file changes none of them."""
    account = _account(desk.team("ann"))
    document = _read(account)
    del document["agents"]
    document["teams"] = []
    assert [type(part).__name__ for part in _drafted(account, document).parts] == ["TeamRemoved"]


def test_what_was_wrong_before_hinders_nobody() -> None:
    """A skill left with an agent: other parts can still be changed, and the rule is told as a warning."""
    rule = SkillRule(skill="gone", language="de")
    account = _account(desk.team("ann"), desk.policy(skill_rules=(rule,)))
    document = _read(account)
    document["teams"][0]["name"] = "Late"
    drafted = _drafted(account, document)
    assert len(drafted.parts) == 1
    assert ("/policies/0/skill_rules/0/skill", "no agent has this skill") in drafted.warnings
    document["policies"][0]["ageing_s"] = 60
    assert _places(account, document) == {"/policies/0/skill_rules/0/skill"}


def test_what_is_hardly_meant_is_a_warning() -> None:
    """A team of nobody, capacity 0, a policy that rules nothing: obeyed, and said."""
    account = _account()
    agents = [{"agent_id": ANN, "capacity": 0}, {"agent_id": BOB}]
    teams = [
        {"team_id": TEAMS[0], "name": "empty"},
        {"team_id": TEAMS[1], "name": "idle", "members": {ANN: 0}},
    ]
    inboxes = [
        {"inbox_id": INBOXES[0], "team_id": TEAMS[0]},
        {"inbox_id": INBOXES[1], "team_id": TEAMS[0]},
    ]
    policies = [{"policy_id": POLICIES[0], "name": "p"}]
    drafted = _drafted(
        account, {"agents": agents, "teams": teams, "policies": policies, "inboxes": inboxes}
    )
    assert {pointer for pointer, _ in drafted.warnings} == {
        "/agents/0/capacity",
        "/teams/0/members",
        "/teams/1/members",
        "/teams/1",
        "/inboxes/0/team_id",
        "/inboxes/1/team_id",
        "/policies/0",
    }


def test_who_is_named_stands_before_who_names_them() -> None:
    """In the order of the parts no step asks for what is not there: teams come before inboxes, and go after them."""
    teams = [{"team_id": TEAMS[0], "name": "a", "members": {ANN: 0}}]
    bound = [{"inbox_id": i, "team_id": TEAMS[0], "policy_id": POLICIES[0]} for i in INBOXES]
    policies = [{"policy_id": POLICIES[0], "name": "p"}]
    account = _applied(_account(), {"teams": teams, "policies": policies, "inboxes": bound})
    free = [{"inbox_id": inbox_id} for inbox_id in INBOXES]
    gone = _drafted(account, {"teams": [], "policies": [], "inboxes": free}).parts
    kinds = [key for key, _ in itertools.groupby(type(part).__name__ for part in gone)]
    assert kinds == ["InboxSaved", "PolicyRemoved", "TeamRemoved"]
