"""Everything in a request that does not fit, not only the first place."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.misfits import misfits
from services.gateway.rest.decoding import decode_body
from shared.errors import Rejected
from shared.wire.bodies import SaveAgent
from shared.wire.routing import RoutingDocument


def test_every_place_is_named() -> None:
    """Wrong kinds, words that are no choice, what is missing and what there is not, at whatever depth."""
    raw = msgspec.json.encode(
        {
            "agents": [{"agent_id": "a", "capacity": -1, "skills": {"tax": 9, "": 1}}],
            "teams": [{"team_id": 5}],
            "policies": [
                {
                    "policy_id": "p",
                    "strategy": "best",
                    "hours": {"zone": "UTC", "weekly": [{"day": "noday", "start": "9", "end": 1}]},
                    "a/b": 1,
                }
            ],
            "inboxes": 7,
        }
    )
    found = dict(misfits(raw, RoutingDocument))
    assert found.keys() == {
        "/agents/0/capacity",
        "/agents/0/skills/tax",
        "/agents/0/skills/",
        "/teams/0/team_id",
        "/teams/0/name",
        "/policies/0/strategy",
        "/policies/0/hours/weekly/0/day",
        "/policies/0/hours/weekly/0/start",
        "/policies/0/hours/weekly/0/end",
        "/policies/0/a~1b",
        "/inboxes",
    }
    assert "balanced" in found["/policies/0/strategy"]
    assert "policy_id" in found["/policies/0/a~1b"]


def test_what_fits_has_none() -> None:
    """Null and absence where they may stand are no misfits."""
    raw = b'{"teams":[],"policies":[{"policy_id":"p","hours":null}],"inboxes":[]}'
    assert misfits(raw, RoutingDocument) == []


def test_so_many_are_told_and_no_more() -> None:
    """A document of nothing but mistakes, or one that is too long to be looked at, is answered at once."""
    document: dict[str, list[object]] = {"teams": [{}] * 500, "policies": [], "inboxes": []}
    assert len(misfits(msgspec.json.encode(document), RoutingDocument)) == 100
    document["teams"] = [1] * 20_000
    assert [at for at, _ in misfits(msgspec.json.encode(document), RoutingDocument)] == ["/teams"]


@pytest.mark.parametrize(
    ("raw", "places"),
    [
        (b'{"name":"","email":"x"}', 3),
        (b'{"name":"","email":"a@b","password":"0123456789"}', 0),
        (b'{"name":"","email":"x"', 0),
    ],
)
def test_a_refused_body_names_its_places(raw: bytes, places: int) -> None:
    """Where there are more than one; what breaks off is refused all the same."""
    with pytest.raises(Rejected) as refused:
        decode_body(raw, msgspec.json.Decoder(SaveAgent))
    assert len(refused.value.faults) == places
