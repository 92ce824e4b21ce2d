"""What a person sees when a part of the stack does not start: the part, the cause, the way out."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """A step failed. `advice` is what to do now; `log` is the file whose last lines are shown."""

    def __init__(self, part: str, cause: str, *, advice: str, log: Path | None = None) -> None:
        super().__init__(f"{part}: {cause}")
        self.part = part
        self.cause = cause
        self.advice = advice
        self.log = log


class PortTaken(StackError):
    """The port was free a moment ago and is not any more: worth one more try with another."""
