"""`nightdesk whatif`: the log since some time folded under another policy in memory, and the differences. Changes
nothing; reads `truth.events` only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from cli import installation
from cli.whatif.compare import Difference, Figures, compare
from cli.whatif.history import Fact, begin, other_policies, play
from shared.codec import decode_event, from_json
from shared.crypto import KeyRing, read_master_key
from shared.database import connect, lost_as_unavailable
from shared.directory import Account
from shared.errors import Malformed, NightdeskError, Rejected
from shared.events import PolicySaved
from shared.ids import AccountId, AgentId
from shared.keys import load_keys
from shared.policy.check import faults
from shared.policy.conditions import Condition
from shared.wire.policies import SavePolicy, fields_of

_ROWS = 5_000
_TIMEOUT_S = 60.0
_BACK = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@click.command()
@click.option("--policy", "file", type=click.Path(exists=True, dir_okay=False), required=True)
@click.option("--since", default="7d", show_default=True, help="30m, 12h, 7d, or a date and time.")
@click.option("--account", default="", help="Account id; not needed where there is one only.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")
def whatif(file: str, since: str, account: str, is_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Fold the log since some time under another policy and print who would have got what, and when.

    The file holds the body of PATCH /policies/{id}; it is tried on every policy of the account.
    """
    try:
        found = asyncio.run(_whatif(Path(file).read_bytes(), since, account))
    except NightdeskError as err:
        places = [f"  {at}: {text}" for at, text in getattr(err, "faults", ())]
        click.echo("\n".join([f"whatif: {err.message}", *places]), err=True)
        sys.exit(2)
    if is_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        _report(found)


async def _whatif(body: bytes, since: str, account: str) -> Difference:
    changes = fields_of(from_json(body, msgspec.json.Decoder(SavePolicy)), _unjudged)
    since_ns = _since_ns(since)
    site = installation.find("database_url")
    everything = await _read(site.database_url)
    account_id = _account_of(everything, account)
    facts = [fact for fact in everything if fact[2].account_id == account_id]
    earlier = [fact for fact in facts if fact[1] < since_ns]
    later = facts[len(earlier) :]
    begun = begin(earlier, account_id)
    # Checked against what is there now: the teams and skills that the policy would find.
    today = begin(facts, account_id)
    for saved in other_policies(today, account_id, changes):
        found = faults(saved, today.account(account_id)) if isinstance(saved, PolicySaved) else []
        if found:
            raise Rejected("invalid", "the policy can't be obeyed", faults=found)
    compared = compare(play(begun, later, account_id, {}), play(begun, later, account_id, changes))
    names = await _names(site, today.account(account_id))
    return msgspec.structs.replace(compared, names=names)


async def _names(site: installation.Installation, account: Account) -> dict[AgentId, str]:
    """What agents are called. None of them where there is no master key: the figures stand without."""
    names: dict[AgentId, str] = {}
    if not site.master_key_file:
        return names
    with contextlib.suppress(NightdeskError):
        ring = KeyRing(read_master_key(site.master_key_file))
        connection = await connect(site.database_url, name="whatif", statement_timeout_s=_TIMEOUT_S)
        try:
            with lost_as_unavailable("reading the keys"):
                keys = await load_keys(connection, account.account_id)
        finally:
            await connection.close()
        for key in keys:
            ring.add(key)
        for agent_id, agent in account.agents.items():
            name = ring.open(account.account_id, agent.name, of=agent_id, part="name")
            names[agent_id] = name.decode()
    return names


def _unjudged(_condition: Condition) -> tuple[str, bytes]:
    raise Rejected(
        "invalid",
        "what asks for a page or an attribute is judged by a gateway when conversations come in; the log can't tell",
    )


async def _read(database_url: str) -> list[Fact]:
    """Every readable event, shard by shard in order. All of it is held in memory."""
    connection = await connect(database_url, name="whatif", statement_timeout_s=_TIMEOUT_S)
    facts: list[Fact] = []
    last = ("", 0)
    try:
        while True:
            with lost_as_unavailable("reading the log"):
                cursor = await connection.execute(
                    "SELECT shard, position, at_ns, payload FROM truth.events"
                    " WHERE (shard, position) > (%s, %s) ORDER BY shard, position LIMIT %s",
                    [*last, _ROWS],
                )
                rows = await cursor.fetchall()
            facts += _readable(rows)
            if rows:
                last = rows[-1][:2]
            if len(rows) < _ROWS:
                return facts
    finally:
        await connection.close()


def _readable(rows: list[tuple[str, int, int, bytes]]) -> Iterator[Fact]:
    for _, position, at_ns, payload in rows:
        with contextlib.suppress(Malformed):
            yield position, at_ns, decode_event(bytes(payload))


def _account_of(facts: list[Fact], wanted: str) -> AccountId:
    known = {event.account_id for _, _, event in facts if event.account_id}
    if wanted:
        if wanted not in known:
            raise Rejected("not_found", "the log knows no such account")
        return AccountId(wanted)
    if len(known) != 1:
        raise Rejected("invalid", f"the log has {len(known)} accounts; say which with --account")
    return known.pop()


def _since_ns(text: str) -> int:
    back = _BACK.fullmatch(text)
    if back is not None:
        moment = dt.datetime.now(dt.UTC) - dt.timedelta(**{_UNITS[back[2]]: int(back[1])})
        return int(moment.timestamp()) * 1_000_000_000
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as err:
        raise Rejected("invalid", "--since is 30m, 12h, 7d or a date and time") from err
    return int(moment.astimezone(dt.UTC).timestamp()) * 1_000_000_000


def _report(found: Difference) -> None:
    click.echo(f"{'':22}{'as it is':>14}{'what if':>14}")
    for name in Figures.__struct_fields__:
        now, other = getattr(found.now, name), getattr(found.other, name)
        if isinstance(now, dict):
            continue
        style = ",.2f" if isinstance(now, float) else ",d"
        click.echo(f"{name:22}{format(now, style):>14}{format(other, style):>14}")
    for agent_id in sorted({*found.now.given, *found.other.given}):
        now, other = found.now.given.get(agent_id, 0), found.other.given.get(agent_id, 0)
        click.echo(f"  {agent_id}{now:>8,d}{other:>14,d}  {found.names.get(agent_id, '')}".rstrip())
    click.echo(f"{found.moved_count} waits with another owner")
    for moved in found.moved:
        waits = f"{_waited(moved.waited_s)} → {_waited(moved.other_waited_s)}"
        owners = f"{_called(found, moved.owner)} → {_called(found, moved.other_owner)}"
        click.echo(f"  {moved.conversation_id}  {owners}  {waits}")


def _called(found: Difference, agent_id: AgentId | None) -> str:
    if agent_id is None:
        return "nobody"
    name = found.names.get(agent_id)
    return f"{name} ({agent_id})" if name else agent_id


def _waited(seconds: float | None) -> str:
    return "for ever" if seconds is None else f"{seconds:,.1f} s"
