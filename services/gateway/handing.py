"""The last step: entries and receipts become frames of one session, within its window, marked with who may alert."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from services.gateway import metrics
from services.gateway.cursors import Cursors
from services.gateway.primaries import Primaries
from services.gateway.sessions.packing import pack_entries
from services.gateway.sessions.session import Session
from services.gateway.tokens import Principal
from services.gateway.views import Views, at
from shared import clock
from shared.codec import to_json
from shared.labelled import labelled
from shared.planted import planted
from shared.queries import Entry, ReceiptRow
from shared.wire.frames import Receipts
from shared.wire.views import EntryView

_RECEIPTS_A_FRAME = 100


class Handing:
    """Used by live delivery, by catching up and by the welcome; every entry passes here once per session."""

    def __init__(
        self, *, views: Views, cursors: Cursors, primaries: Primaries, alert_for_s: float
    ) -> None:
        self._views = views
        self._cursors = cursors
        self.primaries = primaries
        self._alert_for_ns = int(alert_for_s * 1e9)

    def views_of(self, rows: Sequence[Entry], principal: Principal) -> list[EntryView]:
        """The entries as one person may see them; the same for all devices of theirs."""
        views = [self._views.entry(row, principal) for row in rows]
        if planted("push_without_seq"):
            views = [_without_seq(view) for view in views]
        if planted("left_not_told"):
            views = [view for view in views if view.kind != "conversation_left"]
        return views

    def entries(
        self, session: Session, views: Sequence[EntryView], *, current: bool, way: str
    ) -> None:
        """Hand over the entries that lie after the session's position and move it there."""
        window, principal = session.window, session.principal
        assert window is not None
        assert principal is not None
        fresh = [view for view in views if view.position > session.position]
        if not fresh:
            return
        now_s = asyncio.get_running_loop().time()
        until = at(clock.now_ns() + self._alert_for_ns)
        is_heard = principal.kind == "visitor" or self.primaries.is_heard(
            principal.id, session.device_id
        )
        marked = [_marked(v, principal, until) if is_heard else v for v in fresh]
        owner_id, epoch = session.owner_id, session.epoch
        for frame in pack_entries(
            marked, lambda p: self._cursors.encode(owner_id, epoch, p), current=current
        ):
            session.send(frame)
            labelled(metrics.SENT, "entries").inc()
        for view in fresh:
            window.sent(view.position, now_s)
        session.position = fresh[-1].position
        labelled(metrics.ENTRIES, way).inc(len(fresh))

    def receipts(self, session: Session, rows: Sequence[ReceiptRow]) -> None:
        """Tell how far others (and the person's other devices) got."""
        for first in range(0, len(rows), _RECEIPTS_A_FRAME):
            part = [self._views.receipt(row) for row in rows[first : first + _RECEIPTS_A_FRAME]]
            session.send(to_json(Receipts(receipts=part)))
            labelled(metrics.SENT, "receipts").inc()


def _without_seq(view: EntryView) -> EntryView:
    """Only for the planted bug of that name."""
    if view.message is None:
        return view
    return msgspec.structs.replace(view, message=msgspec.structs.replace(view.message, seq=0))


def _marked(view: EntryView, principal: Principal, until: str) -> EntryView:
    """The entry with its alert, if it is one that a person wants to hear of."""
    match view.kind:
        case "message":
            wants = view.message is not None and view.message.author.id != principal.id
        case "conversation_assigned":
            wants = True
        case _:
            wants = False
    if not wants or not view.held:
        return view
    return msgspec.structs.replace(view, alert=True, alert_until=until)
