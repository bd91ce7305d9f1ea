"""What is sent for buying."""

from __future__ import annotations

from typing import ClassVar

from commands.purchase import INTERVALS
from ledger.limits import SEATS_MAX
from web.api.schemas.fields import (
    Identifier,
    Shape,
    Text,
    WholeNumber,
    long_at_most,
    one_of,
    within,
)
from web.api.schemas.requests import OF_CATALOG, tier_field
from web.app.return_urls import LENGTH_MAX

DONE = "http://127.0.0.1:8000/docs"


def _return_url(description: str) -> Text:
    return Text(
        f"{description}: of an origin in `KEYFOLD_RETURN_URLS`, or of `KEYFOLD_PUBLIC_URL`.",
        required=True,
        validate=long_at_most(LENGTH_MAX),
    )


class BuySeats(Shape):
    """Seats to buy."""

    example: ClassVar = {
        "product": "cloud_pos",
        "seats": 3,
        "interval": "month",
        "success_url": f"{DONE}?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": DONE,
    }

    product = Identifier(required=True, document={OF_CATALOG: "products"})
    tier = tier_field()
    seats = WholeNumber(
        "How many to add; of a first purchase, how many in all.",
        required=True,
        validate=within(1, SEATS_MAX),
    )
    interval = Text("How often they are paid.", required=True, validate=one_of(*INTERVALS))
    success_url = _return_url("Where the customer is led to after paying")
    cancel_url = _return_url("Where the customer is led to without paying")


class OpenPortal(Shape):
    """Where Stripe's pages lead back to."""

    example: ClassVar = {"return_url": DONE}

    return_url = _return_url("Where the customer is led back to")
