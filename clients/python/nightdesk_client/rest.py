"""One REST call, carried through: time-outs, `Retry-After`, a renewed token, errors as types.

Every request of this API may be repeated (ids are made by the caller), so network faults, 429 and 503 are tried
again until the time allowed is over. Reads ask for at least the newest position that this client was told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import aiohttp
import msgspec
from msgspec.structs import replace
from multidict import CIMultiDictProxy

from nightdesk_client.backoff import Backoff
from nightdesk_client.errors import ApiError, Unreachable
from nightdesk_client.ids import new_id
from nightdesk_client.tokens import TokenSource

T = TypeVar("T")

API = "/api/v1"
POSITION_HEADER = "Nightdesk-Position"
_TRY_S = 15.0
_ALLOWED_S = 60.0
_LATER = frozenset({429, 502, 503, 504})
_NOTHING = b"null"


class Nothing(msgspec.Struct):
    """An answer whose content does not matter."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `query` values that are empty are left out; `version` becomes If-Match.

    `again`: the body of every try after the first, for requests that tell a repeat apart.
    """

    method: str
    path: str
    body: object = None
    again: object = None
    query: dict[str, str] = {}
    idempotency_key: str = ""
    version: int | None = None


class _Place(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    title: str = ""
    request_id: str = ""
    errors: list[_Place] = []


class _Answer(msgspec.Struct):
    status: int
    headers: CIMultiDictProxy[str]
    payload: bytes


class Rest:
    """Calls `/api/v1` for one identity (or none, before there is one)."""

    def __init__(
        self, http: aiohttp.ClientSession, base_url: str, *, tokens: TokenSource | None
    ) -> None:
        self._http = http
        self._url = base_url.rstrip("/") + API
        self._tokens = tokens
        self._position = 0

    @property
    def url(self) -> str:
        """Where the API lives."""
        return self._url

    @property
    def position(self) -> int:
        """The newest position that this client was told."""
        return self._position

    def saw(self, position: int) -> None:
        """This client was told of `position`: later reads include it."""
        self._position = max(self._position, position)

    async def get(self, path: str, answer: type[T], *, query: dict[str, str] | None = None) -> T:
        """GET with a query."""
        return await self.call(Call(method="GET", path=path, query=query or {}), answer)

    async def post(self, path: str, body: object, answer: type[T], *, key: str = "") -> T:
        """POST with an Idempotency-Key, a fresh one unless given."""
        call = Call(method="POST", path=path, body=body, idempotency_key=key or new_id())
        return await self.call(call, answer)

    async def put(self, path: str, body: object, answer: type[T]) -> T:
        """PUT."""
        return await self.call(Call(method="PUT", path=path, body=body), answer)

    async def patch(
        self, path: str, body: object, answer: type[T], *, version: int | None = None
    ) -> T:
        """PATCH, with If-Match when a version is given."""
        return await self.call(Call(method="PATCH", path=path, body=body, version=version), answer)

    async def delete(self, path: str) -> None:
        """DELETE."""
        await self.call(Call(method="DELETE", path=path), Nothing)

    async def call(self, call: Call, answer: type[T]) -> T:
        """The decoded answer. Raises `ApiError`, `Unreachable` or `SignedOut`."""
        got = await self._until_answered(call)
        if got.status >= 300:
            raise _error_of(got)
        self._note_position(got)
        if answer is Nothing:
            return msgspec.convert({}, answer)
        try:
            return msgspec.json.decode(got.payload, type=answer)
        except msgspec.DecodeError as err:
            raise Unreachable(f"{call.method} {call.path}: an answer of an unknown form") from err

    async def _until_answered(self, call: Call) -> _Answer:
        deadline = time.monotonic() + _ALLOWED_S
        backoff = Backoff()
        renewed = False
        while True:
            token = await self._tokens.current() if self._tokens else ""
            this, call = call, replace(call, body=call.again or call.body)
            try:
                got = await self._try(this, token)
            except (aiohttp.ClientError, TimeoutError, OSError) as err:
                await _pause(backoff.next_s(), deadline, _name(call), err)
                continue
            if got.status == 401 and self._tokens and not renewed:
                await self._tokens.renew(token)
                renewed = True
                continue
            if got.status not in _LATER and not _is_under_way(got):
                return got
            await _pause(
                max(backoff.next_s(), _retry_after(got)), deadline, _name(call), _error_of(got)
            )

    async def _try(self, call: Call, token: str) -> _Answer:
        headers = {POSITION_HEADER: str(self._position)} if self._position else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if call.idempotency_key:
            headers["Idempotency-Key"] = call.idempotency_key
        if call.version is not None:
            headers["If-Match"] = f'"{call.version}"'
        body = None
        if call.body is not None:
            body = msgspec.json.encode(call.body)
            headers["Content-Type"] = "application/json"
        request = self._http.request(
            call.method,
            self._url + call.path,
            data=body,
            headers=headers,
            params={name: value for name, value in call.query.items() if value},
            timeout=aiohttp.ClientTimeout(total=_TRY_S),
        )
        async with request as answer:
            return _Answer(answer.status, answer.headers, await answer.read())

    def _note_position(self, got: _Answer) -> None:
        text = got.headers.get(POSITION_HEADER, "")
        if text.isascii() and text.isdigit():
            self.saw(int(text))


async def _pause(delay_s: float, deadline: float, name: str, cause: Exception) -> None:
    if time.monotonic() + delay_s > deadline:
        # An ApiError says more than "unreachable"; a network fault does not.
        raise (
            cause if isinstance(cause, ApiError) else Unreachable(f"{name}: {type(cause).__name__}")
        ) from cause
    await asyncio.sleep(delay_s)


def _name(call: Call) -> str:
    return f"{call.method} {call.path.split('/')[1]}"


def _retry_after(got: _Answer) -> float:
    try:
        return min(float(got.headers.get("Retry-After", "0")), 30.0)
    except ValueError:
        return 0.0


def _is_under_way(got: _Answer) -> bool:
    """An earlier try of the same request is still being carried out; of conflicts only this one names a time."""
    return got.status == 409 and "Retry-After" in got.headers


def _error_of(got: _Answer) -> ApiError:
    try:
        problem = msgspec.json.decode(got.payload or _NOTHING, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    return ApiError(
        got.status,
        problem.code or f"http_{got.status}",
        problem.detail or problem.title,
        request_id=problem.request_id,
        places=[(place.pointer, place.detail) for place in problem.errors],
    )
