"""Which rows a stretch of the log touches, so that they are read together before it is folded.

What a row points to (the owner of a conversation, where a contact was merged) is only known once it is there, so
`needed` is asked again until it names nothing new; three rounds are usual after a start and none when all is held.
A stretch never holds a `ContactMerged` behind other events: see `stretches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.store.fold.receipts import recipient_of
from services.store.fold.records import Broken, Record
from services.store.fold.state import (
    AgentKey,
    ContactKey,
    ConversationKey,
    Folded,
    HoldingKey,
    MessageKey,
    NoteKey,
    ReceiptKey,
    State,
)
from shared import events as e
from shared.ids import AccountId, ContactId, ConversationId, Position


class Needs:
    """Keys of rows to read. `recents`: owner to the range of entries missing for a receipt."""

    def __init__(self) -> None:
        self.conversations: set[ConversationKey] = set()
        self.of_contacts: set[ContactKey] = set()
        self.message_ids: set[MessageKey] = set()
        self.messages: set[MessageKey] = set()
        self.notes: set[NoteKey] = set()
        self.contacts: set[ContactKey] = set()
        self.owners: set[tuple[AccountId, str]] = set()
        self.holdings: set[HoldingKey] = set()
        self.receipts: set[ReceiptKey] = set()
        self.primaries: set[AgentKey] = set()
        self.recents: set[tuple[str, Position, Position]] = set()

    @property
    def leads_on(self) -> bool:
        """Whether one of these rows may name further ones."""
        return bool(
            self.conversations or self.of_contacts or self.contacts or self.owners or self.recents
        )

    def take_new(self, asked: Needs) -> bool:
        """Keep only what was not `asked` before, add that to `asked`, and say whether anything is left."""
        is_any = False
        for name, wanted in vars(self).items():
            known: set[object] = getattr(asked, name)
            wanted.difference_update(known)
            known.update(wanted)
            is_any = is_any or bool(wanted)
        return is_any


def stretches(records: list[Record]) -> Iterator[list[Record]]:
    """Cut before and after each merge of contacts: it changes whose inbox the events behind it concern."""
    begin = 0
    for index, record in enumerate(records):
        if isinstance(record.event, e.ContactMerged):
            if index > begin:
                yield records[begin:index]
            yield records[index : index + 1]
            begin = index + 1
    if begin < len(records):
        yield records[begin:]


def needed(state: State, records: list[Record]) -> Needs:
    """The keys that the stretch touches and the state does not hold, as far as it is known now."""
    return _Planner(state).plan(records)


class _Planner:
    """One pass over a stretch."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.needs = Needs()
        self.concerned: dict[str, set[ConversationId]] = {}
        """Conversations that the stretch itself tells those of whom it has receipts."""

    def plan(self, records: list[Record]) -> Needs:
        receipts = self._receipts(records)
        self.concerned = {recipient_id: set() for _, recipient_id in receipts}
        message_ids, conversations = self.state.message_ids, self.state.conversations
        owners, concerned = self.state.owners, self.concerned
        for record in records:
            event = record.event
            match event:
                case e.MessagePosted():
                    account_id = event.account_id
                    message_key = (account_id, event.message_id)
                    if message_key not in message_ids:
                        self.needs.message_ids.add(message_key)
                    # What nearly every message finds: all is held already.
                    folded = conversations.get((account_id, event.conversation_id))
                    if folded is None:
                        self._conversation((account_id, event.conversation_id))
                        continue
                    contact_id, agent_id = folded.state.contact_id, folded.state.agent_id
                    if (
                        contact_id not in owners
                        or contact_id in concerned
                        or (
                            agent_id is not None
                            and (agent_id not in owners or agent_id in concerned)
                        )
                    ):
                        self._conversation(folded.key)
                case e.Received() | e.ReceivedTogether():
                    pass
                case Broken():
                    self._broken(event)
                case _:
                    self._other(event)
        for (account_id, recipient_id), up_to in receipts.items():
            self._received(account_id, recipient_id, up_to)
        return self.needs

    def _receipts(self, records: list[Record]) -> dict[tuple[AccountId, str], Position]:
        """How far each recipient got in this stretch."""
        found: dict[tuple[AccountId, str], Position] = {}
        for record in records:
            for event in _receipts_of(record.event):
                if event.recipient.kind in ("visitor", "agent"):
                    key = (event.account_id, self._recipient(event))
                    found[key] = max(event.up_to, found.get(key, 0))
        return found

    def _message_id(self, key: MessageKey) -> None:
        if key not in self.state.message_ids:
            self.needs.message_ids.add(key)

    def _conversation(self, key: ConversationKey) -> Folded | None:
        folded = self.state.conversations.get(key)
        if folded is None:
            self.needs.conversations.add(key)
            return None
        self._inbox(key, folded.state.contact_id)
        if folded.state.agent_id is not None:
            self._inbox(key, folded.state.agent_id)
        return folded

    def _inbox(self, key: ConversationKey, owner_id: str) -> None:
        if owner_id not in self.state.owners:
            self.needs.owners.add((key[0], owner_id))
        if owner_id in self.concerned:
            self.concerned[owner_id].add(key[1])

    def _broken(self, broken: Broken) -> None:
        envelope = broken.envelope
        if envelope is None or envelope.conversation_id is None or envelope.message_id is None:
            return
        self._message_id((envelope.account_id, envelope.message_id))
        self._conversation((envelope.account_id, envelope.conversation_id))

    def _other(self, event: object) -> None:
        state, needs = self.state, self.needs
        match event:
            case e.MessageEdited() | e.MessageRetracted():
                self._conversation((event.account_id, event.conversation_id))
                if (event.account_id, event.message_id) not in state.messages:
                    needs.messages.add((event.account_id, event.message_id))
            case e.ConversationStarted():
                key = (event.account_id, event.conversation_id)
                self._conversation(key)
                self._inbox(key, self._contact(event.account_id, event.contact_id))
            case e.ConversationAssigned() | e.ConversationQueued() | e.StatusChanged():
                self._routed(event)
            case e.NoteAdded():
                self._conversation((event.account_id, event.conversation_id))
                if (event.account_id, event.note_id) not in state.notes:
                    needs.notes.add((event.account_id, event.note_id))
            case e.Read():
                key = (event.account_id, event.conversation_id)
                self._conversation(key)
                self._receipt(key, self._recipient(event))
            case e.LabelsChanged() | e.PriorityChanged() | e.Rated() | e.ConditionsJudged():
                self._conversation((event.account_id, event.conversation_id))
            case e.AssignmentRequested() | e.ClaimRequested() | e.AssignmentRefused():
                self._conversation((event.account_id, event.conversation_id))
            case e.DeadlineMissed() | e.Escalated():
                self._conversation((event.account_id, event.conversation_id))
            case e.ContactCreated() | e.ContactChanged():
                self._contact(event.account_id, event.contact_id)
            case e.ContactMerged():
                self._merged(event)
            case e.PrimaryDeviceChanged():
                if (event.account_id, event.agent_id) not in state.primaries:
                    needs.primaries.add((event.account_id, event.agent_id))
            case _:
                pass

    def _routed(
        self, event: e.ConversationAssigned | e.ConversationQueued | e.StatusChanged
    ) -> None:
        key = (event.account_id, event.conversation_id)
        folded = self._conversation(key)
        agents = [folded.state.agent_id] if folded is not None else []
        if isinstance(event, e.ConversationAssigned):
            agents.append(event.agent_id)
        for agent_id in agents:
            if agent_id is None:
                continue
            self._inbox(key, agent_id)
            if (agent_id, key[1]) not in self.state.holdings:
                self.needs.holdings.add((agent_id, key[1]))

    def _contact(self, account_id: AccountId, contact_id: ContactId) -> ContactId:
        root = self.state.root_of(account_id, contact_id)
        if (account_id, root) not in self.state.contacts:
            self.needs.contacts.add((account_id, root))
        return root

    def _merged(self, event: e.ContactMerged) -> None:
        self._contact(event.account_id, event.contact_id)
        into = self._contact(event.account_id, event.into)
        contact = (event.account_id, event.contact_id)
        self.needs.of_contacts.add(contact)
        if into not in self.state.owners:
            self.needs.owners.add((event.account_id, into))
        for folded in self.state.conversations_of(contact):
            self._conversation(folded.key)

    def _recipient(self, event: e.Received | e.Read) -> str:
        if event.recipient.kind == "visitor":
            self._contact(event.account_id, ContactId(event.recipient.id))
        return recipient_of(self.state, event).id

    def _receipt(self, key: ConversationKey, recipient_id: str) -> None:
        if (*key, recipient_id) not in self.state.receipts:
            self.needs.receipts.add((*key, recipient_id))

    def _received(self, account_id: AccountId, recipient_id: str, up_to: Position) -> None:
        owner = self.state.owners.get(recipient_id)
        if owner is None:
            self.needs.owners.add((account_id, recipient_id))
            return
        if up_to <= owner.received:
            return
        if owner.complete_from > owner.received:
            self.needs.recents.add((recipient_id, owner.received, owner.complete_from))
        told = {conversation_id for position, conversation_id in owner.recent if position <= up_to}
        for conversation_id in told | self.concerned[recipient_id]:
            key = (account_id, conversation_id)
            if key not in self.state.conversations:
                self.needs.conversations.add(key)
            self._receipt(key, recipient_id)


def _receipts_of(event: object) -> Iterable[e.Received]:
    if isinstance(event, e.Received):
        return (event,)
    return event.each() if isinstance(event, e.ReceivedTogether) else ()
