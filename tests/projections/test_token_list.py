"""The list of access tokens."""

from __future__ import annotations

from ledger.book import Book
from ledger.streams.token import TOKEN, Token
from projections.lists.stores import Tables
from projections.lists.tokens import TokenPage, list_tokens
from tests.projections.keys import create_token, revoke_token
from tests.projections.telling import at


def test_no_tokens(book: Book, tables: Tables) -> None:
    assert list_tokens(book, tables, limit=50) == TokenPage([], None, 0)


def test_tokens_are_listed_newest_first_with_those_that_let_nobody_in(
    book: Book, tables: Tables
) -> None:
    ends = at("2026-03-02 00:00")
    create_token(book, at("2026-03-01 09:00"), "one", "admin")
    create_token(book, at("2026-03-01 10:00"), "two", "reseller", reseller="north")
    create_token(book, at("2026-03-01 11:00"), "three", expires_at=ends)
    revoke_token(book, at("2026-03-05 12:00:00.000001"), "one")
    page = list_tokens(book, tables, limit=50)
    assert page == TokenPage(
        [
            Token("kft_three", "portal", None, at("2026-03-01 11:00"), ends),
            Token("kft_two", "reseller", "north", at("2026-03-01 10:00"), None),
            Token(
                "kft_one",
                "admin",
                None,
                at("2026-03-01 09:00"),
                None,
                at("2026-03-05 12:00:00.000001"),
            ),
        ],
        None,
        4,
    )
    assert page.tokens == [book.load(TOKEN, id).state for id in ("three", "two", "one")]


def test_pages_follow_one_another(book: Book, tables: Tables) -> None:
    for id in ("t1", "t2", "t3"):
        create_token(book, at("2026-03-01 09:00"), id)
    first = list_tokens(book, tables, limit=2)
    create_token(book, at("2026-03-01 09:00"), "t4")
    second = list_tokens(book, tables, after=first.next, limit=2)
    assert [token.id for token in first.tokens + second.tokens] == ["kft_t3", "kft_t2", "kft_t1"]
    assert second.next is None
