"""One supervisor at a time, secrets for the owner only, logs of earlier runs kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.dev.errors import StackError
from deploy.dev.run_directory import RunDirectory, RunningProcess, RunState


def test_a_second_supervisor_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    """Two supervisors on one data directory would destroy it."""
    first = RunDirectory(tmp_path)
    first.prepare()
    first.write_state(RunState(status="ready", pid=1, gateway_url="http://127.0.0.1:8480"))
    second = RunDirectory(tmp_path)
    with pytest.raises(StackError, match=r"running already at http://127\.0\.0\.1:8480"):
        second.prepare()
    assert second.is_held()


def test_a_directory_that_nobody_holds_is_free(tmp_path: Path) -> None:
    """A state file of a dead supervisor blocks nothing."""
    RunDirectory(tmp_path).write_state(RunState(status="ready", pid=1))
    assert not RunDirectory(tmp_path).is_held()


def test_the_state_file_is_private(tmp_path: Path) -> None:
    """Its addresses hold passwords."""
    directory = RunDirectory(tmp_path)
    state = RunState(status="ready", pid=7, nats_url="nats://u:p@127.0.0.1:1")
    directory.write_state(state)
    assert directory.state() == state
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_broken_state_file_counts_as_none(tmp_path: Path) -> None:
    """A power loss in the middle of a write must not block the next start."""
    (tmp_path / "state.json").write_text('{"status": "rea')
    assert RunDirectory(tmp_path).state() is None


def test_the_master_key_is_made_once(tmp_path: Path) -> None:
    """Another key would make every message unreadable."""
    directory = RunDirectory(tmp_path)
    key = directory.ensure_master_key().read_text()
    assert len(bytes.fromhex(key)) == 32
    assert directory.ensure_master_key().read_text() == key
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600


def test_a_start_keeps_the_logs_of_the_three_before(tmp_path: Path) -> None:
    """Why it died last time is still there, and disks don't fill up."""
    directory = RunDirectory(tmp_path)
    directory.prepare()
    for number in range(5):
        directory.log("store").write_text(str(number))
    kept = {file.name: file.read_text() for file in directory.logs.iterdir()}
    assert kept == {"store.log": "4", "store.log.1": "3", "store.log.2": "2", "store.log.3": "1"}


def test_a_recorded_pid_that_now_belongs_to_another_is_left_alone(tmp_path: Path) -> None:
    """Pids are used again; only the process that was started may be ended."""
    directory = RunDirectory(tmp_path)
    stranger = RunningProcess(name="store", pid=1, created=12.0)
    directory.write_state(RunState(status="ready", pid=2, processes=[stranger]))
    assert directory.end_leftovers() == []


def test_wiping_takes_our_data_and_nothing_else(tmp_path: Path) -> None:
    """RESET=1 means empty data; what else lies in a chosen directory is not ours to delete."""
    directory = RunDirectory(tmp_path)
    directory.prepare()
    directory.ensure_master_key()
    directory.write_state(RunState(status="ready", pid=1))
    (tmp_path / "nats" / "jetstream").mkdir(parents=True)
    (tmp_path / "holiday.jpg").touch()
    directory.wipe()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["holiday.jpg", "lock", "logs"]
    assert directory.is_held()
