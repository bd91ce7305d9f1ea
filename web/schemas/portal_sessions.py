"""What is sent and answered for a link to the hosted pages."""

from __future__ import annotations

from typing import ClassVar

import marshmallow as ma

from commands.open_portal_session import MINUTES_DEFAULT, MINUTES_MAX, PERMISSIONS
from web.return_urls import LENGTH_MAX
from web.schemas.fields import Shape, Text, WholeNumber, long_at_most, one_of, within


class MakeLink(Shape):
    """What the customer may do on the hosted pages, and for how long."""

    example: ClassVar = {
        "return_url": "http://127.0.0.1:8000/docs",
        "permissions": ["manage_users"],
        "minutes": 30,
    }

    return_url = Text(
        allow_none=True,
        load_default=None,
        validate=long_at_most(LENGTH_MAX),
        metadata={
            "description": "Where the pages lead back to: of an origin in `KEYFOLD_RETURN_URLS`,"
            " or of `KEYFOLD_PUBLIC_URL`.",
        },
    )
    permissions = ma.fields.List(
        Text(validate=one_of(*PERMISSIONS)),
        load_default=list,
        metadata={"description": "`manage_users` opens the Billing page."},
    )
    minutes = WholeNumber(
        load_default=MINUTES_DEFAULT,
        validate=within(1, MINUTES_MAX),
        metadata={"description": "How long the link can be opened, and the visit then lasts."},
    )


class Link(ma.Schema):
    url = ma.fields.String(
        required=True,
        metadata={
            "description": "Opens the hosted pages once; it is as good as a password until then.",
            "examples": ["http://127.0.0.1:8000/portal/open?link=eyJhY2NvdW50"],
            "format": "uri",
        },
    )
