"""The house's sizes: what can't be read in one go is cut before it is merged."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

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
    assert [f"{where}: {count}" for where, count in _lengths() if count > _FUNCTION_LINES] == []


def test_nine_of_ten_functions_are_under_25_lines() -> None:
    """The long ones stay the exception, over the whole code."""
    lengths = sorted(count for _, count in _lengths())
    assert lengths[len(lengths) * 9 // 10] < 25


def test_no_function_takes_more_than_5_parameters() -> None:
    """What needs more takes a Struct; tests take as many fixtures as they like."""
    crowded = [where for where, node in _functions() if _parameter_count(node) > _PARAMETERS]
    assert [where for where in crowded if not where.startswith("tests/")] == []


def test_no_block_is_nested_deeper_than_3() -> None:
    """Deeper code is a function that has not been named yet. `with` opens no branch."""
    assert [where for where, node in _functions() if _depth(node.body) > _NESTING] == []


def _functions() -> Iterator[tuple[str, _Function]]:
    for file in python_files():
        for node in ast.walk(_tree(file)):
            if isinstance(node, _Function):
                yield f"{relative(file)}:{node.lineno} {node.name}", node


def _lengths() -> Iterator[tuple[str, int]]:
    for where, node in _functions():
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        yield where, 1 + ((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)


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


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())
