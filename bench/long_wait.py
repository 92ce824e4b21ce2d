"""One visitor who writes thousands of messages that nobody answers: what each costs the two folds that keep what
waits, and the row that the store writes of it, at the beginning and at the end. CPU time of this process.

python -m bench.long_wait [--messages 20000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from bench.backlog import Backlog, Size
from services.dispatcher.decide import Settings, State, World
from services.store.fold import Changes, Record, fold
from services.store.fold import State as Rows
from services.store.tables.rows import AS_RECORDS
from shared.events import ConversationStarted, Event, MessagePosted
from shared.ids import MessageId, Position
from shared.subjects import Family

_STRETCH = 2_000

Step = Callable[[Event, Position], None]


def dispatcher() -> Step:
    """What the dispatcher does with an event."""
    world = World(State(), Settings())
    return lambda event, position: (world.evolve(event, position, position * 1000), None)[1]


def store() -> Step:
    """What the store does with an event that comes alone: its fold, and the conversation's row."""
    state = Rows()

    def step(event: Event, position: Position) -> None:
        family: Family = "message" if isinstance(event, MessagePosted) else "conversation"
        changes = Changes()
        fold(state, changes, Record(position, position * 1000, family, event))
        AS_RECORDS.conversations(list(changes.conversations.values()))

    return step


def talk(messages: int) -> Iterator[Event]:
    """A conversation and its messages."""
    facts = [event for _, event in Backlog(Size(waiting=1, agents=1, skills=1)).arrivals()]
    started, posted = facts
    assert isinstance(started, ConversationStarted)
    assert isinstance(posted, MessagePosted)
    yield started
    for number in range(messages):
        yield MessagePosted(
            account_id=posted.account_id,
            conversation_id=posted.conversation_id,
            message_id=MessageId(f"00000000-0000-4000-8000-{number:012x}"),
            author=posted.author,
            content_type="text",
            body=posted.body,
            fingerprint=posted.fingerprint,
        )


def costs_us(step: Step, messages: int) -> list[float]:
    """Microseconds a message, over one stretch after the other."""
    found, began = [], time.process_time()
    for position, event in enumerate(talk(messages), start=1):
        step(event, position)
        if position % _STRETCH == 0:
            found.append((time.process_time() - began) / _STRETCH * 1e6)
            began = time.process_time()
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    for name, step in (("dispatcher", dispatcher()), ("store", store())):
        found = costs_us(step, options.messages)
        print(f"{name:<12} first {_STRETCH:,} {found[0]:8.1f} µs each, last {found[-1]:8.1f} µs")


if __name__ == "__main__":
    main()
