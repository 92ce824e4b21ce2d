"""A process's share of the processor: little while it may lag, all of it while it is far behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.weight import Share, weigh_process, weigh_session
from tests.support.sources import ROOT


class _Kernel:
    """Takes a nice value when it likes to."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.refuses = False

    def set(self, nice: int) -> bool:
        if not self.refuses:
            self.values.append(nice)
        return not self.refuses


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock as the share sees it; its last item is now."""
    times = [100.0]
    monkeypatch.setattr("shared.weight.time.monotonic", lambda: times[-1])
    monkeypatch.setattr("shared.weight.time.sleep", lambda s: times.append(times[-1] + s))
    return times


def test_who_is_far_behind_steps_back_for_nobody_until_it_caught_up(at: list[float]) -> None:
    """A weight may make a lag, never let it grow for ever; at a lag about the limit it does not flap."""
    kernel = _Kernel()
    share = Share(7, behind_s=2.0, ways=[kernel.set])
    share.begin()
    for behind_s in (0.0, 1.9, 2.1, 1.9, 0.6, 0.4, 1.9):
        at.append(at[-1] + 1)
        share.mind(behind_s)
    assert kernel.values == [7, 0, 7]


def test_changes_are_few_and_one_that_failed_is_tried_again(at: list[float]) -> None:
    """A change takes locks of the whole kernel: two a second at most; and the kernel may say "later"."""
    kernel = _Kernel()
    share = Share(7, behind_s=2.0, ways=[kernel.set])
    share.begin()
    kernel.refuses = True
    share.mind(9.0)
    kernel.refuses = False
    at.append(at[-1] + 0.4)
    share.mind(9.0)
    assert kernel.values == [7]
    at.append(at[-1] + 0.2)
    share.mind(9.0)
    share.mind(0.0)
    assert kernel.values == [7, 0]


def test_a_machine_without_weights_is_no_fault(at: list[float]) -> None:
    """Where it is not possible the service starts all the same, soon, and asks again only when it matters."""
    kernel = _Kernel()
    kernel.refuses = True
    share = Share(7, ways=[kernel.set])
    share.begin()
    assert at[-1] - at[0] < 1.0
    share.mind(9.0)
    assert share.now == 0


def test_a_weight_of_nothing_touches_nothing(at: list[float]) -> None:
    """Services with the default 0 leave alone what their supervisor gave them."""
    kernel = _Kernel()
    share = Share(0, ways=[kernel.set])
    share.begin()
    at.append(at[-1] + 1)
    share.mind(9.0)
    assert kernel.values == []


def test_a_session_of_others_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where services share a session the store must not make the gateway light, too."""
    autogroup = tmp_path / "autogroup"
    autogroup.write_text("")
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid() + 1)
    assert not weigh_session(5, autogroup)
    assert autogroup.read_text() == ""
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    assert weigh_session(5, autogroup)
    assert autogroup.read_text() == "5"
    assert not weigh_session(5, tmp_path / "missing" / "autogroup")


def test_who_may_not_come_back_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to a lower value a higher one would be for ever."""
    given: list[int] = []

    def set_priority(_which: int, _who: int, nice: int) -> None:
        if nice < 0:
            raise PermissionError
        given.append(nice)

    monkeypatch.setattr(os, "setpriority", set_priority)
    # The tests themselves may have been told to step back.
    monkeypatch.setattr(os, "getpriority", lambda _which, _who: 0)
    assert not weigh_process(5)
    assert given == []


def test_the_kernel_is_told_and_told_again() -> None:
    """What a share believes is what the kernel has, there and back, for a process with a session of its own."""
    script = (
        "import os, pathlib, threading\n"
        "from shared.weight import Share\n"
        "share = Share(6)\n"
        "def seen():\n"
        "    file = pathlib.Path('/proc/self/autogroup')\n"
        "    session = file.read_text().split()[-1] if file.exists() else ''\n"
        "    return {str(os.getpriority(os.PRIO_PROCESS, 0)), session}\n"
        "share.begin()\n"
        "assert str(share.now) in seen(), seen()\n"
        "for _ in range(200):\n"
        "    share.mind(9.0)\n"
        "    if not share.now:\n"
        "        break\n"
        "    threading.Event().wait(0.05)\n"
        "print(share.now, '0' in seen() and '6' not in seen())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        start_new_session=True,
    )
    assert done.stdout.splitlines()[-1] == "0 True"
