"""What can go wrong, as types. None of them ever holds what somebody wrote, an address or a token."""

from __future__ import annotations

from collections.abc import Sequence


class NightdeskClientError(Exception):
    """Root of everything that this package raises on purpose."""


class ApiError(NightdeskClientError):
    """The server answered a REST call with an error (RFC 9457). `code` is stable, the message is for people. `places`:
    JSON pointers into the request, each with what is wrong there."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        request_id: str = "",
        places: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.places = tuple(places)


class Unreachable(NightdeskClientError):
    """No usable answer within the time allowed. Whether it was done is unknown: call again with the same ids."""


class SendRefused(NightdeskClientError):
    """The server will never accept this message as it stands; it left the outbox."""

    def __init__(self, code: str, message: str, *, message_id: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message_id = message_id


class SessionRefused(NightdeskClientError):
    """The server closed the connection with a code that says: don't come back (3500–3999)."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{close_code} {reason}")
        self.close_code = close_code
        self.reason = reason


class SignedOut(NightdeskClientError):
    """The token is not accepted and can't be renewed: sign in again."""


class Closed(NightdeskClientError):
    """The client was closed. What still lay in the outbox stays there and may be sent by another client."""
