"""Codes that were typed."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import marshmallow as ma
from flask import Blueprint, Response

from commands.redeem_key import Try
from commands.redeem_key import redeem_key as redeem
from commands.redeem_key import validate_key as validate
from ledger.limits import ACCOUNT_ID, SESSION_ID
from ledger.refusals import (
    IdempotencyKeyReused,
    InvalidKeyFormat,
    KeyAlreadyYours,
    KeyNotAvailable,
    TooManyAttempts,
    VersionMismatch,
    WrongProduct,
)
from ledger.streams.account.subscriptions import Start
from projections.views.subscriptions import OneSubscription
from web.api.accounts import one_subscription
from web.api.answers import Running, StartChoice, ValidatedCode
from web.api.operations import Returns, operation
from web.api.request_fields import Identifier, Shape, Text, matching, one_of
from web.api.requests import OF_CATALOG, RepeatableWrite
from web.app.auth import ADMIN, PORTAL, only
from web.app.context import request_context, services
from web.app.responses import reply

blueprint = Blueprint("codes", __name__, url_prefix="/v1/keys")

_OF_A_CODE = (TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyAlreadyYours, KeyNotAvailable)


class TryCode(Shape):
    """A code that somebody typed."""

    example: ClassVar = {
        "code": "POS-ABCD-EFGH-7K2M",
        "account": "acme",
        "session": "s-4711",
        "product": "cloud_pos",
    }

    code = Text(
        "As typed: lower case, any dash, none or spaces between the groups, and"
        " quotes and invisible characters anywhere are forgiven; a 0 or a 1 is not.",
        required=True,
    )
    account = Identifier(required=True, validate=matching(ACCOUNT_ID))
    session = Identifier(
        "The portal's own id of the sitting; failed tries are counted by it.",
        required=True,
        validate=matching(SESSION_ID),
    )
    product = Identifier(
        "The product that the code is wanted for; left out for any.",
        optional=True,
        document={OF_CATALOG: "products"},
    )

    @ma.post_load
    def _try(self, data: dict[str, Any], **_: Any) -> Try:
        return Try(**data)


class RedeemCode(TryCode):
    """A code to redeem, and when what it gives is to begin."""

    example: ClassVar = {**TryCode.example, "start": "now"}

    start = Text(
        "`when_current_ends`: when that ends which keys give of the same product and tier, and"
        " which has not been renewed; now if there is nothing.",
        load_default="now",
        validate=one_of(*get_args(Start)),
    )


@blueprint.post("/validate")
@operation(
    access=only(PORTAL, ADMIN),
    body=TryCode,
    responses={200: Returns(ValidatedCode, "What redeeming it would give.")},
    refusals=_OF_A_CODE,
)
def validate_key(body: Try) -> Response:
    """Tell what a code would give, and consume nothing.

    A refused code counts as a failed try: five in a session block it for 15 minutes, twenty in 24
    hours block the account.
    """
    found = validate(services(), request_context(), body)
    running = found.running
    issued, product = found.issued, services().catalog.product(found.issued.product)
    return reply(
        ValidatedCode(
            issued.product,
            product.name if product else issued.product,
            issued.tier,
            product.tier_name(issued.tier) if product else issued.tier,
            issued.seats,
            issued.months,
            found.expires_if_activated_now,
            Running(running.seats, running.expires_at) if running else None,
            [StartChoice(*choice) for choice in found.choices],
        )
    )


@blueprint.post("/redeem")
@operation(
    access=only(PORTAL, ADMIN),
    headers=RepeatableWrite,
    body=RedeemCode,
    responses={
        201: Returns(
            OneSubscription,
            "The subscription that it gave.",
            ("Keyfold-Position", "ETag", "Idempotency-Replayed"),
        )
    },
    refusals=(IdempotencyKeyReused, VersionMismatch, *_OF_A_CODE),
)
def redeem_key(expected_version: int | None, idempotency_key: str | None, body: Try) -> Response:
    """Redeem a code on an account.

    Unknown, redeemed, revoked and lapsed codes are refused alike, so that guessing tells nothing.
    One that this very account has redeemed is told apart, and is no failed try.

    What begins `when_current_ends` is `scheduled` until then. Of what keys give of the same product
    and tier it follows what ends last of what has as many seats that nothing follows yet; if
    nothing that runs has as many, what ends first and has any. It begins when that one ends: later
    when that is extended, at once when that is terminated or transferred away.
    """
    redeemed = redeem(
        services(),
        request_context(),
        body,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    return reply(
        one_subscription(redeemed.account.state, redeemed.subscription, redeemed.at),
        201,
        position=redeemed.position,
        version=redeemed.account.version,
        replayed=redeemed.replayed,
    )
