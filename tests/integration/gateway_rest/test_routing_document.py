"""The routing document by REST: read whole, replaced whole or refused whole, and every version kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from nightdesk_client import ApiError, Staff
from shared.clock import new_id
from tests.support.gateway_world import World
from tests.support.rest import PASSWORD, Api, Json, Office, make_account, operator


@pytest.fixture(scope="module")
def account(world: World) -> tuple[str, str]:
    """An account of these tests alone: the document names all there is in it."""
    return make_account(world)


@pytest.fixture
async def desk(world: World, account: tuple[str, str]) -> AsyncIterator[Office]:
    """The account with one more agent, team and inbox."""
    async with aiohttp.ClientSession() as http:
        made = Office(Api(http, world.url), *account)
        await made.furnish()
        yield made


async def _read(desk: Office) -> Json:
    answer = await desk.admin.get("/routing")
    assert answer.status == 200
    assert answer.headers["ETag"] == f'"{answer.json["version"]}"'
    body: Json = answer.json
    return body


def _bind(document: Json, inbox_id: str, **fields: object) -> None:
    (inbox,) = (each for each in document["inboxes"] if each["inbox_id"] == inbox_id)
    inbox.update(fields)


async def test_a_document_is_replaced_in_one_step(desk: Office) -> None:
    """A team, a policy and the binding to both come with one version; sent back as read, or sent again because the
    answer was lost, it changes nothing."""
    document = await _read(desk)
    team_id, policy_id = new_id(), new_id()
    document["teams"].append({"team_id": team_id, "name": "Night", "members": {desk.ann_id: 1}})
    document["policies"].append(
        {
            "policy_id": policy_id,
            "name": "Night",
            "skill_rules": [{"skill": "tea", "page": "/cups*"}],
        }
    )
    inbox_id = desk.inbox["inbox_id"]
    _bind(document, inbox_id, team_id=team_id, policy_id=policy_id)
    checked = await desk.admin.post("/routing/check", document)
    assert (checked.status, checked.json["version"]) == (200, document["version"])
    assert checked.json["is_dry_run"]
    assert (await _read(desk))["version"] == document["version"]
    saved = await desk.admin.call("PUT", "/routing", document)
    assert saved.status == 200, saved
    assert saved.json["changes"] == checked.json["changes"]
    assert {each["what"] for each in saved.json["changes"]} == {
        "team_saved",
        "policy_saved",
        "inbox_saved",
    }
    version = saved.json["version"]
    for path, fields in (
        (f"/teams/{team_id}", {"name": "Night", "version": version}),
        (f"/policies/{policy_id}", {"name": "Night", "version": version}),
        (f"/inboxes/{inbox_id}", {"team_id": team_id, "version": version}),
    ):
        shown = (await desk.admin.get(path)).json
        assert fields.items() <= shown.items()
    found = await _read(desk)
    assert found["version"] == version
    rules = [p["skill_rules"] for p in found["policies"] if p["policy_id"] == policy_id]
    assert rules[0][0]["page"] == "/cups*"
    for repeat in (found, document):
        again = await desk.admin.call("PUT", "/routing", repeat)
        assert (again.status, again.json["changes"]) == (200, [])
        assert again.json["version"] == version


async def test_a_stale_document_is_refused(desk: Office) -> None:
    """Whoever saves a team alone moves the version, too; 412 and nothing changes, by field and by header."""
    document = await _read(desk)
    await desk.admin.patch(f"/teams/{desk.team_id}", {"name": "Late"})
    del document["teams"]
    document["teams"] = []
    stale = await desk.admin.call("PUT", "/routing", document)
    assert (stale.status, stale.code) == (412, "version_mismatch")
    version = document.pop("version")
    by_header = await desk.admin.call("PUT", "/routing", document, If_Match=f'"{version}"')
    assert (by_header.status, by_header.code) == (412, "version_mismatch")
    assert (await desk.admin.get(f"/teams/{desk.team_id}")).json["name"] == "Late"


async def test_what_is_wrong_is_refused_whole(desk: Office) -> None:
    """Every place is named, whether it does not fit the description or the account; nothing of it is saved."""
    document = await _read(desk)
    number = [each["inbox_id"] for each in document["inboxes"]].index(desk.inbox["inbox_id"])
    document["inboxes"][number]["team_id"] = new_id()
    document["teams"].append({"team_id": new_id(), "name": "Night", "members": {new_id(): 0}})
    refused = await desk.admin.call("PUT", "/routing", document)
    assert (refused.status, refused.code) == (400, "invalid")
    places = {each["pointer"] for each in refused.json["errors"]}
    assert f"/inboxes/{number}/team_id" in places
    assert len(places) == 2
    document["teams"][-1] = {"team_id": 5, "members": []}
    unfit = await desk.admin.post("/routing/check", document)
    last = len(document["teams"]) - 1
    assert [each["pointer"] for each in unfit.json["errors"]] == [
        f"/teams/{last}/team_id",
        f"/teams/{last}/name",
        f"/teams/{last}/members",
    ]
    assert (await _read(desk))["version"] == document["version"]


async def test_old_versions_are_told(desk: Office) -> None:
    """Who and when, what changed, and the document as it was."""
    before = await _read(desk)
    document = {**before, "teams": [dict(each) for each in before["teams"]]}
    document["teams"][-1]["name"] = "Renamed"
    saved = (await desk.admin.call("PUT", "/routing", document)).json
    kept = (await desk.admin.get("/routing/versions")).json["data"]
    assert [each["version"] for each in kept[:2]] == [saved["version"], before["version"]]
    me = (await desk.admin.get("/me")).json
    assert (kept[0]["by"], kept[0]["by_name"]) == (me["id"], me["agent"]["name"])
    assert kept[0]["changes"] == saved["changes"]
    assert kept[1]["changes"][0]["id"] == desk.inbox["inbox_id"]
    old = await desk.admin.get(f"/routing?version={before['version']}")
    assert old.json == before
    older = await desk.admin.get(f"/routing/versions?before={before['version']}")
    assert all(each["version"] < before["version"] for each in older.json["data"])
    unknown = await desk.admin.get(f"/routing?version={saved['version'] + 1}")
    assert unknown.status == 404


async def test_of_two_who_replace_it_at_once_one_is_told(desk: Office) -> None:
    """The second's document was read before the first's was saved: 412, never a mixture."""
    document = await _read(desk)
    documents = []
    for name in ("One", "Two"):
        teams = [{**each, "name": name} for each in document["teams"]]
        documents.append({**document, "teams": teams})
    answers = await asyncio.gather(
        *(desk.admin.call("PUT", "/routing", each) for each in documents)
    )
    assert sorted(answer.status for answer in answers) == [200, 412]
    names = {each["name"] for each in (await _read(desk))["teams"]}
    assert len(names) == 1


async def test_it_is_for_those_who_may_configure(desk: Office) -> None:
    """Agents read it and change nothing; visitors see nothing of it."""
    document = (await desk.ann.get("/routing")).json
    for method, path in (("PUT", "/routing"), ("POST", "/routing/check")):
        assert (await desk.ann.call(method, path, document)).status == 403
    visitor, _ = await desk.arrive()
    assert (await visitor.get("/routing")).status == 403
    assert (await visitor.get("/routing/versions")).status == 403


async def test_explain_names_the_version(desk: Office) -> None:
    """That of now beside the policy."""
    visitor, _ = await desk.arrive()
    conversation_id, started = await desk.start(visitor)
    headers = {"Nightdesk_Position": started.position}
    told = await desk.admin.get(f"/conversations/{conversation_id}/explain", **headers)
    assert told.json["policy"]["routing_version"] == (await _read(desk))["version"]


async def test_an_operator_keeps_it_in_a_file(desk: Office, world: World, tmp_path: Path) -> None:
    """Shown, checked, refused with every place, put in force; the file goes on with the new version."""
    sign_in = ("--email", desk.admin_email, "--password", PASSWORD)
    shown = operator(world, "policy", "show", *sign_in)
    assert shown.returncode == 0, shown.stderr
    document = msgspec.json.decode(shown.stdout)
    file = tmp_path / "routing.json"
    document["teams"][0]["members"] = {new_id(): 1, "nobody": 1}
    file.write_bytes(msgspec.json.encode(document))
    refused = operator(world, "policy", "check", "--file", str(file), *sign_in)
    assert refused.returncode == 2
    assert refused.stderr.count("/teams/0/members/") == 2
    document["teams"][0] |= {"members": {desk.ann_id: 1}, "name": "From a file"}
    file.write_bytes(msgspec.json.encode(document))
    done = operator(world, "policy", "apply", "--file", str(file), *sign_in)
    assert done.returncode == 0, done.stderr
    saved = await _read(desk)
    assert "From a file" in {each["name"] for each in saved["teams"]}
    assert msgspec.json.decode(file.read_bytes())["version"] == saved["version"]
    assert done.stdout.endswith(f"changed; version {saved['version']}\n")


async def test_the_client_reads_and_replaces_it(desk: Office, world: World) -> None:
    """As plain data; a refusal has every place, and old versions are told."""
    async with Staff.sign_in(world.url, desk.admin_email, PASSWORD) as staff:
        document = await staff.routing.show()
        document["teams"].append({"team_id": new_id(), "name": "By a program"})
        checked = await staff.routing.check(document)
        assert [each.what for each in checked.changes] == ["team_saved"]
        assert "nobody is in this team" in {each.detail for each in checked.warnings}
        done = await staff.routing.apply(document)
        again = await staff.routing.apply(document)
        assert (again.version, again.changes) == (done.version, [])
        newest = (await staff.routing.versions())[0]
        assert (newest.version, newest.changes) == (done.version, done.changes)
        old = await staff.routing.show(version=document["version"])
        assert len(old["teams"]) == len(document["teams"]) - 1
        document["inboxes"] = []
        with pytest.raises(ApiError) as refused:
            await staff.routing.apply({**document, "version": done.version})
        assert {pointer for pointer, _ in refused.value.places} == {"/inboxes"}
