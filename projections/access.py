"""Who may come in: the token that a caller sends, looked up."""

from __future__ import annotations

from datetime import datetime

from ledger.book import Book, Loaded
from ledger.streams import token
from ledger.streams.token import TOKEN, Token


def valid_token(book: Book, token_key: bytes, secret: str, now: datetime) -> Token | None:
    """Answer the token that a secret belongs to, if it lets anybody in now; else None."""
    found = look_up(book, token.token_id(token_key, secret), now)
    return found.state if found else None


def look_up(book: Book, id: str, now: datetime) -> Loaded[Token | None] | None:
    """Answer the token with this id, as the ledger has it, if it lets anybody in now; else None."""
    found = book.load(TOKEN, token.stream_id(id))
    return found if found.state is not None and found.state.valid(now) else None
