"""Links to the hosted pages, for a portal to send its customer to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response

from commands.open_portal_session import Granted, make_link
from web import return_urls
from web.auth import ADMIN, PORTAL, only
from web.context import parts, ports, stamp
from web.operations import Answered, Operations
from web.replies import reply
from web.schemas.portal_sessions import Link, MakeLink

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
    body=MakeLink,
    body_required=False,
    answers={201: Answered(Link, "Where to send the customer.", ("Keyfold-Position",))},
)
def make_portal_session(account: str, body: dict[str, Any]) -> Response:
    """Make a link that opens the hosted pages for a customer, once.

    Nothing is recorded until it is opened.
    """
    settings = parts().wiring.settings
    if body["return_url"] is not None:
        return_urls.check(settings, "/return_url", body["return_url"])
    link = make_link(ports(), parts().wiring.link_key, stamp(), Granted(account, **body))
    url = f"{settings.public_url}/portal/open?{urlencode({'link': link})}"
    return reply({"url": url}, 201, position=ports().book.head())
