"""Judges the conditions of policies: opens what they ask, the page and the contact's attributes, and says which are
met. The only place where all of it is readable at once; what it says goes into the log as names without a meaning."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.gateway.keyring import Keys
from shared.codec import to_json
from shared.directory import Account
from shared.errors import Malformed
from shared.events import ConditionsJudged, ConversationStarted, PolicySaved
from shared.ids import AccountId, ConversationId, InboxId, PolicyId
from shared.policy.conditions import Condition, is_met
from shared.policy.document import SkillRule
from shared.wire.policies import Conceal
from shared.wire.views import SkillRuleView

_PART = "condition"


class Conditions:
    """What was opened is kept by the name of the condition: a policy is read for every conversation that starts."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._opened: dict[tuple[AccountId, str], Condition] = {}

    def concealing(
        self, account_id: AccountId, policy_id: PolicyId, before: PolicySaved | None
    ) -> Conceal:
        """For a policy that is saved. What it asked before keeps its ciphertext, so that the same document is the same."""
        known = {rule.condition: rule.sealed for rule in before.skill_rules} if before else {}

        def conceal(condition: Condition) -> tuple[str, bytes]:
            ring = self._keys.ring
            text = to_json(condition)
            name = ring.fingerprint(account_id, b"condition", text).hex()[:16]
            sealed = known.get(name) or ring.seal(account_id, text, of=policy_id, part=_PART)
            return name, sealed

        return conceal

    def reveal(
        self, account_id: AccountId, policy_id: PolicyId, rule: SkillRule
    ) -> Condition | None:
        """What a rule asks beyond what is in clear; None where no key opens it. Nothing for a rule without."""
        if not rule.condition:
            return Condition()
        key = (account_id, rule.condition)
        found = self._opened.get(key)
        if found is None:
            try:
                text = self._keys.ring.open(account_id, rule.sealed, of=policy_id, part=_PART)
                found = msgspec.json.decode(text, type=Condition)
            except (Malformed, msgspec.DecodeError):
                return None
            self._opened[key] = found
        return found

    def rules(self, policy: PolicySaved) -> list[SkillRuleView]:
        """The rules of a policy for people."""
        views = []
        for rule in policy.skill_rules:
            asked = self.reveal(policy.account_id, policy.policy_id, rule)
            views.append(
                SkillRuleView(
                    skill=rule.skill,
                    level=rule.level,
                    language=rule.language,
                    channel=rule.channel,
                    label=rule.label,
                    page=asked.page if asked is not None else None,
                    attribute=asked.attribute if asked is not None else None,
                    equals=asked.equals if asked is not None else None,
                )
            )
        return views

    async def cover(self, policy: PolicySaved) -> None:
        """See to it that the keys of a policy's conditions are known. Raises `Unavailable`."""
        await self._keys.cover(policy.account_id, [rule.sealed for rule in policy.skill_rules])

    def asks_for_attributes(self, account: Account, inbox_id: InboxId) -> bool:
        """Whether the contact has to be looked at."""
        policy, _ = account.policy_of(inbox_id)
        found = (self.reveal(account.account_id, policy.policy_id, r) for r in policy.skill_rules)
        return any(each is not None and each.attribute for each in found)

    def met(
        self, account: Account, inbox_id: InboxId, page: str, attributes: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The names of the conditions of the inbox's policy that are met."""
        policy, _ = account.policy_of(inbox_id)
        found = []
        for rule in policy.skill_rules:
            asked = self.reveal(account.account_id, policy.policy_id, rule)
            if rule.condition and asked is not None and is_met(asked, page, attributes):
                found.append(rule.condition)
        return tuple(sorted(set(found)))

    def seal_page(self, started: ConversationStarted, page: str) -> bytes:
        """The page as it lies in the log."""
        if not page:
            return b""
        of = started.conversation_id
        return self._keys.ring.seal(started.account_id, page.encode(), of=of, part="page")

    def page_of(self, started: ConversationStarted) -> str:
        """The page on which a conversation began; "" for none and where no key opens it."""
        if not started.page:
            return ""
        of = started.conversation_id
        try:
            found = self._keys.ring.open(started.account_id, started.page, of=of, part="page")
            return found.decode()
        except (Malformed, UnicodeDecodeError):
            return ""

    def judge(
        self, account: Account, started: ConversationStarted, attributes: Mapping[str, str]
    ) -> ConditionsJudged:
        """Again, because the contact changed."""
        _, version = account.policy_of(started.inbox_id)
        return ConditionsJudged(
            account_id=started.account_id,
            conversation_id=ConversationId(started.conversation_id),
            met=self.met(account, started.inbox_id, self.page_of(started), attributes),
            judged=version,
        )
