"""One access token of the API.

Stream:    `token-<digest>`, where `kft_<digest>` is the token's id; the digest is an HMAC of the
           token, so the ledger holds nothing that lets anybody in
Facts:     TokenCreated, TokenRevoked
Invariant: a revoked or expired token lets nobody in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from ledger.codes import digest
from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import FieldError, InvalidRequest, TokenNotFound
from ledger.translation import gettext as _

Role = Literal["portal", "reseller", "support", "auditor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


# Facts


class TokenCreated(Fact, frozen=True):
    """Access was given.

    Attributes:
        reseller: the one name that a token of role `reseller` is bound to; None for the others.
        expires_at: from this moment on it lets nobody in; None for no limit.
    """

    token: str
    role: Role
    reseller: str | None = None
    expires_at: datetime | None = None
    reason: Sealed | None = None


class TokenRevoked(Fact, frozen=True):
    """Access was taken back."""

    reason: Sealed | None = None


# State


class Token(Struct, frozen=True):
    id: str
    role: Role
    reseller: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def valid(self, at: datetime) -> bool:
        """Return whether the token lets anybody in at a moment."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


# Fold


def fold(token: Token | None, events: Iterable[AnyOccurrence]) -> Token | None:
    """Return the token after these events; None while none was created."""
    for event in events:
        match event.fact:
            case TokenCreated(token=id, role=role, reseller=reseller, expires_at=expires_at):
                token = Token(id, role, reseller, event.occurred_at, expires_at)
            case TokenRevoked() if token:
                token = replace(token, revoked_at=event.occurred_at)
    return token


# Decisions


def create(
    token: Token | None,
    id: str,
    role: Role,
    reseller: str | None,
    expires_at: datetime | None,
    reason: Sealed | None = None,
) -> list[Fact]:
    """Return the fact that gives access; none for the same token of the same role again.

    Raises:
        InvalidRequest: a reseller token without a reseller, or another with one; or the token is
            another's.
    """
    if role == "reseller" and not reseller:
        raise InvalidRequest(FieldError("/reseller", _("a token of role reseller needs one")))
    if role != "reseller" and reseller:
        raise InvalidRequest(
            FieldError("/reseller", _("a token of role %(role)s has none", role=role))
        )
    if token is not None:
        if (token.role, token.reseller) != (role, reseller):
            raise InvalidRequest(FieldError("/role", _("was another when this was asked before")))
        return []
    return [
        TokenCreated(token=id, role=role, reseller=reseller, expires_at=expires_at, reason=reason)
    ]


def revoke(token: Token | None, reason: Sealed | None = None) -> list[Fact]:
    """Return the fact that takes access back; none if it is revoked.

    Raises:
        TokenNotFound: never created.
    """
    if token is None:
        raise TokenNotFound
    return [] if token.revoked_at else [TokenRevoked(reason=reason)]


TOKEN: Stream[Token | None] = Stream(
    kind="token",
    facts={"token.created@1": TokenCreated, "token.revoked@1": TokenRevoked},
    initial=None,
    fold=fold,
)


def stream_id(token_id: str) -> str:
    """Return the id in the stream's name for a token's id."""
    return token_id.removeprefix("kft_")


def token_id(key: bytes, secret: str) -> str:
    """Return the id that the ledger knows a token by: a keyed digest, which tells nothing of it."""
    return "kft_" + digest(key, secret)
