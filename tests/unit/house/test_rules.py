"""Rules of the house that no linter knows: names, docstrings, handling, machine paths."""

from __future__ import annotations

import ast
import re

from tests.support.sources import ROOT, python_files, relative, text_files

_NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/\w")
_OPEN_END = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!.*#\d)")
# The rules themselves have to name what they forbid.
_THIS = "tests/unit/house/test_rules.py"


def test_modules_are_named_after_what_they_own() -> None:
    """A drawer for everything hides everything."""
    words = {relative(file): set(file.stem.split("_")) for file in python_files()}
    assert [name for name, parts in words.items() if parts & _NAMELESS] == []


def test_no_version_in_a_file_name() -> None:
    """There is one of each thing; history is in the repository."""
    bad = re.compile(r"(?:_new|_old|_v?\d+)$")
    assert [relative(file) for file in python_files() if bad.search(file.stem)] == []


def test_every_module_opens_with_what_it_owns() -> None:
    """A docstring of one to five lines."""
    found = {
        relative(file): ast.get_docstring(ast.parse(file.read_text())) for file in python_files()
    }
    wrong = {name: text for name, text in found.items() if not text or text.count("\n") > 7}
    assert sorted(wrong) == []


def test_every_test_says_which_promise_it_holds() -> None:
    """A red test tells what is broken for whom."""
    silent = [
        f"{relative(file)}:{node.lineno} {node.name}"
        for file in python_files()
        if file.name.startswith("test_")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_bus_and_runtime_catch_everything() -> None:
    """Elsewhere `except Exception` would hide bugs, unless it raises again at its end."""
    allowed = ("shared/bus/", "shared/runtime.py", "tests/")
    wide = [
        f"{relative(file)}:{node.lineno}"
        for file in python_files()
        if not relative(file).startswith(allowed)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ExceptHandler) and _is_wide(node)
    ]
    assert wide == []


def test_no_file_names_a_place_of_one_machine() -> None:
    """A path that exists here only would break for everyone else."""
    assert _matching(_MACHINE_PATH) == []


def test_nothing_is_left_open_without_an_issue() -> None:
    """An open end has an issue number, or it is forgotten."""
    assert _matching(_OPEN_END) == []


def test_tests_never_sleep_or_skip() -> None:
    """They wait on a state with a time-out; a skipped test proves nothing."""
    calls = re.compile(
        r"\b(?:time|asyncio)\.sleep\((?!0\))|pytest\.(?:skip|mark\.skip|mark\.xfail|xfail)"
    )
    tests = [file for file in python_files() if file.name.startswith("test_")]
    assert [
        relative(file)
        for file in tests
        if relative(file) != _THIS and calls.search(file.read_text())
    ] == []


def test_a_process_is_paused_in_one_place() -> None:
    """Whoever sends SIGSTOP alone goes on while threads of the paused process still answer."""
    sent = re.compile(r"signal\.SIGSTOP")
    senders = {relative(file) for file in python_files() if sent.search(file.read_text())}
    # The second one stops itself, at a crash point.
    assert senders - {_THIS} == {"deploy/dev/process.py", "shared/crashpoints.py"}


def test_every_service_is_under_the_import_rules() -> None:
    """A new service that import-linter does not know would be free to do anything."""
    rules = (ROOT / "pyproject.toml").read_text()
    packages = [file.parent.name for file in (ROOT / "services").glob("*/__init__.py")]
    assert [name for name in packages if f'"services.{name}"' not in rules] == []


def _is_wide(node: ast.ExceptHandler) -> bool:
    caught, last = node.type, node.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return caught is None or any(
        isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names
    )


def _matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for file in text_files():
        lines = file.read_text(encoding="utf-8").splitlines()
        found += [
            f"{relative(file)}:{number}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line) and relative(file) != _THIS
        ]
    return found
