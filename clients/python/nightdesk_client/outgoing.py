"""What waits to be written to the connection: messages, acknowledgements, read marks, typing, looking.

Acknowledgements and read marks are not answered, so after a loss the newest of them are said again; the server
takes the highest position, and a repeat changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from nightdesk_client.alarm import Alarm
from nightdesk_client.sending import Sender
from nightdesk_client.wire import Alert, Looking, Read, Received, Send, Typing

REMEMBERED_READS = 256
MOST_LOOKED_AT = 8


class Outgoing:
    """Collects frames; `wake` is set whenever there may be one."""

    def __init__(self, sender: Sender, wake: asyncio.Event, *, alarm: Alarm) -> None:
        self.sender = sender
        self.wake = wake
        self.alarm = alarm
        self._received = 0
        self._said_received = 0
        self._reads: OrderedDict[str, int] = OrderedDict()
        self._unsaid_reads: OrderedDict[str, None] = OrderedDict()
        self._typing: dict[str, bool] = {}
        self._looked_at: dict[str, None] = {}
        self._unsaid_looks: dict[str, bool] = {}

    def received(self, position: int) -> None:
        """The application took every entry up to `position`."""
        if position > self._received:
            self._received = position
            self.wake.set()

    def told(self, frame: Alert) -> None:
        """This device is to alert: do so if it is in time, and say how far it got once more."""
        if self.alarm.told(frame, held=self._received):
            self._said_received = -1
            self.wake.set()

    def read(self, conversation_id: str, up_to: int) -> None:
        """The person saw the conversation up to `up_to`."""
        if up_to <= self._reads.get(conversation_id, 0):
            return
        self._reads[conversation_id] = up_to
        self._reads.move_to_end(conversation_id)
        self._unsaid_reads[conversation_id] = None
        while len(self._reads) > REMEMBERED_READS:
            oldest, _ = self._reads.popitem(last=False)
            self._unsaid_reads.pop(oldest, None)
        self.wake.set()

    def typing(self, conversation_id: str, *, is_typing: bool) -> None:
        """Said once, and forgotten when the connection is lost: it would be stale by then."""
        self._typing[conversation_id] = is_typing
        self.wake.set()

    def looking(self, conversation_id: str, *, is_looking: bool) -> None:
        """Said again on every new connection, until the application says otherwise."""
        self._looked_at.pop(conversation_id, None)
        if is_looking:
            self._looked_at[conversation_id] = None
        if len(self._looked_at) > MOST_LOOKED_AT:
            # The server lets go of the one that was opened first, too.
            del self._looked_at[next(iter(self._looked_at))]
        self._unsaid_looks[conversation_id] = is_looking
        if len(self._unsaid_looks) > 2 * MOST_LOOKED_AT:
            # Without a connection nothing is taken away, and nobody needs to hear what was closed then.
            self._unsaid_looks = dict.fromkeys(self._looked_at, True)
        self.wake.set()

    def restart(self) -> None:
        """The chain began anew: the positions acknowledged before belong to the old one."""
        self._received = 0
        self._said_received = 0

    def on_lost(self) -> None:
        """The connection is gone; what was not answered is said again on the next."""
        self.sender.on_lost()
        self._said_received = 0
        self._unsaid_reads = OrderedDict.fromkeys(self._reads)
        self._typing.clear()
        self._unsaid_looks = dict.fromkeys(self._looked_at, True)

    def next_frame(self) -> Send | Received | Read | Typing | Looking | None:
        """The next frame to write, or None."""
        if self._received > self._said_received:
            self._said_received = self._received
            return Received(up_to=self._received, alerted=self.alarm.claim)
        if send := self.sender.due():
            return send
        if self._unsaid_reads:
            conversation_id, _ = self._unsaid_reads.popitem(last=False)
            return Read(conversation_id=conversation_id, up_to=self._reads[conversation_id])
        if self._unsaid_looks:
            conversation_id = next(iter(self._unsaid_looks))
            is_looking = self._unsaid_looks.pop(conversation_id)
            return Looking(conversation_id=conversation_id, is_looking=is_looking)
        if self._typing:
            conversation_id, is_typing = self._typing.popitem()
            return Typing(conversation_id=conversation_id, is_typing=is_typing)
        return None
