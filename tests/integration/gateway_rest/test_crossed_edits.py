"""Two who change the same thing at the same moment, at two gateways: one is told that it was done, the other that it was
not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from shared.clock import new_id
from tests.support.gateway_world import World, open_twin
from tests.support.log import PATIENCE_S
from tests.support.rest import Answer, Api, Office

_ROUNDS = 6


@pytest.fixture(scope="module")
def twin(world: World) -> Iterator[World]:
    """A second gateway."""
    with open_twin(world) as opened:
        yield opened


async def _known(api: Api) -> Api:
    """The second gateway reads the log by itself: when it knows the account it knows what came before."""
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get("/me")).status != 200:
            pass
    return api


def _one_of(answers: list[Answer], refusal: str) -> Answer:
    """The one that was done; the other was refused."""
    done = [x for x in answers if x.status == 200]
    refused = [x for x in answers if x.status == 412]
    assert (len(done), len(refused)) == (1, 1), answers
    assert refused[0].code == refusal
    return done[0]


async def test_of_two_edits_of_a_revision_one_is_made(office: Office, twin: World) -> None:
    """The first in the log: whoever is told 200 finds their text in it, whoever is told 412 does not. A repeat of the
    one that was made is still one."""
    visitor, _ = await office.arrive()
    there = await _known(Api(office.anybody.http, twin.url, visitor.token))
    message_id = new_id()
    body = {"conversation_id": new_id(), "message": {"message_id": message_id, "text": "hello"}}
    at = (await visitor.post("/conversations", body)).position
    path = f"/messages/{message_id}"
    messages = f"/conversations/{body['conversation_id']}/messages"
    for revision in range(1, _ROUNDS + 1):
        edits = [{"text": f"{side} {revision}", "revision": revision} for side in ("here", "there")]
        answers = await asyncio.gather(
            *(
                api.patch(path, edit, Nightdesk_Position=at)
                for api, edit in zip((visitor, there), edits, strict=True)
            )
        )
        made = _one_of(answers, "stale_revision")
        at = made.position
        edit = edits[answers.index(made)]
        shown = (await visitor.get(messages, Nightdesk_Position=at)).json["data"][0]
        assert (shown["text"], shown["revision"]) == (edit["text"], revision)
        again = await there.patch(path, edit, Nightdesk_Position=at)
        assert (again.status, again.json["repeated"]) == (200, True)


async def test_of_two_changes_of_a_version_one_is_made(office: Office, twin: World) -> None:
    """With If-Match: an agent, an inbox and a policy, whatever else is changed meanwhile."""
    there = await _known(Api(office.anybody.http, twin.url, office.admin.token))
    policy = await office.admin.made("/policies", {"name": f"Ours {new_id()}"})
    for path in (
        f"/agents/{office.ann_id}",
        f"/inboxes/{office.inbox['inbox_id']}",
        f"/policies/{policy['policy_id']}",
    ):
        version = (await office.admin.get(path)).headers["ETag"]
        for number in range(2):
            answers = await asyncio.gather(
                *(
                    api.patch(path, {"name": f"{side} {number} {new_id()}"}, If_Match=version)
                    for side, api in (("here", office.admin), ("there", there))
                )
            )
            version = _one_of(answers, "version_mismatch").headers["ETag"]
