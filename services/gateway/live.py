"""What sessions share beyond the `Parts`; `app` makes it once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from services.gateway.alerts import Alerts
from services.gateway.catch_up import CatchUp
from services.gateway.cursors import Cursors
from services.gateway.delivery import Audience, Delivery, Ways
from services.gateway.ephemeral import Hearing
from services.gateway.handing import AlertTimes, Handing
from services.gateway.lists import Lists
from services.gateway.looking_relay import LookingRelay
from services.gateway.parts import Parts
from services.gateway.primaries import Primaries
from services.gateway.receipts import Receipts
from services.gateway.sessions.registry import Registry
from services.gateway.sessions.session import Outgoing, OutgoingLimits
from services.gateway.sessions.wheel import Wheel
from services.gateway.telling import Telling
from services.gateway.typing_relay import TypingRelay
from services.gateway.unheard import Unheard
from shared.labelled import settle_tallies


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """The live half of the gateway."""

    parts: Parts
    registry: Registry
    outgoing: Outgoing
    wheel: Wheel
    cursors: Cursors
    primaries: Primaries
    alerts: Alerts
    handing: Handing
    catch_up: CatchUp
    delivery: Delivery
    receipts: Receipts
    lists: Lists
    looking: LookingRelay
    typing: TypingRelay
    hearing: Hearing

    async def run(self, *also: Callable[[], None]) -> None:
        """Every task of the live half, until cancelled; `also` is called at every tick."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self.wheel.run(self.outgoing.flush, self.catch_up.turn, settle_tallies, *also)
            )
            tasks.create_task(self.primaries.run())
            tasks.create_task(self.alerts.run(self.parts.presence))
            tasks.create_task(self.catch_up.run())
            tasks.create_task(self.delivery.run())
            tasks.create_task(self.receipts.run())
            tasks.create_task(self.lists.run())
            tasks.create_task(self.looking.run())
            tasks.create_task(self.parts.notes.run())


def make_live(parts: Parts, *, may_expire: Callable[[], bool]) -> Live:
    """Wire the live half."""
    config = parts.config
    registry = Registry()
    cursors = Cursors(parts.master.derive("cursor"))
    primaries = Primaries(parts.presence)
    wait_s = parts.shared.alert_wait_s
    unheard = Unheard(wait_s=wait_s)
    times = AlertTimes(for_ns=int(config.alert_for_s * 1e9), wait_ns=int(wait_s * 1e9))
    alerts = Alerts(primaries, unheard, registry, times=times)
    handing = Handing(
        views=parts.views, cursors=cursors, primaries=primaries, unheard=unheard, times=times
    )
    catch_up = CatchUp(
        asking=parts.asking, views=parts.views, handing=handing, readers=config.catch_up_readers
    )
    telling = Telling(
        views=parts.views, cursors=cursors, primaries=primaries, unheard=unheard, times=times
    )
    lists = Lists(registry, parts.directory, flush_s=config.changes_flush_s)
    looking = LookingRelay(parts, registry=registry)
    delivery = Delivery(
        parts,
        registry=registry,
        ways=Ways(plain=telling, other=handing),
        catch_up=catch_up,
        audience=Audience(lists=lists, alerts=alerts, primaries=primaries),
    )
    delivery.tell(looking)
    typing = TypingRelay(parts, registry=registry, looking=looking)
    parts.directory.on_event(registry.on_account_event)
    return Live(
        parts=parts,
        registry=registry,
        outgoing=Outgoing(
            OutgoingLimits(frames=config.session_queue_entries, bytes=config.session_queue_bytes)
        ),
        wheel=Wheel(
            hello_timeout_s=config.hello_timeout_s, ping_s=config.ping_s, may_expire=may_expire
        ),
        cursors=cursors,
        primaries=primaries,
        alerts=alerts,
        handing=handing,
        catch_up=catch_up,
        delivery=delivery,
        receipts=Receipts(parts.admission, flush_s=config.receipts_flush_s),
        lists=lists,
        looking=looking,
        typing=typing,
        hearing=Hearing(parts, registry=registry, typing=typing, looking=looking),
    )
