"""Machines of a run's own: a network namespace for each server and service, all on one bridge, cut apart at will.

Everything lies in a namespace that this process enters first, so the machine's own network is never touched and all of
it is gone with the process. A cut is silent, as a broken switch is: packets go to an address that nobody has.
Needs root and `ip`; nothing is left to clean up.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.dev.ports import LOOPBACK

_NEW_NETWORK = 0x40000000
_SUBNET = "10.213.0"
SUBNET = f"{_SUBNET}.0/24"
_NOBODY = "02:00:00:00:00:ff"
_TIMEOUT_S = 20
PEOPLE = "people"
"""Where the clients and this process itself live."""


class NoNetwork(Exception):
    """This machine can't do it; the text says why."""


class Loopback:
    """One machine for all, where namespaces can't be had: nothing can be cut."""

    def __init__(self, why: str) -> None:
        self.why_not = why

    def address(self, _name: str) -> str:
        """The same for everybody."""
        return LOOPBACK

    @contextmanager
    def inside(self, _name: str) -> Iterator[None]:
        """Here."""
        yield

    def part(self, one: str, other: str) -> None:
        """Not possible."""
        raise NoNetwork(f"{one} and {other} are one machine: {self.why_not}")

    def heal(self) -> None:
        """Nothing was cut."""

    def close(self) -> None:
        """Nothing to give back."""


class Network:
    """`open` with the names of the machines; start things `inside` them; `part` and `heal`; `close`."""

    why_not = ""

    def __init__(self, names: Sequence[str]) -> None:
        self._addresses = {PEOPLE: f"{_SUBNET}.1"} | {
            name: f"{_SUBNET}.{number}" for number, name in enumerate(names, start=10)
        }
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._outside: int | None = None
        self._places: dict[str, int] = {}
        self._cuts: set[tuple[str, str]] = set()

    def address(self, name: str) -> str:
        """Where a machine is reached by the others."""
        return self._addresses[name]

    def open(self) -> None:
        """Make the machines. Raises `NoNetwork`, and is where it was before then."""
        if os.geteuid() != 0:
            raise NoNetwork("needs root")
        self._outside = _here()
        try:
            self._places[PEOPLE] = self._new_place()
            _ip("link set lo up", "link add hub type bridge", "link set hub up")
            _ip(f"addr add {self._addresses[PEOPLE]}/24 dev hub")
            for number, name in enumerate(self._addresses):
                if name != PEOPLE:
                    self._add(name, f"port{number}")
        except (NoNetwork, OSError) as err:
            self.close()
            raise NoNetwork(f"network namespaces: {err}") from err

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """What this thread starts or connects to meanwhile is on that machine."""
        self._enter(self._places[name])
        try:
            yield
        finally:
            self._enter(self._places[PEOPLE])

    def part(self, one: str, other: str) -> None:
        """Nothing that `one` sends reaches `other` any more; call it twice for both directions."""
        with self.inside(one):
            _ip(
                f"neigh replace {self.address(other)} lladdr {_NOBODY} dev {_device(one)} nud permanent"
            )
        self._cuts.add((one, other))

    def heal(self) -> None:
        """Everybody reaches everybody."""
        for one, other in sorted(self._cuts):
            with self.inside(one):
                _ip(f"neigh del {self.address(other)} dev {_device(one)}")
        self._cuts.clear()

    def close(self) -> None:
        """Back to where this process came from; the machines end with what runs on them."""
        if self._outside is not None:
            self._enter(self._outside)
            os.close(self._outside)
        for place in self._places.values():
            os.close(place)
        self._places.clear()
        self._outside = None

    def _add(self, name: str, port: str) -> None:
        place = self._places[name] = self._new_place()
        self._enter(self._places[PEOPLE])
        _ip(
            f"link add {port} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{place}",
            f"link set {port} master hub",
            f"link set {port} up",
        )
        with self.inside(name):
            _ip("link set lo up", f"addr add {self.address(name)}/24 dev eth0", "link set eth0 up")

    def _new_place(self) -> int:
        if self._libc.unshare(_NEW_NETWORK) != 0:
            raise NoNetwork(os.strerror(ctypes.get_errno()))
        return _here()

    def _enter(self, place: int) -> None:
        if self._libc.setns(place, _NEW_NETWORK) != 0:
            raise NoNetwork(os.strerror(ctypes.get_errno()))


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _device(name: str) -> str:
    return "hub" if name == PEOPLE else "eth0"


def _ip(*commands: str) -> None:
    try:
        done = subprocess.run(
            ["ip", "-batch", "-"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise NoNetwork(f"ip: {err}") from err
    if done.returncode != 0:
        raise NoNetwork(f"ip: {done.stderr.strip()[-200:]}")


Machines = Network | Loopback


def machines(names: Sequence[str], *, is_wanted: bool) -> Machines:
    """Machines of their own where that is wanted and possible."""
    if not is_wanted:
        return Loopback("not asked for")
    network = Network(names)
    try:
        network.open()
    except NoNetwork as err:
        return Loopback(str(err))
    return network
