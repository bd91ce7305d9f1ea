"""What is sent for a link to the hosted pages."""

from __future__ import annotations

from typing import ClassVar

import marshmallow as ma

from commands.open_portal_session import DISPLAY_NAME_MAX, MINUTES_DEFAULT, MINUTES_MAX
from ledger.permissions import PERMISSIONS
from web.api.schemas.fields import Shape, Text, WholeNumber, long_at_most, one_of, within
from web.api.schemas.requests import OF_CATALOG, free_text
from web.app.return_urls import LENGTH_MAX


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
    permissions = ma.fields.List(
        Text(validate=one_of(*PERMISSIONS)),
        allow_none=False,
        load_default=None,
        metadata={
            "description": "`buy`: buy seats and raise a subscription. `manage_billing`: open"
            " Stripe's Customer Portal. `manage_users`: both, the Billing page, and everything of"
            " a product that is billed by its users. Without this field: what"
            " `KEYFOLD_PORTAL_PERMISSIONS` says. `[]`: none.",
        },
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
