"""Planted bugs and the faults at which each should show itself: does the checker have teeth?

Each runs on a site of its own. What the checker finds under a bug counts as caught, whatever promise it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from deploy.dev.errors import StackError
from prove.campaign import Campaign, Settings
from prove.evidence import Unreadable
from prove.plan import ASLEEP_S, Deed, Fault
from prove.site import Extent, open_site

_SECONDS = 150.0
# On a busy machine a process needs seconds to start, and its standby some more to take over.
_SPRUNG_S = 30.0
_BUG = "NIGHTDESK_PLANTED_BUG"
CONTROL = "control"


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    """A planted bug. `name` is what the services know it by; empty for the control run."""

    name: str
    what: str
    faults: tuple[Fault, ...]
    sync: str = "always"
    needs_power: bool = False


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """What the checker said of a bug."""

    bug: Bug
    broken: Mapping[str, Sequence[str]]

    @property
    def found(self) -> str:
        """For people."""
        texts = (f"{name} {len(found)}" for name, found in sorted(self.broken.items()))
        return ", ".join(texts) or "nothing"

    @property
    def sentences(self) -> list[str]:
        """What the control run was blamed for, one by one."""
        return [f"{name}: {text}" for name, texts in self.broken.items() for text in texts]

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if not self.bug.name:
            return "clean" if self.is_right else "NOT CLEAN"
        return "caught" if self.is_right else "NOT CAUGHT"

    @property
    def is_right(self) -> bool:
        """A bug is found, the control is not."""
        return bool(self.broken) == bool(self.bug.name)


def _do(deed: Deed, *victims: str, for_s: float = 0.0, is_silent: bool = True) -> Fault:
    return Fault(deed=deed, victims=victims, after_s=2.0, for_s=for_s, is_silent=is_silent)


def _trap(kind: str, point: str, *, passes: int = 3) -> Fault:
    victims = (f"{kind}-1", f"{kind}-2")
    traps = dict.fromkeys(victims, f"{point}:{passes}")
    return Fault(
        deed="trap", victims=victims, after_s=1.0, for_s=_SPRUNG_S, is_silent=True, traps=traps
    )


def _freeze(kind: str, point: str, *, passes: int) -> Fault:
    return Fault(
        deed="trap",
        victims=(f"{kind}-1", f"{kind}-2"),
        after_s=1.0,
        for_s=_SPRUNG_S,
        is_silent=True,
        traps={f"{kind}-1": f"{point}:{passes}:stop"},
    )


_GATEWAYS = (
    _do("kill", "gateway-1", "gateway-2"),
    _do("kill", "gateway-1", is_silent=False),
    _do("kill", "gateway-2", is_silent=False),
    _do("kill", "gateway-1", "gateway-2"),
)
_LOG = (
    _do("kill", "nats", for_s=0.5, is_silent=False),
    _do("choke", "nats", "gateway-1", "gateway-2", for_s=2.0, is_silent=False),
    _do("choke", "nats", for_s=4.0, is_silent=False),
    _do("choke", "nats", "gateway-1", "gateway-2", for_s=4.0),
)
_BATCH = (
    _trap("store", "store.batch.begin"),
    _trap("store", "store.batch.statement"),
    _trap("store", "store.batch.before_commit"),
)
_HINTS = (
    _trap("store", "store.hints.before"),
    _trap("store", "store.hints.before", passes=2),
    _trap("store", "store.hints.before", passes=5),
)
# The stale store wakes before the one that took over has written anything: what it writes, no key refuses.
_STALE_STORE = tuple(
    Fault(
        deed="trap",
        victims=("store-1", "store-2"),
        after_s=1.0,
        for_s=15.0,
        is_silent=True,
        traps={
            "store-1": f"store.batch.prepared:{passes}:stop",
            "store-2": "store.batch.begin:1:stop",
        },
    )
    for passes in (2, 3, 1)
)
_STALE_ROUTING = tuple(_freeze("dispatcher", "fenced.append", passes=n) for n in (2, 3, 2, 3))
_UNANSWERED = tuple(_do("pause", "nats", for_s=14.0, is_silent=False) for _ in range(2))
_ROUTING = tuple(_do("kill", "dispatcher-1", "dispatcher-2", is_silent=False) for _ in range(4))
_PAUSED_ROUTING = tuple(
    _do("pause", "dispatcher-1", "dispatcher-2", for_s=8.0, is_silent=False) for _ in range(3)
)
_NO_TABLES = (_do("away", "postgres", for_s=30.0, is_silent=False),)
_JUMP = tuple(
    Fault(
        deed="clock",
        victims=("dispatcher-1", "dispatcher-2"),
        after_s=2.0,
        for_s=8.0,
        is_silent=False,
        by_s=600.0,
    )
    for _ in range(2)
)
_QUIET = (
    _do("kill", "presence-1"),
    _do("kill", "presence-2"),
    _do("kill", "dispatcher-1"),
    _do("kill", "dispatcher-2"),
)
_CALM = (_do("kill", "presence-1", is_silent=False), _do("kill", "presence-2"))

# Long enough for devices to come, go and be moved while nothing is wrong with who alerts.
_LONG_CALM = tuple(
    msgspec.structs.replace(_do("kill", f"dispatcher-{1 + n % 2}"), after_s=12.0) for n in range(5)
)

_ASLEEP = tuple(
    msgspec.structs.replace(_do("asleep", for_s=ASLEEP_S), after_s=12.0) for _ in range(3)
)

_POWER = (
    _do("power", "nats", is_silent=False),
    _do("power", "postgres", is_silent=False),
    _do("power", "nats", "postgres"),
)

_STALL = (*_JUMP[:1], *_PAUSED_ROUTING[:2], *_NO_TABLES, _STALE_STORE[0])

BUGS = (
    Bug(name="", what="control: no bug", faults=(*_GATEWAYS[:1], *_LOG[1:2], *_HINTS[:1])),
    Bug(name="", what="control: clocks, pauses, tables away", faults=_STALL),
    Bug(name="", what="control: who is alerted", faults=(*_LONG_CALM[:2], *_ASLEEP)),
    Bug(name="", what="control: power loss", faults=_POWER, needs_power=True),
    Bug(
        name="lazy_sync",
        what="the log syncs every two minutes",
        faults=_POWER,
        sync="2m",
        needs_power=True,
    ),
    Bug(
        name="ack_before_commit", what="'sent' before the log has said yes", faults=_LOG + _GATEWAYS
    ),
    Bug(name="timeout_is_yes", what="an unanswered append taken for stored", faults=_LOG + _LOG),
    Bug(name="retry_with_new_id", what="a resend under another id", faults=_GATEWAYS + _LOG),
    Bug(name="ids_forgotten", what="a repeat not recognised", faults=_GATEWAYS + _LOG),
    Bug(
        name="checkpoint_outside_transaction",
        what="the checkpoint moves before its rows",
        faults=_BATCH,
    ),
    Bug(
        name="checkpoint_without_compare",
        what="a store that lost the lead goes on writing",
        faults=_STALE_STORE,
    ),
    Bug(name="reconnect_from_end", what="a reader begins at the end again", faults=_LOG + _LOG),
    Bug(name="missing_fence", what="no expected last sequence", faults=_STALE_ROUTING),
    Bug(
        name="expected_asked",
        what="the expected sequence asked for instead of folded",
        faults=_STALE_ROUTING,
    ),
    Bug(name="cursor_trusted", what="a consumer never doubted", faults=_LOG),
    Bug(name="unknown_is_no", what="'not stored' where nobody knows", faults=_UNANSWERED),
    Bug(name="foreign_account", what="a conversation of another account is open", faults=_CALM),
    Bug(name="push_without_seq", what="messages shown without number", faults=_CALM),
    Bug(name="left_not_told", what="nobody is told what they lost", faults=_CALM + _ROUTING),
    Bug(name="readable_fingerprint", what="a fingerprint that tells the text", faults=_CALM),
    Bug(name="conversation_forgotten", what="a conversation nobody queued", faults=_CALM),
    Bug(
        name="everybody_rings",
        what="every device of an agent alerts",
        faults=_LONG_CALM,
    ),
    Bug(
        name="move_untold",
        what="who gets the alert lock is not told",
        faults=_ASLEEP,
    ),
    Bug(
        name="lease_in_the_dark",
        what="leases judged while the tables are away",
        faults=_NO_TABLES,
    ),
    Bug(name="process_clock", what="leases judged by the process's clock", faults=_JUMP),
    Bug(
        name="hint_is_truth",
        what="a gap in the hints believed, while hints are lost",
        faults=_HINTS,
    ),
    Bug(
        name="no_empty_hint",
        what="silence of the store believed, while hints are lost",
        faults=_QUIET,
    ),
    Bug(name="hint_left_out", what="an entry left out of its hint", faults=_GATEWAYS[:1]),
    Bug(name="cursor_off_by_one", what="a resume leaves out the first entry", faults=_GATEWAYS),
    Bug(name="partial_resume", what="'recovered' without what was missed", faults=_GATEWAYS),
    Bug(
        name="decision_without_reason", what="an assignment without its winner", faults=_ROUTING[:1]
    ),
    Bug(
        name="timer_before_log_end",
        what="decisions in the middle of the log",
        faults=_PAUSED_ROUTING,
    ),
)


def run(seed: int, tell: Callable[[str], None], *, only: str = "") -> Iterator[Caught]:
    """One after the other; only those named, if any are ("control": those without a bug)."""
    for bug in BUGS:
        if only not in ("", "1") and (bug.name or CONTROL) not in only.split(","):
            continue
        tell(f"bug {bug.name or 'none'}: {bug.what}")
        settings = {_BUG: bug.name} if bug.name else {}
        if bug.sync != "always":
            # Or every service would refuse to run: that guard has a test of its own.
            settings["NIGHTDESK_NATS_MONITOR_URL"] = ""
        with open_site(
            seed=f"{bug.name} {seed}",
            settings=settings,
            extent=Extent(sync=bug.sync, has_disks=bug.needs_power),
        ) as site:
            if bug.needs_power and site.no_power:
                tell(f"    not run: {site.no_power}")
                continue
            campaign = Campaign(
                site,
                _hasty(seed) if bug.name else _patient(seed),
                lambda _text: None,
            )
            yield Caught(bug=bug, broken=_broken(campaign, bug))


def _patient(seed: int) -> Settings:
    return Settings(seed=seed, seconds=_SECONDS, silence_s=1.0)


def _hasty(seed: int) -> Settings:
    """A bug that was found once need not be found again."""
    return msgspec.structs.replace(
        _patient(seed),
        outcome_s=25.0,
        recover_s=8.0,
        drain_s=20.0,
        is_verified=False,
        is_over_at_first=True,
    )


def _broken(campaign: Campaign, bug: Bug) -> dict[str, list[str]]:
    try:
        return campaign.run(iter(bug.faults)).findings.broken
    except Unreadable as err:
        return {f"{err} can't be read": [str(err)]}
    except StackError as err:
        return {f"{err.part} does not come back": [str(err)]}
