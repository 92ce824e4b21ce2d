"""The three kinds of failure, named once so that every edge maps them the same way.

`Rejected` answers the sender, `Unavailable` asks for a later try, `Malformed` goes to quarantine.
Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class NightdeskError(Exception):
    """Root of the failures that Nightdesk expects.

    `code` is a stable machine word (documented in the API reference), `message` is for people and
    never holds what somebody wrote, an address or a token.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Rejected(NightdeskError):
    """The request can't be carried out as it stands; sending it again unchanged gives the same answer."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        pointer: str | None = None,
        faults: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`faults`: all that is wrong, each as pointer and text, where more than one thing can be."""
        super().__init__(code, message)
        self.pointer = pointer
        self.faults = tuple(faults)


class Unavailable(NightdeskError):
    """Nothing was done (a definite no); the same request may succeed later."""

    def __init__(
        self, message: str, *, code: str = "unavailable", retry_after_s: float = 1.0
    ) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(NightdeskError):
    """It may or may not have been done; only the same id sent again can tell. Never say "failed"."""

    def __init__(self, message: str, *, code: str = "unknown") -> None:
        super().__init__(code, message)


class Malformed(NightdeskError):
    """Bytes that can't be understood and never will be: quarantine and count them, lose nothing else."""

    def __init__(self, message: str, *, code: str = "malformed") -> None:
        super().__init__(code, message)


class Refused(NightdeskError):
    """A start-up guard says no: the process must not run in this environment. One clear line, exit 2."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(code, message)
