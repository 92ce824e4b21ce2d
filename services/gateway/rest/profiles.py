"""What is known of a contact, changed by whoever comes: read, merged, written, and looked at again, until what they said
is what is stored. Two gateways that do so in the same moment both see their change through: the log takes only the
change that was made from what it follows (`ContactChanged.base`), and the other is made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from services.gateway.rejudging import rejudged
from services.gateway.rest.door import Door
from services.gateway.views import Profile
from shared.codec import to_json
from shared.errors import Rejected, Unavailable
from shared.events import (
    Author,
    ConditionsJudged,
    ContactChanged,
    ContactCreated,
    ConversationEvent,
)
from shared.ids import AccountId, ContactId, InboxId, Position
from shared.queries import ContactRow, GetContact

_TRIES = 8
"""Each time somebody else was quicker."""

Merge = Callable[[Profile], Profile]


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """The contact. `comes_by`: the inbox through which they are made if they are not there; None: they must be."""

    account_id: AccountId
    contact_id: ContactId
    comes_by: InboxId | None = None
    is_identified: bool = False


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """`row`: as it was found at last; `position`: of what was appended for it."""

    row: ContactRow | None
    profile: Profile
    position: Position | None = None


async def find_contact(
    door: Door, account_id: AccountId, contact_id: ContactId, *, at_least: Position | None = None
) -> ContactRow | None:
    """The contact as of a position, or of now; None when there is none."""
    if at_least is None:
        at_least = await door.parts.asking.end_of_log()
    try:
        return await door.parts.asking.contact(
            GetContact(account_id=account_id, contact_id=contact_id, at_least=at_least)
        )
    except Rejected as err:
        if err.code == "not_found":
            return None
        raise


def seal(door: Door, account_id: AccountId, contact_id: ContactId, profile: Profile) -> bytes:
    """As it lies in the log."""
    if profile == Profile():
        return b""
    ring = door.parts.keys.ring
    return ring.seal(account_id, to_json(profile), of=contact_id, part="profile")


async def see_through(
    door: Door,
    whose: Whose,
    merge: Merge,
    *,
    by: Author | None = None,
    first: Sequence[ConversationEvent] = (),
) -> Settled:
    """See a change through. `first` goes into the log before it, also when nothing changes. Raises `Unavailable`: others
    were quicker every time, which may have left nothing of it or, after a crash, all."""
    position: Position | None = None
    judged = {each.conversation_id for each in first if isinstance(each, ConditionsJudged)}
    extra = list(first)
    for _ in range(_TRIES):
        row = await find_contact(door, whose.account_id, whose.contact_id, at_least=position)
        if row is not None and row.merged_into is not None:
            whose = msgspec.structs.replace(whose, contact_id=row.merged_into)
            row = await find_contact(door, whose.account_id, whose.contact_id, at_least=position)
        before = await _known(door, row)
        profile = merge(before)
        is_there = row is not None and profile == before
        if is_there and not extra and position is None:
            return Settled(row=row, profile=profile)
        is_last = is_there and not extra
        events = extra if is_there else [*extra, _event(door, whose, row, profile, by)]
        extra = []
        # What waits is judged by what is known now; and once more by what began while this was written.
        fresh = await rejudged(
            door.parts, whose.account_id, whose.contact_id, profile.attributes, at_least=position
        )
        if is_there:
            fresh = [each for each in fresh if each.conversation_id not in judged]
        judged.update(each.conversation_id for each in fresh)
        if events or fresh:
            events = [*events, *fresh]
            appended = await door.parts.admission.append(whose.contact_id, "conversation", events)
            position = appended[-1]
        if is_last:
            return Settled(row=row, profile=profile, position=position)
    raise Unavailable("others change this contact just now", code="busy")


async def _known(door: Door, row: ContactRow | None) -> Profile:
    if row is None:
        return Profile()
    await door.parts.views.cover(row.account_id, [row])
    return door.parts.views.profile(row)


def _event(
    door: Door, whose: Whose, row: ContactRow | None, profile: Profile, by: Author | None
) -> ContactCreated | ContactChanged:
    sealed = seal(door, whose.account_id, whose.contact_id, profile)
    if row is not None:
        return ContactChanged(
            account_id=whose.account_id,
            contact_id=whose.contact_id,
            profile=sealed,
            by=by or Author(kind="visitor", id=whose.contact_id),
            base=row.profile_revision,
        )
    if whose.comes_by is None:
        raise Rejected("not_found", "there is no such thing here")
    return ContactCreated(
        account_id=whose.account_id,
        contact_id=whose.contact_id,
        inbox_id=whose.comes_by,
        is_identified=whose.is_identified,
        profile=sealed,
    )
