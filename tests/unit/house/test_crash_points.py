"""Every await that touches NATS or PostgreSQL has a point at which `make prove` can kill.

What touches is found in the sources: what the servers' clients offer, and every async function of the modules that
hold statements and requests. Those modules need no points of their own, because every call of theirs has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.sources import ROOT

_COVERED = (
    "services/gateway",
    "services/store",
    "services/dispatcher",
    "services/presence",
    "shared/bus",
    "shared/fenced.py",
    "shared/following.py",
    "shared/opening.py",
    "shared/snapshot.py",
)
_STATEMENTS = (
    "services/store/tables",
    "services/dispatcher/tables.py",
    "shared/keys.py",
    "shared/database.py",
    "shared/bus/streams.py",
)
_NOT_COVERED = {
    "services/store/rebuild.py": "run by hand, from the start again when it was cut short",
    "services/store/tables": "its functions have a point where they are called",
    "services/dispatcher/tables.py": "the same",
    "shared/bus/streams.py": "the same",
    "shared/bus/client.py": "nats-py's own connection, beneath every await",
    "shared/bus/connection.py": "carries the awaits of its callers, who have the points",
    "shared/bus/acks.py": "an inbox: nothing is sent before the append that has a point",
}
_CLIENTS = {"execute", "publish", "reply", "request", "subscribe", "connect"}
_OWN = {"append", "ask", "drain", "is_drained", "settle", "tell"}
"""Of ours: what appends, asks, or tells over the network and is called by a name of its own."""
_THROUGH = {
    "self.append": "fenced: has the point inside",
    "snapshots.load": "has the point inside",
    "family.step": "has the point inside",
    "flight.settle": "has the points inside",
    "self._admission.append_each": "has the point inside",
    "call.parts.admission.append": "has the point inside",
    "door.parts.admission.append": "has the point inside",
    "commit.drain": "waits for groups that have the points",
    "drain": "the same",
    "self._live.typing.tell": "has the point inside",
    "cursor.is_drained": "has the point inside",
}
_OURS = ast.FunctionDef | ast.AsyncFunctionDef


def test_every_await_that_touches_a_server_has_a_crash_point() -> None:
    """An await without a point is a crash that nobody ever tried."""
    touching = _touching()
    assert {"load", "take_lead", "find_credential", "stream_state", "execute"} <= touching
    assert [place for path in _files() for place in _bare(path, touching)] == []


def test_names_of_points_are_unique() -> None:
    """A name that stands twice would kill at two places and count the passes of both."""
    names = [name for path in _files() for name in _names(path)]
    assert len(names) == len(set(names))
    assert len(names) > 60


def _files() -> list[str]:
    return [path for place in _COVERED for path in _under(place) if not _is_left_out(path)]


def _under(place: str) -> list[str]:
    path = ROOT / place
    files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    return [str(file.relative_to(ROOT)) for file in files]


def _is_left_out(path: str) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in _NOT_COVERED)


def _touching() -> set[str]:
    names = _CLIENTS | _OWN
    for path in (file for place in _STATEMENTS for file in _under(place)):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
                names.add(node.name)
    return names


def _bare(path: str, touching: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, _OURS):
            yield from (f"{path}:{line}" for line in _lines_without_point(node, touching))


def _lines_without_point(function: _OURS, touching: set[str]) -> Iterator[int]:
    """Each such await needs a point of its own: between it and the await before, in the order of the source."""
    has_point = False
    for node in _in_order(function):
        if _called(node) == "crashpoint":
            has_point = True
        elif isinstance(node, ast.Await) and _is_touching(node, touching):
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


def _is_touching(node: ast.Await, touching: set[str]) -> bool:
    name = _called(node.value)
    full = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
    return name in touching and full not in _THROUGH


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
