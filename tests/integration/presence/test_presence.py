"""Presence as a process on the real log, with short leases: hysteresis, restarts, wishes."""

from __future__ import annotations

from shared import codec
from shared.commands import (
    Accepted,
    AskPresence,
    PresenceAnswer,
    SetAvailability,
)
from shared.events import (
    AgentOffline,
    AgentOnline,
    AvailabilityChanged,
    PrimaryDeviceChanged,
    WriterStarted,
)
from tests.support import desk
from tests.support.beats import ask, gateway
from tests.support.services import Surroundings, TestLog, service, wait_ready

SHORT = {
    "NIGHTDESK_PRESENCE_LEASE_S": "1.2",
    "NIGHTDESK_PRESENCE_GRACE_S": "0.8",
    "NIGHTDESK_PRESENCE_PRIMARY_PAUSE_S": "0.1",
}


async def _configured(log: TestLog) -> None:
    await log.append("account", desk.agent("ann"), desk.agent("bob"))


async def test_a_short_absence_is_none(log: TestLog, around: Surroundings) -> None:
    """A device that returns within the grace period never was offline; one that stays away is, once."""
    await _configured(log)
    with service("presence", around, settings=SHORT):
        async with gateway(log) as door:
            first = await door.open("ann", "phone")
            await log.until(1, AgentOnline)
            await door.close(first)
            second = await door.open("ann", "phone")
            witness = await door.open("bob", "laptop")
            await log.until(2, AgentOnline)
            await door.close(witness)
            gone = await log.until(1, AgentOffline)
            assert isinstance(gone[0], AgentOffline)
            assert gone[0].agent_id == desk.agent_id("bob")
            assert gone[0].why == "disconnected"
            await door.close(second)
            await log.until(2, AgentOffline)
    assert len(log.events(AgentOnline)) == 2


async def test_a_dead_gateway_lets_its_devices_lapse(log: TestLog, around: Surroundings) -> None:
    """What only a dead gateway knew lapses while another one is heard; what that one knows stays."""
    await _configured(log)
    with service("presence", around, settings=SHORT):
        async with gateway(log, "g2") as healthy:
            await healthy.open("bob", "laptop")
            async with gateway(log, "g1") as dying:
                await dying.open("ann", "phone")
                await log.until(2, AgentOnline)
            gone = await log.until(1, AgentOffline)
    assert [(e.agent_id, e.why) for e in gone if isinstance(e, AgentOffline)] == [
        (desk.agent_id("ann"), "lapsed")
    ]


async def test_silence_judges_nobody(log: TestLog, around: Surroundings) -> None:
    """While no gateway is heard nobody goes offline; a restart of presence takes nobody offline either."""
    await _configured(log)
    with service("presence", around, settings=SHORT) as process:
        async with gateway(log) as door:
            await door.open("ann", "phone")
            await door.open("bob", "laptop")
            await log.until(2, AgentOnline)
        process.kill()
        process.start()
        wait_ready(process)
        await log.pass_time(2.5)  # Longer than lease and grace.
        async with gateway(log, "g9") as door:
            await door.open("ann", "phone")
            gone = await log.until(1, AgentOffline)
    assert [e.agent_id for e in gone if isinstance(e, AgentOffline)] == [desk.agent_id("bob")]
    assert len(log.events(AgentOnline)) == 2


async def test_two_writers_agree_on_whom_a_takeover_pardons(
    log: TestLog, around: Surroundings
) -> None:
    """Right after a takeover the old writer, now the standby, waits for the new one's leases as well: were its own
    older ones to count, it would take over again, and the new one in its turn, and nobody were ever offline."""
    await _configured(log)
    quick = SHORT | {"NIGHTDESK_PRESENCE_LEASE_S": "4", "NIGHTDESK_PRESENCE_OVERDUE_S": "2"}
    # Both look at everybody twice a second, so one of them may see a lease end half a second before the other,
    # and on a busy machine later still.
    with service("presence", around, settings=quick):
        async with gateway(log) as door:
            phone = await door.open("ann", "phone")
            await log.until(1, AgentOnline)
            await log.pass_time(4.0)  # The first one's own lease from its start.
            with service("presence", around, settings=quick):
                await log.until(2, WriterStarted)
                await door.close(phone)
                await log.until(1, AgentOffline)
    assert len(log.events(WriterStarted)) == 2


async def test_the_primary_device_follows_the_person(log: TestLog, around: Surroundings) -> None:
    """The first device is primary, activity elsewhere moves it, its leaving moves it back; the fence grows."""
    await _configured(log)
    with service("presence", around, settings=SHORT):
        async with gateway(log) as door:
            await door.open("ann", "phone")
            await log.until(1, PrimaryDeviceChanged)
            laptop = await door.open("ann", "laptop")
            await log.until(2, AgentOnline)
            door.used = laptop
            await log.until(2, PrimaryDeviceChanged)
            await door.close(laptop)
            moves = await log.until(3, PrimaryDeviceChanged)
    found = [(e.device_id, e.fence) for e in moves if isinstance(e, PrimaryDeviceChanged)]
    phone, laptop_id = desk.device_id("phone"), desk.device_id("laptop")
    assert found == [(phone, 1), (laptop_id, 2), (phone, 3)]


async def test_an_agents_word_is_recorded_and_told(log: TestLog, around: Surroundings) -> None:
    """Availability is answered with the position of its event, once durable, and is told to who asks."""
    await _configured(log)
    with service("presence", around, settings=SHORT), service("presence", around, settings=SHORT):
        wish = SetAvailability(
            account_id=desk.ACCOUNT, agent_id=desk.agent_id("ann"), availability="busy"
        )
        answer = codec.unpack(await ask(log, "set_availability", codec.pack(wish)), Accepted)
        await log.until(1, AvailabilityChanged)
        assert answer == Accepted(position=log.events(AvailabilityChanged)[0][0])
        again = codec.unpack(await ask(log, "set_availability", codec.pack(wish)), Accepted)
        assert again == answer
        question = codec.pack(AskPresence(account_id=desk.ACCOUNT))
        told = codec.unpack(await ask(log, "agents", question), PresenceAnswer)
    assert {(a.agent_id, a.availability, a.online) for a in told.agents} == {
        (desk.agent_id("ann"), "busy", False),
        (desk.agent_id("bob"), "online", False),
    }


async def test_a_removed_agent_is_gone(log: TestLog, around: Surroundings) -> None:
    """Removing an agent takes their devices offline although they are still connected."""
    await _configured(log)
    with service("presence", around, settings=SHORT):
        async with gateway(log) as door:
            await door.open("ann", "phone")
            await log.until(1, AgentOnline)
            await log.append("account", desk.removed("ann"))
            gone = await log.until(1, AgentOffline)
            assert isinstance(gone[0], AgentOffline)
            assert gone[0].why == "agent_removed"
