"""The judge of a fault campaign sees each kind of break, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from prove.checker import Circumstances, judge
from prove.diary import Diary, Said, Screen, Shown
from prove.evidence import LogEntry, StoredConversation, StoredMessage, Tables

CONVERSATION, VISITOR, AGENT = "c1", "v1", "a1"
AUTHOR = {"kind": "visitor", "id": VISITOR}
PROMPT = Circumstances(lease_s=12, is_prompt=True, dark=((1000.0, 1010.0),))


class World:
    """Two messages, said, stored, assigned and shown; a test breaks one thing."""

    def __init__(self) -> None:
        self.log = [
            self.entry(1, "conversation", type="conversation_started"),
            self.entry(2, "message", type="message_posted", message_id="m1", author=AUTHOR),
            self.entry(3, "routing", type="writer_started", writer="w1"),
            self.decided(4, "conversation_assigned", looked_at=3, agent_id=AGENT, winner={"x": 1}),
            self.entry(5, "message", type="message_posted", message_id="m2", author=AUTHOR),
            self.entry(6, "receipt", type="received", recipient={"id": AGENT}, up_to=5),
        ]
        self.diary = Diary(contacts={CONVERSATION: VISITOR})
        for number, position in ((1, 2), (2, 5)):
            said = self.said(f"m{number}", number, position)
            self.diary.said[said.message_id] = said
        self.screens = [self.screen("visitor", VISITOR), self.screen("agent", AGENT)]
        self.diary.screens.extend(self.screens)
        self.rows = [self.row("m1", 1, 2), self.row("m2", 2, 5)]
        self.checkpoint = 6
        self.kept = (6, 6)
        self.owner = AGENT

    @staticmethod
    def entry(position: int, family: str, **event: Any) -> LogEntry:
        event = {"conversation_id": CONVERSATION, **event}
        return LogEntry(
            position=position, family=family, at_s=100.0 * position, event=event, raw=b"sealed"
        )

    @classmethod
    def decided(
        cls, position: int, kind: str, *, looked_at: int, trigger: str = "queue", **more: Any
    ) -> LogEntry:
        why = {"trigger": trigger, "state_position": looked_at, "winner": more.pop("winner", None)}
        return cls.entry(position, "routing", type=kind, writer="w1", why=why, **more)

    @staticmethod
    def said(message_id: str, number: int, position: int) -> Said:
        return Said(
            message_id=message_id,
            conversation_id=CONVERSATION,
            sender=VISITOR,
            text=f"text {number}",
            number=number,
            began_s=1.0,
            told_s=2.0,
            position=position,
        )

    @staticmethod
    def screen(kind: str, owner: str) -> Screen:
        screen = Screen(name=kind, owner=owner, kind=kind, life=1, held={CONVERSATION: 4})
        for number, position in ((1, 2), (2, 5)):
            screen.shown.append(World.shown(number, position))
            screen.ids.add(f"m{number}")
        return screen

    @staticmethod
    def shown(number: int, position: int, **more: Any) -> Shown:
        values = {
            "message_id": f"m{number}",
            "conversation_id": CONVERSATION,
            "position": position,
            "seq": number,
            "text": f"text {number}",
            "author": VISITOR,
            "life": 1,
            "is_history": False,
            "at_s": 3.0,
        }
        return msgspec.convert(values | more, Shown)

    @staticmethod
    def row(message_id: str, seq: int, position: int) -> StoredMessage:
        return StoredMessage(
            message_id=message_id,
            conversation_id=CONVERSATION,
            seq=seq,
            position=position,
            is_clash=False,
            is_unreadable=False,
        )

    def broken(self) -> set[str]:
        """The names of what the judge found."""
        tables = Tables(
            checkpoint=self.checkpoint,
            events=self.kept,
            quarantined=0,
            ids={row.message_id: row.position for row in self.rows},
            messages=self.rows,
            conversations=[
                StoredConversation(
                    conversation_id=CONVERSATION,
                    agent_id=self.owner,
                    phase="active",
                    is_waiting=True,
                )
            ],
        )
        return set(judge(self.diary, self.log, tables, PROMPT).broken)


def _lost(world: World) -> None:
    world.log[4] = world.entry(5, "receipt", type="received", recipient={"id": AGENT}, up_to=2)


def _not_stored(world: World) -> None:
    del world.rows[1]


def _unseen(world: World) -> None:
    world.screens[1].ids.discard("m2")


def _twice(world: World) -> None:
    world.screens[0].shown.append(world.shown(2, 5))


def _swapped(world: World) -> None:
    world.screens[0].shown.reverse()


def _renumbered(world: World) -> None:
    world.screens[0].shown[1] = world.shown(2, 5, seq=0)


def _made_up(world: World) -> None:
    world.screens[0].shown.append(world.shown(3, 6))


def _refused(world: World) -> None:
    said = world.diary.said["m2"]
    said.told_s, said.refused = 0.0, "invalid"


def _open(world: World) -> None:
    world.diary.said["m2"].told_s = 0.0


def _theirs(world: World) -> None:
    world.log.append(world.decided(7, "conversation_queued", looked_at=6))
    world.checkpoint, world.kept, world.owner = 7, (7, 7), ""


def _kept_twice(world: World) -> None:
    world.kept = (7, 6)


def _next_door(world: World) -> None:
    world.screens[0].house = "mia@neighbour.example"


def _given_away(world: World) -> None:
    world.diary.pried.append("messages of c1 given to somebody else")


def _readable(world: World) -> None:
    world.log[1] = msgspec.structs.replace(world.log[1], raw=b"...text 1...")


def _old(world: World) -> None:
    world.log[3] = world.decided(
        4, "conversation_assigned", looked_at=1, agent_id=AGENT, winner={"x": 1}
    )


def _lapsed(world: World, at_s: float, looked_at: int) -> None:
    lapse = world.decided(
        7, "conversation_assigned", looked_at=looked_at, trigger="lease_lapsed", agent_id=AGENT
    )
    world.log.append(msgspec.structs.replace(lapse, at_s=at_s))
    world.checkpoint, world.kept = 7, (7, 7)


def _in_the_dark(world: World) -> None:
    del world.log[5]
    world.log.append(world.entry(6, "message", type="writer_started"))
    _lapsed(world, 1005.0, 6)


def _acknowledged(world: World) -> None:
    _lapsed(world, 700.0, 6)


def _stranger(world: World) -> None:
    del world.log[2]
    world.log.insert(2, world.entry(3, "routing", type="writer_started", writer="w2"))


@pytest.mark.parametrize(
    ("breaks", "found"),
    [
        (_lost, "lost from the log"),
        (_not_stored, "lost from the tables"),
        (_unseen, "not shown"),
        (_twice, "doubled"),
        (_swapped, "out of order"),
        (_renumbered, "out of order"),
        (_made_up, "invented"),
        (_refused, "refused yet stored"),
        (_refused, "turned away"),
        (_open, "unknown"),
        (_theirs, "two owners"),
        (_kept_twice, "tables differ"),
        (_next_door, "foreign"),
        (_given_away, "foreign"),
        (_readable, "readable"),
        (_old, "decided on an old state"),
        (_in_the_dark, "judged too early"),
        (_acknowledged, "judged too early"),
        (_stranger, "written past the fence"),
    ],
)
def test_a_break_is_found(breaks: Callable[[World], None], found: str) -> None:
    """Each promise, broken once, is named."""
    world = World()
    breaks(world)
    assert found in world.broken()


def test_a_sound_world_has_no_finding() -> None:
    """Nothing is called broken that is not: otherwise nobody reads the verdict twice."""
    assert World().broken() == set()
