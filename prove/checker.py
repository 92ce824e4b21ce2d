"""Judges a run by what clients were told and saw, the log and the tables. Pure.

Every finding is one sentence under the name of the promise it breaks; no finding, no broken promise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from prove.alerts import hear, too_many
from prove.diary import Diary, Screen
from prove.evidence import LogEntry, Tables
from prove.folded import Folded, fold

FENCED = frozenset({"account", "presence", "routing"})
OLD_S = 3.0
"""A decision may miss what came in the moment before it; what is older than this it must have looked at."""


class Findings(msgspec.Struct, kw_only=True):
    """Sentences by promise."""

    broken: dict[str, list[str]] = {}

    def add(self, promise: str, text: str) -> None:
        """One more."""
        self.broken.setdefault(promise, []).append(text)

    def count(self, promise: str) -> int:
        """How many."""
        return len(self.broken.get(promise, []))

    @property
    def total(self) -> int:
        """Of all."""
        return sum(map(len, self.broken.values()))


PROMISES = (
    "lost from the log",
    "lost from the tables",
    "not shown",
    "doubled",
    "out of order",
    "gap on the wire",
    "invented",
    "foreign",
    "refused yet stored",
    "turned away",
    "unknown",
    "not alerted",
    "alerted too often",
    "two owners",
    "limbo",
    "unexplained",
    "written past the fence",
    "judged too early",
    "decided on an old state",
    "readable",
    "stuck in silence",
    "not ready",
    "tables differ",
    "ended",
    "fault of ours",
    "grew",
)


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the run itself knows of its faults. `dark`: times (as the log's) in which the tables could not be asked.
    `lease_s`: what an owner has to acknowledge an assignment.
    `troubled`: times in which processes that decide who is alerted were hit.
    `is_prompt`: nothing can have held an append up on its way, so that a decision on an old state is a fault."""

    dark: tuple[tuple[float, float], ...] = ()
    lease_s: float = 0.0
    troubled: tuple[tuple[float, float], ...] = ()
    is_prompt: bool = False


CALM = Circumstances()


def missing(diary: Diary, folded: Folded, screens: Iterable[Screen]) -> list[str]:
    """Accepted messages that a screen should show and does not: the visitor's, and those of the present owner."""
    accepted: dict[str, list[str]] = defaultdict(list)
    for said in diary.accepted():
        accepted[said.conversation_id].append(said.message_id)
    found = []
    for screen in screens:
        for conversation_id, ids in accepted.items():
            if screen.owner not in (
                diary.contacts.get(conversation_id),
                folded.owners.get(conversation_id),
            ):
                continue
            found += [
                f"{screen.name}: {x} of {conversation_id}" for x in ids if x not in screen.ids
            ]
    return found


def judge(
    diary: Diary,
    log: Sequence[LogEntry],
    tables: Tables,
    circumstances: Circumstances = CALM,
) -> Findings:
    """Everything that can be said once all is drained and every device is on and should be up to date."""
    findings = Findings()
    screens = list(diary.screens)
    folded = fold(log)
    _stored(findings, diary, folded, tables)
    _shown(findings, diary, folded, screens)
    _order(findings, diary, folded)
    _numbers(findings, screens, tables)
    _routing(findings, folded, screens)
    _fence(findings, log)
    _tables(findings, folded, tables, end=log[-1].position if log else 0)
    _judged(findings, folded, log, circumstances)
    _opaque(findings, diary, log)
    for text in too_many(diary, hear(log), circumstances.troubled):
        findings.add("alerted too often", text)
    return findings


def _judged(
    findings: Findings, folded: Folded, log: Sequence[LogEntry], circumstances: Circumstances
) -> None:
    for text in folded.too_early:
        findings.add("judged too early", text)
    for position, at_s, lasted_s in folded.lapses:
        if lasted_s < circumstances.lease_s:
            findings.add("judged too early", f"a lease at {position}, after {lasted_s:.1f} s")
        if any(since_s <= at_s <= until_s for since_s, until_s in circumstances.dark):
            findings.add("judged too early", f"a lease at {position}, while the tables were away")
    if not circumstances.is_prompt or not log:
        return
    first = log[0].position
    for position, looked_at in folded.decided:
        unseen = log[looked_at + 1 - first]
        age_s = log[position - first].at_s - unseen.at_s
        if age_s > OLD_S:
            text = f"at {position}, {age_s:.0f} s after {looked_at + 1}, which it did not look at"
            findings.add("decided on an old state", text)


def _opaque(findings: Findings, diary: Diary, log: Sequence[LogEntry]) -> None:
    """The log holds nothing of what people wrote in a form that the broker could read."""
    for entry in log:
        said = diary.said.get(str(entry.event.get("message_id", "")))
        if said is not None and said.text.encode() in entry.raw:
            findings.add("readable", f"the text of {said.message_id} at {entry.position}")


