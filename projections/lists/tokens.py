"""The list of access tokens, newest first; what lets their owners in is not in the ledger."""

from __future__ import annotations

from typing import NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.token import Token, TokenCreated, TokenRevoked
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.stores.tables import Row, Tables, to_moment, to_number


class TokenPage(NamedTuple):
    """Some tokens, newest first.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
        position: of the last event that the answer takes into account.
    """

    tokens: list[Token]
    next: int | None
    position: int


_SELECT = """
    SELECT position, id, role, reseller, created_at, expires_at, revoked_at
    FROM keyfold_token_list_1 WHERE position < :after ORDER BY position DESC LIMIT :limit
"""
_AFTER_ALL = 2**63 - 1


def list_tokens(book: Book, tables: Tables, *, after: int | None = None, limit: int) -> TokenPage:
    """Return a page of all tokens, those that let nobody in any more among them.

    Args:
        after: the `next` of the page before; None for the first.
    """
    params = {"after": _AFTER_ALL if after is None else after, "limit": limit + 1}
    result = read(book, tables, TOKEN_LIST, _SELECT, params)
    found = sorted(result.rows, reverse=True)
    shown = found[:limit]
    following = shown[-1][0] if len(found) > limit else None
    return TokenPage([_token(row) for row in shown], following, result.position)


def _token(row: Row) -> Token:
    _, id, role, reseller, created_at, expires_at, revoked_at = row
    return Token(
        id=id,
        role=role,
        reseller=reseller,
        created_at=to_moment(created_at),
        expires_at=to_moment(expires_at),
        revoked_at=to_moment(revoked_at),
    )


_REVOKE = "UPDATE keyfold_token_list_1 SET revoked_at = :revoked_at WHERE id = :id"


def _write(event: AnyEvent) -> Writes:
    at = to_number(event.recorded_at)
    match event.fact:
        case TokenCreated(token=id, role=role, reseller=reseller, expires_at=expires_at):
            return [(event.position, id, role, reseller, at, to_number(expires_at), None)]
        case TokenRevoked():
            id = event.stream.replace("token-", "kft_", 1)
            return Write(_REVOKE, [{"id": id, "revoked_at": at}])
    return None


TOKEN_LIST = Projection(
    name="token_list@1",
    table="keyfold_token_list_1",
    columns=("position", "id", "role", "reseller", "created_at", "expires_at", "revoked_at"),
    write=_write,
    facts=frozenset({TokenCreated, TokenRevoked}),
)
