"""Connections as bytes arrive: frames that wait for those before them."""

from __future__ import annotations

import asyncio
from typing import Any

from services.gateway.entrance import Entrance
from services.gateway.handlers import Frame
from services.gateway.sessions.session import Session
from tests.unit.gateway.test_sessions import Pipe, open_session

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
_FRAME = b"\x81\x82\0\0\0\0xx"


class _Wide(Pipe):
    """A transport that takes everything."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There are none."""


class _Slow:
    """Handlers whose every frame has to wait, so long that the session seems silent meanwhile."""

    is_draining = False

    def __init__(self) -> None:
        self.session, _, _ = open_session()
        self.heard_at_s: list[float] = []

    def came(self, _transport: asyncio.Transport, *, origin: str | None) -> Session:
        """The one session."""
        del origin
        return self.session

    def begin(self, session: Session, _data: bytes) -> Frame:
        """When it was heard of, as the clock of all sessions would see it now."""
        self.heard_at_s.append(session.heard_at_s)
        session.heard_at_s = 0.0
        unread: Any = None
        return Frame("read", unread)

    async def carry_out(self, _session: Session, _frame: Frame) -> bool:
        """Done."""
        return True


async def test_who_is_kept_waiting_is_not_silent() -> None:
    """Two thousand frames may come with one read and take longer than two pings: that is not the client's silence."""
    handlers = _Slow()
    given: Any = handlers
    entrance = Entrance(given)
    caller = entrance()
    caller.connection_made(_Wide())
    caller.data_received(_UPGRADE + 3 * _FRAME)
    await asyncio.gather(*entrance.tasks)
    assert len(handlers.heard_at_s) == 3
    assert all(handlers.heard_at_s)
