"""`nightdesk whatif`: the log since some time folded under other policies in memory, beside what happened and what the
same fold makes of it as it is. Changes nothing; reads `truth.events` and the account's keys only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from cli import installation
from cli.whatif.compare import REASONS, Difference, Figures, compare
from cli.whatif.history import Fact, begin, happened, play
from cli.whatif.plan import Plan
from services.gateway.misfits import misfits
from shared.codec import decode_event, from_json, to_json
from shared.crypto import KeyRing, read_master_key
from shared.database import connect, lost_as_unavailable
from shared.directory import Account, Directory, evolve
from shared.errors import Malformed, NightdeskError, Rejected
from shared.events import PolicySaved
from shared.ids import AccountId, AgentId
from shared.keys import load_keys
from shared.policy.check import faults
from shared.policy.conditions import Condition
from shared.policy.whole import draft
from shared.wire.policies import Conceal, SavePolicy, fields_of
from shared.wire.routing import RoutingDocument

_ROWS = 5_000
_TIMEOUT_S = 60.0
_BACK = re.compile(r"([0-9]{1,6})([mhd])")
_PARTS = frozenset({"agents", "teams", "policies", "inboxes"})
_MOST_DEVIATIONS = 10
_UNJUDGED = (
    "what asks for a page or an attribute is judged by a gateway when conversations come in; of what no policy asks"
    " for today, or without the master key, the log can't tell"
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@click.command()
@click.option("--policy", "file", type=click.Path(exists=True, dir_okay=False), required=True)
@click.option("--since", default="7d", show_default=True, help="30m, 12h, 7d, or a date and time.")
@click.option("--account", default="", help="Account id; not needed where there is one only.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")
def whatif(file: str, since: str, account: str, is_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Fold the log since some time under another policy and print who would have got what, and when, beside what really
    happened.

    The file holds a routing document (see `nightdesk policy show`), or the body of PATCH /policies/{id}, which is tried
    on every policy of the account.
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
    tried = _tried(body)
    since_ns = _since_ns(since)
    site = installation.find("database_url")
    everything = await _read(site.database_url)
    account_id = _account_of(everything, account)
    facts = [fact for fact in everything if fact[2].account_id == account_id]
    earlier = [fact for fact in facts if fact[1] < since_ns]
    later = facts[len(earlier) :]
    # Checked against what is there now: the teams and skills that the policy would find.
    today = begin(facts, account_id).account(account_id)
    ring = await _ring(site, account_id)
    plan = _plan(tried, today, ring)
    begun = begin(earlier, account_id)
    compared = compare(
        happened(begun, later, account_id),
        play(begun, later, account_id, Plan()),
        play(begun, later, account_id, plan),
    )
    return msgspec.structs.replace(compared, names=_names(today, ring))


def _tried(body: bytes) -> RoutingDocument | SavePolicy:
    """A routing document is told from settings of a policy by the parts that only it has."""
    found = from_json(body, msgspec.json.Decoder(Any))
    is_whole = isinstance(found, dict) and not found.keys().isdisjoint(_PARTS)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
        RoutingDocument if is_whole else SavePolicy
    )
    try:
        tried: RoutingDocument | SavePolicy = from_json(body, decoder)
    except Rejected as err:
        places = misfits(body, decoder.type)
        raise Rejected("invalid", "the file does not fit its description", faults=places) from err
    return tried


def _plan(tried: RoutingDocument | SavePolicy, today: Account, ring: KeyRing | None) -> Plan:
    """Raises `Rejected("invalid")` with every place that can't be obeyed."""
    conceal = _concealing(today, ring)
    if isinstance(tried, RoutingDocument):
        drafted = draft(tried, today, lambda _policy_id, _before: conceal, writer="")
        state = Directory(accounts={today.account_id: _copied(today)})
        for part in drafted.parts:
            evolve(state, part, today.routing)
        return Plan(whole=state.accounts[today.account_id])
    plan = Plan(changes=fields_of(tried, conceal))
    for saved in plan.first(today):
        found = faults(saved, today) if isinstance(saved, PolicySaved) else []
        if found:
            raise Rejected("invalid", "the policy can't be obeyed", faults=found)
    return plan


