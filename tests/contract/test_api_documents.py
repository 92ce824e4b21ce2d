"""OpenAPI and AsyncAPI say what the code does. That the files under docs/reference are up to date is held by
`test_reference.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway import docs, problem
from services.gateway.rest.routes import ROUTES
from shared.wire.frames import CLOSE_CODES, ClientFrame, ServerFrame

OPENAPI = docs.openapi(ROUTES)
ASYNCAPI = docs.asyncapi()


def _references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(target)}:
            yield target
        case dict():
            for inner in node.values():
                yield from _references(inner)
        case list():
            for inner in node:
                yield from _references(inner)
        case _:
            pass


def _resolve(document: Any, target: str) -> Any:
    for step in target.removeprefix("#/").split("/"):
        document = document[step]
    return document


def test_the_openapi_document_is_valid() -> None:
    """By the validator of OpenAPI 3.1."""
    assert list(OpenAPIV31SpecValidator(OPENAPI).iter_errors()) == []


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: Any) -> None:
    """Schemas, messages, parameters, answers."""
    targets = set(_references(document))
    assert targets
    for target in targets:
        assert _resolve(document, target), target


def test_every_route_is_described() -> None:
    """Method, path, an operation id of its own, its path parameters."""
    ids = []
    for route in ROUTES:
        operation = OPENAPI["paths"][docs.PREFIX + route.path][route.method.lower()]
        ids.append(operation["operationId"])
        named = [p["name"] for p in operation["parameters"] if p.get("in") == "path"]
        assert named == re.findall(r"\{(\w+)\}", route.path)
        assert bool(operation["security"]) == bool(route.roles)
    assert len(set(ids)) == len(ROUTES)


def test_every_code_is_documented() -> None:
    """No route can answer a code that has no status, and every code belongs to some route or to the pipeline."""
    answered = {code for route in ROUTES for code in docs.codes_of(route)}
    assert answered <= set(problem.STATUSES)
    assert set(problem.STATUSES) - answered == {"method_not_allowed"}


def test_every_frame_and_close_code_is_described() -> None:
    """The channel has each frame once, and each direction its own."""
    messages = ASYNCAPI["components"]["messages"]
    frames = (*get_args(ClientFrame), *get_args(ServerFrame))
    assert set(messages) == {kind.__name__ for kind in frames}
    assert len(ASYNCAPI["operations"]["fromClient"]["messages"]) == len(get_args(ClientFrame))
    assert set(ASYNCAPI["x-close-codes"]) == {str(code) for code in CLOSE_CODES}


def test_nothing_is_described_without_words() -> None:
    """Every type of the wire has a description for people."""
    for document in (OPENAPI, ASYNCAPI):
        for name, schema in document["components"]["schemas"].items():
            assert schema.get("description"), name
