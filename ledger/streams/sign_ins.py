"""Tries to sign in at the console that failed.

Stream:    `sign_ins-<where>`, where `console` is the only place there is
Facts:     ConsoleSignInRefused, PersonSignInRefused
Invariant: of tries that fail for the same reason, with the same token if it is a known one, or by
           the same person who is locked out, one is recorded in ten minutes: however many there
           are, the ledger does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

from ledger.events import AnyOccurrence, Fact, Stream

ID: Final = "console"
MERGED_FOR: Final = timedelta(minutes=10)

SignInProblem = Literal["unknown_token", "revoked_token", "expired_token", "portal_token"]
PersonSignInProblem = Literal[
    "locked_out", "no_role", "unknown_role", "portal_role", "no_reseller", "unknown_reseller"
]


class ConsoleSignInRefused(Fact, frozen=True):
    """Somebody tried to sign in with a token that lets nobody in there.

    Attributes:
        problem: why it was refused.
        token: its id; None for one that the ledger does not know, of which nothing is kept.
    """

    problem: SignInProblem
    token: str | None


class PersonSignInRefused(Fact, frozen=True):
    """Somebody whom the provider has vouched for was not let in.

    Attributes:
        problem: why.
        person: who was locked out; None for everybody else, of whom nothing is kept.
    """

    problem: PersonSignInProblem
    person: str | None = None


# The state: when each kind of failure was recorded last, by problem and token or person.
SignIns = dict[tuple[str, str | None], datetime]


def fold(recorded: SignIns, events: Iterable[AnyOccurrence]) -> SignIns:
    """Return when each kind of refused sign-in was recorded last, by problem and by whom."""
    recorded = dict(recorded)
    for event in events:
        match event.fact:
            case ConsoleSignInRefused() | PersonSignInRefused() as refused:
                recorded[_kind(refused)] = event.occurred_at
    return recorded


def refuse(
    recorded: SignIns, refused: ConsoleSignInRefused | PersonSignInRefused, now: datetime
) -> list[Fact]:
    """Return the failed try to record; none if one like it was recorded just now."""
    last = recorded.get(_kind(refused))
    return [] if last is not None and abs(now - last) < MERGED_FOR else [refused]


def _kind(refused: ConsoleSignInRefused | PersonSignInRefused) -> tuple[str, str | None]:
    if isinstance(refused, ConsoleSignInRefused):
        return refused.problem, refused.token
    return refused.problem, refused.person


SIGN_INS: Stream[SignIns] = Stream(
    kind="sign_ins",
    facts={
        "sign_ins.refused@1": ConsoleSignInRefused,
        "sign_ins.person_refused@1": PersonSignInRefused,
    },
    initial={},
    fold=fold,
)
