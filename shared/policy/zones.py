"""Time zones from the `tzdata` package that is installed with this release, never from the machine: two dispatchers
of one release then judge the same deadline at the same moment, whatever their systems know."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

_NO_PLACES = frozenset({"Factory"})
"""Says "-00": what a machine has before anybody told it where it is."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


@lru_cache(maxsize=600)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises KeyError for any other text."""
    if len(name) > 64 or _NAME.fullmatch(name) is None or name in _NO_PLACES:
        raise KeyError(name)
    place = resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
    if not place.is_file():
        raise KeyError(name)
    with place.open("rb") as file:
        try:
            return ZoneInfo.from_file(file, key=name)
        except ValueError as err:
            raise KeyError(name) from err


def is_zone(name: str) -> bool:
    """Whether this release knows the zone."""
    try:
        zone_of(name)
    except KeyError:
        return False
    return True
