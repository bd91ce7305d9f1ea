"""Give access with a token, and take it back."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import NamedTuple

from commands import validation
from commands.reseller_spelling import kept_spelling
from commands.retry import Decided, decide
from commands.services import Services
from ledger.events import Fact, RequestContext
from ledger.loaded import Loaded
from ledger.refusals import FieldError
from ledger.streams import token
from ledger.streams.token import ROLES, TOKEN, Role, Token
from ledger.translation import gettext as _

TOKEN_BYTES = 25
TEXTS_OWNER = "access"


class Given(NamedTuple):
    """A new token; `secret` is what its owner sends, shown now and never again."""

    secret: str
    token: Token
    position: int


def create_token(
    services: Services,
    context: RequestContext,
    role: str,
    *,
    reseller: str | None = None,
    expires_at: datetime | None = None,
    reason: str | None = None,
) -> Given:
    """Create a token, and return it with its secret, which is shown now and never again.

    Args:
        reseller: the name that a token of role `reseller` is bound to.
        expires_at: from this moment on it lets nobody in; None for no limit.

    Raises:
        InvalidRequest: fields that do not fit.
    """
    expires_at = validation.utc("/expires_at", expires_at)
    validation.refuse_if(
        [
            *_errors(services, context, role, reseller, expires_at),
            *validation.text(services, "/reason", reason),
        ]
    )
    known: Role = next(known for known in ROLES if known == role)
    secret = secret_of(services.random_bytes(TOKEN_BYTES))
    id = token.token_id(services.token_key, secret)

    kept = kept_spelling(services, reseller) if reseller else None

    def decision(loaded: Loaded[Token | None]) -> list[Fact]:
        sealed = services.texts.seal(TEXTS_OWNER, reason, context.now)
        return token.create(loaded.state, id, known, kept, expires_at, sealed)

    created = decide(services, context, TOKEN, token.stream_id(id), decision)
    assert created.loaded.state is not None
    return Given(secret, created.loaded.state, created.position)


def secret_of(drawn: bytes) -> str:
    """Return the token that `TOKEN_BYTES` bytes by chance make."""
    return "kf_" + base64.b32encode(drawn).decode().lower()


def revoke_token(
    services: Services, context: RequestContext, id: str, reason: str | None = None
) -> Decided[Token | None]:
    """Take access back, and return the token just after: from now on it lets nobody in.

    Raises:
        InvalidRequest: a reason that does not fit.
        TokenNotFound: never created.
    """
    validation.refuse_if(validation.text(services, "/reason", reason))

    def decision(loaded: Loaded[Token | None]) -> list[Fact]:
        return token.revoke(loaded.state, services.texts.seal(TEXTS_OWNER, reason, context.now))

    return decide(services, context, TOKEN, token.stream_id(id), decision)


def _errors(
    services: Services,
    context: RequestContext,
    role: str,
    reseller: str | None,
    expires_at: datetime | None,
) -> list[FieldError]:
    errors = []
    if role not in ROLES:
        errors.append(FieldError("/role", _("must be one of %(roles)s", roles=", ".join(ROLES))))
    if reseller is not None:
        errors += validation.name(services, "/reseller", reseller)
    if expires_at is not None and expires_at <= context.now:
        errors.append(FieldError("/expires_at", _("must be in the future")))
    return errors
