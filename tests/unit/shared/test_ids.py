"""One id is one string, and derived ids are the same for everybody."""

from __future__ import annotations

import uuid

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Rejected
from shared.ids import AccountId, MessageId, canonical, clash_id, contact_of_external, uuid7_time_ms


@given(st.uuids())
def test_every_spelling_of_a_uuid_in_text_form_is_one_id(value: uuid.UUID) -> None:
    """Upper case is lowered; the canonical spelling is kept."""
    assert canonical(str(value)) == canonical(str(value).upper()) == str(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: "{" + x + "}",
        lambda x: x.replace("-", ""),
        lambda x: x + "\n",
        lambda x: " " + x,
        lambda x: x.replace("-", "."),
        lambda x: x[:-1] + "*",
        lambda x: x[:-1] + "٣",
        lambda x: "urn:uuid:" + x,
        lambda x: x + "\0",
        lambda _: "",
    ],
)
def test_anything_else_is_refused(change: object) -> None:
    """Braces, blanks, dots, stars, line breaks, NUL and foreign digits are no ids."""
    text = change("33333333-3333-4333-8333-333333333333")  # type: ignore[operator]
    with pytest.raises(Rejected) as caught:
        canonical(text)
    assert caught.value.code == "bad_id"


def test_the_time_in_a_uuid7_is_read_and_no_other_has_one() -> None:
    """Only version 7 carries a time."""
    made = uuid_utils.uuid7()
    assert uuid7_time_ms(str(made)) == made.timestamp
    assert uuid7_time_ms(str(uuid.uuid4())) is None


@given(st.text(), st.text())
def test_an_external_id_is_one_contact(one: str, other: str) -> None:
    """The same external id gives the same contact, another one or another account another."""
    account = AccountId("11111111-1111-4111-8111-111111111111")
    first = contact_of_external(account, "scope", one)
    assert first == contact_of_external(account, "scope", one)
    assert (first == contact_of_external(account, "scope", other)) == (one == other)
    assert first != contact_of_external(AccountId("2"), "scope", one)


def test_a_clash_gets_an_id_of_its_own_for_each_position() -> None:
    """Two clashes of one MessageID are two messages, and the same ones after a rebuild."""
    used = MessageId("33333333-3333-4333-8333-333333333333")
    assert clash_id(used, 5) == clash_id(used, 5)
    assert len({used, clash_id(used, 5), clash_id(used, 6)}) == 3
