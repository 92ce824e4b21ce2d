"""Pages that visitors come from and what is known of them, in clear as only a gateway has it; and the conditions of
rules on both, judged a second time by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from shared.policy.conditions import Condition

PAGES = (
    "",
    "https://shop.example/",
    "https://SHOP.example/tax?from=mail",
    "https://shop.example/tax/2027#form",
    "https://help.example/de/tax/2027",
    "not a page",
)
PROFILES: tuple[dict[str, str], ...] = ({}, {}, {"plan": "gold"}, {"plan": "free"}, {"since": "9"})
CONDITIONS = {
    "anywhere": Condition(page="*"),
    "path": Condition(page="/tax*"),
    "middle": Condition(page="*/tax/*"),
    "host": Condition(page="shop.example/*"),
    "has_plan": Condition(attribute="plan"),
    "gold": Condition(attribute="plan", equals="gold"),
    "both": Condition(page="shop.example/*", attribute="plan", equals="gold"),
}
"""By the name that a rule knows it by."""
_PARTS = re.compile(r"(?:[a-z]+://)?(?P<host>[^/?#]*)(?P<path>[^?#]*)", re.IGNORECASE)


def fits(condition: Condition, page: str, attributes: Mapping[str, str]) -> bool:
    """Whether both are as the condition says."""
    if condition.attribute and condition.attribute not in attributes:
        return False
    if condition.equals and attributes.get(condition.attribute) != condition.equals:
        return False
    return not condition.page or _matches(condition.page, page)


def _matches(pattern: str, page: str) -> bool:
    if "://" not in page:
        # What is no address is a path.
        host, path = "", page or "/"
    else:
        found = _PARTS.match(page)
        host, path = (found["host"].lower(), found["path"] or "/") if found else ("", "/")
    text = path if pattern.startswith("/") else host + path
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def attributes(profile: bytes) -> dict[str, str]:
    """What is known of a contact, as the event has it."""
    return msgspec.json.decode(profile, type=dict[str, str]) if profile else {}
