"""Small ledgers of one account, told in lines that a person can read.

    2026-03-01 09:00            redeem a cloud_pos 5 seats 12 months
    2026-03-01 09:30            redeem b integrations/growth 2 seats 1 month
    2026-03-02 08:00            sit till-1 cloud_pos
    2026-03-02 08:00:00.000001  label till-1 cloud_pos front
    2026-03-03 08:00            leave till-1 cloud_pos
    2026-03-04 08:00            reissue a POS-••••-••••-NEW2
    2026-03-05 08:00            terminate a
    2026-03-01 08:00 recorded 2026-03-20 10:00  sit till-2 cloud_pos

A redeemed key `a` gives the subscription `kfsub_a`, and its code shows as `POS-••••-••••-AAAA`.
What was recorded late says so; everything else was recorded when it occurred. Each line is decided
as a command decides it, so a line that the rules refuse fails the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ledger.book import Book, Change, Dated
from ledger.events import Fact, RequestContext, Sealed
from ledger.streams.account import decisions as rules
from ledger.streams.account import subscriptions as owned
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KeyIssued
from projections.views.account_at import Moment

ACCOUNT_ID = "acme"
PREFIXES = {"cloud_pos": "POS", "integrations": "INT"}


def at(text: str) -> datetime:
    """Read a moment: `2026-03-01 09:00`, with seconds and microseconds if there are any."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def short(moment: datetime | None) -> str | None:
    """Write a moment as `at` reads it."""
    if moment is None:
        return None
    assert moment.tzinfo == UTC
    if moment.microsecond:
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")


def asked(now: str, as_of: str | None = None, known_at: str | None = None) -> Moment:
    """Write down a question's times."""
    return Moment(at(now), as_of and at(as_of), known_at and at(known_at))  # type: ignore[arg-type]


def told(ledger: str) -> Book:
    """Return a book in memory with the lines recorded in it, in the order given."""
    book = Book("memory:")
    for line in filter(None, map(str.strip, ledger.splitlines())):
        tell(book, line)
    return book


def tell(book: Book, line: str) -> None:
    """Record one line."""
    day, time, *words = line.split()
    occurred = recorded = at(f"{day} {time}")
    if words[0] == "recorded":
        recorded = at(f"{words[1]} {words[2]}")
        words = words[3:]
    loaded = book.load(ACCOUNT, ACCOUNT_ID)
    facts = _decided(loaded.state, words, occurred)
    dated = [Dated(fact, occurred) for fact in facts]
    book.append(RequestContext(recorded, "operator", "req_1"), Change(loaded, dated))


def _decided(account: Account, words: Sequence[str], now: datetime) -> list[Fact]:
    match words:
        case ["redeem", letter, place, seats, "seats" | "seat", months, "months" | "month"]:
            key = issued(letter, place, int(seats), int(months))
            return owned.activate(account, key, f"kfsub_{letter}", "now", now)
        case ["sit", holder, place]:
            return rules.occupy(account, *_product_and_tier(place), holder, None, now)
        case ["label", holder, place, label]:
            sealed = Sealed(owner=f"account-{ACCOUNT_ID}", box=label)
            return rules.occupy(account, *_product_and_tier(place), holder, sealed, now)
        case ["leave", holder, place]:
            return rules.release(account, _product_and_tier(place)[0], holder)
        case ["suspend", letter]:
            return owned.suspend(account, f"kfsub_{letter}", None, now)
        case ["terminate", letter]:
            return owned.terminate(account, f"kfsub_{letter}", None, now)
        case ["reissue", letter, masked]:
            old = account.subscriptions[f"kfsub_{letter}"]
            new = issued(letter, old.product, old.seats, old.months, masked)
            return owned.rename_key(old.id, new)
    raise AssertionError(f"not a line of a ledger: {words}")


def issued(
    letter: str, place: str, seats: int, months: int, masked: str | None = None
) -> KeyIssued:
    """Return the key that a letter stands for."""
    product, tier = _product_and_tier(place)
    return KeyIssued(
        key=f"key_{letter}",
        masked=masked or f"{PREFIXES[product]}-••••-••••-{letter.upper() * 4}",
        batch="bat_1",
        index=0,
        generation=0,
        derived=True,
        product=product,
        tier=tier,
        seats=seats,
        months=months,
        reseller="north",
    )


def _product_and_tier(place: str) -> tuple[str, str | None]:
    product, _, tier = place.partition("/")
    return product, tier or None
