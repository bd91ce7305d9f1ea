"""What a request works with: the process's parts, who asks, and when.

Nothing here is looked up twice: the clock is read once, when the request comes in.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from flask import current_app, g

from commands.services import Services
from ledger.events import RequestContext
from ledger.streams.token import Role
from projections.lists.overview import Attention
from projections.lists.webhook_deliveries import Backlog
from web.app.last_known import LastKnown
from web.app.metrics import Metrics
from web.app.redaction import Redactor
from web.app.services import Wiring
from web.app.token_limits import TokenLimits
from web.app.upload_limit import UploadTries

EXTENSION = "keyfold"


class AppState(NamedTuple):
    """What one application has for all of its requests.

    Attributes:
        upload_tries: of the customers' sessions, in this process.
        token_limits: how often tokens may ask, and have.
        position_wait_s: how long a read with `min_position` waits for the ledger to get there.
        head, attention, webhooks, tables_behind, clock_ahead: where the ledger is, what needs
            looking at, what waits to be sent, what tables have to catch up, and by how many seconds
            our clock is ahead of the database's, for figures, which must not wait for the database.
        past: what of the ledger's past is not as it was, of what was hashed again by now.
    """

    wiring: Wiring
    redactor: Redactor
    metrics: Metrics
    upload_tries: UploadTries
    token_limits: TokenLimits
    position_wait_s: float
    head: LastKnown[int]
    attention: LastKnown[Attention]
    webhooks: LastKnown[list[Backlog]]
    tables_behind: LastKnown[dict[str, int]]
    clock_ahead: LastKnown[float | None]
    past: LastKnown[str | None]


class Caller(NamedTuple):
    """Who asks, by the token that was sent, or by the session at the console.

    Attributes:
        id: the token's, `kft_…`; or of a person who signed in at the provider, `kfu_…`.
        reseller: the one name that one of role `reseller` is bound to; None for the others.
    """

    id: str
    role: Role
    reseller: str | None


def app_state() -> AppState:
    """Return the state of the app that handles the current request."""
    return cast(AppState, current_app.extensions[EXTENSION])


def services() -> Services:
    """Return what commands and views need, of the current request's app."""
    return app_state().wiring.services


def request_id() -> str:
    """Return the current request's id."""
    return cast(str, g.request_id)


def request_context() -> RequestContext:
    """Return who asks, in which request, and when: see `RequestContext`."""
    return cast(RequestContext, g.request_context)


def caller() -> Caller:
    """Return who asks, in a request that let nobody in without a token."""
    return cast(Caller, g.caller)
