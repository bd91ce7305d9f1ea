"""What is decided about people, and what holds of what they began and granted."""

from __future__ import annotations

from typing import Final

import pytest

from ledger.events import Event, Fact
from ledger.refusals import PersonNotFound
from ledger.streams import granters, people
from ledger.streams.people import (
    LockedOut,
    People,
    PersonAdmitted,
    PersonLetIn,
    PersonLockedOut,
    PersonSessionsEnded,
)
from ledger.streams.token import Token
from tests.worlds import NOON, SECOND

ADA: Final = "kfu_" + "a" * 26
BOB: Final = "kfu_" + "b" * 26
ADMITTED: Final = PersonAdmitted(person=ADA, role="admin")
OUT: Final = PersonLockedOut(person=ADA)
IN: Final = PersonLetIn(person=ADA)
ENDED: Final = PersonSessionsEnded(person=ADA)


def after(*facts: Fact) -> People:
    """Return all people after facts, of which the first has position 1."""
    return people.fold(
        people.PEOPLE.initial,
        [
            Event(
                fact=fact, recorded_at=NOON + n * SECOND, occurred_at=NOON + n * SECOND,
                position=n, actor="operator", request_id="r",
            )
            for n, fact in enumerate(facts, 1)
        ],
    )  # fmt: skip


def test_a_person_is_admitted_once_and_again_in_another_role() -> None:
    assert people.admit(after(), ADA, "admin", None) == [ADMITTED]
    assert people.admit(after(ADMITTED), ADA, "admin", None) == []
    assert people.admit(after(ADMITTED), BOB, "admin", None) != []
    changed = PersonAdmitted(person=ADA, role="reseller", reseller="Northwind")
    assert people.admit(after(ADMITTED), ADA, "reseller", "Northwind") == [changed]
    seen = after(ADMITTED, changed)[ADA]
    assert (seen.role, seen.reseller, seen.admitted_at) == ("reseller", "Northwind", NOON + SECOND)


def test_nobody_is_admitted_who_is_locked_out() -> None:
    for facts in ((OUT,), (ADMITTED, OUT), (ADMITTED, OUT, IN, OUT)):
        with pytest.raises(LockedOut):
            people.admit(after(*facts), ADA, "admin", None)
    assert people.admit(after(ADMITTED, OUT, IN), ADA, "admin", None) == []


def test_what_is_done_twice_is_recorded_once() -> None:
    assert people.lock_out(after(), ADA) == [OUT]
    assert people.lock_out(after(OUT), ADA) == []
    assert people.let_in(after(OUT), ADA) == [IN]
    assert people.let_in(after(ADMITTED), ADA) == []
    assert people.end_sessions(after(ADMITTED), ADA) == [ENDED]


def test_of_nobody_nothing_ends() -> None:
    with pytest.raises(PersonNotFound):
        people.end_sessions(after(OUT), ADA)
    with pytest.raises(PersonNotFound):
        people.let_in(after(ADMITTED), BOB)


@pytest.mark.parametrize(
    ("facts", "granted_at", "stands"),
    [
        ((ADMITTED,), 2, True),
        ((ADMITTED, ENDED), 1, True),
        ((ADMITTED, OUT), 1, False),
        # By a request that had begun when its person was locked out.
        ((ADMITTED, OUT), 3, False),
        ((ADMITTED, OUT, IN), 1, False),
        ((ADMITTED, OUT, ENDED, IN), 3, False),
        ((ADMITTED, OUT, IN), 4, True),
        ((), 1, False),
    ],
)
def test_what_a_person_granted_ends_with_a_lockout_for_good(
    facts: tuple[Fact, ...], granted_at: int, stands: bool
) -> None:
    granter = after(*facts).get(ADA)
    assert granters.grant_stands(ADA, granter, granted_at, NOON) is stands
    assert granters.is_taken_back(ADA, granter, granted_at) is not stands


def test_what_a_token_granted_ends_with_it() -> None:
    token = Token("kft_1", "support", None, NOON, NOON + SECOND)
    assert granters.grant_stands("kft_1", token, 1, NOON)
    assert not granters.grant_stands("kft_1", token, 1, NOON + SECOND)
    assert not granters.is_taken_back("kft_1", token, 1)
    assert not granters.grant_stands("kft_1", None, 1, NOON)
    assert granters.grant_stands("operator", None, 1, NOON)
