"""SIGKILL in the middle of a replay, to every process in turn: the ledger stays clean and the projections right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.replaying import faults, replaying
from tests.support.stack import StackUnderTest, running_stack

NIGHT = 12
DAY = 48


@pytest.fixture(scope="module")
def stack() -> Iterator[StackUnderTest]:
    """One stack for all kills: what is killed is started again, and the next test goes on with the same data."""
    with running_stack() as running:
        yield running


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "victim", ["gateway", "store", "dispatcher", "presence", "nats", "postgres"]
)
async def test_a_killed_process_loses_nothing(stack: StackUnderTest, victim: str) -> None:
    """Killed while visitors write and again while agents answer: nothing is lost, doubled, swapped or unexplained."""
    async with replaying(stack, seed=len(victim)) as run:
        for accepted in (NIGHT, DAY):
            await run.until(lambda glance: glance.accepted >= accepted)  # noqa: B023 - awaited at once
            # In this thread, because children die with the thread that started them; the clients stand still
            # meanwhile, which they must survive anyway.
            stack.kill(victim)
            stack.restart(victim, is_waiting=False)
        ledger = await run.ledger()
    assert faults(ledger) == {}, stack.log_tail("gateway")


async def test_projections_equal_the_log_after_all_of_it(stack: StackUnderTest) -> None:
    """`nightdesk verify` finds no difference after every process was killed."""
    verified = await asyncio.to_thread(stack.command, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
