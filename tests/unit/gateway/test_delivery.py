"""The chain of hints: what was lost is noticed and read, what is old is dropped, order is never broken."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from services.gateway.asking import Told
from services.gateway.delivery import Delivery, Ways
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Outgoing, OutgoingLimits, Session
from services.gateway.sessions.window import Window
from services.gateway.tokens import Principal
from shared.errors import Rejected, Unavailable
from shared.ids import AccountId, ConversationId, DeviceId
from shared.queries import Entry, Heads, Hint, ReadHeads
from shared.subjects import bucket_of

ACCOUNT = AccountId("a")
EPOCH = "e1"


class Stage:
    """A delivery whose store, views and sockets are replaced; `handed` is what went out, by way."""

    def __init__(self) -> None:
        self.handed: list[tuple[str, int]] = []
        self.behind: list[Session] = []
        self.asked: list[ReadHeads] = []
        self.heads: dict[str, int] = {}
        self.are_too_many = False
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while the store answers."""
        self.checkpoint = 0
        self.registry = Registry()
        catch_up = SimpleNamespace(want=self._want)
        handing: Any = SimpleNamespace(
            views_of=lambda rows, _: rows,
            entries=self._hand,
            receipts=lambda *_: None,
        )
        # What goes which way is for test_telling.
        plain: Any = SimpleNamespace(tell=lambda *_: False, begin=lambda: None)
        parts: Any = SimpleNamespace(
            bus=SimpleNamespace(reconnects=0),
            shared=SimpleNamespace(shard="0"),
            config=SimpleNamespace(hint_silence_s=0.0),
            asking=SimpleNamespace(heads=self._answer_heads),
            views=SimpleNamespace(is_covered=lambda _: True),
            access=SimpleNamespace(
                learn=lambda _: None, heard_entry=lambda *_: None, forget_all=lambda: None
            ),
        )
        audience: Any = SimpleNamespace(
            lists=SimpleNamespace(changed=lambda *_: None),
            alerts=SimpleNamespace(learn=lambda _: None, read=lambda _: None),
            primaries=SimpleNamespace(ask=lambda *_, **__: None),
        )
        self.delivery = Delivery(
            parts,
            registry=self.registry,
            ways=Ways(plain=plain, other=handing),
            catch_up=catch_up,  # type: ignore[arg-type]
            audience=audience,
        )
        self.bucket = self.delivery._buckets[bucket_of(ACCOUNT)]

    def _want(self, session: Session) -> None:
        session.mode = "reading"
        self.behind.append(session)

    def _hand(self, session: Session, rows: list[Entry], *, current: bool, way: str) -> None:
        assert current
        for row in rows:
            if row.position > session.position:
                self.handed.append((way, row.position))
                session.position = row.position
                assert session.window is not None
                session.window.sent([row.position], 0.0, owed=[row.position])

    async def _answer_heads(self, question: ReadHeads) -> Told[Heads]:
        self.asked.append(question)
        self.meanwhile()
        if self.are_too_many:
            raise Rejected("invalid", "too many inboxes moved since: read each inbox")
        return Told(result=Heads(heads=self.heads), checkpoint=self.checkpoint, epoch=EPOCH)

    def session(self, owner_id: str, *, position: int) -> Session:
        """A live session that holds its inbox up to a position."""
        pipe: Any = SimpleNamespace(is_closing=lambda: False, write=lambda _: None)
        session = Session(1, pipe, Outgoing(OutgoingLimits()), now_s=0.0)
        session.principal = Principal(
            kind="visitor", id=owner_id, account_id=ACCOUNT, role="visitor"
        )
        session.device_id = DeviceId(owner_id + str(position))
        session.window = Window(5, 10)
        session.position, session.mode, session.epoch = position, "live", EPOCH
        self.registry.add(session)
        self.registry.attach(session)
        self.delivery.opened(session, position)
        return session

    def hint(self, since: int, to: int, *entries: tuple[str, int, int], **more: Any) -> None:
        """The store told of a commit; entries as (owner, position, prev)."""
        rows = tuple(
            Entry(
                owner_id=owner,
                position=position,
                prev=prev,
                at_ns=0,
                kind="message",
                conversation_id=ConversationId("c"),
            )
            for owner, position, prev in entries
        )
        hint = Hint(**({"epoch": EPOCH} | more), since=since, to=to, entries=rows)
        self.delivery.take(self.bucket, hint)


async def test_what_follows_goes_out_at_once() -> None:
    """An entry whose predecessor the session holds needs no question."""
    stage = Stage()
    stage.session("v", position=10)
    stage.hint(10, 12, ("v", 11, 10), ("v", 12, 11))
    assert stage.handed == [("live", 11), ("live", 12)]
    assert not stage.behind


async def test_a_repeated_entry_is_dropped() -> None:
    """After a takeover a store may tell again what it told; nothing is shown twice."""
    stage = Stage()
    session = stage.session("v", position=10)
    stage.hint(10, 11, ("v", 11, 10))
    stage.hint(9, 12, ("v", 11, 10), ("v", 12, 11))
    assert stage.handed == [("live", 11), ("live", 12)]
    assert session.mode == "live"


