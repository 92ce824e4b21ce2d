"""One conversation: the visitor writes at night, an agent answers by day, the visitor comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from cli.replay.desks import Desk
from cli.replay.patience import patiently
from cli.replay.plan import Act, Plan
from cli.replay.pulse import Stir
from cli.replay.transcripts import Transcript
from cli.replay.visitors import Door, VisitorSide
from nightdesk_client import Sent, new_id

_TYPING_S = 0.05
_LONGEST_PAUSE_S = 5.0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was accepted."""

    side: str
    text: str
    sent: Sent


class Play:
    """Drives one conversation. `said` grows with every accepted message, in the order of acceptance."""

    def __init__(
        self,
        transcript: Transcript,
        plan: Plan,
        *,
        door: Door,
        beat: Callable[[], None],
        speed: float,
    ) -> None:
        self._beat = beat
        self._speed = speed
        self._stir = Stir()
        self._owner_since = 0
        self.plan = plan
        self.language = transcript.language
        self.conversation_id = new_id()
        self.visitor = VisitorSide(door, devices=plan.devices, on_shown=self.shown)
        self.owner: Desk | None = None
        self.owners: list[str] = []
        self.last_owner: Desk | None = None
        self.said: list[Said] = []
        self.repeats = 0
        self.wrong_repeats = 0
        self.is_done = False

    @property
    def waits_for(self) -> str:
        """What the conversation waits for, empty when it is busy or done."""
        return self._stir.waits_for

    # ------------------------------------------------------------ told by desks

    def given_to(self, desk: Desk, position: int) -> None:
        """An agent holds the conversation from `position` on."""
        self.owners.append(desk.agent_id)
        if position > self._owner_since:
            self.owner = self.last_owner = desk
            self._owner_since = position
        self.shown()

    def taken_from(self, desk: Desk, position: int) -> None:
        """An agent does not hold it any more."""
        if self.owner is desk and position > self._owner_since:
            self.owner = None
            self._owner_since = position
        self.shown()

    def not_with(self, desk: Desk) -> None:
        """A reload of the agent's lists shows that they do not hold it."""
        if self.owner is desk:
            self.owner = None
        self.shown()

    def shown(self) -> None:
        """Somebody was shown something."""
        self._beat()
        self._stir.stir()

    # ------------------------------------------------------------ night and day

    async def night(self) -> None:
        """The visitor arrives, writes several messages and goes away."""
        client = await self.visitor.arrive()
        first, *others = self.plan.night
        started = await patiently(
            partial(
                client.conversations.start,
                first.turn.text,
                conversation_id=self.conversation_id,
                message_id=new_id(),
                language=self.language,
            )
        )
        assert started.message_id is not None
        self._keep(first, Sent(message_id=started.message_id, position=started.position))
        for act in others:
            await self._write(act)
        await self.visitor.leave()

    async def day(self) -> None:
        """An agent answers and settles; the visitor finds the answers whenever they look in."""
        for act in self.plan.day:
            await (self._write(act) if act.turn.side == "visitor" else self._answer(act))
        await self._settle()
        await self.visitor.come_back()
        await self._stir.until(
            lambda: self.visitor.has_seen(self._sent_by("agent")), waits_for="visitor shown the end"
        )
        self.is_done = True
        self._beat()

    async def _write(self, act: Act) -> None:
        client = await self.visitor.on(act.device)
        answers = self._sent_by("agent")
        await self._stir.until(
            lambda: all(self.visitor.devices[act.device].record.has(x.message_id) for x in answers),
            waits_for="visitor shown the answers",
        )
        await self._pause(act)
        if act.is_cut:
            client.cut(after_next_send=True)
        sent = await client.send(self.conversation_id, act.turn.text)
        self._keep(act, sent)
        if act.is_repeated:
            await self._repeat(act, sent)
        if act.is_leaving:
            await self.visitor.leave()

    async def _repeat(self, act: Act, sent: Sent) -> None:
        client = await self.visitor.on(act.device)
        again = await patiently(
            partial(
                client.conversations.post,
                self.conversation_id,
                act.turn.text,
                message_id=sent.message_id,
            )
        )
        self.repeats += 1
        self.wrong_repeats += again.position > sent.position

    async def _answer(self, act: Act) -> None:
        desk = await self._desk_that_saw_everything("agent to answer")
        await self._pause(act)
        if act.is_cut:
            desk.client.cut(after_next_send=True)
        self._keep(act, await desk.client.send(self.conversation_id, act.turn.text))

    async def _settle(self) -> None:
        desk = await self._desk_that_saw_everything("agent to settle")
        last = max(x.sent.position for x in self.said)
        desk.client.read(self.conversation_id, last)
        await patiently(
            partial(
                desk.client.conversations.set_status,
                self.conversation_id,
                "resolved",
                seen_up_to=last,
            )
        )

    async def _desk_that_saw_everything(self, waits_for: str) -> Desk:
        asked = self._sent_by("visitor")

        def is_ready() -> bool:
            owner = self.owner
            return owner is not None and all(owner.record.has(x.message_id) for x in asked)

        await self._stir.until(is_ready, waits_for=waits_for)
        assert self.owner is not None
        self.owner.client.read(self.conversation_id, max(x.position for x in asked))
        return self.owner

    def _keep(self, act: Act, sent: Sent) -> None:
        self.said.append(Said(side=act.turn.side, text=act.turn.text, sent=sent))
        self._beat()

    def _sent_by(self, side: str) -> list[Sent]:
        return [x.sent for x in self.said if x.side == side]

    async def _pause(self, act: Act) -> None:
        if self._speed > 0:
            typing_s = len(act.turn.text) * _TYPING_S / self._speed
            await asyncio.sleep(min(typing_s, _LONGEST_PAUSE_S))
