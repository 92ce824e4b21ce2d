"""The sources of this checkout, for tests that hold the rules of the house."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CODE = ("services", "shared", "cli", "clients", "deploy", "bench", "prove", "simulate", "tests")
_GENERATED = {"__pycache__", "node_modules", "dist", "build", ".mypy_cache", ".ruff_cache"}
_TEXT = {
    ".py",
    ".md",
    ".toml",
    ".sql",
    ".json",
    ".jsonl",
    ".yaml",
    ".yml",
    ".conf",
    ".sh",
    ".js",
    ".txt",
}


def python_files() -> list[Path]:
    """Every Python file of ours."""
    return [file for top in _CODE for file in _walk(ROOT / top) if file.suffix == ".py"]


def text_files() -> list[Path]:
    """Every file of ours that a person or a tool reads as text."""
    files = [file for top in (*_CODE, "docs") for file in _walk(ROOT / top)]
    files += [file for file in ROOT.iterdir() if file.is_file()]
    return [file for file in files if file.suffix in _TEXT or file.name == "Makefile"]


def relative(file: Path) -> str:
    """The name under which a person finds it."""
    return str(file.relative_to(ROOT))


def _walk(directory: Path) -> Iterator[Path]:
    for entry in sorted(directory.iterdir()) if directory.exists() else []:
        if entry.is_dir() and entry.name not in _GENERATED:
            yield from _walk(entry)
        elif entry.is_file():
            yield entry
