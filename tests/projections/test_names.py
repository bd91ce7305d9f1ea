"""Finding things by what they are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.book import Book, Change
from ledger.loaded import empty_stream
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from projections.lists.names import fold, list_accounts, named_like
from projections.lists.stores import Tables
from tests.projections.keys import issue
from tests.worlds import NOON, context

ACCOUNTS = ("CUST-0003", "CUST-0030", "cust_0003", "Straße 5", "50001", "Kassen Bo\u0308hm", "Cœur")


def seat(book: Book, account: str, holder: str = "till-1") -> None:
    """Let an account be known by the first that happens to it."""
    taken = SeatOccupied(product="cloud_pos", tier=None, holder=holder, label=None)
    book.append(context(NOON), Change(empty_stream(ACCOUNT, account), [taken]))


@pytest.fixture
def names(book: Book) -> Book:
    """Return a ledger with accounts, holders, and keys of two resellers."""
    for account in ACCOUNTS:
        seat(book, account)
    issue(book, NOON, "a7k2m", reseller="Alpine Tills", batch="bat_1")
    issue(book, NOON, "b7k2m", reseller="Coastline", batch="bat_2")
    issue(book, NOON, "c", reseller="Muller & \ufb01ls", batch="bat_3")
    return book


def found(book: Book, tables: Tables, text: str) -> list[str]:
    near = named_like(book, tables, text, limit=10)
    return [f"{one.kind} {one.id}" for one in near]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cust-0003", ["account CUST-0003", "account cust_0003"]),
        ("Cust 0003", ["account CUST-0003", "account cust_0003"]),
        ("cust–00", ["account CUST-0003", "account cust_0003", "account CUST-0030"]),
        ("0030", ["account CUST-0030"]),
        ("STRASSE", ["account Straße 5"]),
        ("straẞe", ["account Straße 5"]),
        ("bohm", ["account Kassen Bo\u0308hm"]),
        ("BÖHM", ["account Kassen Bo\u0308hm"]),
        ("ｋａｓｓｅｎ b", ["account Kassen Bo\u0308hm"]),
        ("coeur", ["account Cœur"]),
        ("Müller", ["reseller Muller & \ufb01ls"]),
        ("fils", ["reseller Muller & \ufb01ls"]),
        ("tills", ["reseller Alpine Tills"]),
        ("alp", ["reseller Alpine Tills"]),
        ("7k2m", ["code key_a7k2m", "code key_b7k2m"]),
        ("…7K2M", ["code key_a7k2m", "code key_b7k2m"]),
        ("KEY_A7", ["key key_a7k2m"]),
        ("TILL 1", ["holder till-1"]),
        ("ust", []),
        ("--", []),
        ("", []),
    ],
)
def test_what_is_called_alike_is_found(
    names: Book, tables: Tables, text: str, expected: list[str]
) -> None:
    assert found(names, tables, text) == expected


def test_what_is_called_exactly_so_comes_first(book: Book, tables: Tables) -> None:
    for account in ("acme", "acme-2", "ac"):
        seat(book, account, "acme")
    assert found(book, tables, "ACME") == ["account acme", "holder acme", "account acme-2"]


def test_so_many_of_a_kind_are_found_at_most(names: Book, tables: Tables) -> None:
    near = named_like(names, tables, "cust", limit=2)
    assert [one.id for one in near] == ["CUST-0003", "cust_0003"]


def test_accounts_are_listed_page_by_page(names: Book, tables: Tables) -> None:
    listed, after = [], None
    while True:
        page, after = list_accounts(names, tables, after=after, limit=2)
        listed += page
        if after is None:
            break
        seat(names, f"zz-{len(listed)}")
    assert listed == [
        "50001",
        "Cœur",
        "CUST-0003",
        "cust_0003",
        "CUST-0030",
        "Kassen Böhm",
        "Straße 5",
        "zz-2",
        "zz-4",
        "zz-6",
        "zz-8",
    ]
    assert list_accounts(names, tables, start="cust", after=None, limit=9) == (
        ["CUST-0003", "cust_0003", "CUST-0030"],
        None,
    )


@given(st.text(max_size=12))
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper().lower()) == fold(text.upper().lower().casefold())
