"""A code that somebody typed: validate it, or redeem it."""

from __future__ import annotations

from typing import Any

from flask import Response

from commands.redeem_key import Try
from commands.redeem_key import redeem_key as redeem
from commands.redeem_key import validate_key as validate
from ledger.refusals import (
    IdempotencyKeyReused,
    InvalidKeyFormat,
    KeyAlreadyYours,
    KeyNotAvailable,
    TooManyAttempts,
    VersionMismatch,
    WrongProduct,
)
from web.api import answers
from web.api.accounts import one_subscription
from web.api.operations import Answered, Operations
from web.api.schemas import requests, responses
from web.app.auth import ADMIN, PORTAL, only
from web.app.context import request_context, services
from web.app.responses import reply

blp = Operations("codes", __name__, url_prefix="/v1/keys", description="Codes that were typed.")

_OF_A_CODE = (TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyAlreadyYours, KeyNotAvailable)


@blp.operation(
    "POST",
    "/validate",
    access=only(PORTAL, ADMIN),
    body=requests.TryCode,
    answers={200: Answered(responses.Validated, "What redeeming it would give.")},
    refusals=_OF_A_CODE,
)
def validate_key(body: dict[str, Any]) -> Response:
    """Tell what a code would give, and consume nothing.

    A refused code counts as a failed try: five in a session block it for 15 minutes, twenty in 24
    hours block the account.
    """
    found = validate(services(), request_context(), Try(**body))
    return reply(answers.validated(found, services().catalog))


@blp.operation(
    "POST",
    "/redeem",
    access=only(PORTAL, ADMIN),
    headers=requests.RepeatableWrite,
    body=requests.TryCode,
    answers={
        201: Answered(
            responses.OneSubscription,
            "The subscription that it gave.",
            ("Keyfold-Position", "ETag", "Idempotency-Replayed"),
        )
    },
    refusals=(IdempotencyKeyReused, VersionMismatch, *_OF_A_CODE),
)
def redeem_key(headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """Redeem a code on an account.

    Unknown, redeemed, revoked and lapsed codes are refused alike, so that guessing tells nothing.
    One that this very account has redeemed is told apart, and is no failed try.
    """
    redeemed = redeem(services(), request_context(), Try(**body), **headers)
    return reply(
        one_subscription(redeemed.account.state, redeemed.subscription, redeemed.at),
        201,
        position=redeemed.position,
        version=redeemed.account.version,
        replayed=redeemed.replayed,
    )
