"""Visitors of one desk: who they are, from which page they come, what becomes known of them; and the gateway's judgement
of the conditions that they meet, made by the real part with keys that open everything."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from services.gateway.conditions import Conditions
from shared import codec, directory
from shared import events as e
from shared.events import Author
from shared.ids import AccountId, ContactId, ConversationId, InboxId, Position
from simulate.ledger import Ledger
from simulate.log import Entry
from simulate.pages import PAGES, PROFILES
from simulate.people import Firm, identifier
from simulate.talks import Talk


class Door:
    """What a gateway knows of the configuration, and how it judges."""

    def __init__(self) -> None:
        self.directory = directory.Directory()
        clear: Any = SimpleNamespace(
            ring=SimpleNamespace(open=lambda _account, sealed, **_names: sealed)
        )
        self._conditions = Conditions(clear)

    def note(self, entry: Entry) -> None:
        """Follow the log."""
        if isinstance(entry.event, e.AccountEvent):
            directory.evolve(self.directory, entry.event, Position(entry.position))

    def met(
        self, account_id: AccountId, inbox_id: InboxId, page: str, attributes: dict[str, str]
    ) -> tuple[str, ...]:
        """The names of the conditions that are met now."""
        account = self.directory.accounts[account_id]
        return self._conditions.met(account, inbox_id, page, attributes)


class Visitors:
    """Everybody who ever came."""

    def __init__(self, dice: random.Random, firms: list[Firm]) -> None:
        self.dice = dice
        self.known: dict[AccountId, list[ContactId]] = {f.account_id: [] for f in firms}

    def somebody(self, firm: Firm, number: int) -> tuple[ContactId, list[e.ContactCreated]]:
        """Somebody new, or somebody who comes again, perhaps under the name of before they said who they are."""
        known = self.known[firm.account_id]
        if known and self.dice.random() < 0.4:
            return self.dice.choice(known[-15:]), []
        contact_id = ContactId(identifier(0xC0, number))
        known.append(contact_id)
        return contact_id, [self._created(firm, contact_id)]

    def begin(
        self, firm: Firm, door: Door, contact_id: ContactId, attributes: dict[str, str]
    ) -> dict[str, Any]:
        """Where a conversation begins, and what it meets there."""
        inbox_id, page = self.dice.choice(firm.inboxes), self.dice.choice(PAGES)
        return {
            "inbox_id": inbox_id,
            "contact_id": contact_id,
            "page": page.encode(),
            "met": door.met(firm.account_id, inbox_id, page, attributes),
        }

    def merge(self, firm: Firm, talk: Talk) -> list[e.Event]:
        """An anonymous visitor says who they are; now and then a second time, as somebody else, or in a circle."""
        dice = self.dice
        known = self.known[firm.account_id]
        into = ContactId(identifier(0xC1, firm.number * 100 + dice.randrange(12)))
        if dice.random() < 0.1:
            into = dice.choice(known)
        created = [] if into in known else [self._created(firm, into)]
        if created:
            known.append(into)
        merged = e.ContactMerged(account_id=firm.account_id, contact_id=talk.contact_id, into=into)
        return [*created, merged]

    def change(self, firm: Firm, ledger: Ledger, door: Door, talk: Talk) -> list[e.Event]:
        """More becomes known of a contact; all of theirs that is not over is judged again."""
        attributes, contact_id = self.dice.choice(PROFILES), ledger.contact_of(talk)
        changed = e.ContactChanged(
            account_id=firm.account_id,
            contact_id=contact_id,
            profile=codec.to_json(attributes),
            by=Author(kind="visitor", id=contact_id),
        )
        theirs = (t for t in ledger.talks.values() if ledger.contact_of(t) == contact_id)
        return [
            changed,
            *(
                e.ConditionsJudged(
                    account_id=firm.account_id,
                    conversation_id=ConversationId(each.id),
                    met=door.met(firm.account_id, each.inbox_id, each.page, attributes),
                )
                for each in theirs
                if each.phase != "resolved"
            ),
        ]

    def _created(self, firm: Firm, contact_id: ContactId) -> e.ContactCreated:
        return e.ContactCreated(
            account_id=firm.account_id,
            contact_id=contact_id,
            inbox_id=firm.inboxes[0],
            profile=codec.to_json(self.dice.choice(PROFILES)),
        )
