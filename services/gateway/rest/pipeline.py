"""From a request to its answer, the same for every route: limits, asker, role, body, handler, headers, problems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from services.gateway import metrics, problem
from services.gateway.limits import address_key
from services.gateway.rest import decoding
from services.gateway.rest.cors import Origins, check_origin
from services.gateway.rest.door import Door
from services.gateway.rest.request_keys import KeyName, Taken, digest_of
from services.gateway.rest.route import Call, Given, Reply, Route
from services.gateway.tokens import Principal
from shared.clock import monotonic_s, new_id
from shared.codec import to_json
from shared.errors import NightdeskError, Rejected, Unavailable
from shared.ids import Position
from shared.labelled import labelled
from shared.runtime import contained
from shared.wire.bodies import Wished

log = structlog.get_logger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """One route at work."""

    def __init__(self, route: Route, door: Door) -> None:
        self._route = route
        self._door = door
        self._decoder = msgspec.json.Decoder(route.takes) if route.takes is not None else None

    async def handle(self, request: web.Request) -> web.Response:
        """The answer. Raises what `answers` turns into a problem."""
        proxies = self._door.parts.proxies
        said = request.headers.getall(proxies.header, ())
        address = address_key(proxies.client(request.remote, said))
        self._door.limiter.charge("address", address, monotonic_s())
        if not self._route.roles:
            self._check_arrival(request)
        who = await self._asker(request) if self._route.roles else None
        at_least = decoding.position_header(request)
        await self._check_position(at_least)
        call: Call[Any, Any] = Call(
            door=self._door,
            who=who,
            body=await self._body(request),
            query=self._query(request),
            given=Given(
                path=request.match_info,
                at_least=at_least,
                key=decoding.idempotency_key(request),
                if_match=decoding.if_match(request),
                address=address,
                origin=request.headers.get("Origin"),
            ),
        )
        if self._route.key == "kept" and call.given.key is not None:
            return self._answer(await self._once(call, call.given.key, request.path))
        return self._answer(await self._route.handler(call))

    async def _once(self, call: Call[Any, Any], key: str, path: str) -> Reply:
        """Carry out what this key was not used for before, once for all who ask at the same moment; a wish that was met
        is told again where it stands."""
        keys, who = self._door.request_keys, call.who
        name = KeyName(account_id=who.account_id, asker_id=who.id, key=key)
        try:
            await self._door.parts.keys.ensure(who.account_id)
            ring = self._door.parts.keys.ring
            digest = digest_of(ring, who.account_id, path, to_json(call.body))
            taken = await keys.take(name, digest)
        except Unavailable as err:
            if err.code == "in_progress":
                raise
            # Without its memory of keys the desk goes on; what keeps keys bears being done twice.
            return await self._route.handler(call)
        if taken.position is None:
            return await self._held(call, name, taken)
        if self._route.gives is Wished:
            return Reply(body=Wished(position=taken.position), position=taken.position)
        return await self._route.handler(call)

    async def _held(self, call: Call[Any, Any], name: KeyName, taken: Taken) -> Reply:
        """Carry out while others with the same key wait, and tell them by the key what came of it."""
        keys = self._door.request_keys
        is_settled = False
        try:
            reply = await self._route.handler(call)
            if reply.position is not None:
                await keys.keep(name, reply.position)
                is_settled = True
        except (Rejected, Unavailable):
            await keys.give_back(name, taken)
            is_settled = True
            raise
        finally:
            if not is_settled:
                await keys.let_go(name, taken)
        return reply

    async def _asker(self, request: web.Request) -> Principal:
        who = await self._door.parts.tokens.authenticate(decoding.bearer(request))
        now_s = monotonic_s()
        if who.kind == "visitor":
            account = self._door.parts.directory.account(who.account_id)
            check_origin(request, account.inboxes.get(who.inbox_id) if who.inbox_id else None)
            self._door.limiter.charge("visitor", who.id, now_s)
        self._door.limiter.charge("account", who.account_id, now_s)
        if who.role not in self._route.roles:
            raise Rejected("forbidden", "not allowed for this role")
        return who

    async def _check_position(self, at_least: Position) -> None:
        """A position that the log has not reached would be waited for in vain."""
        if not await self._door.reached.has(at_least):
            raise Rejected(
                "invalid", "the log has no such position", pointer=decoding.POSITION_HEADER
            )

    async def _body(self, request: web.Request) -> Any:
        if self._decoder is None:
            return None
        raw = await decoding.read_body(request, limit_bytes=self._route.body_limit_bytes)
        return decoding.decode_body(raw, self._decoder)

    def _query(self, request: web.Request) -> Any:
        if self._route.query is None:
            return None
        return decoding.decode_query(request.query, self._route.query)

    def _answer(self, reply: Reply) -> web.Response:
        status = reply.status or self._route.status
        if reply.body is None:
            response = web.Response(status=status)
        else:
            made = to_json(reply.body)
            response = web.Response(status=status, body=made, content_type="application/json")
        if reply.position is not None:
            self._door.reached.note(reply.position)
            response.headers[decoding.POSITION_HEADER] = str(reply.position)
        if reply.version is not None:
            response.headers["ETag"] = f'"{reply.version}"'
        return response

    def _check_arrival(self, request: web.Request) -> None:
        """Arrivals have no token yet: the inbox stands in the path."""
        state = self._door.parts.directory.state
        found = state.inbox_keys.get(request.match_info.get("inbox_key", ""))
        if found is not None:
            check_origin(request, state.accounts[found[0]].inboxes.get(found[1]))


def answers(door: Door) -> Middleware:
    """The middleware around every route, and around paths that are none."""
    origins = Origins(door.parts.directory)

    @web.middleware
    async def answer(request: web.Request, handler: Next) -> web.StreamResponse:
        started_s = monotonic_s()
        request_id = decoding.request_id(request, new_id())
        if request.method == "OPTIONS":
            response: web.StreamResponse = origins.preflight(request)
        else:
            response = await _answered(request, handler, request_id)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request_id
        origins.mark(request, response)
        _count(request, response.status, monotonic_s() - started_s)
        return response

    return answer


async def _answered(request: web.Request, handler: Next, request_id: str) -> web.StreamResponse:
    try:
        response = await contained(handler(request))
    except NightdeskError as err:
        if problem.code_of(err) == "internal":
            log.exception("request_failed", request_id=request_id, code=err.code)
        return problem.response(err, request_id)
    except web.HTTPMethodNotAllowed as err:
        made = problem.of_code("method_not_allowed", "see Allow", request_id)
        made.headers["Allow"] = ", ".join(sorted(err.allowed_methods))
        return made
    except web.HTTPNotFound:
        return problem.of_code("not_found", "there is no such path", request_id)
    except web.HTTPException as err:
        code = "too_large" if err.status == 413 else "malformed"
        return problem.of_code(code, "the request can't be read", request_id)
    if response is None:
        log.error("request_failed", request_id=request_id, code="internal")
        return problem.of_code("internal", "the log has this request id", request_id)
    return response


def _count(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    name = resource.canonical if resource is not None else "none"
    labelled(metrics.REQUESTS, f"{request.method} {name}" if resource else name, str(status)).inc()
    labelled(metrics.REQUEST_SECONDS, name).observe(seconds)