async def test_an_entry_after_a_missed_one_is_not_handed_over() -> None:
    """The session is read from the store instead, and later entries wait for it."""
    stage = Stage()
    session = stage.session("v", position=10)
    stage.hint(11, 12, ("v", 12, 11))
    stage.hint(12, 13, ("v", 13, 12))
    assert stage.handed == []
    assert stage.behind == [session]
    assert session.wanted == 13


async def test_a_lost_last_hint_is_found_out() -> None:
    """The lost hint has no successor in this inbox: the chain of the bucket shows it, the heads say whose it was."""
    stage = Stage()
    behind, current = stage.session("v", position=10), stage.session("w", position=10)
    stage.heads, stage.checkpoint = {"v": 11, "w": 10}, 12
    stage.hint(11, 12)
    await stage.delivery._check_all()
    assert [(q.since, q.bucket) for q in stage.asked] == [(10, bucket_of(ACCOUNT))]
    assert stage.behind == [behind]
    assert (behind.wanted, current.mode) == (11, "live")
    stage.hint(12, 13)
    assert stage.bucket.missing_since is None


async def test_silence_is_asked_about() -> None:
    """A store that died after its commit tells nothing: the heads are asked for all the same."""
    stage = Stage()
    session = stage.session("v", position=10)
    stage.heads, stage.checkpoint = {"v": 11}, 11
    await stage.delivery._check_all()
    assert stage.behind == [session]


async def test_an_incomplete_hint_is_asked_about() -> None:
    """Entries left out of a hint are read."""
    stage = Stage()
    session = stage.session("v", position=10)
    stage.heads, stage.checkpoint = {"v": 11}, 12
    stage.hint(10, 12, incomplete=True)
    await stage.delivery._check_all()
    assert stage.asked[0].since == 10
    assert stage.behind == [session]


async def test_what_is_missed_during_a_question_is_asked_for_again() -> None:
    """The answer may be older than a hint that comes while it is on its way."""
    stage = Stage()
    stage.session("v", position=10)
    stage.heads, stage.checkpoint = {"v": 11}, 12
    stage.hint(10, 12, incomplete=True)
    stage.meanwhile = lambda: stage.hint(12, 13, incomplete=True)
    await stage.delivery._check_all()
    assert stage.bucket.missing_since == 12


async def test_an_unanswered_question_is_asked_again_from_the_same_place() -> None:
    """What was missed stays missed, also when more is missed meanwhile."""
    stage = Stage()
    stage.session("v", position=10)
    stage.hint(10, 12, incomplete=True)

    def fail() -> None:
        stage.hint(12, 13, incomplete=True)
        raise Unavailable("no store answers")

    stage.meanwhile = fail
    await stage.delivery._check_all()
    assert stage.bucket.missing_since == 10


async def test_too_many_moved_inboxes_are_all_read() -> None:
    """An answer that can't name all who missed something would grow with every try: everybody reads, receipts too."""
    stage = Stage()
    sessions = [stage.session("v", position=10), stage.session("w", position=10)]
    stage.are_too_many = True
    stage.hint(10, 12, incomplete=True)
    await stage.delivery._check_all()
    assert len(stage.behind) == 2
    assert set(stage.behind) == set(sessions)
    assert [(each.wanted, each.receipts_since) for each in sessions] == [(12, 10)] * 2
    assert stage.bucket.missing_since is None


async def test_another_epoch_sends_everybody_back() -> None:
    """Numbers that were made anew fit no session: all resume and are told so."""
    stage = Stage()
    stage.hint(0, 1)
    session = stage.session("v", position=10)
    stage.hint(0, 11, epoch="e2")
    assert session.close_code == 3002


async def test_a_full_window_holds_live_entries() -> None:
    """Who does not acknowledge is given no more than the window; the rest is read later, in order."""
    stage = Stage()
    session = stage.session("v", position=0)
    for position in range(1, 9):
        stage.hint(position - 1, position, ("v", position, position - 1))
    assert stage.handed == [("live", position) for position in range(1, 6)]
    assert stage.behind == [session]


async def test_a_session_that_opens_before_the_chain_began_reads_again() -> None:
    """What was committed between a page of a store that was behind and the first hint that was heard, nobody heard."""
    stage = Stage()
    stage.hint(20, 25)
    late = stage.session("v", position=15)
    assert (stage.behind, late.wanted) == ([late], 20)


async def test_hints_for_others_make_nobody_read_again() -> None:
    """A storm of devices makes hints of its own; a second read for each of them would double it."""
    stage = Stage()
    stage.session("w", position=10)
    stage.hint(10, 20)
    stage.session("v", position=15)
    assert stage.behind == []


async def test_registry_keeps_one_session_a_device() -> None:
    """The newer connection of a device is found, the older one is given back to be closed."""
    stage = Stage()
    first = stage.session("v", position=1)
    second = stage.session("v", position=1)
    assert stage.registry.of_owner("v") == (second,)
    stage.registry.remove(first)
    assert stage.registry.of_owner("v") == (second,)
    stage.registry.remove(second)
    assert stage.registry.of_owner("v") == ()
    assert sum(stage.registry.in_buckets) == 0
