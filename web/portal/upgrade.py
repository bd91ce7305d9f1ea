"""Upgrade Plan: buy seats, or activate a key: enter it, validate it, review it, activate it.

Tries are counted by the visit, so that a new dialog is no new try; what was typed is in the body of
a form and nowhere else.

Source: the guides "Activating a Cloud POS Key" and "Activating an Integration Key".
"""

from __future__ import annotations

import re
from typing import Final

from flask import Response, abort, request, url_for

from commands.redeem_key import Try, redeem_key, validate_key
from ledger.catalog import Product
from ledger.refusals import (
    InvalidKeyFormat,
    KeyAlreadyYours,
    KeyNotAvailable,
    Refusal,
    TooManyAttempts,
    WrongProduct,
)
from web.app.context import request_context, services
from web.html import csrf
from web.html.flash import Saying
from web.html.languages import format_datetime, ngettext
from web.html.languages import gettext as _
from web.html.rendering import page, see
from web.portal import texts
from web.portal.seats import product_of
from web.portal.session import visit
from web.portal.subscriptions import may_buy

CODE_LENGTH_MAX: Final = 100
_ONCE: Final = re.compile(r"[0-9a-f]{24}")


def show_upgrade(product: str) -> Response:
    """Show the two ways to more seats, side by side."""
    found = product_of(product)
    return page("upgrade.html", product=found, words=texts.words(found), may_buy=may_buy(found))


def show_key_form(product: str) -> Response:
    """Show where to enter a key."""
    return _form(product_of(product), "", None)


def validate(product: str) -> Response:
    """Show what a key would give; nothing is consumed."""
    found = product_of(product)
    code = _code()
    try:
        validated = validate_key(services(), request_context(), _try(found, code))
    except Refusal as refusal:
        return _form(found, code, said_of(refusal, found))
    tier = validated.issued.tier
    return page(
        "review.html",
        product=found,
        code=code,
        issued=validated.issued,
        tier_name=found.tier_name(tier),
        limits=found.limits_of(tier),
        expires_at=validated.expires_if_activated_now,
        once=csrf.once(),
    )


def activate(product: str) -> Response:
    """Redeem the key that was reviewed; sent twice, it is the same redemption."""
    found = product_of(product)
    code, once = _code(), request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        abort(400)
    try:
        redeem_key(
            services(), request_context(), _try(found, code), idempotency_key=f"{visit().id}:{once}"
        )
    except Refusal as refusal:
        return _form(found, code, said_of(refusal, found))
    return see(url_for("portal.show_manager", product=found.id, done="activated"))


def said_of(refusal: Refusal, product: Product) -> Saying:
    """Answer what the guide's troubleshooting says of a refused code."""
    match refusal:
        case InvalidKeyFormat():
            prefix = product.prefix
            return Saying(
                "bad",
                _("Invalid key format"),
                [
                    _(
                        "Confirm the key is exactly %(shape)s — a %(prefix)s- prefix followed by"
                        " three groups of four characters",
                        shape=f"{prefix}-XXXX-XXXX-XXXX",
                        prefix=prefix,
                    ),
                    _(
                        "Keys use uppercase letters and digits 2–9 only (zero and one are never"
                        " used, to avoid look-alike characters)"
                    ),
                    _("Trim any extra spaces if you copy-pasted the key from an email"),
                ],
                422,
            )
        case WrongProduct():
            return Saying("bad", _("Wrong product prefix"), _prefixes(product), 422)
        case KeyAlreadyYours(activated_at=at):
            return Saying(
                "warn",
                _("You activated this key on %(date)s", date=format_datetime(at, "d MMM yyyy")),
                [
                    _("What it gave is on your Subscriptions page"),
                    _("For more seats, activate another key"),
                ],
                409,
            )
        case KeyNotAvailable():
            return Saying(
                "bad",
                _("This activation key is not available"),
                [
                    _(
                        "The key has already been activated on another account, or it was revoked"
                        " by the reseller before you could redeem it"
                    ),
                    _("Contact your reseller to confirm the key's status"),
                ],
                409,
            )
        case TooManyAttempts(retry_after_s=seconds):
            return _blocked(seconds)
    raise refusal


def _blocked(seconds: int) -> Saying:
    minutes = -(-seconds // 60)
    return Saying(
        "bad",
        _("Too many failed attempts"),
        [
            _("After 5 invalid attempts in one session, further tries are blocked"),
            _("Close the dialog and try again later, or contact your reseller to verify the key"),
            ngettext(
                "You can try again in %(num)s minute.",
                "You can try again in %(num)s minutes.",
                minutes,
            ),
        ],
        429,
    )


def _prefixes(product: Product) -> list[str]:
    """Say what each product's keys begin with, this page's product first."""
    others = [one for one in services().catalog.products if one.id != product.id]
    return [
        _(
            "%(prefix)s- keys activate %(product)s only",
            prefix=product.prefix,
            product=product.name,
        ),
        *(
            _("%(prefix)s- keys activate %(product)s", prefix=one.prefix, product=one.name)
            for one in others
        ),
        _("Keys are not interchangeable between products"),
    ]


def _form(product: Product, code: str, said: Saying | None) -> Response:
    return page("key.html", said.status if said else 200, product=product, code=code, said=said)


def _code() -> str:
    return request.form.get("code", "")[:CODE_LENGTH_MAX]


def _try(product: Product, code: str) -> Try:
    return Try(visit().account, visit().id, code, product.id)
