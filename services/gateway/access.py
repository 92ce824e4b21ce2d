"""Who may see and write what. Facts about conversations are kept in memory, learned from hints and answers, so that
open sessions go on sending while the store is away. A refusal is "not_found": whether a conversation of somebody
else exists is nobody's business."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from services.gateway.asking import Asking
from services.gateway.directory import LiveDirectory
from services.gateway.tokens import Principal
from shared import clock
from shared.conversation import Status
from shared.errors import Rejected, Unavailable
from shared.ids import AccountId, AgentId, ContactId, ConversationId, InboxId, Position, TeamId
from shared.planted import planted
from shared.queries import ConversationRow, FactsRow, GetContact, GetFacts


class Facts(msgspec.Struct, kw_only=True):
    """What the gateway must know of a conversation. `as_of`: the position these facts are known to include;
    `last_entry`: its last entry, as far as heard; `fresh_until_s`: monotonic, for agents' rights."""

    account_id: AccountId
    conversation_id: ConversationId
    contact_id: ContactId
    inbox_id: InboxId
    team_id: TeamId | None = None
    agent_id: AgentId | None = None
    previous_agent_id: AgentId | None = None
    status: Status = "replied"
    last_entry: Position = 0
    as_of: Position = 0
    fresh_until_s: float = 0.0


class _Asked(NamedTuple):
    """A question to the store that is not answered yet."""

    at_least: Position
    answer: asyncio.Task[Facts]


