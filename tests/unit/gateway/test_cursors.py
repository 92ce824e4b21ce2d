"""Cursors: ours are read again, all else is told from them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cursors import Cursor, Cursors

_OURS = Cursors(b"k" * 32)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 2**63 - 1))
def test_a_cursor_says_what_was_written_into_it(owner: str, epoch: str, position: int) -> None:
    """Inbox, epoch and position come back as they were."""
    text = _OURS.encode(owner, epoch, position)
    assert _OURS.decode(text) == Cursor(owner, epoch, position)


@given(st.text(max_size=200))
def test_what_we_did_not_write_is_no_cursor(text: str) -> None:
    """No text that a client makes up is taken for a cursor, and none raises."""
    assert _OURS.decode(text) is None


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_changed_cursor_is_no_cursor(place: int, flip: int) -> None:
    """One changed character makes it worthless."""
    text = _OURS.encode("owner", "epoch", 7)
    place %= len(text)
    changed = text[:place] + chr((ord(text[place]) ^ flip) or 66) + text[place + 1 :]
    assert _OURS.decode(changed) in (None, Cursor("owner", "epoch", 7))
    if _OURS.decode(changed) is not None:
        # Only the unused bits of the last character may differ.
        assert place == len(text) - 1


def test_another_key_reads_nothing() -> None:
    """A cursor of another installation is none of ours."""
    assert Cursors(b"x" * 32).decode(_OURS.encode("owner", "epoch", 7)) is None
