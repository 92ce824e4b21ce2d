"""Whatever is sent gets a documented problem, and nobody else notices."""

from __future__ import annotations

import asyncio

import yarl

from services.gateway.problem import STATUSES
from services.gateway.silence import HEAD_TIMEOUT_S
from shared.clock import new_id
from tests.support.gateway_world import World
from tests.support.log import PATIENCE_S
from tests.support.rest import Api, Office

_BODIES: tuple[tuple[bytes, int, str], ...] = (
    (b"", 400, "malformed"),
    (b"{", 400, "malformed"),
    (b"null", 400, "invalid"),
    (b"[]", 400, "invalid"),
    (b"[" * 60_000, 400, "invalid"),
    (b'{"message_id":' + b"[" * 60_000, 400, "invalid"),
    (b'{"text":NaN}', 400, "malformed"),
    (b'{"text":"\xff"}', 400, "malformed"),
    (b'{"text":"\xed\xa0\x80"}', 400, "malformed"),
    (b'{"message_id":"a","text":"\\ud800"}', 400, "malformed"),
    (b'{"message_id":"a","text":"\\u0000"}', 400, "invalid"),
    (b'{"message_id":"a","text":"\\u0007"}', 400, "invalid"),
    (b'{"message_id":"a","text":""}', 400, "invalid"),
    (b'{"message_id":1,"text":"x"}', 400, "invalid"),
    (b'{"message_id":"a","text":"x","extra":1}', 400, "invalid"),
    (b'{"message_id":"a","text":"x"}', 400, "bad_id"),
    (b'{"message_id":"a.b.*","text":"x"}', 400, "bad_id"),
    (b'{"message_id":"0190163d-8694-739b-aea5-966c26f8ad90\\n","text":"x"}', 400, "bad_id"),
    (b'{"message_id":"{0190163d-8694-739b-aea5-966c26f8ad90}","text":"x"}', 400, "bad_id"),
    (b'{"message_id":"a","text":"' + b"x" * 8_001 + b'"}', 400, "invalid"),
    (b" " * 65_537, 413, "too_large"),
)


async def test_every_bad_body_has_its_code(office: Office) -> None:
    """Truncated, deep, mistyped, oversized, with surrogates or NUL: a problem with its code, and posting goes on."""
    visitor, _ = await office.arrive()
    conversation_id, _ = await office.start(visitor)
    path = f"/conversations/{conversation_id}/messages"
    for raw, status, code in _BODIES:
        answer = await visitor.send("POST", path, raw)
        assert (answer.status, answer.code) == (status, code), raw[:60]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
    wrong_type = await visitor.send("POST", path, b"{}", Content_Type="text/plain")
    assert (wrong_type.status, wrong_type.code) == (415, "unsupported_media_type")
    good = await visitor.post(path, {"message_id": new_id(), "text": "still here"})
    assert good.status == 201


_IDS = ("a.b", "*", "%20", "%0a", "%2e%2e", "%00", "%ff%fe", ">", "x" * 500, "%7B%7D", "é")


async def test_ids_that_are_none_are_refused(office: Office) -> None:
    """Dots, stars, spaces, line breaks, NUL, bytes that are no text: 400 or 404, never a fault of ours."""
    for text in _IDS:
        for path in (
            f"/conversations/{text}",
            f"/conversations/{text}/messages",
            f"/agents/{text}",
            f"/messages/{text}/timeline",
        ):
            answer = await office.admin.get(path)
            assert (answer.status, answer.code) in ((400, "bad_id"), (404, "not_found")), path
        for path in (f"/labels/{text}", f"/api_keys/{text}"):
            assert (await office.admin.delete(path)).status == 404, path
        assert (await office.anybody.post(f"/inboxes/{text}/contacts", {})).status == 404


_QUERIES = (
    ("limit=0", "?limit"),
    ("limit=x", "?limit"),
    ("limit=10&limit=20", "?limit"),
    ("view=theirs", "?view"),
    ("nope=1", "?nope"),
    ("since=yesterday", "?since"),
    ("since=2026-01-01T00:00:00", "?since"),
    ("team=a.b", "?team"),
    ("channel=%00", "?channel"),
    ("after=%00", "?after"),
    ("label=%00", "?label"),
    ("status=asleep", "?status"),
)


