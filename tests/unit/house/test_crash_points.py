"""Every await that touches NATS or PostgreSQL has a point at which `make prove` can kill.

What touches is found in the sources: what the servers' clients offer, and every async function of the modules that
hold statements and requests. Those modules need no points of their own, because every call of theirs has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import ROOT

_COVERED = (
    "services/gateway",
    "services/store",
    "services/dispatcher",
    "services/presence",
    "shared",
)
_STATEMENTS = (
    "services/store/tables",
    "services/dispatcher/tables.py",
    "shared/keys.py",
    "shared/database.py",
    "shared/bus/api.py",
    "shared/bus/streams.py",
)
_NOT_COVERED = {
    "services/store/rebuild.py": "run by hand, from the start again when it was cut short",
    "services/store/tables": "its functions have a point where they are called",
    "services/dispatcher/tables.py": "the same",
    "shared/keys.py": "the same",
    "shared/database.py": "the same",
    "shared/bus/api.py": "the same",
    "shared/bus/streams.py": "the same",
    "shared/bus/client.py": "nats-py's own connection, beneath every await",
    "shared/bus/connection.py": "carries the awaits of its callers, who have the points",
    "shared/bus/acks.py": "an inbox: nothing is sent before the append that has a point",
}
_CLIENTS = {
    "execute",
    "publish",
    "reply",
    "request",
    "subscribe",
    "subscribe_raw",
    "unsubscribe_raw",
    "listen",
    "connect",
}
_HANDS_OVER = {"create_task", "ensure_future", "gather", "shield", "wait_for"}
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
    "role.listen": "has the points inside",
    "listen": "the same",
}
_READS_ONLY = {"services/store/handlers/questions.py": "nothing is committed at the end"}
_OURS = ast.FunctionDef | ast.AsyncFunctionDef


def test_every_await_that_touches_a_server_has_a_crash_point() -> None:
    """An await without a point is a crash that nobody ever tried."""
    touching = _touching()
    assert {"load", "take_lead", "find_credential", "stream_state", "execute"} <= touching
    assert [place for path in _files() for place in _bare(_parsed(path), path, touching)] == []


def test_every_commit_has_a_crash_point_of_its_own() -> None:
    """A transaction ends with a way to the database, too: death between the last statement and the commit is tried."""
    writing = [path for path in _files() if path not in _READS_ONLY]
    assert [place for path in writing for place in _uncommitted(_parsed(path), path)] == []
    assert _uncommitted(_parsed("services/store/handlers/questions.py"), "x"), "it has one without"


@pytest.mark.parametrize(
    "lines",
    [
        "await connection.execute(text)",
        "await bus.listen(subject, hear)",
        "task = tasks.create_task(bus.request(subject))",
        "await asyncio.gather(read_heads(connection), other())",
        "await asyncio.wait_for(bus.request(subject), 3)",
        "from shared.database import connect as dial\n    await dial(url)",
        "crashpoint('one')\n    await bus.publish(a)\n    await bus.publish(b)",
    ],
)
def test_an_await_without_a_point_is_found_in_every_guise(lines: str) -> None:
    """Under another name, handed to a task, or beside one that has a point: none gets by."""
    tree = ast.parse(f"async def work():\n    {lines}\n")
    assert len(list(_bare(tree, "x", _touching()))) == 1


def test_a_commit_without_a_point_is_found() -> None:
    """What is said before the last statement does not stand for the commit."""
    block = "    async with connection.transaction():\n        crashpoint('one')\n        await write(x)\n"
    tree = ast.parse("async def work():\n" + block)
    assert _uncommitted(tree, "x") == ["x:2"]
    assert (
        _uncommitted(ast.parse(f"async def work():\n{block}        crashpoint('two')"), "x") == []
    )


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


def _parsed(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def _touching() -> set[str]:
    names = _CLIENTS | _OWN
    for path in (file for place in _STATEMENTS for file in _under(place)):
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
                names.add(node.name)
    return names


def _bare(tree: ast.Module, path: str, touching: set[str]) -> Iterator[str]:
    others = {
        name.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname and name.name in touching
    }
    for node in ast.walk(tree):
        if isinstance(node, _OURS):
            lines = _lines_without_point(node, touching | others)
            yield from (f"{path}:{line}" for line in lines)


def _lines_without_point(function: _OURS, touching: set[str]) -> Iterator[int]:
    """Each such await needs a point of its own: between it and the await before, in the order of the source."""
    has_point = False
    for node in _in_order(function):
        if _called(node) == "crashpoint":
            has_point = True
        elif any(_is_touching(call, touching) for call in _begun(node)):
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


def _begun(node: ast.expr) -> Iterator[ast.expr]:
    """What is awaited here, or handed to somebody who awaits it."""
    if isinstance(node, ast.Await):
        yield node.value
    elif isinstance(node, ast.Call) and _called(node) in _HANDS_OVER:
        yield from node.args


def _is_touching(node: ast.expr, touching: set[str]) -> bool:
    full = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return _called(node) in touching and full not in _THROUGH


def _uncommitted(tree: ast.Module, path: str) -> list[str]:
    """Transactions whose end no point stands before."""
    return [
        f"{path}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        and any(_called(item.context_expr) == "transaction" for item in node.items)
        and not _is_point(node.body[-1])
    ]


def _is_point(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and _called(node.value) == "crashpoint"


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _names(path: str) -> Iterator[str]:
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Call) and _called(node) == "crashpoint":
            assert isinstance(node.args[0], ast.Constant)
            yield str(node.args[0].value)
