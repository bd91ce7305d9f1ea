"""Links to the hosted pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response

from commands.open_portal_session import Granted, end_portal_sessions, make_link
from ledger.refusals import VersionMismatch
from web.api.answers import PortalLink
from web.api.operations import Returns, operation
from web.api.schemas import requests
from web.api.schemas.portal_sessions import EndSessions, MakeLink
from web.app import return_urls
from web.app.auth import ADMIN, PORTAL, SUPPORT, only
from web.app.context import app_state, request_context, services
from web.app.responses import reply

blueprint = Blueprint("portal_sessions", __name__, url_prefix="/v1")


@blueprint.post("/accounts/<account>/portal-session")
@operation(
    access=only(PORTAL, ADMIN),
    headers=requests.IfMatch,
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
        return_urls.check(settings, "/return_url", return_url)
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
    headers=requests.IfMatch,
    body=EndSessions,
    responses={204: Returns(None, "No session of the account goes on.", ("Keyfold-Position",))},
    refusals=(VersionMismatch,),
)
def end_sessions(account: str, expected_version: int | None, reason: str) -> Response:
    """End every session on the hosted pages of an account, and take its unopened links back."""
    position = end_portal_sessions(
        services(), request_context(), account, reason, expected_version=expected_version
    )
    return reply(None, 204, position=position)
