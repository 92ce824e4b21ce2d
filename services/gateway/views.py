"""Rows of the store as JSON objects for people: ciphertext opened, names filled in, each reader shown only what is
theirs to see. The one place where texts become readable."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Iterable
from typing import Literal

import msgspec
import structlog

from services.gateway import metrics
from services.gateway.directory import LiveDirectory
from services.gateway.keyring import Keys
from services.gateway.tokens import Principal
from shared.crypto import HEAD_BYTES, Opener
from shared.errors import Malformed
from shared.events import Author, InboxSaved, LabelSaved, PolicySaved, TeamSaved
from shared.events.presence import Availability
from shared.ids import AccountId, AgentId, Position
from shared.packed import Line
from shared.queries import ContactRow, ConversationRow, Entry, MessageRow, NoteRow, ReceiptRow
from shared.wire.views import (
    AgentView,
    AuthorView,
    ContactView,
    ConversationView,
    EntryView,
    InboxView,
    LabelView,
    MessageView,
    NoteView,
    PolicyView,
    ReceiptView,
    SkillRuleView,
    TeamView,
)

log = structlog.get_logger(__name__)

MessageState = Literal["accepted", "pending", "sent", "received", "read"]
_NAMES_KEPT = 50_000
_KEYS_TOLD = 10_000


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a contact's `profile` ciphertext holds, as JSON."""

    name: str | None = None
    email: str | None = None
    attributes: dict[str, str] = {}