def _stored(findings: Findings, diary: Diary, folded: Folded, tables: Tables) -> None:
    rows = {row.message_id: row for row in tables.messages}
    for said in list(diary.said.values()):
        positions = folded.messages.get(said.message_id, [])
        if said.refused and said.sender == diary.contacts.get(said.conversation_id):
            # An agent may have lost the conversation; a visitor never has.
            findings.add("turned away", f"{said.message_id} ({said.refused})")
        if said.refused and positions:
            findings.add("refused yet stored", f"{said.message_id} ({said.refused})")
        if not said.told_s:
            if not said.refused:
                findings.add("unknown", said.message_id)
            continue
        if not positions:
            findings.add("lost from the log", said.message_id)
        elif said.position and said.position not in positions:
            findings.add("lost from the log", f"{said.message_id} is not at {said.position}")
        row = rows.get(said.message_id)
        if row is None or row.is_clash or row.is_unreadable:
            findings.add("lost from the tables", said.message_id)
        elif row.position != positions[0] if positions else True:
            findings.add("lost from the tables", f"{said.message_id} lies at {row.position}")
        if said.message_id not in tables.ids:
            findings.add("lost from the tables", f"the id {said.message_id}")
    for message_id in {*folded.messages, *rows} - set(diary.said):
        findings.add("invented", f"{message_id} is stored and nobody said it")


def _shown(findings: Findings, diary: Diary, folded: Folded, screens: Sequence[Screen]) -> None:
    for text in missing(diary, folded, screens):
        findings.add("not shown", text)
    for text in diary.pried:
        findings.add("foreign", text)
    for screen in diary.screens:
        if screen.gaps:
            findings.add("gap on the wire", f"{screen.name}: {screen.gaps}")
        if screen.ended:
            findings.add("ended", f"{screen.name}: {screen.ended}")
        seen: dict[str, int] = {}
        for shown in screen.shown:
            said = diary.said.get(shown.message_id)
            if said is not None and said.house != screen.house:
                findings.add("foreign", f"{screen.name}: {shown.message_id}")
            if said is None or said.text != shown.text or said.sender != shown.author:
                findings.add("invented", f"{screen.name}: {shown.message_id}")
            # An application that starts again gets what it may not have noted before it went; never within a life.
            if seen.get(shown.text) == shown.life:
                findings.add("doubled", f"{screen.name}: {shown.message_id}")
            seen[shown.text] = shown.life


def _order(findings: Findings, diary: Diary, folded: Folded) -> None:
    by_sender: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for said in diary.accepted():
        positions = folded.messages.get(said.message_id)
        if positions:
            key = (said.conversation_id, said.sender)
            by_sender[key].append((said.number, positions[0], said.message_id))
    for items in by_sender.values():
        items.sort()
        for (_, before, _), (_, after, message_id) in pairwise(items):
            if after <= before:
                findings.add("out of order", f"{message_id} was overtaken in the log")
    for screen in diary.screens:
        last: dict[str, tuple[int, int]] = {}
        for shown in screen.shown:
            life, position = last.get(shown.conversation_id, (0, 0))
            if life == shown.life and shown.position < position:
                findings.add("out of order", f"{screen.name}: {shown.message_id}")
            last[shown.conversation_id] = (shown.life, shown.position)


def _numbers(findings: Findings, screens: Sequence[Screen], tables: Tables) -> None:
    """The number of a message within its conversation is the same on every screen as in the tables."""
    numbers = {row.message_id: row.seq for row in tables.messages}
    for screen in screens:
        for shown in screen.shown:
            if shown.seq != numbers.get(shown.message_id, shown.seq):
                text = f"{screen.name}: {shown.message_id} as number {shown.seq}"
                findings.add("out of order", text)


def _routing(findings: Findings, folded: Folded, screens: Sequence[Screen]) -> None:
    for conversation_id in folded.started:
        if conversation_id in folded.said_in and conversation_id not in folded.routed:
            findings.add("limbo", f"{conversation_id} was never assigned nor queued")
    for text in folded.unexplained:
        findings.add("unexplained", text)
    for screen in screens:
        if screen.kind != "agent":
            continue
        mine = {c for c, agent_id in folded.owners.items() if agent_id == screen.owner}
        for conversation_id in set(screen.held) - mine:
            findings.add("two owners", f"{screen.name} believes to hold {conversation_id}")
        for conversation_id in mine - set(screen.held):
            findings.add(
                "not shown", f"{screen.name} does not know that it holds {conversation_id}"
            )


def _fence(findings: Findings, log: Sequence[LogEntry]) -> None:
    writers: dict[str, str] = {}
    for entry in log:
        writer = entry.event.get("writer")
        if entry.family not in FENCED or writer is None:
            continue
        is_claim = entry.event.get("type") == "writer_started"
        before = writers.get(entry.family)
        if before != writer and not is_claim and entry.family != "account":
            findings.add("written past the fence", f"{entry.family} at {entry.position}")
        writers[entry.family] = writer


def _tables(findings: Findings, folded: Folded, tables: Tables, *, end: int) -> None:
    if tables.checkpoint != end:
        findings.add("tables differ", f"checkpoint {tables.checkpoint}, the log ends at {end}")
    if tables.events != (end, end):
        rows, positions = tables.events
        findings.add("tables differ", f"{rows} events at {positions} positions, the log has {end}")
    if tables.quarantined:
        findings.add("tables differ", f"{tables.quarantined} events in quarantine")
    numbers: dict[str, tuple[int, int]] = {}
    for row in tables.messages:
        seq, position = numbers.get(row.conversation_id, (0, 0))
        if row.seq != seq + 1 or row.position <= position:
            findings.add("out of order", f"{row.message_id} has seq {row.seq} in the tables")
        numbers[row.conversation_id] = (row.seq, row.position)
    for conversation in tables.conversations:
        owner = folded.owners.get(conversation.conversation_id) or ""
        if conversation.agent_id != owner:
            findings.add("tables differ", f"owner of {conversation.conversation_id}")
    stored = {x.conversation_id for x in tables.conversations}
    for conversation_id in set(folded.started) - stored:
        findings.add("lost from the tables", f"conversation {conversation_id}")