def _copied(account: Account) -> Account:
    return msgspec.structs.replace(
        account,
        **{
            name: dict(getattr(account, name))
            for name in ("agents", "teams", "inboxes", "policies")
        },
        versions=dict(account.versions),
    )


def _concealing(today: Account, ring: KeyRing | None) -> Conceal:
    """Conditions that were judged in the past have names in the log; others the log can't tell."""
    known = {
        rule.condition: rule.sealed
        for policy in today.policies.values()
        for rule in policy.skill_rules
    }

    def conceal(condition: Condition) -> tuple[str, bytes]:
        name = ""
        if ring is not None:
            text = to_json(condition)
            name = ring.fingerprint(today.account_id, b"condition", text).hex()[:16]
        if name and name in known:
            return name, known[name]
        raise Rejected("invalid", _UNJUDGED)

    return conceal


async def _ring(site: installation.Installation, account_id: AccountId) -> KeyRing | None:
    """The account's keys; None where there is no master key."""
    if not site.master_key_file:
        return None
    with contextlib.suppress(NightdeskError):
        ring = KeyRing(read_master_key(site.master_key_file))
        connection = await connect(site.database_url, name="whatif", statement_timeout_s=_TIMEOUT_S)
        try:
            with lost_as_unavailable("reading the keys"):
                keys = await load_keys(connection, account_id)
        finally:
            await connection.close()
        for key in keys:
            ring.add(key)
        return ring
    return None


def _names(account: Account, ring: KeyRing | None) -> dict[AgentId, str]:
    """What agents are called. None of them where there is no key: the figures stand without."""
    names: dict[AgentId, str] = {}
    if ring is None:
        return names
    with contextlib.suppress(NightdeskError):
        for agent_id, agent in account.agents.items():
            name = ring.open(account.account_id, agent.name, of=agent_id, part="name")
            names[agent_id] = name.decode()
    return names


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
    click.echo(f"{'':22}{'happened':>14}{'as it is':>14}{'what if':>14}")
    courses = (found.happened, found.now, found.other)
    for name in Figures.__struct_fields__:
        values = [getattr(course, name) for course in courses]
        if isinstance(values[0], dict):
            continue
        style = "14,.2f" if isinstance(values[0], float) else "14,d"
        click.echo(f"{name:22}" + "".join(format(value, style) for value in values))
    for agent_id in sorted({agent_id for course in courses for agent_id in course.given}):
        given = [course.given.get(agent_id, 0) for course in courses]
        called = found.names.get(agent_id, agent_id)
        click.echo(f"  {called[:20]:20}" + "".join(f"{n:14,d}" for n in given))
    _report_deviations(found)
    for moved in found.moved:
        waits = f"{_waited(moved.waited_s)} → {_waited(moved.other_waited_s)}"
        owners = f"{_called(found, moved.owner)} → {_called(found, moved.other_owner)}"
        real = f"happened: {_called(found, moved.happened)}, {_waited(moved.happened_waited_s)}"
        click.echo(f"  {moved.conversation_id}  {owners}  {waits}  ({real})")
    click.echo(f"{found.moved_count} waits with another owner")


def _report_deviations(found: Difference) -> None:
    """How far "as it is" may be believed: it is a simulation, too."""
    total = found.agreed + sum(found.reasons.values())
    click.echo(f"happened and as it is agree on {found.agreed:,d} of {total:,d} waits")
    for reason, count in found.reasons.items():
        click.echo(f"  {count:,d} {reason}: {REASONS[reason]}")
    for each in found.deviations[:_MOST_DEVIATIONS]:
        owners = f"{_called(found, each.owner)} / {_called(found, each.simulated_owner)}"
        waits = f"{_waited(each.waited_s)} / {_waited(each.simulated_waited_s)}"
        click.echo(f"  {each.conversation_id}  {each.reason}  {owners}  {waits}")


def _called(found: Difference, agent_id: AgentId | None) -> str:
    if agent_id is None:
        return "nobody"
    name = found.names.get(agent_id)
    return f"{name} ({agent_id})" if name else agent_id


def _waited(seconds: float | None) -> str:
    return "for ever" if seconds is None else f"{seconds:,.1f} s"
