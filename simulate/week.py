"""One seed from beginning to end: some evenings of one agent's devices, then the week of a desk; and what is left of it
when it fails: the story of the evening, or the fewest inputs that still break the rule."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from simulate.broken import Broken, judged
from simulate.devices import spend
from simulate.engine import Engine
from simulate.guard import no_clock
from simulate.inputs import Dated
from simulate.life import Life

EVENTS = 8_000
_EVENT_SHARE = 1_600
_EVENINGS_APART = 1_000
_MOST_TRIES = 120


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a week. `inputs` only of one that failed, `story` only of an evening that did. `judged`: how often
    each rule was looked at."""

    seed: int
    events: int
    decisions: int
    steps: int
    rule: str = ""
    text: str = ""
    about: tuple[str, ...] = ()
    inputs: list[Dated] = []
    judged: dict[str, int] = {}
    story: list[str] = []


def evenings(seed: int, count: int, *, after: int = 0) -> Outcome | None:
    """The evenings before the week of this seed; the first that broke a promise. `after`: so many are left out."""
    first = seed * _EVENINGS_APART + after
    for number in range(first, first + count):
        evening, broken = spend(number)
        if broken is not None:
            story = [f"{at_s - evening.began_s:>9.2f} s {text}" for at_s, text in evening.told]
            return Outcome(
                seed=seed,
                events=evening.office.log.end,
                decisions=len(evening.moves),
                steps=0,
                rule=broken.rule,
                text=f"evening {number}: {broken}",
                story=story,
            )
    return None


def live(seed: int, events: int = EVENTS) -> Outcome:
    """Simulate evenings and the week of this seed up to so many events; never raises for a broken promise."""
    judged.clear()
    failed = evenings(seed, events // _EVENT_SHARE)
    if failed is not None:
        return failed
    life = Life(seed, events)
    engine = Engine(life.start_ns, life.settings)
    happened: list[Dated] = []
    broken: Broken | None = None
    try:
        with no_clock():
            while engine.log.end < events:
                life.observe(engine)
                due_ns = life.due_ns
                if not engine.run_to(due_ns):
                    continue
                for happening in life.take(engine):
                    happened.append((due_ns, happening))
                    engine.apply(happening)
            engine.finish()
    except Broken as err:
        broken = err
    outcome = Outcome(
        seed=seed,
        events=engine.log.end,
        decisions=engine.decisions,
        steps=engine.steps,
        judged=dict(judged),
    )
    if broken is not None:
        outcome.rule, outcome.text, outcome.about = broken.rule, str(broken), broken.about
        outcome.inputs = happened
    return outcome


def replay(seed: int, inputs: Sequence[Dated], pace: int = EVENTS) -> tuple[Engine, Broken | None]:
    """Run these inputs at the desk of this seed."""
    life = Life(seed, pace)
    engine = Engine(life.start_ns, life.settings)
    try:
        with no_clock():
            for at_ns, happening in inputs:
                while not engine.run_to(at_ns):
                    pass
                engine.apply(happening)
    except Broken as err:
        return engine, err
    except (KeyError, ValueError, AttributeError, AssertionError):
        # A cut can leave out what something later rests on; that is no shorter way to the same fault.
        return engine, None
    return engine, None


def shrink(outcome: Outcome, most_tries: int = _MOST_TRIES) -> list[Dated]:
    """Leave out what the fault does not need, in halves, quarters and so on, within a bounded number of tries."""
    inputs = list(outcome.inputs)
    size, tries = len(inputs) // 2, 0
    while size >= 1 and tries < most_tries:
        begin = 0
        while begin < len(inputs) and tries < most_tries:
            fewer = inputs[:begin] + inputs[begin + size :]
            tries += 1
            _, broken = replay(outcome.seed, fewer)
            if broken is not None and broken.rule == outcome.rule:
                inputs = fewer
            else:
                begin += size
        size //= 2
    return inputs
