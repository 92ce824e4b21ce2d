"""Live delivery: hints of the store in, frames of sessions out, and the certainty that nothing was missed.

Each bucket of accounts has a chain of hints. When a hint does not begin where the last one ended, when nothing was
heard for seconds, and after every reconnect, the store is asked once for the inboxes of the bucket that moved, and
the sessions that are behind are read. An inbox entry goes out live only if it follows what the session holds.
Never: an entry out of order, or one taken for delivered because it was sent."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Sequence

import structlog

from services.gateway import metrics
from services.gateway.alerts import Alerts
from services.gateway.catch_up import CatchUp
from services.gateway.handing import Handing
from services.gateway.lists import Lists
from services.gateway.looking_relay import LookingRelay
from services.gateway.parts import Parts
from services.gateway.primaries import Primaries
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Session
from services.gateway.telling import Telling, is_plain
from shared import clock
from shared.codec import unpack
from shared.crashpoints import crashpoint
from shared.errors import Malformed, Rejected, Unavailable
from shared.ids import AccountId, Position
from shared.planted import planted
from shared.queries import Entry, Hint, ReadHeads, ReceiptRow
from shared.subjects import HINT_BUCKETS, bucket_of, hint_subject

log = structlog.get_logger(__name__)

_CHECK_S = 0.25
_ASK_AGAIN_S = 1.0
_DEAF_S = 5.0


class Bucket:
    """What is known of one bucket's chain. `to`: everything from `begun` up to there was heard, but for what lies
    after `missing_since`."""

    __slots__ = ("asked_at_s", "begun", "heard_at_s", "missing_since", "number", "to")

    def __init__(self, number: int) -> None:
        self.number = number
        self.to: Position | None = None
        self.begun: Position = 0
        self.missing_since: Position | None = None
        self.heard_at_s = 0.0
        self.asked_at_s = 0.0

    def miss(self, since: Position, reason: str) -> None:
        """Something after `since` may have been missed."""
        if planted("hint_is_truth"):
            return
        metrics.GAPS.labels(reason).inc()
        self.miss_still(since)

    def miss_still(self, since: Position) -> None:
        """What follows it is not known, be it for the first time or again."""
        before = self.missing_since
        self.missing_since = since if before is None else min(before, since)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Audience:
    """Who else is told of what a hint says."""

    lists: Lists
    alerts: Alerts
    primaries: Primaries


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """How entries are handed over: new messages, and everything else."""

    plain: Telling
    other: Handing


class Delivery:
    """`start` before sessions are taken, `run` in a task."""

    def __init__(
        self,
        parts: Parts,
        *,
        registry: Registry,
        ways: Ways,
        catch_up: CatchUp,
        audience: Audience,
    ) -> None:
        self._bus = parts.bus
        self._shard = parts.shared.shard
        self._asking = parts.asking
        self._views = parts.views
        self._access = parts.access
        self._silence_s = parts.config.hint_silence_s
        self._registry = registry
        self._handing = ways.other
        self._telling = ways.plain
        self._catch_up = catch_up
        self._audience = audience
        self._looking: LookingRelay | None = None
        self._buckets = [Bucket(number) for number in range(HINT_BUCKETS)]
        self._epoch = ""
        self._deaf: set[Session] = set()
        self._reconnects = parts.bus.reconnects
        self._oldest_ns = 0

    def known(self, account_id: AccountId) -> Position:
        """The store is known to hold everything of the account up to here; 0 when nothing was heard yet."""
        return self._buckets[bucket_of(account_id)].to or 0

    def tell(self, looking: LookingRelay) -> None:
        """Have who looks at conversations told what is heard of them."""
        self._looking = looking

    async def start(self) -> None:
        """Listen to every bucket: also accounts without sessions teach us facts."""
        for bucket in self._buckets:
            crashpoint("gateway.start.hints")
            await self._bus.listen(
                hint_subject(self._shard, bucket.number), functools.partial(self._hear, bucket)
            )

    def opened(self, session: Session, checkpoint: Position) -> None:
        """A session knows its inbox up to `checkpoint`; from here on the bucket's chain counts for it."""
        assert session.principal is not None
        bucket = self._buckets[bucket_of(session.principal.account_id)]
        if bucket.to is None:
            bucket.to = bucket.begun = checkpoint
            bucket.heard_at_s = clock.monotonic_s()
        # The page was asked to include all that was heard before the session was known here, and what was heard since
        # said for itself whether it is for this inbox. Only what lies before the chain's beginning nobody heard.
        if bucket.begun > checkpoint:
            session.wanted = max(session.wanted, bucket.begun)
        if session.wanted > checkpoint:
            self._catch_up.want(session)

    def is_deaf(self, session: Session) -> None:
        """A session's place in its inbox can't be found out now: it is sent back when the store is heard again."""
        self._deaf.add(session)

    def _send_back_deaf(self) -> None:
        """A while after their hello only, so that a store that is heard but does not answer makes no storm."""
        before_s = asyncio.get_running_loop().time() - _DEAF_S
        for session in tuple(self._deaf):
            if session.is_closing or session.mode != "deaf":
                self._deaf.discard(session)
            elif session.opened_at_s <= before_s:
                self._deaf.discard(session)
                session.close(3002)

    def _hear(self, bucket: Bucket, payload: bytes) -> None:
        try:
            hint = unpack(payload, Hint)
        except Malformed:
            metrics.HINTS.labels("malformed").inc()
            log.error("hint_unreadable")  # noqa: TRY400 - the traceback says nothing more
            return
        self.take(bucket, hint)

    def take(self, bucket: Bucket, hint: Hint) -> None:
        """Follow the chain, hand over what follows."""
        bucket.heard_at_s = clock.monotonic_s()
        self._change_epoch(hint.epoch)
        if bucket.to is not None and hint.since > bucket.to:
            bucket.miss(bucket.to, "chain")
        if hint.incomplete:
            bucket.miss(hint.since, "incomplete")
        if bucket.to is None:
            bucket.begun = hint.since
        bucket.to = max(bucket.to or 0, hint.to)
        metrics.HINTS.labels("full" if hint.entries else "empty").inc()
        if self._deaf:
            self._send_back_deaf()
        # First, so that what came in the same commit alerts where the lock is now.
        for lock in hint.locks:
            self._audience.alerts.learn(lock)
        if hint.entries:
            self._telling.begin()
            self._take_entries(hint.entries)
        self._take_receipts(hint)
        for account_id, team_id in hint.lists:
            self._audience.lists.changed(account_id, team_id, hint.to)

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        by_owner: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.conversation is not None:
                self._access.learn(entry.conversation)
            self._access.heard_entry(entry.conversation_id, entry.position)
            by_owner.setdefault(entry.owner_id, []).append(entry)
        if self._looking is not None:
            self._looking.heard_entries(entries)
        for owner_id, rows in by_owner.items():
            sessions = self._registry.of_owner(owner_id)
            if sessions:
                if len(rows) > 1:
                    rows.sort(key=_position)
                self._hand_live(sessions, rows)
        if self._oldest_ns:
            late_s = (clock.now_ns() - self._oldest_ns) / 1e9
            metrics.DELIVERY_SECONDS.observe(max(0.0, late_s))
            self._oldest_ns = 0

    def _hand_live(self, sessions: Sequence[Session], rows: list[Entry]) -> None:
        """Entries of one inbox to its devices. All devices see the same; it is opened once."""
        principal = sessions[0].principal
        assert principal is not None
        views = None
        plain = all(map(is_plain, rows))
        for session in sessions:
            session.wanted = max(session.wanted, rows[-1].position)
            if session.mode != "live" or session.window is None:
                continue
            fresh = [row for row in rows if row.position > session.position]
            if not fresh:
                continue
            is_easy = self._follows(session, fresh) and self._views.is_covered(fresh)
            if not is_easy or session.window.room < len(fresh):
                self._catch_up.want(session)
                continue
            if rows[0].kind == "message":
                self._oldest_ns = min(self._oldest_ns or rows[0].at_ns, rows[0].at_ns)
            if plain and self._telling.tell(session, fresh):
                continue
            if views is None:
                views = self._handing.views_of(rows, principal)
            self._handing.entries(session, views, current=True, way="live")

    @staticmethod
    def _follows(session: Session, rows: Sequence[Entry]) -> bool:
        """Whether nothing is missing between what the session holds and these entries, nor among them."""
        before = session.position
        for row in rows:
            if row.prev > before:
                return False
            before = row.position
        return True

    def _take_receipts(self, hint: Hint) -> None:
        by_session: dict[Session, list[ReceiptRow]] = {}
        for row, owners in zip(hint.receipts, hint.receipt_owners, strict=False):
            self._audience.alerts.read(row)
            for owner_id in owners.split():
                for session in self._registry.of_owner(owner_id):
                    by_session.setdefault(session, []).append(row)
        for session, rows in by_session.items():
            if session.mode != "deaf":
                self._handing.receipts(session, rows)

    def _change_epoch(self, epoch: str) -> bool:
        """Whether numbers were made anew: then nothing that sessions or we hold fits any more."""
        before, self._epoch = self._epoch, epoch
        if before in ("", epoch):
            return False
        log.warning("epoch_changed")
        self._access.forget_all()
        for bucket in self._buckets:
            bucket.to = bucket.missing_since = None
        for session in self._registry:
            if session.epoch and session.epoch != epoch:
                session.close(3002)
        return True

    async def run(self) -> None:
        """Look for silence and reconnects and ask for what may have been missed, until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            if self._bus.reconnects != self._reconnects:
                self._reconnects = self._bus.reconnects
                self._miss_all("reconnect")
            await self._check_all()

    def _miss_all(self, reason: str) -> None:
        for bucket in self._buckets:
            if bucket.to is not None:
                bucket.miss(bucket.to, reason)

    async def _check_all(self) -> None:
        due = [bucket for bucket in self._buckets if self._is_due(bucket)]
        if due:
            async with asyncio.TaskGroup() as tasks:
                for bucket in due:
                    tasks.create_task(self._check(bucket))

    def _is_due(self, bucket: Bucket) -> bool:
        now_s = clock.monotonic_s()
        if bucket.to is None or now_s - bucket.asked_at_s < _ASK_AGAIN_S:
            return False
        if not self._registry.in_buckets[bucket.number]:
            # Nobody here can miss anything; whoever comes reads the store first.
            bucket.missing_since = None
            return False
        is_silent = now_s - bucket.heard_at_s > self._silence_s
        if bucket.missing_since is None and is_silent and not planted("no_empty_hint"):
            bucket.miss(bucket.to, "silence")
        return bucket.missing_since is not None

    async def _check(self, bucket: Bucket) -> None:
        """Ask for the inboxes that moved, once for all sessions of the bucket."""
        since = bucket.missing_since
        if since is None:
            return
        bucket.asked_at_s = clock.monotonic_s()
        # What is missed while we ask is another gap: the answer may be older than that.
        bucket.missing_since = None
        question = ReadHeads(bucket=bucket.number, since=since, at_least=bucket.to or 0)
        try:
            told = await self._asking.heads(question)
        except Rejected:
            self._read_everybody(bucket, since, question.at_least)
            return
        except (Unavailable, Malformed) as err:
            log.debug("heads_unknown", code=err.code)
            bucket.miss_still(since)
            return
        if self._change_epoch(told.epoch):
            return
        bucket.heard_at_s = clock.monotonic_s()
        bucket.to = max(bucket.to or 0, told.checkpoint)
        self._doubt_all(bucket, told.checkpoint)
        for owner_id, head in told.result.heads.items():
            for session in self._registry.of_owner(owner_id):
                if head > session.position:
                    session.wanted = max(session.wanted, head)
                    self._fall_behind(session)
        for owner_id in told.result.receipts:
            for session in self._registry.of_owner(owner_id):
                self._miss_receipts(session, since)

    def _read_everybody(self, bucket: Bucket, since: Position, to: Position) -> None:
        """More inboxes moved than one answer names, and ever more would if it was asked again: each session reads for
        itself."""
        log.info("everybody_reads", bucket=bucket.number, since=since)
        self._doubt_all(bucket, to)
        for session in self._registry:
            principal = session.principal
            if principal is not None and bucket_of(principal.account_id) == bucket.number:
                session.wanted = max(session.wanted, to)
                self._miss_receipts(session, since)

    def _miss_receipts(self, session: Session, since: Position) -> None:
        session.miss_receipts(since)
        self._fall_behind(session)

    def _doubt_all(self, bucket: Bucket, to: Position) -> None:
        """What was missed up to `to` is being read; what else hints tell is asked for."""
        if self._looking is not None:
            self._looking.missed(bucket.number, to)
        self._doubt_locks(bucket)
        self._doubt_lists(bucket)

    def _doubt_locks(self, bucket: Bucket) -> None:
        """The lost hint may have told of a move: presence knows."""
        for account_id in self._registry.accounts():
            if bucket_of(account_id) == bucket.number:
                self._audience.primaries.ask(account_id, is_urgent=True)

    def _doubt_lists(self, bucket: Bucket) -> None:
        """The lost hint may have told that some changed, and nobody says it again."""
        for account_id in self._registry.accounts():
            if bucket_of(account_id) == bucket.number:
                self._audience.lists.changed(account_id, "", bucket.to or 0)

    def _fall_behind(self, session: Session) -> None:
        if session.mode in ("live", "reading"):
            self._catch_up.want(session)


def _position(entry: Entry) -> Position:
    return entry.position
