"""Every await that touches NATS or PostgreSQL on the way of a message has a point at which `make prove` can kill."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.sources import ROOT

_COVERED = (
    "services/gateway/admission.py",
    "services/gateway/asking.py",
    "services/gateway/directory.py",
    "services/gateway/keyring.py",
    "services/gateway/looking_relay.py",
    "services/gateway/presence.py",
    "services/gateway/typing_relay.py",
    "services/dispatcher/tables.py",
    "services/dispatcher/why.py",
    "services/presence/handlers.py",
    "services/store/handlers/batch.py",
    "services/store/handlers/follow.py",
    "services/store/handlers/hints.py",
    "services/store/handlers/lead.py",
    "services/store/handlers/questions.py",
    "shared/fenced.py",
    "shared/snapshot.py",
)
_OURS = ast.FunctionDef | ast.AsyncFunctionDef
_TOUCHING = {
    "append",
    "ask",
    "commit",
    "connect",
    "execute",
    "give_up_lead",
    "last_of",
    "load",
    "load_keys",
    "make_partitions",
    "move_checkpoint",
    "publish",
    "read_checkpoint",
    "read_ranges",
    "reply",
    "request",
    "stream_state",
    "take_lead",
    "tell",
    "write_edits",
    "write_pieces",
}
# These call a function of their own module or class that has the point.
_THROUGH = {"self.append", "snapshots.load"}


def test_every_await_that_touches_a_server_has_a_crash_point() -> None:
    """An await without a point is a crash that nobody ever tried."""
    assert [place for path in _COVERED for place in _bare(path)] == []


def test_names_of_points_are_unique() -> None:
    """A name that stands twice would kill at two places and count the passes of both."""
    names = [name for path in (*_COVERED, "shared/bus/flight.py") for name in _names(path)]
    assert len(names) == len(set(names))
    assert len(names) > 30


def _bare(path: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, _OURS):
            yield from (f"{path}:{line}" for line in _lines_without_point(node))


def _lines_without_point(function: _OURS) -> Iterator[int]:
    """Each such await needs a point of its own: between it and the await before, in the order of the source."""
    has_point = False
    for node in _in_order(function):
        if _called(node) == "crashpoint":
            has_point = True
        elif isinstance(node, ast.Await) and _is_touching(node):
            if not has_point:
                yield node.lineno
            has_point = False


def _in_order(function: _OURS) -> list[ast.expr]:
    found = [
        node for node in ast.walk(function) if isinstance(node, ast.Await) or _called(node) != ""
    ]
    return sorted(
        (node for node in found if isinstance(node, ast.expr)),
        key=lambda node: (node.lineno, node.col_offset),
    )


def _is_touching(node: ast.Await) -> bool:
    name = _called(node.value)
    full = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
    return name in _TOUCHING and full not in _THROUGH


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _names(path: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call) and _called(node) == "crashpoint":
            assert isinstance(node.args[0], ast.Constant)
            yield str(node.args[0].value)
