"""A failed step tells its log's last lines, the cause and what to do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from deploy.dev.errors import StackError
from deploy.dev.progress import Screen


def _screen() -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    return Screen(Console(file=written, width=200, highlight=False)), written


def test_a_failure_is_explained_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Nobody has to look for the file first; square brackets in a log are no markup."""
    log = tmp_path / "store.log"
    log.write_text("".join(f"line {number} [/red]\n" for number in range(100)))
    screen, written = _screen()
    screen.explain(StackError("store", "it refused to run", advice="read it", log=log))
    shown = written.getvalue()
    assert "line 99 [/red]" in shown
    assert "line 1 " not in shown
    assert "store: it refused to run" in shown
    assert "what to do: read it" in shown


def test_a_step_shows_its_time_and_its_note() -> None:
    """Progress while it works."""
    screen, written = _screen()
    with screen.step("PostgreSQL") as step:
        step.note = "127.0.0.1:5"
    assert "✓ PostgreSQL" in written.getvalue()
    assert " s  127.0.0.1:5" in written.getvalue()


def test_a_failed_step_is_marked_and_raises_on() -> None:
    """A failure is never shown as done."""
    screen, written = _screen()
    with pytest.raises(StackError), screen.step("store"):
        raise StackError("store", "no", advice="none")
    assert "✗ store" in written.getvalue()
