"""The beginning of a session: `hello` checked, the device's place in its inbox found, `welcome` said.

The session is known to delivery before the store is asked, so what is committed meanwhile is noticed. A cursor that
can't be used (another inbox, another epoch, beyond the log, not ours) gives `recovered: false` and the position of
now; a store that can't answer gives null, and the session lives on for sending."""

from __future__ import annotations

import structlog

from services.gateway import metrics
from services.gateway.asking import Told
from services.gateway.cursors import Cursor
from services.gateway.live import Live
from services.gateway.sessions.session import Session
from services.gateway.sessions.window import Window
from services.gateway.tokens import Principal
from services.gateway.views import at
from shared import clock, packed
from shared.codec import to_json
from shared.commands import Connection
from shared.errors import Malformed, Rejected, Unavailable
from shared.ids import AgentId, DeviceId, Position, canonical
from shared.labelled import labelled
from shared.planted import planted
from shared.queries import InboxPage, ReadInbox
from shared.wire.frames import Hello, Welcome
from shared.wire.views import AuthorView

log = structlog.get_logger(__name__)

_BEYOND_ALL: Position = 2**62
_FIRST_PAGE = 500


class Opening:
    """Carries out `hello`."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._parts = live.parts

    async def hello(self, session: Session, frame: Hello) -> None:
        """Open the session, or close the connection with the code that says why not."""
        code = await self._identify(session, frame)
        if code:
            session.close(code)
            return
        principal = session.principal
        assert principal is not None
        session.mode = "reading"
        session.wanted = 0
        session.window = Window(self._parts.config.window_first, self._parts.config.window_most)
        cursor = self._cursor(frame, principal)
        try:
            if principal.kind == "agent":
                await self._live.primaries.ensure(principal.id, principal.account_id)
            told = await self._read(principal, cursor)
        except (Unavailable, Malformed, Rejected) as err:
            log.info("hello_without_store", code=err.code)
            self._welcome_unknown(session, cursor)
            return
        await self._welcome(session, cursor, told)

    async def _identify(self, session: Session, frame: Hello) -> int:
        """Who it is and whether they may; 0, or a close code."""
        try:
            device_id = DeviceId(canonical(frame.device, what="device"))
        except Rejected:
            return 3500
        try:
            principal = await self._parts.tokens.authenticate(frame.token)
            await self._parts.keys.ensure(principal.account_id)
        except Rejected:
            return 3501
        except Unavailable:
            return 3002
        if principal.kind == "integration":
            # API keys have no inbox to listen to; they use REST.
            return 3501
        if session.principal is not None and (
            session.principal.id != principal.id or session.device_id != device_id
        ):
            return 3500
        if not self._is_origin_allowed(principal, session.origin):
            return 3506
        is_new = session.principal is None
        session.principal = principal
        session.device_id = device_id
        self._attach(session, principal)
        if is_new:
            session.hello_ns = clock.now_ns()
            self._parts.notes.connected(
                principal.account_id, principal.id, device_id, at_ns=session.hello_ns
            )
        return 0

    def _attach(self, session: Session, principal: Principal) -> None:
        older = self._live.registry.attach(session)
        if older is not None:
            older.close(3504)
        if principal.kind == "agent" and session.connection is None:
            session.connection = Connection(
                account_id=principal.account_id,
                agent_id=AgentId(principal.id),
                device_id=session.device_id,
                connection=f"{self._parts.name}:{session.number}",
            )

    def _is_origin_allowed(self, principal: Principal, origin: str | None) -> bool:
        """Browsers always name their origin; what is no browser names none and could name any."""
        if principal.kind != "visitor" or origin is None or principal.inbox_id is None:
            return True
        inbox = self._parts.directory.account(principal.account_id).inboxes.get(principal.inbox_id)
        return inbox is not None and (not inbox.origins or origin in inbox.origins)

    def _cursor(self, frame: Hello, principal: Principal) -> Cursor | None:
        """The client's cursor if it is one of this inbox."""
        if frame.resume is None:
            return None
        cursor = self._live.cursors.decode(frame.resume)
        return cursor if cursor is not None and cursor.owner_id == principal.id else None

    async def _read(self, principal: Principal, cursor: Cursor | None) -> Told[InboxPage]:
        """What follows the cursor; without one only where the inbox ends now."""
        known = self._live.delivery.known(principal.account_id)
        after, at_least = _BEYOND_ALL, known
        if cursor is not None and (
            cursor.position <= known or cursor.position <= await self._parts.asking.end_of_log()
        ):
            after, at_least = cursor.position, max(known, cursor.position)
        return await self._parts.asking.inbox(
            ReadInbox(
                account_id=principal.account_id,
                owner_id=principal.id,
                after=after,
                at_least=at_least,
                limit=min(_FIRST_PAGE, self._parts.config.window_first),
                unheard_since_ns=self._unheard_since_ns(principal),
            )
        )

    def _unheard_since_ns(self, principal: Principal) -> int:
        """Visitors have no lock, and hear of everything that they are given."""
        if principal.kind != "agent":
            return 0
        return clock.now_ns() - int(self._parts.config.alert_for_s * 1e9)

    async def _welcome(
        self, session: Session, cursor: Cursor | None, told: Told[InboxPage]
    ) -> None:
        principal = session.principal
        assert principal is not None
        page = told.result
        is_recovered = (
            cursor is not None
            and cursor.epoch == told.epoch
            and cursor.position <= max(page.head, told.checkpoint)
        )
        session.epoch = told.epoch
        session.position = cursor.position if is_recovered and cursor is not None else page.head
        self._say(session, is_recovered=is_recovered, unread=page.unread)
        if is_recovered:
            if planted("cursor_off_by_one"):
                session.position = next(iter(packed.positions(page)), session.position)
            if planted("partial_resume"):
                session.position = max(session.position, page.last)
            for row in page.receipts:
                self._live.alerts.read(row)
            await self._live.handing.page(session, page, current=not page.more, way="resume")
            self._live.handing.receipts(session, page.receipts)
        if (is_recovered and page.more) or session.wanted > told.checkpoint:
            self._live.catch_up.want(session)
        else:
            session.mode = "live"
        if principal.kind == "agent":
            self._live.alerts.held(session, page.unheard)
            self._live.alerts.opened(session)
        self._live.delivery.opened(session, told.checkpoint)

    def _welcome_unknown(self, session: Session, cursor: Cursor | None) -> None:
        """The store can't answer. What follows a cursor is read as soon as it can; a device without one is sent
        back then."""
        if cursor is not None:
            session.epoch = cursor.epoch
            session.position = cursor.position
            self._say(session, is_recovered=None, unread=None)
            if session.connection is not None:
                self._live.alerts.opened(session)
            self._live.catch_up.want(session)
        else:
            session.mode = "deaf"
            self._say(session, is_recovered=None, unread=None)
            self._live.delivery.is_deaf(session)

    def _say(self, session: Session, *, is_recovered: bool | None, unread: int | None) -> None:
        principal = session.principal
        assert principal is not None
        name = None
        if principal.kind == "agent":
            name = self._parts.views.agent_name(principal.account_id, principal.id)
        cursor = None
        if is_recovered is not None:
            cursor = self._live.cursors.encode(principal.id, session.epoch, session.position)
        session.send(
            to_json(
                Welcome(
                    connection=session.number,
                    ping_s=self._parts.config.ping_s,
                    recovered=is_recovered,
                    unread=unread,
                    cursor=cursor,
                    you=AuthorView(kind=principal.kind, id=principal.id, name=name),
                    position=None if is_recovered is None else session.position,
                    at=at(clock.now_ns()),
                )
            )
        )
        labelled(metrics.SENT, "welcome").inc()
