"""What all configuration documents share: versions, merging a change into a document, repeats by Idempotency-Key.
Pure, and run inside the fenced append: always against the configuration folded to its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from services.gateway.rest.route import not_found
from shared.directory import Account, Directory, unsigned
from shared.errors import Rejected
from shared.ids import AccountId, AgentId, PolicyId, Position, TeamId, canonical

D = TypeVar("D", bound=msgspec.Struct)


def account_in(directory: Directory, account_id: AccountId) -> Account:
    """The account. Raises `Rejected("not_found")`."""
    found = directory.accounts.get(account_id)
    if found is None:
        raise not_found()
    return found


def check_version(account: Account, document_id: str, if_match: Position | None) -> None:
    """Raises `Rejected("version_mismatch")` when the document is not as the asker knows it."""
    version = account.versions.get(document_id, 0)
    if if_match is not None and if_match != version:
        raise Rejected("version_mismatch", f"the document is at version {version}")


def given(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a PATCH names."""
    fields = ((name, getattr(body, name)) for name in body.__struct_fields__)
    return {name: value for name, value in fields if value is not msgspec.UNSET}


def same(before: msgspec.Struct, after: msgspec.Struct) -> bool:
    """Whether two documents differ in nothing but who wrote them."""
    return bool(unsigned(before) == unsigned(after))


def check_repeat(before: msgspec.Struct | None, after: msgspec.Struct) -> bool:
    """Whether the document was made before by the same request. Raises `Rejected("idempotency_conflict")`."""
    if before is None:
        return False
    if not same(before, after):
        raise Rejected("idempotency_conflict", "this Idempotency-Key made another document")
    return True


def named(body: msgspec.Struct) -> str:
    """The name of a document to be made. Raises `Rejected("invalid")` without one."""
    name: Any = getattr(body, "name", msgspec.UNSET)
    if name is msgspec.UNSET:
        raise Rejected("invalid", "a name is needed", pointer="/name")
    return str(name)


def check_name(name: str, taken: Iterable[str]) -> None:
    """Raises `Rejected("duplicate_name")`."""
    if name in taken:
        raise Rejected("duplicate_name", "the name is taken", pointer="/name")


def members_of(account: Account, members: dict[str, int]) -> dict[AgentId, int]:
    """Team members by canonical id, each an agent of the account."""
    found: dict[AgentId, int] = {}
    for text, priority in members.items():
        agent_id = AgentId(canonical(text, what="agent_id", pointer="/members"))
        if agent_id not in account.agents:
            raise Rejected("invalid", "there is no such agent", pointer=f"/members/{agent_id}")
        found[agent_id] = priority
    return found


def team_of(account: Account, text: str | None) -> TeamId | None:
    """A team of the account, or none."""
    if text is None:
        return None
    team_id = TeamId(canonical(text, what="team_id", pointer="/team_id"))
    if team_id not in account.teams:
        raise Rejected("invalid", "there is no such team", pointer="/team_id")
    return team_id


def check_skill(account: Account, skill: str, level: int, *, pointer: str) -> None:
    """Raises `Rejected("invalid")` for what no agent can: whoever asks for it would wait for ever."""
    best = max((agent.skills.get(skill, 0) for agent in account.agents.values()), default=0)
    if best >= level:
        return
    step = skill.replace("~", "~0").replace("/", "~1")
    text = "no agent has the skill at this level" if best else "no agent has this skill"
    raise Rejected("invalid", text, pointer=f"{pointer}/{step}")


def policy_of(account: Account, text: str | None) -> PolicyId | None:
    """A policy of the account, or none."""
    if text is None:
        return None
    policy_id = PolicyId(canonical(text, what="policy_id", pointer="/policy_id"))
    if policy_id not in account.policies:
        raise Rejected("invalid", "there is no such policy", pointer="/policy_id")
    return policy_id
