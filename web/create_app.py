"""The application: parts put in, pages registered, and what holds for every request."""

from __future__ import annotations

from functools import partial
from typing import Final

from flask import Flask

from commands import validation
from projections.audit.past_check import PastCheck
from web.api import (
    accounts,
    batches,
    billing,
    codes,
    docs_page,
    events,
    health,
    keys,
    notice_links,
    notices,
    orders,
    portal_sessions,
    proofs,
    questions,
    resellers,
    seats,
    stripe_customers,
    stripe_webhook,
    subscriptions,
    timeline,
    webhooks,
)
from web.api.openapi import document
from web.api.operations import Id, Name
from web.app import errors, request_hooks
from web.app.context import EXTENSION, AppState
from web.app.flask_app import KeyfoldFlask
from web.app.last_known import LastKnown
from web.app.metrics import Metrics
from web.app.redaction import Redactor
from web.app.request_parsing import BODY_BYTES_MAX
from web.app.services import Wiring, wire
from web.app.settings import read_settings
from web.app.token_limits import TokenLimits
from web.app.upload_limit import UploadTries
from web.console.routes import bp as console
from web.html import rendering, start_page
from web.portal.routes import bp as portal

POSITION_WAIT_S: Final = 2.0
ATTENTION_AGE_S: Final = 60.0
LAG_AGE_S: Final = 5.0
PAST_AGE_S: Final = 1.0


def create_app(
    wiring: Wiring | None = None,
    *,
    position_wait_s: float = POSITION_WAIT_S,
    attention_age_s: float = ATTENTION_AGE_S,
) -> Flask:
    """Return the application of one process; it must not go through a fork.

    Args:
        wiring: of the process; as the settings have it, if left out.
        position_wait_s: how long a read with `min_position` waits.
        attention_age_s: how old what needs looking at may be in the figures. It is found out by
            folding each account that has something at Stripe.

    Raises:
        SettingError: a setting, the schema or the secret will not do.
    """
    wiring = wiring or wire(read_settings(), for_persons=True)
    app = KeyfoldFlask("web")
    # One byte more than a body may have: Flask cuts one off there whose length was not told before.
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX + 1
    # `//v1` is another page than `/v1`, and there is none: it is not redirected to one.
    app.url_map.merge_slashes = False
    app.url_map.converters.update(id=Id, name=Name)
    app.extensions[EXTENSION] = build_app_state(wiring, position_wait_s, attention_age_s)
    request_hooks.register(app)
    for module in (
        keys, batches, resellers, orders, codes, accounts, subscriptions, seats, timeline,
        questions, portal_sessions, events, proofs, stripe_customers, billing, notices,
        notice_links, webhooks, stripe_webhook, health,
    ):  # fmt: skip
        app.register_blueprint(module.blueprint)
    errors.register(app)
    spec = document(app, wiring.services.catalog, wiring.settings.public_url)
    docs_page.register(app, spec, test_clock=wiring.settings.test_clock is not None)
    rendering.register(app)
    app.register_blueprint(start_page.bp)
    app.register_blueprint(console)
    app.register_blueprint(portal)
    return app


def build_app_state(wiring: Wiring, position_wait_s: float, attention_age_s: float) -> AppState:
    """Return what an application has for its requests; nothing else of it depends on the wiring.

    Only the catalog, the public URL and whether there is a test clock are in its pages, too.
    """
    return AppState(
        wiring,
        Redactor(wiring.services.catalog.prefixes, partial(validation.any_known, wiring.services)),
        Metrics(),
        UploadTries(),
        TokenLimits(wiring.settings.token_limits),
        position_wait_s,
        head=LastKnown(wiring.services.book.head),
        attention=LastKnown(lambda: health.attention_now(wiring), attention_age_s),
        webhooks=LastKnown(
            lambda: health.webhook_backlogs(wiring), min(attention_age_s, LAG_AGE_S)
        ),
        tables_behind=LastKnown(
            lambda: health.tables_behind(wiring), min(attention_age_s, LAG_AGE_S)
        ),
        clock_ahead=LastKnown(lambda: health.clock_ahead_s(wiring), LAG_AGE_S),
        past=LastKnown(PastCheck(wiring.services.book, wiring.tables).check_share, PAST_AGE_S),
    )
