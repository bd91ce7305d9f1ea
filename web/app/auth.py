"""Who may come in, and how far: bearer tokens and their roles.

Every endpoint says which roles it is for (`Access`); one that says nothing lets nobody in. A token
is looked up in the ledger at each request, so that one which is revoked lets nobody in from then
on.

Source: RFC 6750.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from flask import Request, g

from ledger.limits import ACCOUNT_ID
from ledger.loaded import Loaded
from ledger.streams.token import Role, Token, token_id
from projections.access import look_up
from web.app.context import Caller, app_state, services
from web.app.errors import FORBIDDEN, QUOTA_EXCEEDED, UNAUTHENTICATED, HttpProblem
from web.app.token_limits import WINDOW_S

PORTAL: Final[Role] = "portal"
RESELLER: Final[Role] = "reseller"
SUPPORT: Final[Role] = "support"
AUDITOR: Final[Role] = "auditor"
ADMIN: Final[Role] = "admin"

IDS_REMEMBERED: Final = 10_000
CHALLENGE: Final = 'Bearer realm="keyfold"'

_ACCOUNT = re.compile(ACCOUNT_ID)
_BEARER = re.compile(r"bearer +(?P<secret>[\x21-\x7e]{1,200}) *", re.IGNORECASE)
# Set by proxies; a request that has one did not come from this machine, whoever passed it on.
_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def never(_request: Request) -> bool:
    """Return False: every request needs a token."""
    return False


class Access(NamedTuple):
    """Whom an endpoint is for.

    Attributes:
        roles: whose tokens open it.
        without_token: tells whether a request needs no token at all.
    """

    roles: frozenset[Role]
    without_token: Callable[[Request], bool] = never


def only(*roles: Role) -> Access:
    """Return the access that these roles have, and nobody else."""
    return Access(frozenset(roles))


def from_loopback(request: Request) -> bool:
    """Return whether a request was made on this machine, and not passed on by a proxy on it."""
    if any(name in request.headers for name in _PROXIED):
        return False
    # nginx with nothing but `proxy_pass` sets none of them, but speaks HTTP/1.0; others pass on
    # the Host that their client has named.
    if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return False
    host = request.host.rpartition(":")[0] if request.host[-1:] != "]" else request.host
    host = (host or request.host).strip("[]")
    return _is_loopback(request.remote_addr or "") and (host == "localhost" or _is_loopback(host))


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


EVERYBODY: Final = Access(frozenset(), lambda _request: True)
NOBODY: Final = Access(frozenset())


def authorize(
    request: Request, access: Access, now: datetime
) -> tuple[Caller, int] | tuple[None, None]:
    """Return who asks, and where the ledger was seen to be; None for who needs no token here.

    Raises:
        HttpProblem: no or no valid token (401), one that asks too often (429), or a role that this
            endpoint is not for (403).
    """
    if access.without_token(request):
        return None, None
    caller, reached = _caller(request, now)
    count_request(caller)
    if caller.role not in access.roles:
        raise HttpProblem(FORBIDDEN, f"this is not for tokens of role {caller.role}")
    return caller, reached


def count_request(caller: Caller) -> None:
    """Count a request against the limit of its token's role, and have the response tell it.

    Raises:
        HttpProblem: the token has asked too often (429).
    """
    quota = app_state().token_limits.take(caller.id, caller.role)
    if quota is None:
        return
    g.quota = quota
    if quota.exceeded:
        raise HttpProblem(
            QUOTA_EXCEEDED,
            f"tokens of role {quota.policy} may ask {quota.limit} times in {WINDOW_S} seconds",
            {"Retry-After": str(quota.reset_s)},
        )


def _caller(request: Request, now: datetime) -> tuple[Caller, int]:
    given = request.environ.get("HTTP_AUTHORIZATION")
    if given is None:
        detail = "send a token as `Authorization: Bearer kf_…`"
        raise HttpProblem(UNAUTHENTICATED, detail, {"WWW-Authenticate": CHALLENGE})
    sent = _BEARER.fullmatch(given)
    found = _look_up(sent["secret"], now, _account(request)) if sent else None
    if found is None or found.state is None:
        challenge = f'{CHALLENGE}, error="invalid_token"'
        detail = "this token is unknown, revoked or expired"
        raise HttpProblem(UNAUTHENTICATED, detail, {"WWW-Authenticate": challenge})
    token = found.state
    app_state().wiring.token_uses.note(token.id, now)
    return Caller(token.id, token.role, token.reseller), found.head


def _account(request: Request) -> str | None:
    """Return the account that the endpoint is about, if it is about one."""
    account = (request.view_args or {}).get("account")
    return account if account is not None and _ACCOUNT.fullmatch(account) else None


def _look_up(secret: str, now: datetime, account: str | None) -> Loaded[Token | None] | None:
    found = services()
    return look_up(found.book, _ids.of(found.token_key, secret), now, account)


class TokenIds:
    """The ids of tokens that were sent lately, each of which takes a while to work out.

    The tokens themselves are not kept, but what BLAKE2b makes of them with the key.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.known: dict[bytes, str] = {}

    def of(self, token_key: bytes, secret: str) -> str:
        """Return the id of a token by its secret."""
        seen = hashlib.blake2b(secret.encode(), key=token_key, digest_size=32).digest()
        id = self.known.get(seen)
        if id is None:
            id = token_id(token_key, secret)
            if len(self.known) >= self._most:
                self.known.clear()
            self.known[seen] = id
        return id


_ids = TokenIds(IDS_REMEMBERED)
