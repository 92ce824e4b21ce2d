"""Events that were ever published stay readable: their bytes lie in tests/golden, made once and never edited.

A new event type or field gets a new file: write its sample, run this module as a script, commit what it made.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from shared.codec import decode_envelope, decode_event, encode_event, to_json
from shared.errors import Malformed
from shared.events import Event
from tests.unit.events.samples import SAMPLES, all_types

GOLDEN = Path(__file__).parents[2] / "golden"


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


def _files() -> list[Path]:
    return sorted(GOLDEN.glob("*.json"))


def _render(event: Event) -> dict[str, object]:
    return {"bytes": encode_event(event).hex(), "event": json.loads(to_json(event))}


def test_every_event_type_has_a_golden_file() -> None:
    """An event can't be published before its bytes are pinned."""
    pinned = {path.stem.partition(".")[0] for path in _files()}
    assert {_tag(kind) for kind in all_types()} == pinned
    assert {type(event) for event in SAMPLES} == all_types()


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.stem)
def test_what_was_published_is_read_and_written_the_same(path: Path) -> None:
    """Old bytes decode to what they meant then, and come out again with the same fields in the same order."""
    golden = json.loads(path.read_text())
    event = decode_event(bytes.fromhex(golden["bytes"]))
    assert json.loads(to_json(event)) == golden["event"]
    again = msgspec.msgpack.decode(encode_event(event))
    # The fields, not the bytes: a type that grew beyond 15 fields has a longer map header.
    assert list(again.items()) == list(
        msgspec.msgpack.decode(bytes.fromhex(golden["bytes"])).items()
    )


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: _tag(type(event)))
def test_every_field_of_today_is_pinned(event: Event) -> None:
    """The newest golden file of a type holds every field that the type has now."""
    newest = max(
        (path for path in _files() if path.stem.partition(".")[0] == _tag(type(event))),
        key=lambda path: path.stem,
    )
    assert json.loads(newest.read_text()) == _render(event)
    fields = {field.name for field in msgspec.structs.fields(event)}
    assert fields <= set(json.loads(to_json(event)))


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: _tag(type(event)))
def test_a_newer_field_is_ignored_when_reading(event: Event) -> None:
    """A service of this release reads an event to which a later one added something."""
    raw = msgspec.msgpack.decode(encode_event(event))
    assert decode_event(msgspec.msgpack.encode({**raw, "added_later": [1, 2]})) == event


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: _tag(type(event)))
def test_the_outside_can_be_read_without_the_inside(event: Event) -> None:
    """The envelope tells account, conversation and message of an event whose body nobody understands."""
    raw = msgspec.msgpack.decode(encode_event(event))
    raw["type"] = "from_the_future"
    payload = msgspec.msgpack.encode(raw)
    with pytest.raises(Malformed):
        decode_event(payload)
    envelope = decode_envelope(payload)
    assert envelope.account_id == raw.get("account_id", "")
    assert envelope.conversation_id == raw.get("conversation_id")
    assert envelope.message_id == raw.get("message_id")


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81", b"hello", b"\x91" * 5000, b"\x80"])
def test_garbage_is_malformed_and_nothing_else(payload: bytes) -> None:
    """Bytes that are no event raise Malformed, however deep or short they are."""
    with pytest.raises(Malformed):
        decode_event(payload)
    with pytest.raises(Malformed):
        decode_envelope(payload)


def _make() -> None:
    """Write files for samples that are not pinned yet; a changed sample gets the next number."""
    for event in SAMPLES:
        tag = _tag(type(event))
        known = sorted(GOLDEN.glob(f"{tag}.*.json"))
        rendered = json.dumps(_render(event), indent=1, sort_keys=True) + "\n"
        if known and known[-1].read_text() == rendered:
            continue
        (GOLDEN / f"{tag}.{len(known) + 1}.json").write_text(rendered)


if __name__ == "__main__":
    _make()
