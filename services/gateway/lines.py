"""Messages of a drained inbox as JSON, straight from the lines that the database wrote (`shared.packed`).

An entry is put together from the pieces of a sample view, so what is written here is what `Views` and msgspec write;
what is the same for many messages (author, conversation, moment) is made once. A message that is not like most (edited,
retracted, a clash) goes the long way."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec
from cryptography.exceptions import InvalidTag

from services.gateway.pieces import (
    ALERT,
    AT,
    AUTHOR,
    DEVICE,
    END,
    HELD,
    ITS_AT,
    ITS_POSITION,
    ITS_TALK,
    MESSAGE,
    POSITION,
    PREV,
    QUIET,
    SEEN,
    SEQ,
    TALK,
    TEXT,
    TYPE,
)
from services.gateway.tokens import Principal
from services.gateway.views import Views, at
from shared.codec import to_json
from shared.crypto import HEAD_BYTES, Opener
from shared.ids import ConversationId, Position
from shared.packed import Line, entry_of, id_text, told


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are worth an alert, and whether the device may make it: then `until`, else None."""

    floor_ns: int
    floor_position: Position
    until: str | None


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A message that is worth an alert, or (`is_own`) that the reader wrote."""

    position: Position
    at_ns: int
    conversation_id: ConversationId
    is_own: bool


class _Who(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What messages of one author have in common. `is_common`: nothing about them is special."""

    is_common: bool
    is_own: bool
    may_alert: bool
    begin: bytes
    end: bytes


class _Talk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What messages of one conversation have in common."""

    is_held: bool
    quiet: bytes
    alert: bytes


class Writing:
    """Lines for one reader. `shown` grows while `write` goes on; keys must be known before (`Views.cover_lines`)."""

    def __init__(
        self, views: Views, viewer: Principal, held: Collection[bytes], rights: Rights
    ) -> None:
        self.shown: list[Shown] = []
        self._views = views
        self._viewer = viewer
        self._held = held
        self._rights = rights
        until = rights.until
        self._mark = QUIET if until is None else b'"alert":true,"alert_until":' + to_json(until)

    def write(self, lines: Sequence[Line]) -> Iterator[tuple[Position, bytes]]:
        """Each entry as JSON, with its position."""
        floor_ns, floor_position = self._rights.floor_ns, self._rights.floor_position
        is_visitor = self._viewer.kind == "visitor"
        whos: dict[bytes, _Who] = {}
        talks: dict[bytes, _Talk] = {}
        openers: dict[bytes, Opener] = {}
        last_ms, time = -1, b""
        for line in lines:
            position, prev, at_ns, seq, seen, talk_id, raw_id, message_id, _, about, body = line
            who = whos.get(about) or whos.setdefault(about, self._meet(about))
            talk = talks.get(talk_id) or talks.setdefault(talk_id, self._enter(talk_id))
            is_alert = (
                who.may_alert and talk.is_held and at_ns >= floor_ns and position > floor_position
            )
            if is_alert or who.is_own:
                conversation_id = ConversationId(id_text(talk_id))
                self.shown.append(Shown(position, at_ns, conversation_id, who.is_own))
            if not who.is_common:
                yield position, self._special(line, is_alert=is_alert)
                continue
            if at_ns // 1_000_000 != last_ms:
                last_ms, time = at_ns // 1_000_000, at(at_ns).encode()
            head = body[:HEAD_BYTES]
            opener = openers.get(head) or openers.setdefault(head, self._opener(head))
            try:
                text = to_json(opener(raw_id, body).decode())
            except (InvalidTag, ValueError):
                # The long way says why not.
                yield position, self._special(line, is_alert=is_alert)
                continue
            number = b"%d" % position
            # fmt: off
            yield position, b"".join((
                POSITION, number, PREV, b"%d" % prev, AT, time,
                talk.alert if is_alert else talk.quiet, message_id, SEQ, b"%d" % seq,
                ITS_POSITION, number, ITS_AT, time, who.begin, text, who.end,
                b"0" if is_visitor else b"%d" % seen, END,
            ))
            # fmt: on

    def _meet(self, about: bytes) -> _Who:
        """An author, with what else is the same for their messages."""
        account_id, viewer_id = self._viewer.account_id, self._viewer.id
        its = told(about)
        is_message = its.kind == "message" and its.position is None
        is_own = its.author.id == viewer_id
        author = to_json(self._views.author(account_id, its.author))
        device = to_json(its.device_id if is_own else None)
        return _Who(
            is_common=is_message and not (its.revision or its.flags or its.clash_of),
            is_own=is_own,
            may_alert=is_message and not is_own,
            begin=AUTHOR + author + TYPE + to_json(its.content_type) + TEXT,
            end=DEVICE + device + SEEN,
        )

    def _enter(self, talk_id: bytes) -> _Talk:
        """A conversation."""
        is_held = talk_id in self._held
        name = id_text(talk_id).encode()
        rest = HELD + (b"true" if is_held else b"false") + ITS_TALK + name + MESSAGE
        begin = TALK + name + ALERT
        return _Talk(is_held=is_held, quiet=begin + QUIET + rest, alert=begin + self._mark + rest)

    def _opener(self, head: bytes) -> Opener:
        return self._views.opener(self._viewer.account_id, head)

    def _special(self, line: Line, *, is_alert: bool) -> bytes:
        """A message that is not like most."""
        viewer = self._viewer
        entry = entry_of(line, owner_id=viewer.id, account_id=viewer.account_id, held=self._held)
        encoded = to_json(self._views.entry(entry, viewer))
        return encoded.replace(QUIET, self._mark, 1) if is_alert else encoded
