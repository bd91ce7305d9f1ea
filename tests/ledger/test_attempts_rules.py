"""The lockout: five failed tries of a session, twenty of an account.

The tries here are of the time before sessions had streams of their own: they count as ever.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from ledger.refusals import TooManyAttempts
from ledger.streams import attempts
from ledger.streams.attempts import ATTEMPTS, Attempts, RedemptionRefused, SeatRefused
from ledger.streams.session_attempts import SessionAttempts
from tests.worlds import DAY, MINUTE, NOON, SECOND, Happened, Rule, folded, rows

MICROSECOND = timedelta(microseconds=1)


def failed(session: str = "s-1") -> RedemptionRefused:
    return RedemptionRefused(
        session=session,
        refusal="key_not_available",
        key="key_x",
        masked="POS-••••-••••-7K2M",
        product=None,
        found="unknown",
        key_version=0,
        consuming=True,
    )


def fails(count: int, session: str = "s-1", start: datetime = NOON) -> list[Happened]:
    """Failed tries of one session, a minute apart."""
    return [(start + n * MINUTE, failed(session)) for n in range(count)]


def spread(count: int, start: datetime = NOON, apart: timedelta = MINUTE) -> list[Happened]:
    """Failed tries, each in a session of its own."""
    return [(start + n * apart, failed(f"s-{n}")) for n in range(count)]


SEAT_REFUSED = SeatRefused(
    refusal="no_seat_available",
    product="cloud_pos",
    tier=None,
    holder="till-1",
    seats=2,
    used=2,
    sits_in=None,
    account_version=3,
)
FIFTH = NOON + 4 * MINUTE
FREE = FIFTH + 15 * MINUTE


def admit(at: datetime, session: str = "s-1") -> object:
    return lambda state: attempts.admit(state, session, SessionAttempts(), at)


def rule(
    name: str, given: list[Happened], at: datetime, then: object, session: str = "s-1"
) -> Rule[Attempts]:
    return Rule(
        name, given, lambda state: attempts.admit(state, session, SessionAttempts(), at), then
    )


RULES = [
    rule("nobody has failed yet", [], NOON, None),
    rule("four failed tries are forgiven", fails(4), NOON + 3 * MINUTE, None),
    rule("five block", fails(5), FIFTH, TooManyAttempts(900)),
    rule("for a quarter of an hour", fails(5), FREE - SECOND, TooManyAttempts(1)),
    rule(
        "the seconds that are left are rounded up",
        fails(5),
        FREE - SECOND - MICROSECOND,
        TooManyAttempts(2),
    ),
    rule("up to the last microsecond", fails(5), FREE - MICROSECOND, TooManyAttempts(1)),
    rule("and then no more", fails(5), FREE, None),
    rule("another session is another matter", fails(5), FIFTH, None, session="s-2"),
    rule(
        "tries of other sessions do not count",
        [*fails(4), *fails(4, "s-2")],
        NOON + 3 * MINUTE,
        None,
    ),
    rule(
        "after a block the count starts at zero",
        [*fails(5), *fails(4, start=FREE)],
        FREE + 3 * MINUTE,
        None,
    ),
    rule(
        "and the fifth after it blocks again",
        [*fails(5), *fails(5, start=FREE)],
        FREE + 4 * MINUTE,
        TooManyAttempts(900),
    ),
    rule(
        "the count of a session does not fade",
        [*fails(4), (NOON + 3 * DAY, failed())],
        NOON + 3 * DAY,
        TooManyAttempts(900),
    ),
    rule(
        "refused seats are no failed tries",
        [*fails(4), *[(NOON + 4 * MINUTE, SEAT_REFUSED)] * 30],
        FIFTH,
        None,
    ),
    rule("nineteen sessions are let in", spread(19), NOON + 19 * MINUTE, None, session="new"),
    rule(
        "the twentieth failed try blocks the account until the first is a day old",
        spread(20),
        NOON + 20 * MINUTE,
        TooManyAttempts(24 * 3600 - 20 * 60),
        session="new",
    ),
    rule(
        "up to the last second",
        spread(20),
        NOON + DAY - SECOND,
        TooManyAttempts(1),
        session="new",
    ),
    rule("and then no more", spread(20), NOON + DAY, None, session="new"),
    rule(
        "one more within the day blocks again, until the second is a day old",
        [*spread(20), (NOON + DAY, failed("late"))],
        NOON + DAY,
        TooManyAttempts(60),
        session="new",
    ),
    rule(
        "twenty over more than a day block nobody",
        spread(20, apart=timedelta(hours=2)),
        NOON + timedelta(hours=38),
        None,
        session="new",
    ),
    rule(
        "of two blocks the longer one counts",
        [*spread(15), *fails(5, "s-x", start=NOON + 15 * MINUTE)],
        NOON + 20 * MINUTE,
        TooManyAttempts(24 * 3600 - 20 * 60),
        session="s-x",
    ),
    rule(
        "also when it is the session's",
        [*spread(15), *fails(5, "s-x", start=NOON + DAY - 6 * MINUTE)],
        NOON + DAY - 2 * MINUTE,
        TooManyAttempts(900),
        session="s-x",
    ),
]


@rows(RULES)
def test_the_rules_of_the_lockout(case: Rule[Attempts]) -> None:
    case.check(ATTEMPTS)


def test_only_what_the_lockout_needs_is_remembered() -> None:
    state = folded(ATTEMPTS, *spread(50))
    assert state.recent == tuple(NOON + n * MINUTE for n in range(30, 50))


@pytest.mark.parametrize("session", ["s-0", "new"])
def test_a_block_ends_by_itself(session: str) -> None:
    state = folded(ATTEMPTS, *fails(5, "s-0"), *spread(15, start=NOON + 5 * MINUTE))
    until = state.blocked_until(session, SessionAttempts(), NOON + 20 * MINUTE)
    assert until == NOON + DAY
    assert state.blocked_until(session, SessionAttempts(), until) is None


def refused_seats(count: int) -> list[Happened]:
    """As many holders refused, a second apart."""
    return [
        (NOON + n * SECOND, replace(SEAT_REFUSED, holder=f"till-{n + 1}")) for n in range(count)
    ]


HOUR = timedelta(hours=1)
AGAIN = replace(SEAT_REFUSED, account_version=9)


@pytest.mark.parametrize(
    ("before", "seat", "at", "is_recorded"),
    [
        ([], SEAT_REFUSED, NOON, True),
        (refused_seats(1), AGAIN, NOON + HOUR - MICROSECOND, False),
        (refused_seats(1), AGAIN, NOON - HOUR + MICROSECOND, False),
        (refused_seats(1), AGAIN, NOON + HOUR, True),
        (refused_seats(1), replace(AGAIN, holder="till-2"), NOON, True),
        (refused_seats(1), replace(AGAIN, used=1), NOON, True),
        (refused_seats(99), replace(AGAIN, holder="new"), NOON + 2 * MINUTE, True),
        (refused_seats(100), replace(AGAIN, holder="new"), NOON + 2 * MINUTE, False),
        (refused_seats(100), replace(AGAIN, holder="new"), NOON + HOUR, True),
    ],
)
def test_a_refused_seat_is_recorded_once_an_hour_and_a_hundred_in_all(
    before: list[Happened], seat: SeatRefused, at: datetime, is_recorded: bool
) -> None:
    found = attempts.refuse_seat(folded(ATTEMPTS, *before), seat, at)
    assert found == ([seat] if is_recorded else [])
