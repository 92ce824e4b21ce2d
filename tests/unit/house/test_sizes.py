"""The house's sizes: what can't be read in one go is cut before it is merged."""

from __future__ import annotations

import ast
from functools import cache
from itertools import chain
from typing import NamedTuple

from tests.support.sources import python_files, relative

_FILE_LINES = 500
_FUNCTION_LINES = 60
_PARAMETERS = 5
_NESTING = 3
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)


def test_no_file_is_longer_than_500_lines() -> None:
    """A file that outgrows its size becomes a package."""
    lengths = {relative(file): len(file.read_text().splitlines()) for file in python_files()}
    assert {name: count for name, count in lengths.items() if count > _FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    """Docstrings are not counted."""
    long = [f"{one.where}: {one.lines}" for one in _functions() if one.lines > _FUNCTION_LINES]
    assert long == []


def test_nine_of_ten_functions_are_under_25_lines() -> None:
    """The long ones stay the exception, over the whole code."""
    lengths = sorted(one.lines for one in _functions())
    assert lengths[len(lengths) * 9 // 10] < 25


def test_no_function_takes_more_than_5_parameters() -> None:
    """What needs more takes a Struct; tests take as many fixtures as they like."""
    crowded = [one.where for one in _functions() if one.parameters > _PARAMETERS]
    assert [where for where in crowded if not where.startswith("tests/")] == []


def test_no_block_is_nested_deeper_than_3() -> None:
    """Deeper code is a function that has not been named yet. `with` opens no branch."""
    assert [one.where for one in _functions() if one.depth > _NESTING] == []


class _Measured(NamedTuple):
    where: str
    lines: int
    parameters: int
    depth: int


@cache
def _functions() -> tuple[_Measured, ...]:
    """Measured once for all the tests; the trees themselves are too large to be kept."""
    return tuple(
        _measured(f"{relative(file)}:{node.lineno} {node.name}", node)
        for file in python_files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, _Function)
    )


def _measured(where: str, node: _Function) -> _Measured:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return _Measured(
        where=where,
        lines=1 + ((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0),
        parameters=_parameter_count(node),
        depth=_depth(node.body),
    )


def _parameter_count(node: _Function) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([one for one in named if one.arg not in ("self", "cls")])


def _depth(body: list[ast.stmt]) -> int:
    return max((_depth_of(statement) for statement in body), default=0)


def _depth_of(statement: ast.stmt) -> int:
    if isinstance(statement, ast.With | ast.AsyncWith):
        return _depth(statement.body)
    if not isinstance(statement, _BRANCHES):
        return 0
    if isinstance(statement, ast.Match):
        return 1 + max(_depth(case.body) for case in statement.cases)
    handlers = getattr(statement, "handlers", [])
    inner = list(chain(statement.body, *(handler.body for handler in handlers)))
    inner += getattr(statement, "finalbody", [])
    otherwise = getattr(statement, "orelse", [])
    if isinstance(statement, ast.If) and len(otherwise) == 1 and isinstance(otherwise[0], ast.If):
        # `elif` reads as one level.
        return max(1 + _depth(inner), _depth_of(otherwise[0]))
    return 1 + _depth(inner + otherwise)
