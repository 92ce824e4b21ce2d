"""What this gateway tells the others beside the log: devices that connected here, API keys that were revoked.

Said once and perhaps lost: then a device has two sessions until the older falls silent, and a revoked key lives for the
minute for which other gateways keep it."""

from __future__ import annotations

import asyncio

from shared.bus import Bus
from shared.codec import pack
from shared.commands import Connected, DeviceConnected, Ephemeral, KeyRevoked
from shared.crashpoints import crashpoint
from shared.ids import AccountId, DeviceId
from shared.subjects import bucket_of, ephemeral_subject

_FLUSH_S = 0.1
_MOST_IN_A_NOTE = 2_000


class Notes:
    """`connected` and `revoked` say, `run` in a task sends what was collected: after a cut thousands of devices come
    at once."""

    def __init__(self, bus: Bus, shard: str, *, gateway: str) -> None:
        self._bus = bus
        self._shard = shard
        self._gateway = gateway
        self._devices: dict[int, list[DeviceConnected]] = {}

    def connected(
        self, account_id: AccountId, owner_id: str, device_id: DeviceId, *, at_ns: int
    ) -> None:
        """A device said hello here: an older session of it elsewhere ends."""
        note = DeviceConnected(owner_id=owner_id, device_id=device_id, at_ns=at_ns)
        self._devices.setdefault(bucket_of(account_id), []).append(note)

    async def revoked(self, account_id: AccountId, lookup: str) -> None:
        """An API key is good no longer."""
        await self._say(bucket_of(account_id), KeyRevoked(lookup=lookup))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Send what was collected."""
        collected, self._devices = self._devices, {}
        for bucket, devices in collected.items():
            for first in range(0, len(devices), _MOST_IN_A_NOTE):
                part = tuple(devices[first : first + _MOST_IN_A_NOTE])
                await self._say(bucket, Connected(gateway=self._gateway, devices=part))

    async def _say(self, bucket: int, note: Ephemeral) -> None:
        crashpoint("gateway.note")
        await self._bus.publish(ephemeral_subject(self._shard, bucket), pack(note))
