"""Reads from the store what a session misses: after a resume, a lost hint, a full window.

A fixed number of readers serves all sessions; one session is read by one reader at a time, and live entries wait
until it has caught up, so its inbox never comes out of order."""

from __future__ import annotations

import asyncio
import random

import structlog

from services.gateway import metrics
from services.gateway.asking import Asking
from services.gateway.handing import Handing
from services.gateway.sessions.session import Session
from services.gateway.views import Views
from shared.errors import Malformed, Rejected, Unavailable
from shared.labelled import labelled
from shared.queries import ReadInbox
from shared.runtime import contained

log = structlog.get_logger(__name__)

_PAGE_ENTRIES = 500
_RETRY_S = 1.0


class CatchUp:
    """`want` a session to be read; `run` the readers in a task."""

    def __init__(self, *, asking: Asking, views: Views, handing: Handing, readers: int) -> None:
        self._asking = asking
        self._views = views
        self._handing = handing
        self._readers = readers
        self._wanted: asyncio.Queue[Session] = asyncio.Queue()
        self._waiting: set[Session] = set()
        self._retries: list[tuple[float, Session]] = []

    def want(self, session: Session) -> None:
        """Read the store for a session until it is live again."""
        if session.is_closing or session.mode == "deaf":
            return
        session.mode = "reading"
        if session not in self._waiting:
            self._waiting.add(session)
            self._wanted.put_nowait(session)

    def turn(self) -> None:
        """Try again what failed a while ago; called at every tick."""
        if not self._retries:
            return
        now_s = asyncio.get_running_loop().time()
        due = [session for at_s, session in self._retries if at_s <= now_s]
        self._retries = [(at_s, session) for at_s, session in self._retries if at_s > now_s]
        for session in due:
            self.want(session)

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._readers):
                tasks.create_task(self._read_all())

    async def _read_all(self) -> None:
        while True:
            session = await self._wanted.get()
            try:
                is_done = await contained(self._read(session))
            except (Unavailable, Malformed, Rejected) as err:
                metrics.CATCH_UPS.labels(err.code).inc()
                log.debug("catch_up_failed", code=err.code)
                self._waiting.discard(session)
                at_s = asyncio.get_running_loop().time() + _RETRY_S * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                self._retries.append((at_s, session))
                continue
            self._waiting.discard(session)
            if is_done is None:
                # A bug of ours, met by what lies in this inbox: it must not end the gateway for all others.
                session.close(3002)
            elif not is_done:
                # Behind the others: a long inbox must not keep a reader from short ones.
                self.want(session)

    async def _read(self, session: Session) -> bool:
        """Hand over one page. True: nothing more is to be read now (live, held, gone)."""
        window, principal = session.window, session.principal
        if session.is_closing or window is None or principal is None:
            return True
        if window.room <= 0:
            session.mode = "held"
            return True
        since = session.receipts_since
        after = session.position if since is None else min(since, session.position)
        question = ReadInbox(
            account_id=principal.account_id,
            owner_id=principal.id,
            after=after,
            limit=min(_PAGE_ENTRIES, window.room),
            at_least=session.wanted,
            counts_unread=False,
        )
        # What is missed while we ask is another gap: the page may be older than that.
        session.receipts_since = None
        try:
            told = await self._asking.inbox(question)
            labelled(metrics.CATCH_UPS, "ok").inc()
            page = told.result
            if told.epoch != session.epoch:
                session.close(3002)
                return True
            await self._handing.page(session, page, current=not page.more, way="read")
        except (Unavailable, Malformed, Rejected):
            if since is not None:
                session.miss_receipts(since)
            raise
        self._handing.receipts(session, page.receipts)
        if page.more:
            if since is not None:
                session.miss_receipts(max(page.last, since))
            return False
        if session.wanted > told.checkpoint or session.receipts_since is not None:
            return False
        session.mode = "live"
        return True