def at(ns: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, rest_ns = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest_ns // 1_000_000:03d}Z"


@functools.lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Messages that lie close together share their second."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"


def at_or_none(ns: int) -> str | None:
    """As `at`; 0 means there is no such time."""
    return at(ns) if ns else None


def state_of(row: MessageRow, *, is_owned: bool, receipts: Iterable[ReceiptRow]) -> MessageState:
    """How far a message got with the other side. Receipts of the author's own side say nothing."""
    side = "visitor" if row.author.kind == "visitor" else "agent"
    others = [r for r in receipts if r.recipient.kind != side]
    if any(r.read >= row.position for r in others):
        return "read"
    if any(r.received >= row.position for r in others):
        return "received"
    return "sent" if is_owned or side == "agent" else "pending"


def _sealed_as(row: MessageRow) -> str:
    """The id that the body is bound to: a clash was sealed under the id it was sent with, its edits under its own."""
    return row.clash_of if row.clash_of and not row.revision else row.message_id


class Views:
    """Makes views. A text that no known key opens is null and counted: call `cover` with the rows first."""

    def __init__(self, keys: Keys, directory: LiveDirectory) -> None:
        self._keys = keys
        self._directory = directory
        self._names: dict[tuple[str, Position], str | None] = {}
        self._missing: set[bytes] = set()

    async def cover(self, account_id: AccountId, rows: Iterable[object]) -> None:
        """See to it that the keys of these rows (messages, notes, entries, conversations) are known."""
        await self._keys.cover(account_id, (blob for row in rows for blob in _blobs(row)))

    async def cover_lines(self, account_id: AccountId, lines: Iterable[Line]) -> None:
        """As `cover`, for lines of a page."""
        await self._keys.cover(account_id, {line[10][:HEAD_BYTES] for line in lines})

    def opener(self, account_id: AccountId, head: bytes) -> Opener:
        """Opens messages whose ciphertexts begin alike."""
        return self._keys.ring.opener(account_id, head, part="body")

    def is_covered(self, rows: Iterable[object]) -> bool:
        """Whether every key of these rows is known already."""
        knows = self._keys.ring.knows
        for row in rows:
            if isinstance(row, Entry) and row.kind == "message" and row.message is not None:
                # Nearly every row is one of these, and they hold one ciphertext.
                if row.message.body and not knows(row.message.body):
                    return False
            elif any(blob and not knows(blob) for blob in _blobs(row)):
                return False
        return True

    def text(
        self, account_id: AccountId, blob: bytes, *, of: str, part: str, revision: int = 0
    ) -> str | None:
        """The readable text of a ciphertext; None for an empty or unreadable one."""
        if not blob:
            return None
        try:
            opened = self._keys.ring.open(account_id, blob, of=of, part=part, revision=revision)
            return opened.decode("utf-8")
        except (Malformed, ValueError):
            metrics.UNDECRYPTABLE.inc()
            if self._is_erased(blob):
                self._tell_missing(account_id, blob)
                return None
            log.error("text_undecryptable", account_id=account_id, of=of, part=part)  # noqa: TRY400 - the traceback says nothing more
            return None

    def _is_erased(self, blob: bytes) -> bool:
        """Whether the key of this ciphertext is gone. Its rows were covered: what is not known now is nowhere."""
        return bool(blob) and not self._keys.ring.knows(blob)

    def _tell_missing(self, account_id: AccountId, blob: bytes) -> None:
        """Once for each key: with it, everything that was sealed with it is gone."""
        key = blob[1:HEAD_BYTES]
        if key in self._missing:
            return
        if len(self._missing) >= _KEYS_TOLD:
            self._missing.clear()
        self._missing.add(key)
        log.error("key_missing", account_id=account_id, key_id=key.hex())

    def agent_name(self, account_id: AccountId, agent_id: str) -> str | None:
        """An agent's name; None for one that was removed."""
        account = self._directory.state.accounts.get(account_id)
        agent = account.agents.get(AgentId(agent_id)) if account else None
        if account is None or agent is None:
            return None
        key = (agent_id, account.versions.get(agent_id, 0))
        if key not in self._names:
            if len(self._names) >= _NAMES_KEPT:
                self._names.clear()
            self._names[key] = self.text(account_id, agent.name, of=agent_id, part="name")
        return self._names[key]

    def author(self, account_id: AccountId, author: Author) -> AuthorView:
        """Who wrote, with the name of an agent."""
        name = self.agent_name(account_id, author.id) if author.kind == "agent" else None
        return AuthorView(kind=author.kind, id=author.id, name=name)

    def message(
        self, row: MessageRow, viewer: Principal, *, state: MessageState | None = None
    ) -> MessageView:
        """A message as the viewer may see it."""
        text = None
        if row.body and not row.retracted and not row.unreadable:
            of = _sealed_as(row)
            text = self.text(row.account_id, row.body, of=of, part="body", revision=row.revision)
        is_unreadable = text is None and bool(row.body) and not row.retracted
        is_own = row.author.id == viewer.id
        is_visitor = viewer.kind == "visitor"
        return MessageView(
            conversation_id=row.conversation_id,
            message_id=row.message_id,
            seq=row.seq,
            position=row.position,
            at=at(row.at_ns),
            author=self.author(row.account_id, row.author),
            content_type=row.content_type,
            text=text,
            revision=row.revision,
            device_id=row.device_id if is_own else None,
            seen_up_to=0 if is_visitor else row.seen_up_to,
            automatic=row.automatic,
            crossed=row.crossed and not is_visitor,
            retracted=row.retracted,
            unreadable=row.unreadable or is_unreadable,
            state=state,
        )

    def note(self, row: NoteRow) -> NoteView:
        """A note; never for visitors."""
        return NoteView(
            conversation_id=row.conversation_id,
            note_id=row.note_id,
            position=row.position,
            at=at(row.at_ns),
            author=self.author(row.account_id, row.author),
            text=self.text(row.account_id, row.body, of=row.note_id, part="note"),
        )

    def receipt(self, row: ReceiptRow) -> ReceiptView:
        """How far somebody got."""
        return ReceiptView(
            conversation_id=row.conversation_id,
            by=self.author(row.account_id, row.recipient),
            received=row.received,
            read=row.read,
        )

    def conversation(self, row: ConversationRow, viewer: Principal) -> ConversationView:
        """A conversation; visitors see nothing of how the desk works, and know who they are."""
        is_visitor = viewer.kind == "visitor"
        last = row.last_message
        return ConversationView(
            conversation_id=row.conversation_id,
            inbox_id=row.inbox_id,
            contact_id=row.contact_id,
            channel=row.channel,
            language=row.language,
            priority=row.priority,
            status=row.status,
            labels=[] if is_visitor else list(row.labels),
            team_id=row.team_id,
            agent_id=row.agent_id,
            previous_agent_id=None if is_visitor else row.previous_agent_id,
            waiting_since=row.waiting_since,
            waiting_since_at=at_or_none(row.waiting_since_ns),
            snoozed_until=at_or_none(row.snoozed_until_ns),
            last_seq=row.last_seq,
            last_position=row.last_entry,
            version=row.version,
            created_at=at(row.created_ns),
            updated_at=at(row.updated_ns),
            rating=row.rating,
            unread=row.unread,
            last_message=None
            if last is None
            else self.message(last, viewer, state=self.state_in(last, row)),
            receipts=[self.receipt(x) for x in row.receipts],
            overdue=row.overdue and not is_visitor,
            escalated=row.escalated and not is_visitor,
            contact=None if row.contact is None or is_visitor else self.contact(row.contact),
        )

    def state_in(self, row: MessageRow, conversation: ConversationRow) -> MessageState:
        """How far a message of this conversation got."""
        return state_of(
            row, is_owned=conversation.agent_id is not None, receipts=conversation.receipts
        )

    def entry(self, row: Entry, viewer: Principal) -> EntryView:
        """An inbox entry, not yet said whether it alerts."""
        return EntryView(
            position=row.position,
            prev=row.prev,
            at=at(row.at_ns),
            kind=row.kind,
            conversation_id=row.conversation_id,
            held=row.held,
            message=None if row.message is None else self.message(row.message, viewer),
            note=None if row.note is None or viewer.kind == "visitor" else self.note(row.note),
            conversation=None
            if row.conversation is None
            else msgspec.structs.replace(self.conversation(row.conversation, viewer), unread=None),
            from_seq=row.from_seq,
            to_seq=row.to_seq,
            messages=[self.message(x, viewer) for x in row.messages],
            more=row.more,
        )

    def contact(self, row: ContactRow) -> ContactView:
        """A visitor."""
        profile = self.profile(row)
        return ContactView(
            contact_id=row.contact_id,
            inbox_id=row.inbox_id,
            is_identified=row.is_identified,
            name=profile.name,
            email=profile.email,
            attributes=profile.attributes,
            merged_into=row.merged_into,
            created_at=at_or_none(row.created_ns),
            erased=self._is_erased(row.profile),
        )

    def profile(self, row: ContactRow) -> Profile:
        """The readable profile; sealed as part "profile" of the contact at revision 0."""
        text = self.text(row.account_id, row.profile, of=row.contact_id, part="profile")
        if text is None:
            return Profile()
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(text, type=Profile)
        log.error("profile_unreadable", contact_id=row.contact_id)
        return Profile()

    def agent(
        self,
        account_id: AccountId,
        agent_id: AgentId,
        viewer: Principal,
        *,
        online: bool | None = None,
        availability: Availability | None = None,
    ) -> AgentView:
        """An agent of the directory (KeyError for an unknown one); the address only for admins and themself."""
        account = self._directory.account(account_id)
        agent = account.agents[agent_id]
        may_see_email = viewer.role == "admin" or viewer.id == agent_id
        email = (
            self.text(account_id, agent.email, of=agent_id, part="email") if may_see_email else None
        )
        return AgentView(
            agent_id=agent_id,
            name=self.agent_name(account_id, agent_id) or "",
            email=email,
            role=agent.role,
            capacity=agent.capacity,
            skills=dict(agent.skills),
            channel_capacity=dict(agent.channel_capacity),
            teams=sorted(account.teams_of(agent_id)),
            version=account.versions.get(agent_id, 0),
            online=online,
            availability=availability,
        )

    def team(self, event: TeamSaved, version: Position) -> TeamView:
        """A team."""
        return TeamView(
            team_id=event.team_id,
            name=event.name,
            members={str(k): v for k, v in event.members.items()},
            version=version,
        )

    def inbox(self, event: InboxSaved, version: Position) -> InboxView:
        """An inbox."""
        return InboxView(
            inbox_id=event.inbox_id,
            inbox_key=event.inbox_key,
            name=event.name,
            channel=event.channel,
            team_id=event.team_id,
            skills=dict(event.skills),
            policy_id=event.policy_id,
            origins=list(event.origins),
            version=version,
        )

    def policy(
        self, event: PolicySaved, version: Position, rules: list[SkillRuleView]
    ) -> PolicyView:
        """A policy."""
        return PolicyView(
            policy_id=event.policy_id,
            name=event.name,
            assignment_lease_s=event.assignment_lease_s,
            offline_return_s=event.offline_return_s,
            first_response_s=event.first_response_s,
            next_response_s=event.next_response_s,
            prefer_previous_agent=event.prefer_previous_agent,
            language_skills=event.language_skills,
            skill_rules=rules,
            ageing_s=event.ageing_s,
            strategy=event.strategy,
            fallback_teams=list(event.fallback_teams),
            previous_agent_wait_s=event.previous_agent_wait_s,
            hours=event.hours,
            deadline_clock=event.deadline_clock,
            resolution_s=event.resolution_s,
            reassign_after_s=event.reassign_after_s,
            escalate_after_s=event.escalate_after_s,
            outside_hours=event.outside_hours,
            version=version,
        )

    def label(self, event: LabelSaved, version: Position) -> LabelView:
        """A label."""
        return LabelView(name=event.name, colour=event.colour, version=version)


def _blobs(row: object) -> Iterable[bytes]:
    """The ciphertexts in a row."""
    match row:
        case MessageRow() | NoteRow():
            yield row.body
        case ContactRow():
            yield row.profile
        case ConversationRow():
            if row.last_message is not None:
                yield row.last_message.body
            if row.contact is not None:
                yield row.contact.profile
        case Entry():
            for inner in (row.message, row.note, row.conversation, *row.messages):
                yield from _blobs(inner)
        case _:
            return
