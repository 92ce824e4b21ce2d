"""A failing week, short enough to read: the inputs that it needs, and what the log then holds about those concerned."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from simulate.inputs import Dated, Tell
from simulate.log import Entry
from simulate.week import Outcome, replay

_MOST_LINES = 60
_DULL = {"account_id", "writer", "body", "name", "email", "fingerprint", "content_type", "why"}


def told(outcome: Outcome, inputs: Sequence[Dated]) -> str:
    """Lines for a person."""
    engine, broken = replay(outcome.seed, inputs)
    about = broken.about if broken is not None else outcome.about
    start_ns = engine.start_ns
    lines = [f"{len(inputs)} of {len(outcome.inputs)} inputs are enough:"]
    lines += [
        f"  {_second(at_ns - start_ns)} {_brief(each)}" for at_ns, each in inputs[-_MOST_LINES:]
    ]
    lines.append(f"the log about {', '.join(about) or 'everything'}:")
    concerned = [entry for entry in engine.log.entries if _concerns(entry, about)]
    lines += [
        f"  {entry.position:>6} {_second(entry.at_ns - start_ns)} {_brief(entry.event)}"
        for entry in concerned[-_MOST_LINES:]
    ]
    lines.append(str(broken or outcome.text))
    return "\n".join(lines)


def _concerns(entry: Entry, about: tuple[str, ...]) -> bool:
    text = repr(entry.event)
    return not about or any(each in text for each in about if each)


def _second(since_ns: int) -> str:
    return f"{since_ns / 1e9:>12.3f} s"


def _brief(value: object) -> str:
    if isinstance(value, Tell):
        value = value.event
    fields = msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else {}
    shown = [f"{name}={each}" for name, each in fields.items() if name not in _DULL and each]
    why = getattr(value, "why", None)
    if isinstance(why, msgspec.Struct):
        shown.append(f"trigger={getattr(why, 'trigger', '')}")
    return f"{type(value).__name__} {' '.join(shown)}"
