"""Who may come in: the token that a caller sends, looked up."""

from __future__ import annotations

from datetime import datetime

from ledger.book import Book, Loaded
from ledger.streams import token
from ledger.streams.account import ACCOUNT
from ledger.streams.token import TOKEN, Token


def valid_token(book: Book, token_key: bytes, secret: str, now: datetime) -> Token | None:
    """Answer the token that a secret belongs to, if it lets anybody in now; else None."""
    found = look_up(book, token.token_id(token_key, secret), now)
    return found.state if found else None


def look_up(
    book: Book, id: str, now: datetime, account: str | None = None
) -> Loaded[Token | None] | None:
    """Answer the token with this id, as the ledger has it, if it lets anybody in now; else None.

    Args:
        account: that will be asked about next, if known. When it is remembered, what is new of it
            is read in the same look, and `Book.load` has it without another.
    """
    stream = TOKEN, token.stream_id(id)
    if account is not None and book.remembers(*stream) and book.remembers(ACCOUNT, account):
        found, _ = book.load_all(stream, (ACCOUNT, account))
    else:
        found = book.load(*stream)
    return found if found.state is not None and found.state.valid(now) else None
