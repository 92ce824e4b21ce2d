"""Messages that were not confirmed yet. In memory, or in a file that outlives the application.

A message enters before its first frame leaves and goes when the server said "durable" or "never", so a message
that the application handed over is sent until its outcome is known.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import IO, Protocol

import msgspec


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message on its way out."""

    conversation_id: str
    message_id: str
    text: str
    seen_up_to: int | None = None
    only_if_seen: bool = False


class Outbox(Protocol):
    """Keeps drafts in the order in which they were added."""

    async def open(self) -> list[Draft]:
        """What is left from before, oldest first."""

    async def add(self, draft: Draft) -> None:
        """Keep it; returns once it is kept."""

    async def remove(self, message_id: str) -> None:
        """Its outcome is known."""

    async def close(self) -> None:
        """Nothing more comes."""


class MemoryOutbox:
    """Lives as long as the object: hand the same one to the next client to carry on."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}

    async def open(self) -> list[Draft]:
        return list(self._drafts.values())

    async def add(self, draft: Draft) -> None:
        self._drafts[draft.message_id] = draft

    async def remove(self, message_id: str) -> None:
        self._drafts.pop(message_id, None)

    async def close(self) -> None:
        return


class _Line(msgspec.Struct, omit_defaults=True):
    put: Draft | None = None
    done: str = ""


class FileOutbox:
    """Appends to a file, with fsync before `add` returns; rewritten with only the open drafts at `open`.

    The file holds readable text, mode 0600. One client at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._lock = asyncio.Lock()

    async def open(self) -> list[Draft]:
        drafts, self._file = await asyncio.to_thread(_load, self._path)
        return drafts

    async def add(self, draft: Draft) -> None:
        await self._append(_Line(put=draft), is_synced=True)

    async def remove(self, message_id: str) -> None:
        # A lost removal only costs a resend, which the server recognises: no fsync.
        await self._append(_Line(done=message_id), is_synced=False)

    async def close(self) -> None:
        async with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    async def _append(self, line: _Line, *, is_synced: bool) -> None:
        async with self._lock:
            if self._file is None:
                raise ValueError("the outbox is not open")
            await asyncio.to_thread(_write, self._file, line, is_synced=is_synced)


def _write(file: IO[bytes], line: _Line, *, is_synced: bool) -> None:
    file.write(msgspec.json.encode(line) + b"\n")
    file.flush()
    if is_synced:
        os.fsync(file.fileno())


def _load(path: Path) -> tuple[list[Draft], IO[bytes]]:
    drafts: dict[str, Draft] = {}
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for line in lines:
        _replay(line, drafts)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    file = os.fdopen(descriptor, "wb")
    for draft in drafts.values():
        file.write(msgspec.json.encode(_Line(put=draft)) + b"\n")
    file.flush()
    os.fsync(file.fileno())
    fresh.replace(path)
    return list(drafts.values()), file


def _replay(line: bytes, drafts: dict[str, Draft]) -> None:
    try:
        record = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        # The last line may be torn by a crash: its `add` never returned, so nobody was promised anything.
        return
    if record.put is not None:
        drafts[record.put.message_id] = record.put
    drafts.pop(record.done, None)
