"""Whose request it is when proxies stand before the gateway: their word counts as far as the proxies are known.

Pure. From the nearest hop on outwards, the first address that is no known proxy is the client's; what lies beyond it
anybody may have written."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Literal

from shared.errors import Refused

HeaderName = Literal["x-forwarded-for", "forwarded"]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_HOPS = 20
# RFC 7239: a comma or a semicolon inside of a quoted value is part of that value.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WELL_QUOTED = re.compile(rf'(?:[^"]|{_QUOTED})*')
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_FOR = re.compile(r'\s*for\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^"]*))\s*', re.IGNORECASE)
_WITH_PORT = re.compile(r"^\[([^\]]+)\](?::\d+)?$|^([^:]+):\d+$")


class Proxies:
    """The proxies that are trusted, and the header in which they say whom they speak for."""

    def __init__(self, networks: str, header: HeaderName = "x-forwarded-for") -> None:
        """Raises `Refused` for what is no network."""
        self.header = header
        self._networks = [_network(each.strip()) for each in networks.split(",") if each.strip()]

    def client(self, peer: str | None, said: Sequence[str]) -> str | None:
        """The address that counts. `said`: the header's lines as they came."""
        if not self._networks or not said or not self._is_trusted(_parse(peer or "")):
            return peer
        found = peer
        hops = [hop for line in said for hop in self._hops(line)]
        for hop in reversed(hops[-_MOST_HOPS:]):
            address = _parse(self._named(hop))
            if address is None:
                # "unknown", a name, or rubbish: whoever spoke last is all that is known.
                return found
            found = str(address)
            if not self._is_trusted(address):
                return found
        return found

    def _hops(self, line: str) -> list[str]:
        """A quote that nobody closed must not swallow what the proxies wrote behind it."""
        is_quoted = self.header == "forwarded" and _WELL_QUOTED.fullmatch(line) is not None
        return _ELEMENT.findall(line) if is_quoted else line.split(",")

    def _named(self, hop: str) -> str:
        if self.header == "x-forwarded-for":
            return hop.strip()
        for pair in _PAIR.findall(hop):
            named = _FOR.fullmatch(pair)
            if named is not None:
                return re.sub(r"\\(.)", r"\1", named[1] or "") or (named[2] or "").strip()
        return ""

    def _is_trusted(self, address: _Address | None) -> bool:
        if address is None:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as err:
        raise Refused(
            f"NIGHTDESK_GATEWAY_TRUSTED_PROXIES: {text!r} is no network such as 10.0.0.0/8"
        ) from err


def _parse(text: str) -> _Address | None:
    found = _WITH_PORT.match(text)
    try:
        return ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