class Access:
    """Decides on rights and keeps the facts they rest on, the least recently learned ones going first."""

    def __init__(
        self, asking: Asking, directory: LiveDirectory, *, kept: int, fresh_s: float
    ) -> None:
        self._asking = asking
        self._directory = directory
        self._kept = kept
        self._fresh_s = fresh_s
        self._facts: OrderedDict[str, Facts] = OrderedDict()
        self._merged: dict[str, ContactId] = {}
        self._asked: dict[tuple[AccountId, ConversationId], _Asked] = {}

    async def may_see(
        self, principal: Principal, conversation_id: ConversationId, *, at_least: Position = 0
    ) -> Facts:
        """The facts of a conversation that the principal may read. Raises `Rejected("not_found")`, `Unavailable`."""
        facts = await self._facts_for(principal, conversation_id, at_least)
        if self.is_open(principal, facts):
            return facts
        facts = await self._asked_again(facts)
        if self.is_open(principal, facts):
            return facts
        raise _not_found()

    async def may_post(
        self, principal: Principal, conversation_id: ConversationId, *, at_least: Position = 0
    ) -> Facts:
        """As `may_see`; a contact that was merged may still post what its outbox holds, but no longer read."""
        facts = await self._facts_for(principal, conversation_id, at_least)
        if self.is_open(principal, facts):
            return facts
        facts = await self._asked_again(facts)
        if self.is_open(principal, facts):
            return facts
        if principal.kind == "visitor" and await self._is_merged(principal, facts.contact_id):
            return facts
        raise _not_found()

    def known(self, principal: Principal, conversation_id: ConversationId) -> Facts | None:
        """The facts if they are in memory, fresh enough, and let the principal post; None: ask `may_post`."""
        facts = self._facts.get(conversation_id)
        if facts is None or facts.account_id != principal.account_id:
            return None
        is_bound = principal.kind == "agent" and not principal.is_staff
        if is_bound and clock.monotonic_s() >= facts.fresh_until_s:
            return None
        return facts if self.is_open(principal, facts) else None

    async def facts(
        self, account_id: AccountId, conversation_id: ConversationId, *, at_least: Position = 0
    ) -> Facts:
        """The facts, from memory or from the store, without regard to who asks."""
        known = self._facts.get(conversation_id)
        is_own = known is not None and known.account_id == account_id
        if planted("foreign_account"):
            is_own = known is not None
        if known is not None and is_own and known.as_of >= at_least:
            return known
        return await self._ask(account_id, conversation_id, at_least)

    def is_open(self, principal: Principal, facts: Facts) -> bool:
        """Whether these facts let the principal see the conversation; asks nobody."""
        if facts.account_id != principal.account_id and not planted("foreign_account"):
            return False
        if principal.kind == "visitor":
            return facts.contact_id == principal.id
        return principal.is_staff or self._is_open_to(AgentId(principal.id), facts)

    def peek(self, conversation_id: str) -> Facts | None:
        """What is known at this moment, if anything."""
        return self._facts.get(conversation_id)

    def learn(self, row: ConversationRow | FactsRow) -> Facts:
        """Take facts from a row that the store gave in an answer or a hint; an older row changes nothing."""
        known = self._facts.get(row.conversation_id)
        if known is not None and known.as_of > row.version:
            return known
        return self._keep(
            Facts(
                account_id=row.account_id,
                conversation_id=row.conversation_id,
                contact_id=row.contact_id,
                inbox_id=row.inbox_id,
                team_id=row.team_id,
                agent_id=row.agent_id,
                previous_agent_id=row.previous_agent_id,
                status=row.status,
                last_entry=max(row.last_entry, known.last_entry if known else 0),
                as_of=row.version,
                fresh_until_s=clock.monotonic_s() + self._fresh_s,
            )
        )

    def learn_started(
        self,
        account_id: AccountId,
        conversation_id: ConversationId,
        *,
        contact_id: ContactId,
        inbox_id: InboxId,
        position: Position,
    ) -> Facts:
        """A conversation that this gateway just started: its visitor can go on before the store has it."""
        known = self._facts.get(conversation_id)
        if known is not None:
            return known
        return self._keep(
            Facts(
                account_id=account_id,
                conversation_id=conversation_id,
                contact_id=contact_id,
                inbox_id=inbox_id,
                last_entry=position,
                as_of=position,
            )
        )

    def heard_entry(self, conversation_id: str, position: Position) -> None:
        """An entry of the conversation went by."""
        known = self._facts.get(conversation_id)
        if known is not None and position > known.last_entry:
            known.last_entry = position

    def forget_all(self) -> None:
        """After a change of epoch nothing known can be trusted."""
        self._facts.clear()
        self._merged.clear()

    def _keep(self, facts: Facts) -> Facts:
        self._facts[facts.conversation_id] = facts
        self._facts.move_to_end(facts.conversation_id)
        if len(self._facts) > self._kept:
            self._facts.popitem(last=False)
        return facts

    async def _facts_for(
        self, principal: Principal, conversation_id: ConversationId, at_least: Position
    ) -> Facts:
        facts = await self.facts(principal.account_id, conversation_id, at_least=at_least)
        if principal.kind != "agent" or principal.is_staff:
            return facts
        if clock.monotonic_s() < facts.fresh_until_s:
            return facts
        try:
            return await self._ask(principal.account_id, conversation_id, at_least)
        except Unavailable:
            # The store is away: what was right a moment ago goes on being right, and isn't asked for each message.
            facts.fresh_until_s = clock.monotonic_s() + self._fresh_s
            return facts

    async def _asked_again(self, facts: Facts) -> Facts:
        """What is kept may be too old to refuse by: the conversation may have moved to a merged contact a moment
        ago. Asked of the log's end, because a refusal is final for a client; `Unavailable` is not."""
        end = await self._asking.end_of_log()
        return await self._ask(facts.account_id, facts.conversation_id, end)

    async def _ask(
        self, account_id: AccountId, conversation_id: ConversationId, at_least: Position
    ) -> Facts:
        """However many want to know at the same time, the store is asked once."""
        key = (account_id, conversation_id)
        running = self._asked.get(key)
        if running is not None and running.at_least >= at_least:
            try:
                return await asyncio.shield(running.answer)
            except Rejected:
                # That it was not there when somebody else asked says nothing of now; who asked since says it.
                later = self._asked.get(key)
                running = later if later is not running else None
        if running is None or running.at_least < at_least:
            running = _Asked(
                at_least,
                asyncio.create_task(self._learn_asked(account_id, conversation_id, at_least)),
            )
            self._asked[key] = running
            running.answer.add_done_callback(lambda _: self._forget_asked(key))
        return await asyncio.shield(running.answer)

    def _forget_asked(self, key: tuple[AccountId, ConversationId]) -> None:
        running = self._asked.get(key)
        if running is not None and running.answer.done():
            del self._asked[key]

    async def _learn_asked(
        self, account_id: AccountId, conversation_id: ConversationId, at_least: Position
    ) -> Facts:
        row = await self._asking.facts(
            GetFacts(account_id=account_id, conversation_id=conversation_id, at_least=at_least)
        )
        facts = self.learn(row)
        facts.as_of = max(facts.as_of, at_least)
        facts.fresh_until_s = clock.monotonic_s() + self._fresh_s
        return facts

    def _is_open_to(self, agent_id: AgentId, facts: Facts) -> bool:
        """Agents see what they hold or held last, what is their teams', and what no team owns."""
        if agent_id in (facts.agent_id, facts.previous_agent_id):
            return True
        account = self._directory.account(facts.account_id)
        team_id = facts.team_id
        if team_id not in account.teams:
            # Of no team, or of one that was removed: the inbox's, as the dispatcher has it.
            inbox = account.inboxes.get(facts.inbox_id)
            team_id = inbox.team_id if inbox else None
        if team_id is None:
            return True
        team = account.teams.get(team_id)
        return team is not None and agent_id in team.members

    async def _is_merged(self, principal: Principal, into: ContactId) -> bool:
        if self._merged.get(principal.id) == into:
            return True
        row = await self._asking.contact(
            GetContact(account_id=principal.account_id, contact_id=ContactId(principal.id))
        )
        if row.merged_into != into:
            return False
        self._merged[principal.id] = into
        return True


def _not_found() -> Rejected:
    return Rejected("not_found", "there is no such thing")
