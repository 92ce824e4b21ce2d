"""A broken promise: which rule, in what words, and about whom, so that the trace can be cut to it."""

from __future__ import annotations


class Broken(AssertionError):
    """Raised where it is seen."""

    def __init__(self, rule: str, text: str, about: tuple[str, ...] = ()) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.about = about


def require(holds: bool, rule: str, text: str, about: tuple[str, ...] = ()) -> None:  # noqa: FBT001 - an assertion
    """Nothing if it holds."""
    if not holds:
        raise Broken(rule, text, about)
