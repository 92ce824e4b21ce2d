"""The queue that knows places is a sorted list, only faster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.decide.line import Item, Line
from shared.ids import ConversationId

ITEMS = st.tuples(st.integers(0, 3000), st.sampled_from("ab").map(ConversationId))


@given(first=st.integers(0, 2500), moves=st.lists(st.tuples(st.booleans(), ITEMS)))
def test_a_line_is_a_sorted_list(first: int, moves: list[tuple[bool, Item]]) -> None:
    """Whatever joins and leaves, order, length and places are those of a sorted list."""
    line, plain = Line(), list[Item]()
    for number in range(3000):
        line.add((number, ConversationId("a")))
        plain.append((number, ConversationId("a")))
    for item in plain[:first]:
        line.discard(item)
    del plain[:first]
    for joins, item in moves:
        if joins and item not in plain:
            line.add(item)
            plain.append(item)
            plain.sort()
        elif not joins:
            line.discard(item)
            plain = [each for each in plain if each != item]
    assert [line.at(place) for place in range(len(line))] == plain
    assert all(line.place(item) == place for place, item in enumerate(plain))
