"""Settings: from the environment, with every fault named at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.store.config import Config
from shared.config import Shared, check_all, load, table, unknown, variable_of
from shared.errors import Refused
from shared.runtime import Health
from shared.weight import FollowerWeight

_GOOD = {
    "NIGHTDESK_NATS_URL": "nats://localhost",
    "NIGHTDESK_DATABASE_URL": "postgresql://localhost/x",
    "NIGHTDESK_MASTER_KEY_FILE": "/key",
}


def test_settings_are_read_by_name_and_the_rest_has_defaults() -> None:
    """A variable sets its field; an absent one leaves the default."""
    given = {**_GOOD, "NIGHTDESK_STORE_BATCH_ENTRIES": "77"}
    check_all(given, (Config, Health, FollowerWeight), service="store")
    shared, own = load(given, Shared), load(given, Config, service="store")
    assert (shared.nats_url, shared.mode, own.batch_entries) == (
        "nats://localhost",
        "production",
        77,
    )


def test_all_faults_are_reported_together_by_name() -> None:
    """One run tells everything that is wrong: shared, own and of every service, missing and malformed."""
    broken = {
        "NIGHTDESK_NATS_URL": "nats://localhost",
        "NIGHTDESK_SHARD": "Not A Shard",
        "NIGHTDESK_STORE_BATCH_ENTRIES": "many",
        "NIGHTDESK_STORE_QUERY_CONNECTIONS": "0",
        "NIGHTDESK_STORE_HEALTH_PORT": "99999",
        "NIGHTDESK_STORE_NICE": "20",
    }
    with pytest.raises(Refused) as caught:
        check_all(broken, (Config, Health, FollowerWeight), service="store")
    lines = caught.value.message.splitlines()
    named = sorted(line.partition(":")[0] for line in lines)
    assert named == [
        "NIGHTDESK_DATABASE_URL",
        "NIGHTDESK_MASTER_KEY_FILE",
        "NIGHTDESK_SHARD",
        "NIGHTDESK_STORE_BATCH_ENTRIES",
        "NIGHTDESK_STORE_HEALTH_PORT",
        "NIGHTDESK_STORE_NICE",
        "NIGHTDESK_STORE_QUERY_CONNECTIONS",
    ]


def test_an_address_of_another_kind_is_a_fault_that_repeats_no_password() -> None:
    """What could never be connected to is refused at once, not waited for, and what was given is not printed."""
    wrong = {
        "NIGHTDESK_NATS_URL": "http://nats.example",
        "NIGHTDESK_DATABASE_URL": "mysql://someone:hush@db.example/x",
        "NIGHTDESK_NATS_MONITOR_URL": "nats.example:8222",
    }
    with pytest.raises(Refused) as caught:
        check_all({**_GOOD, **wrong}, (Config,), service="store")
    lines = caught.value.message.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(wrong)
    assert "hush" not in caught.value.message


class _Secretive(msgspec.Struct, frozen=True, kw_only=True):
    token: str


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    """…_FILE gives the value; a file that can't be read is a fault by name, without its path's content."""
    path = tmp_path / "secret"
    path.write_text("hush\n")
    assert load({"NIGHTDESK_X_TOKEN_FILE": str(path)}, _Secretive, service="x").token == "hush"
    with pytest.raises(Refused, match="NIGHTDESK_X_TOKEN_FILE: cannot be read"):
        load({"NIGHTDESK_X_TOKEN_FILE": str(path) + "no"}, _Secretive, service="x")


def test_every_setting_is_documented() -> None:
    """The table for the docs names each variable with a description."""
    rows = table(Shared) + table(Config, service="store")
    assert all(description for *_, description in rows)
    assert (variable_of("store", "wait_s")) in {row[0] for row in rows}


def test_a_mistyped_name_is_told_with_the_one_that_was_meant() -> None:
    """A setting that nobody reads would silently not hold; those of other services and of tools are their business."""
    environ = {
        **_GOOD,
        "NIGHTDESK_STORE_BATCH_ENTRYS": "7",
        "NIGHTDESK_SHRAD": "1",
        "NIGHTDESK_STORE_COLOUR_OF_THE_WALLS": "blue",
        "NIGHTDESK_GATEWAY_ANYTHING": "x",
        "NIGHTDESK_GATEWAY_URL": "http://localhost",
        "NIGHTDESK_NATS_STORE_PASSWORD": "x",
        "NIGHTDESK_MASTER_KEY_FILE": "/key",
        "NIGHTDESK_NATS_URL_FILE": "/url",
        "OTHER": "x",
    }
    assert unknown(environ, (Config,), service="store") == [
        ("NIGHTDESK_SHRAD", "NIGHTDESK_SHARD"),
        ("NIGHTDESK_STORE_BATCH_ENTRYS", "NIGHTDESK_STORE_BATCH_ENTRIES"),
        ("NIGHTDESK_STORE_COLOUR_OF_THE_WALLS", ""),
    ]
