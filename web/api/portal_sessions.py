"""Links to the hosted pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from flask import Blueprint, Response

from commands.open_portal_session import (
    DISPLAY_NAME_MAX,
    MINUTES_DEFAULT,
    MINUTES_MAX,
    Granted,
    end_portal_sessions,
    make_link,
)
from ledger.permissions import PERMISSIONS
from ledger.refusals import IdempotencyKeyReused, VersionMismatch
from web.api.answers import PortalLink
from web.api.operations import Returns, operation
from web.api.request_fields import ListOf, Shape, Text, WholeNumber, long_at_most, one_of, within
from web.api.requests import OF_CATALOG, IfMatch, RepeatableWrite, free_text
from web.app import return_urls
from web.app.auth import ADMIN, PORTAL, SUPPORT, only
from web.app.context import app_state, request_context, services
from web.app.responses import reply
from web.app.return_urls import LENGTH_MAX

blueprint = Blueprint("portal_sessions", __name__, url_prefix="/v1")


class MakeLink(Shape):
    """What the customer may do on the hosted pages, and for how long."""

    example: ClassVar = {
        "return_url": "http://127.0.0.1:8000/docs",
        "permissions": ["manage_users"],
        "minutes": 30,
    }

    return_url = Text(
        "Where the pages lead back to: of an origin in `KEYFOLD_RETURN_URLS`,"
        " or of `KEYFOLD_PUBLIC_URL`.",
        optional=True,
        validate=long_at_most(LENGTH_MAX),
    )
    permissions = ListOf(
        Text(validate=one_of(*PERMISSIONS)),
        "`buy`: buy seats and raise a subscription. `manage_billing`: open Stripe's Customer"
        " Portal. `manage_users`: both, the Billing page, and everything of a product that is"
        " billed by its users. Without this field: what `KEYFOLD_PORTAL_PERMISSIONS` says."
        " `[]`: none.",
        allow_none=False,
        load_default=None,
    )
    display_name = free_text(
        "What the account is called on the pages. It is not recorded.",
        DISPLAY_NAME_MAX,
        optional=True,
    )
    page = Text(
        "The page that the link leads to: `subscriptions`, `billing`,"
        " `manage/PRODUCT`, `buy/PRODUCT` or `activate/PRODUCT`. With the last, an activation"
        " key may follow the link as its fragment, `#POS-…`: the page puts it into the field,"
        " and sends nothing.",
        optional=True,
        document={OF_CATALOG: "pages"},
    )
    minutes = WholeNumber(
        "How long the link can be opened. The session that it begins ends"
        " 30 minutes after its last request, and at most eight times as long as this after its"
        " first.",
        load_default=MINUTES_DEFAULT,
        validate=within(1, MINUTES_MAX),
    )


class EndSessions(Shape):
    """Why an account's sessions are ended."""

    example: ClassVar = {"reason": "A laptop was stolen"}

    reason = free_text("Kept encrypted, until the account is erased.", required=True)


@blueprint.post("/accounts/<account>/portal-session")
@operation(
    access=only(PORTAL, ADMIN),
    headers=IfMatch,
    body=MakeLink,
    body_required=False,
    responses={201: Returns(PortalLink, "Where to send the customer.", ("Keyfold-Position",))},
    refusals=(VersionMismatch,),
)
def make_portal_session(
    account: str,
    expected_version: int | None,
    return_url: str | None,
    permissions: Sequence[str] | None,
    **granted: Any,
) -> Response:
    """Make a link that opens the hosted pages for a customer, once."""
    settings = app_state().wiring.settings
    if return_url is not None:
        return_urls.check(settings.allowed_origins, "/return_url", return_url)
    if permissions is None:
        permissions = settings.portal_permissions
    link = make_link(
        services(),
        app_state().wiring.link_key,
        request_context(),
        Granted(account, return_url=return_url, permissions=permissions, **granted),
        expected_version=expected_version,
    )
    url = f"{settings.public_url}/portal/open?{urlencode({'link': link.text})}"
    return reply(PortalLink(url), 201, position=link.position)


@blueprint.post("/accounts/<account>/portal-sessions/end")
@operation(
    access=only(SUPPORT, ADMIN),
    headers=RepeatableWrite,
    body=EndSessions,
    responses={
        204: Returns(
            None,
            "No session of the account goes on.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        )
    },
    refusals=(IdempotencyKeyReused, VersionMismatch),
)
def end_sessions(account: str, reason: str, **held: Any) -> Response:
    """End every session on the hosted pages of an account, and take its unopened links back.

    Repeated with its Idempotency-Key it ends none that began since.
    """
    done = end_portal_sessions(services(), request_context(), account, reason, **held)
    return reply(None, 204, position=done.position, replayed=done.replayed)
