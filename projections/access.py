"""Who may come in: the token that a caller sends, looked up."""

from __future__ import annotations

from datetime import datetime

from ledger.book import Book
from ledger.streams import token
from ledger.streams.token import TOKEN, Token


def valid_token(book: Book, token_key: bytes, secret: str, now: datetime) -> Token | None:
    """Answer the token that a secret belongs to, if it lets anybody in now; else None."""
    found = book.load(TOKEN, token.stream_id(token.token_id(token_key, secret))).state
    return found if found is not None and found.valid(now) else None