async def test_bad_parameters_are_named(office: Office) -> None:
    """Each has the pointer of the parameter."""
    for query, pointer in _QUERIES:
        answer = await office.admin.get(f"/conversations?{query}")
        assert answer.status == 400, answer
        assert answer.json["errors"][0]["pointer"].startswith(pointer)


async def test_cursors_that_are_not_ours_are_refused(office: Office) -> None:
    """Rubbish in `after` is the client's fault, not ours."""
    for after in ("x", "!!!!", "a" * 500, "é", "eyJhIjoxfQ=="):
        answer = await office.admin.call("GET", f"/conversations?after={after}")
        assert (answer.status, answer.code) == (400, "invalid"), after


async def test_unknown_paths_and_methods_are_problems_too(office: Office) -> None:
    """404 and 405 have the same form; 405 says what is allowed."""
    nowhere = await office.admin.get("/nowhere")
    assert (nowhere.status, nowhere.code) == (404, "not_found")
    wrong = await office.admin.delete("/conversations")
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, POST"


async def test_a_sane_request_id_comes_back(anybody: Api) -> None:
    """The client's own, so that both logs can be laid side by side; another is made when it is not sane."""
    mine = await anybody.get("/me", X_Request_Id="trace-17")
    assert (mine.headers["X-Request-Id"], mine.json["request_id"]) == ("trace-17", "trace-17")
    other = await anybody.get("/me", X_Request_Id="x" * 65)
    assert other.headers["X-Request-Id"] == other.json["request_id"] != "x" * 65


async def test_headers_that_are_none_are_refused(office: Office) -> None:
    """Idempotency-Key with spaces or without an end: 400."""
    for key in ("a b", "x" * 256):
        answer = await office.admin.post("/teams", {"name": "x"}, Idempotency_Key=key)
        assert answer.json["errors"][0]["pointer"] == "Idempotency-Key"


async def test_half_a_request_holds_up_nobody(world: World, anybody: Api) -> None:
    """A client that stops in the middle of a body keeps its own connection waiting and nothing else."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    head = (
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    writer.write(head.encode())
    await writer.drain()
    assert (await anybody.get("/me")).status == 401
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await anybody.get("/me")).status == 401


async def test_the_documents_are_served(world: World, anybody: Api) -> None:
    """OpenAPI and AsyncAPI beside the API, a page for people, and no code that is not documented."""
    openapi = (await anybody.get("/openapi.json")).json
    assert openapi["openapi"] == "3.1.0"
    assert "/api/v1/conversations/{conversation_id}/messages" in openapi["paths"]
    assert (await anybody.get("/asyncapi.json")).json["asyncapi"] == "3.0.0"
    async with anybody.http.get(f"{world.url}/api/docs") as page:
        assert page.status == 200
        assert "/auth/login" in await page.text()
    assert {name.split(".")[0] for name in openapi["components"]["responses"]} <= set(STATUSES)


async def test_half_a_head_is_hung_up_on(office: Office, world: World) -> None:
    """Connections that send nothing, or half a request head, are closed; one that has asked before stays."""
    address = yarl.URL(world.url)
    silent, half, asked = [
        await asyncio.open_connection(address.host, address.port) for _ in range(3)
    ]
    half[1].write(b"GET /api/v1/me HTTP/1.1\r\nHost: here\r\nX-Slow: ")
    asked[1].write(b"GET /api/v1/me HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await asked[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
    async with asyncio.timeout(HEAD_TIMEOUT_S + PATIENCE_S):
        assert await silent[0].read() == b""
        assert await half[0].read() == b""
    asked[1].write(b"GET /api/v1/me HTTP/1.1\r\nHost: here\r\n\r\n")
    assert b"HTTP/1.1 401" in await asked[0].readuntil(b"HTTP/1.1 401")
    for _, writer in (silent, half, asked):
        writer.close()
