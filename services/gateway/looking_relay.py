"""Who looks at a conversation, told to colleagues beside the log, so that no two answer it by accident.

Own connections' looks are kept here and said again every few seconds; what other gateways say is kept for a while.
Rights are looked at again each time somebody is told.
Never: a task, timer or subscription per connection; a word of it to a visitor; a wait for the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from services.gateway import metrics
from services.gateway.access import Facts
from services.gateway.lookers import MOST_SHOWN, Lookers
from services.gateway.parts import Parts
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from services.gateway.views import at
from shared import clock
from shared.codec import pack, to_json
from shared.commands import Looker, Looking
from shared.crashpoints import crashpoint
from shared.errors import Rejected
from shared.events import Author
from shared.ids import AccountId, AgentId, ConversationId, Position
from shared.queries import Entry
from shared.subjects import HINT_BUCKETS, bucket_of, ephemeral_subject
from shared.wire.frames import LookingNow, Moved
from shared.wire.views import LookerView

MOST_AT_ONCE = 8
_LIVES = 3.5
_TYPED_S = 20.0
_TURN_S = 0.5
_MOST_IN_A_NOTE = 1_000


class Look(msgspec.Struct, kw_only=True):
    """A conversation that one of our connections has open. `until_s`: who only typed is not there for ever; 0 for who
    said that they look."""

    session: Session
    facts: Facts
    looker: Looker
    until_s: float


class LookingRelay:
    """`look`, `typed`, `leave` and `gone` are what sessions do; `hear` what other gateways say; `run` in a task."""

    def __init__(self, parts: Parts, *, registry: Registry) -> None:
        self._bus = parts.bus
        self._shard = parts.shared.shard
        self._gateway = parts.name
        self._access = parts.access
        self._views = parts.views
        self._again_s = parts.config.looks_again_s
        self._registry = registry
        self._lookers = Lookers(life_s=_LIVES * self._again_s)
        self._looks: dict[ConversationId, dict[int, Look]] = {}
        self._of_session: dict[int, list[ConversationId]] = {}
        self._reconnects = parts.bus.reconnects
        self._said_at_s = 0.0

    async def start(self) -> None:
        """Ask the other gateways who looks at what."""
        for bucket in range(HINT_BUCKETS):
            await self._say(bucket, (), asks=True)

    async def look(self, session: Session, facts: Facts) -> None:
        """The agent opened the conversation: they learn who else is there, and the others that they came."""
        await self._come(session, facts, until_s=0.0)
        if self._find(session, facts.conversation_id) is not None:
            self._tell(session, facts.conversation_id)

    async def typed(self, session: Session, facts: Facts) -> None:
        """Who types without having said that they look is there for a while."""
        known = self._find(session, facts.conversation_id)
        until_s = clock.monotonic_s() + _TYPED_S
        if known is not None:
            known.until_s = until_s if known.until_s else 0.0
            return
        await self._come(session, facts, until_s=until_s)
        self._tell(session, facts.conversation_id)

    async def leave(self, session: Session, conversation_id: ConversationId) -> None:
        """The agent closed the conversation."""
        await self._go(self._end([(session.number, conversation_id)]))

    async def gone(self, session: Session) -> None:
        """The connection ended."""
        opened = self._of_session.get(session.number, ())
        await self._go(self._end([(session.number, each) for each in opened]))

    def watchers(self, conversation_id: ConversationId) -> list[Session]:
        """Our connections that have it open and may still see it."""
        return [
            look.session
            for look in self._looks.get(conversation_id, {}).values()
            if self._may_see(look.session, look.facts)
        ]

    def heard_entries(self, entries: Iterable[Entry]) -> None:
        """What the store committed: told to who looks at a conversation and gets no entry of it."""
        if not self._looks:
            return
        moved: dict[tuple[ConversationId, Position], list[Entry]] = {}
        for entry in entries:
            if entry.conversation_id in self._looks:
                moved.setdefault((entry.conversation_id, entry.position), []).append(entry)
        for (conversation_id, _), same in moved.items():
            told = {entry.owner_id for entry in same}
            for session in self.watchers(conversation_id):
                if session.owner_id not in told:
                    self._move(session, same[0])

    def missed(self, bucket: int, position: Position) -> None:
        """Entries of these accounts may not have been heard."""
        for conversation_id in tuple(self._looks):
            for session in self.watchers(conversation_id):
                principal = session.principal
                if principal is not None and bucket_of(principal.account_id) == bucket:
                    frame = Moved(
                        conversation_id=conversation_id, position=position, kind="unknown"
                    )
                    session.send(to_json(frame))

    def _move(self, session: Session, entry: Entry) -> None:
        principal = session.principal
        assert principal is not None
        is_shown = entry.message is not None and self._views.is_covered([entry])
        session.send(
            to_json(
                Moved(
                    conversation_id=entry.conversation_id,
                    position=entry.position,
                    kind=entry.kind if entry.message is None or is_shown else "unknown",
                    message=self._views.message(entry.message, principal)
                    if entry.message is not None and is_shown
                    else None,
                )
            )
        )
        metrics.SENT.labels("moved").inc()

    async def hear(self, note: Looking) -> None:
        """Another gateway's word."""
        if note.gateway == self._gateway:
            return
        changed = self._lookers.hear(note.gateway, note.lookers, clock.monotonic_s())
        self._tell_all(changed)
        if note.asks:
            self._said_at_s = 0.0

    async def run(self) -> None:
        """Say again, let lapse, until cancelled."""
        while True:
            await asyncio.sleep(_TURN_S)
            await self.turn(clock.monotonic_s())

    async def turn(self, now_s: float) -> None:
        """What is due."""
        if self._bus.reconnects != self._reconnects:
            # Who came or left meanwhile was not heard.
            self._reconnects = self._bus.reconnects
            await self.start()
            self._said_at_s = 0.0
        if now_s - self._said_at_s >= self._again_s:
            self._said_at_s = now_s
            await self._go(self._end(self._over(now_s)))
            await self._say_everything()
        self._tell_all(self._lookers.lapse(now_s))
        metrics.LOOKERS.set(len(self._lookers))

    # ------------------------------------------------------------ own connections

    def _find(self, session: Session, conversation_id: ConversationId) -> Look | None:
        return self._looks.get(conversation_id, {}).get(session.number)

    async def _come(self, session: Session, facts: Facts, *, until_s: float) -> None:
        known = self._find(session, facts.conversation_id)
        if known is not None:
            known.until_s, known.facts = until_s, facts
            return
        principal = session.principal
        if principal is None or session.is_closing:
            return
        opened = self._of_session.setdefault(session.number, [])
        left = self._end([(session.number, each) for each in opened[: 1 - MOST_AT_ONCE]])
        opened = self._of_session.setdefault(session.number, [])
        opened.append(facts.conversation_id)
        looker = Looker(
            account_id=principal.account_id,
            conversation_id=facts.conversation_id,
            agent_id=AgentId(principal.id),
            connection=session.number,
            since_ns=clock.now_ns(),
        )
        look = Look(session=session, facts=facts, looker=looker, until_s=until_s)
        self._looks.setdefault(facts.conversation_id, {})[session.number] = look
        await self._go([*left, looker], but=session)

    def _over(self, now_s: float) -> list[tuple[int, ConversationId]]:
        """Looks of who only typed a while ago, or may no longer see the conversation."""
        return [
            (number, conversation_id)
            for conversation_id, looks in self._looks.items()
            for number, look in looks.items()
            if 0.0 < look.until_s <= now_s or not self._may_see(look.session, look.facts)
        ]

    def _end(self, ended: Iterable[tuple[int, ConversationId]]) -> list[Looker]:
        """Forget looks of ours; what is to be said of them."""
        left = []
        for number, conversation_id in tuple(ended):
            looks = self._looks.get(conversation_id, {})
            look = looks.pop(number, None)
            if look is None:
                continue
            if not looks:
                del self._looks[conversation_id]
            opened = self._of_session[number]
            opened.remove(conversation_id)
            if not opened:
                del self._of_session[number]
            left.append(msgspec.structs.replace(look.looker, is_looking=False))
        return left

    async def _go(self, lookers: Sequence[Looker], *, but: Session | None = None) -> None:
        """Take and pass on what changed among our own connections, with the others of the conversation."""
        if not lookers:
            return
        changed = self._lookers.hear(self._gateway, lookers, clock.monotonic_s())
        self._tell_all(changed, but=but)
        for account_id in dict.fromkeys(looker.account_id for looker in lookers):
            own = tuple(each for each in lookers if each.account_id == account_id)
            await self._say(bucket_of(account_id), own)

    # ------------------------------------------------------------ to other gateways

    async def _say_everything(self) -> None:
        by_bucket: dict[int, list[Looker]] = {}
        for looks in self._looks.values():
            for look in looks.values():
                by_bucket.setdefault(bucket_of(look.looker.account_id), []).append(look.looker)
        now_s = clock.monotonic_s()
        for bucket, own in by_bucket.items():
            self._lookers.hear(self._gateway, own, now_s)
            for first in range(0, len(own), _MOST_IN_A_NOTE):
                await self._say(bucket, own[first : first + _MOST_IN_A_NOTE])

    async def _say(self, bucket: int, lookers: Sequence[Looker], *, asks: bool = False) -> None:
        note = Looking(gateway=self._gateway, lookers=tuple(lookers), asks=asks)
        crashpoint("gateway.looking")
        await self._bus.publish(ephemeral_subject(self._shard, bucket), pack(note))

    # ------------------------------------------------------------ to clients

    def _tell_all(self, changed: Iterable[ConversationId], *, but: Session | None = None) -> None:
        for conversation_id in changed:
            sessions = dict.fromkeys(self.watchers(conversation_id))
            facts = self._access.peek(conversation_id)
            if facts is not None and facts.agent_id is not None:
                sessions |= dict.fromkeys(self._registry.of_owner(facts.agent_id))
            for session in sessions:
                if session is not but:
                    self._tell(session, conversation_id)

    def _tell(self, session: Session, conversation_id: ConversationId) -> None:
        principal = session.principal
        if principal is None:
            return
        others = [each for each in self._lookers.at(conversation_id) if each[0] != principal.id]
        session.send(
            to_json(
                LookingNow(
                    conversation_id=conversation_id,
                    agents=[
                        self._shown(principal.account_id, agent_id, since_ns)
                        for agent_id, since_ns in others[:MOST_SHOWN]
                    ],
                )
            )
        )
        metrics.SENT.labels("looking").inc()

    def _shown(self, account_id: AccountId, agent_id: AgentId, since_ns: int) -> LookerView:
        author = self._views.author(account_id, Author(kind="agent", id=agent_id))
        return LookerView(agent=author, since=at(since_ns))

    def _may_see(self, session: Session, facts: Facts) -> bool:
        """From memory, as of now if more is known by now."""
        principal = session.principal
        if principal is None or session.is_closing:
            return False
        return self._access.is_open(principal, self._access.peek(facts.conversation_id) or facts)


def only_agents(principal: Principal) -> None:
    """Raises `Rejected("forbidden")`: visitors are not told who looks."""
    if principal.kind != "agent":
        raise Rejected("forbidden", "for agents only")
