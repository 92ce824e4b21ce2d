"""What a start leaves out, and that it comes back."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator

import argon2
import pytest

from shared import passwords, runtime
from shared.starting import spare_imports


@pytest.fixture
def own_collector() -> Iterator[None]:
    """The collector as it was, afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


@pytest.mark.usefixtures("own_collector")
def test_collector_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose collector rested while it started has one when it runs: cycles would fill its memory."""
    monkeypatch.setitem(sys.modules, "rich", None)
    spare_imports()
    assert not gc.isenabled()
    runtime._collect_rarely()
    assert gc.isenabled()


@pytest.mark.usefixtures("own_collector")
def test_tracebacks_need_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws tracebacks for our tools is not imported by a service, and taken for absent by who could use it."""
    monkeypatch.delitem(sys.modules, "rich", raising=False)
    spare_imports()
    with pytest.raises(ImportError):
        importlib.import_module("rich")


def test_nobody_costs_as_much() -> None:
    """A login with an address that nobody has takes as long as one with a wrong password: both are hashed alike."""
    real = argon2.extract_parameters(passwords.hash_password("correct horse").decode())
    assert argon2.extract_parameters(passwords._NOBODY) == real
    assert not passwords.is_password("correct horse", None)
