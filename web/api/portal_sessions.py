"""Links to the hosted pages, for a portal to send its customer to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response

from commands.open_portal_session import Granted, end_portal_sessions, make_link
from ledger.refusals import VersionMismatch
from web.api.operations import Answered, Operations
from web.api.schemas import requests
from web.api.schemas.portal_sessions import EndSessions, Link, MakeLink
from web.app import return_urls
from web.app.auth import ADMIN, PORTAL, SUPPORT, only
from web.app.context import app_state, request_context, services
from web.app.responses import reply

blp = Operations(
    "portal_sessions",
    __name__,
    url_prefix="/v1",
    description="Links to the hosted pages.",
)


@blp.operation(
    "POST",
    "/accounts/<account>/portal-session",
    access=only(PORTAL, ADMIN),
    headers=requests.IfMatch,
    body=MakeLink,
    body_required=False,
    answers={201: Answered(Link, "Where to send the customer.", ("Keyfold-Position",))},
    refusals=(VersionMismatch,),
)
def make_portal_session(account: str, headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """Make a link that opens the hosted pages for a customer, once."""
    settings = app_state().wiring.settings
    if body["return_url"] is not None:
        return_urls.check(settings, "/return_url", body["return_url"])
    if body["permissions"] is None:
        body = {**body, "permissions": settings.portal_permissions}
    granted = Granted(account, **body)
    link = make_link(services(), app_state().wiring.link_key, request_context(), granted, **headers)
    url = f"{settings.public_url}/portal/open?{urlencode({'link': link.text})}"
    return reply({"url": url}, 201, position=link.position)


@blp.operation(
    "POST",
    "/accounts/<account>/portal-sessions/end",
    access=only(SUPPORT, ADMIN),
    headers=requests.IfMatch,
    body=EndSessions,
    answers={204: Answered(None, "No session of the account goes on.", ("Keyfold-Position",))},
    refusals=(VersionMismatch,),
)
def end_sessions(account: str, headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """End every session on the hosted pages of an account, and take its unopened links back."""
    position = end_portal_sessions(
        services(), request_context(), account, body["reason"], **headers
    )
    return reply(None, 204, position=position)
