"""Upgrade Plan: buy seats, or activate a key: enter it, validate it, review it, activate it.

Tries are counted by the session, so that a new dialog is no new try; what was typed is in the body
of a form and nowhere else.

Source: the guides "Activating a Cloud POS Key" and "Activating an Integration Key".
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final, get_args

from flask import Response, request, url_for

from commands.purchase_offers import follows_holders
from commands.redeem_key import Try, Validated, redeem_key, validate_key
from ledger import codes
from ledger.catalog import Product
from ledger.refusals import (
    InvalidKeyFormat,
    KeyAlreadyYours,
    KeyNotAvailable,
    Refusal,
    TooManyAttempts,
    WrongProduct,
)
from ledger.streams.account.subscriptions import Start
from web.app.context import request_context, services
from web.app.times import iso
from web.html import csrf
from web.html.flash import FlashMessage, bad, warn
from web.html.languages import format_datetime, ngettext
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.portal import resellers, session, texts
from web.portal.blueprint import bp
from web.portal.seats import product_of
from web.portal.session import session_required
from web.portal.subscriptions import account_now, may_buy

CODE_LENGTH_MAX: Final = 100
_MOVED: Final = warn(
    _l("What you have has changed in the meantime, and nothing was activated."),
    _l("A renewal would begin at another time now: look at it again."),
    status=409,
)


@bp.get("/upgrade/<product>")
@session_required
def show_upgrade(product: str) -> Response:
    """Show the two ways to more seats, side by side."""
    found = product_of(product)
    account = account_now()
    return page(
        "portal/upgrade.html",
        product=found,
        words=texts.words(found),
        may_buy=may_buy(found),
        follows=follows_holders(account.account, found, account.moment.now),
    )


@bp.get("/upgrade/<product>/key")
@session_required
def show_key_form(product: str, refusal: Refusal | None = None) -> Response:
    """Show where to enter a key.

    Args:
        refusal: of the one that was entered.
    """
    found = product_of(product)
    message = refusal_message(refusal, found) if refusal else None
    return page(
        "portal/key.html",
        message=message,
        product=found,
        code=_code(),
        other=_product_of_code() if isinstance(refusal, WrongProduct) else None,
        resellers=resellers.named(account_now().account),
    )


@bp.post("/upgrade/<product>/validate")
@session_required
def validate(product: str) -> Response:
    """Show what a key would give; nothing is consumed."""
    found = product_of(product)
    try:
        return _show_review(found, validate_key(services(), request_context(), _try(product)))
    except Refusal as refusal:
        return show_key_form(product, refusal)


def _show_review(
    product: Product, validated: Validated, message: FlashMessage | None = None
) -> Response:
    tier = validated.issued.tier
    return page(
        "portal/review.html",
        message=message,
        product=product,
        code=_code(),
        issued=validated.issued,
        tier_name=product.tier_name(tier),
        limits=product.limits_of(tier),
        expires_at=validated.expires_if_activated_now,
        running=validated.running,
        choices=validated.choices,
        renewal_starts_at=_renewal_start(validated),
        once=csrf.new_idempotency_key(),
    )


@bp.post("/upgrade/<product>/activate")
@session_required
def activate(product: str) -> Response:
    """Redeem the key that was reviewed; sent twice, it is the same redemption.

    A renewal that would begin at another time than was shown is shown anew.
    """
    found = product_of(product)
    key = f"{session.id()}:{csrf.idempotency_key()}"
    wanted = _try(product)
    for start in get_args(Start):
        if request.form.get("start") == start:
            wanted = wanted._replace(start=start)
    if wanted.start == "when_current_ends":
        with suppress(Refusal):  # it may be redeemed by now: redeeming it tells
            validated = validate_key(services(), request_context(), wanted)
            if _renewal_start(validated) != request.form.get("renewal_starts_at"):
                return _show_review(found, validated, _MOVED)
    try:
        redeemed = redeem_key(services(), request_context(), wanted, idempotency_key=key)
    except Refusal as refusal:
        return show_key_form(product, refusal)
    if redeemed.account.state.subscriptions[redeemed.subscription].scheduled:
        return redirect_to(url_for("portal.show_subscriptions", done="scheduled"))
    return redirect_to(url_for("portal.show_manager", product=product, done="activated"))


def _renewal_start(validated: Validated) -> str:
    """Return when a renewal would begin; empty if there is nothing to renew."""
    starts = [one.starts_at for one in validated.choices if one.start == "when_current_ends"]
    return iso(starts[0]) if starts else ""


def _code() -> str:
    return request.form.get("code", "")[:CODE_LENGTH_MAX]


def _product_of_code() -> Product | None:
    """Return the product that the code is of, if the session may have it."""
    catalog = texts.catalog()
    code = codes.parse(_code(), catalog.prefixes)
    found = catalog.by_prefix(codes.prefix_of(code)) if code else None
    if found is not None and found.billed and not session.may("manage_users"):
        return None
    return found


def _try(product: str) -> Try:
    return Try(session.account(), session.id(), _code(), product)


def refusal_message(refusal: Refusal, product: Product) -> FlashMessage:
    """Return what the guide's troubleshooting says of a refused code."""
    match refusal:
        case InvalidKeyFormat():
            prefix = product.prefix
            return bad(
                _("Invalid key format"),
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
                status=422,
            )
        case WrongProduct():
            return bad(_("Wrong product prefix"), *_prefixes(product), status=422)
        case KeyAlreadyYours():
            return _yours_already(refusal)
        case KeyNotAvailable():
            return bad(
                _("This activation key is not available"),
                _(
                    "The key has already been activated on another account, or it was revoked"
                    " by the reseller before you could redeem it"
                ),
                _("Contact your reseller to confirm the key's status"),
                *resellers.named(account_now().account),
                status=409,
            )
        case TooManyAttempts(retry_after_s=seconds):
            return _blocked(seconds)
    raise refusal


def _yours_already(refusal: KeyAlreadyYours) -> FlashMessage:
    gave = account_now().account.subscriptions.get(refusal.subscription)
    said = [_("What it gave is on your Subscriptions page")]
    if gave is not None:
        said = [
            ngettext(
                "%(product)s: %(num)s seat until %(date)s",
                "%(product)s: %(num)s seats until %(date)s",
                gave.seats,
                product=_named(gave.product, gave.tier),
                date=_day(gave.ended_at),
            )
        ]
    return warn(
        _("You activated this key on %(date)s", date=_day(refusal.activated_at)),
        *said,
        _("For more seats, activate another key"),
        status=409,
    )


def _day(at: datetime) -> str:
    return str(format_datetime(at, "d MMM yyyy"))


def _named(product: str, tier: str | None) -> str:
    found = texts.catalog().product(product)
    if found is None:
        return product
    return " ".join(filter(None, (found.name, found.tier_name(tier))))


def _blocked(seconds: int) -> FlashMessage:
    minutes = -(-seconds // 60)
    return bad(
        _("Too many failed attempts"),
        _("After 5 invalid attempts in one session, further tries are blocked"),
        _("Close the dialog and try again later, or contact your reseller to verify the key"),
        *resellers.named(account_now().account),
        ngettext(
            "You can try again in %(num)s minute.",
            "You can try again in %(num)s minutes.",
            minutes,
        ),
        status=429,
    )


def _prefixes(product: Product) -> list[str]:
    """Say what each product's keys begin with, this page's product first."""
    others = [one for one in texts.catalog().products if one.id != product.id]
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
