"""How much one visitor, one account and one address may ask for: GCRA, one number per key, bounded memory.

The limits hold for the whole installation, so each of several gateway processes grants its part of them. What is
refused was not done: 429 with the seconds after which it will be granted.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

from services.gateway.config import GatewayConfig
from shared.errors import Unavailable


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """`per_s` in the long run, `burst` at once."""

    per_s: float
    burst: int


def _steady(per_s: float) -> Limit:
    """Ten seconds of it at once: a page that loads, a device that empties its outbox."""
    return Limit(per_s=per_s, burst=max(1, round(per_s * 10)))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is granted to whom, over all gateway processes. `failures`: wrong passwords for one address; granted first,
    given back when the password is right. `looks`: conversations that one agent opens and closes before colleagues.
    `recalls`: decisions that one asker has made again, each of which folds a stretch of the log."""

    visitor: Limit
    account: Limit
    address: Limit
    arrivals: Limit
    sign_ins: Limit
    failures: Limit = Limit(per_s=0.2, burst=10)
    looks: Limit = Limit(per_s=5, burst=50)
    recalls: Limit = Limit(per_s=0.5, burst=30)


def limits_of(config: GatewayConfig) -> Limits:
    """As configured."""
    return Limits(
        visitor=_steady(config.visitor_per_s),
        account=_steady(config.account_per_s),
        address=_steady(config.address_per_s),
        arrivals=_steady(config.arrivals_per_s),
        sign_ins=_steady(config.sign_ins_per_s),
    )


class Gcra:
    """One limit over many keys. Memory is bounded: beyond `max_keys` the key that asked longest ago is forgotten,
    which can only grant more."""

    def __init__(self, limit: Limit, *, processes: int = 1, max_keys: int = 100_000) -> None:
        self._gap_s = processes / limit.per_s
        self._burst_s = self._gap_s * max(1, limit.burst // processes)
        self._max_keys = max_keys
        self._due: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def take(self, key: str, now_s: float) -> float:
        """0 when granted, else the seconds until it would be."""
        due = max(self._due.get(key, now_s), now_s)
        wait_s = due + self._gap_s - self._burst_s - now_s
        granted = wait_s <= 1e-9
        self._due[key] = due + self._gap_s if granted else due
        self._due.move_to_end(key)
        if len(self._due) > self._max_keys:
            self._due.popitem(last=False)
        return 0.0 if granted else wait_s

    def give_back(self, key: str) -> None:
        """Undo one grant."""
        if key in self._due:
            self._due[key] -= self._gap_s


class Limiter:
    """Every limit of a gateway process. `charge` raises what becomes 429."""

    def __init__(self, limits: Limits, *, processes: int = 1) -> None:
        self._kinds = {
            name: Gcra(getattr(limits, name), processes=processes)
            for name in Limits.__struct_fields__
        }

    def charge(self, kind: str, key: str, now_s: float) -> None:
        """Take one of a kind (a field of `Limits`) for a key. Raises `Unavailable("rate_limited")`."""
        wait_s = self._kinds[kind].take(key, now_s)
        if wait_s:
            raise Unavailable(
                f"too many requests; the next is taken in {wait_s:.1f} s",
                code="rate_limited",
                retry_after_s=wait_s,
            )

    def give_back(self, kind: str, key: str) -> None:
        """Undo one `charge`."""
        self._kinds[kind].give_back(key)


def address_key(address: str | None) -> str:
    """The key of a peer's address: an IPv6 subscriber owns a /64, so all of it counts as one."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
