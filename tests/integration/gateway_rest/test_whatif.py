"""`nightdesk whatif` as the operator runs it, on what the store has kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from tests.support.gateway_world import World
from tests.support.rest import Api, Office, make_account, operator


async def test_the_log_is_folded_under_another_policy(
    anybody: Api, world: World, tmp_path: Path
) -> None:
    """Figures for both courses; a policy that can't be obeyed is refused with every place."""
    # An account of its own: what other tests left waiting may well go another way under another policy.
    office = Office(anybody, *await asyncio.to_thread(make_account, world))
    await office.furnish()
    visitor, _ = await office.arrive()
    conversation_id, started = await office.start(visitor)
    path = f"/conversations/{conversation_id}"
    assert (await visitor.get(path, Nightdesk_Position=started.position)).status == 200
    file = tmp_path / "policy.json"
    file.write_bytes(msgspec.json.encode({"first_response_s": 1, "ageing_s": 60}))
    arguments = ("--policy", str(file), "--since", "1h", "--account", office.account_id)
    done = operator(world, "whatif", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout)
    assert found["now"]["unowned"] == 1
    assert found["other"]["unowned"] == found["now"]["unowned"]
    assert found["names"][office.ann_id] == "Ann"
    assert found["happened"]["unowned"] == 1
    text = operator(world, "whatif", *arguments).stdout
    assert text.splitlines()[0].split() == ["happened", "as", "it", "is", "what", "if"]
    assert text.endswith("waits with another owner\n")
    file.write_bytes(msgspec.json.encode((await office.admin.get("/routing")).json))
    assert operator(world, "whatif", *arguments).returncode == 0
    file.write_bytes(msgspec.json.encode({"deadline_clock": "business"}))
    refused = operator(world, "whatif", *arguments)
    assert refused.returncode == 2
    assert "/deadline_clock" in refused.stderr
