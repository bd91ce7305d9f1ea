"""What is answered.

Answers are plain dictionaries (web/api/answers.py); these document them, and tests hold every
answer to them.
"""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from web.api.schemas.fields import TIME_PATTERN

MASKED = "POS-••••-••••-7K2M"
KEY = "key_c5nfx2ynqk7tq3bd5xw4a6bl7m"
BATCH = "bat_2vqk7tq3bd5xw4a6bl7mc5nfx2"
SUBSCRIPTION = "kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m"


def _text(example: str | None = None, *, null: bool = False, **metadata: Any) -> ma.fields.String:
    if example is not None:
        metadata["examples"] = [example]
    return ma.fields.String(required=True, allow_none=null, metadata=metadata)


def _choice(*choices: str, null: bool = False) -> ma.fields.String:
    # Written out: with a validator, null would be missing from the choices.
    listed: list[str | None] = [*choices, *([None] if null else [])]
    return ma.fields.String(required=True, allow_none=null, metadata={"enum": listed})


def _number(example: int, **metadata: Any) -> ma.fields.Integer:
    return ma.fields.Integer(
        required=True, metadata={"minimum": 0, "examples": [example], **metadata}
    )


def _flag(description: str | None = None) -> ma.fields.Boolean:
    metadata = {"description": description} if description else {}
    return ma.fields.Boolean(required=True, metadata=metadata)


def _time(
    *, null: bool = False, data_key: str | None = None, **metadata: Any
) -> ma.fields.DateTime:
    return ma.fields.DateTime(
        required=True,
        allow_none=null,
        data_key=data_key,
        metadata={
            "pattern": TIME_PATTERN,
            "examples": ["2026-03-01T09:00:00.000000Z"],
            **metadata,
        },
    )


def _position() -> ma.fields.Integer:
    return _number(1234, description="The ledger's position that this was answered at.")


def _next() -> ma.fields.String:
    return _text(null=True, description="`cursor` of the next page; null on the last.")


class IssuedKey(ma.Schema):
    """A key with its code."""

    id = _text(KEY)
    code = _text("POS-ABCD-EFGH-7K2M", description="Masked once it was revoked or redeemed.")
    masked = _text(MASKED)


class IssuedKeys(ma.Schema):
    batch = _text(BATCH)
    keys = ma.fields.List(ma.fields.Nested(IssuedKey), required=True)


class RevealedKeys(ma.Schema):
    keys = ma.fields.List(ma.fields.Nested(IssuedKey), required=True)


class Key(ma.Schema):
    id = _text(KEY)
    masked = _text(MASKED)
    product = _text("cloud_pos")
    tier = _text(null=True)
    seats = _number(5)
    months = _number(12)
    reseller = _text("Harbour Systems")
    batch = _text(BATCH)
    status = _choice("issued", "redeemed", "revoked", "lapsed")
    issued_at = _time()
    redeem_by = _time(null=True)
    redeemed_at = _time(null=True)
    redeemed_by = _text("acme", null=True, description="The account.")
    subscription = _text(SUBSCRIPTION, null=True)
    revoked_at = _time(null=True)
    replaced_by = _text(null=True, description="The key that was given instead.")
    replaces = _text(null=True, description="The key that this one was given for.")


class Keys(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(Key), required=True)
    next = _next()


class Validated(ma.Schema):
    product = _text("cloud_pos")
    product_name = _text("Cloud POS")
    tier = _text(null=True)
    tier_name = _text(null=True)
    seats = _number(5)
    months = _number(12)
    expires_if_activated_now = _time()


class OfAccount(ma.Schema):
    """What every answer about an account begins with."""

    account = _text("acme")
    as_of = _time()
    known_at = _time()
    position = _position()


class Healthy(ma.Schema):
    status = _choice("ok")


class Ready(ma.Schema):
    status = _choice("ready")
    position = _position()
    notices = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "What wants to be looked at, though the ledger can be used."},
    )


class Error(ma.Schema):
    """One thing that does not fit."""

    pointer = _text(
        "/seats",
        description="A JSON pointer to a field, or `/` and the name of a parameter or header.",
    )
    detail = _text("must be from 1 to 100000")


class Problem(ma.Schema):
    """Why a request was not carried out (RFC 9457)."""

    type = _text("/docs#no_seat_available", format="uri-reference")
    title = _text("No seat is free")
    status = _number(409, minimum=400, maximum=599)
    detail = _text("3 of 3 seats are taken.")
    instance = _text("/v1/accounts/acme/seats/cloud_pos/till-4", format="uri-reference")
    code = _text("no_seat_available")
    request_id = _text("req_c5nfx2ynqk7tq3bd5xw4a6bl7m")
    errors = ma.fields.List(ma.fields.Nested(Error))
    seats = ma.fields.Integer(metadata={"description": "With `no_seat_available`."})
    used = ma.fields.Integer(metadata={"description": "With `no_seat_available`."})
    tier = ma.fields.String(
        allow_none=True, metadata={"description": "With `holder_in_other_tier`: where it sits."}
    )
    version = ma.fields.Integer(
        metadata={"description": "With `version_mismatch`: the account's version now."}
    )
    subscription = ma.fields.String(
        metadata={"description": "With `key_already_yours`: what the key gave the account."}
    )
    activated_at = ma.fields.DateTime(
        metadata={"description": "With `key_already_yours`: when it was redeemed."}
    )
