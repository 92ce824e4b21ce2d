"""The documents say what the code says: generated pages, links, paths, names, commands, settings."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from cli import reference
from cli.reference import events, settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"`((?:services|shared|cli|clients|deploy|tests|bench|docs)/[\w./-]*\w/?|\.ci/run)`"
)
_PLACE = re.compile(r"`([\w/]+\.py)` `([A-Za-z_][\w.]*)`")
_TARGET = re.compile(r"\bmake ([a-z]+)\b")
_COMMAND = re.compile(r"(?:^|`|\$ |\./\.venv/bin/|\.venv/bin/)nightdesk ([a-z]+)\b", re.MULTILINE)
_VARIABLE = re.compile(r"\bNIGHTDESK_[A-Z0-9_]*[A-Z0-9]\b")


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _code(name: str) -> str:
    """Everything on the page that is code: blocks and words in backticks."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", _text(name), re.DOTALL)
    rest = re.sub(r"```.*?```", "", _text(name), flags=re.DOTALL)
    return "\n".join([*blocks, *(f"`{word}`" for word in re.findall(r"`([^`\n]+)`", rest))])


def test_the_generated_pages_say_what_the_code_says() -> None:
    """Settings, events, errors, metrics and questions are documented as they are in this release."""
    assert reference.outdated() == []


def test_every_event_is_documented() -> None:
    """No event of the union is left out of the events page."""
    assert events.missing() == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    """A link inside the project resolves to a file, and its anchor to a heading."""
    dead = [link for link in _LINK.findall(_text(name)) if not _resolves(ROOT / name, link)]
    assert dead == []


@pytest.mark.parametrize("name", NAMES)
def test_every_path_exists(name: str) -> None:
    """A file or directory that a page names is there."""
    assert [path for path in _PATH.findall(_text(name)) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_a_file_exists(name: str) -> None:
    """Where a page says `file` `name`, the file defines that function, class or method."""
    places = _PLACE.findall(_text(name))
    assert [place for place in places if place[1] not in _defined(place[0])] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_exists(name: str) -> None:
    """`make` targets and `nightdesk` commands on a page can be run."""
    targets = set(re.findall(r"^([a-z]+):", _text("Makefile"), re.MULTILINE))
    commands = set(re.findall(r'^    "([a-z]+)": \(', _text("cli/__main__.py"), re.MULTILINE))
    assert set(_TARGET.findall(_code(name))) - targets == set()
    assert set(_COMMAND.findall(_code(name))) - commands == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_read_by_something(name: str) -> None:
    """A setting that a page names is one that a service, the command line or the stack reads."""
    used = set(_VARIABLE.findall(_text(name)))
    assert {each for each in used if each.removesuffix("_FILE") not in _variables()} == set()


@cache
def _variables() -> frozenset[str]:
    rows = [row[0] for each in settings.settings().values() for row in each]
    places = (
        "bench/**/*.py",
        "cli/**/*.py",
        "deploy/**/*.py",
        "deploy/nats/*.conf",
        "prove/**/*.py",
    )
    sources = [path for place in places for path in ROOT.glob(place)]
    spelled = {name for path in sources for name in _VARIABLE.findall(path.read_text("utf-8"))}
    found = {*rows, *spelled}
    return frozenset({*found, *(each.removesuffix("_FILE") for each in found)})


def _resolves(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@cache
def _defined(path: str) -> frozenset[str]:
    """Names of functions, classes, methods and constants in a module."""
    if not (ROOT / path).exists():
        return frozenset()
    found: set[str] = set()
    for node in ast.parse(_text(path)).body:
        found |= _names(node)
    return frozenset(found)


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.ClassDef():
            inner = {name for each in node.body for name in _names(each)}
            return {node.name, *(f"{node.name}.{name}" for name in inner)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Assign():
            return {each.id for each in node.targets if isinstance(each, ast.Name)}
        case _:
            return set()
