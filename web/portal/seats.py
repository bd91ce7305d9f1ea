"""Who holds a product's seats: certificates on POS Manager, connections on Integrations.

Source: the guides "Subscriptions" (Understanding "Used" vs "Seats") and "Activating a Cloud POS
Key".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from flask import Response, abort, request, url_for

from commands import validation
from commands.occupy_seat import Sitting, occupy_seat
from commands.purchase_offers import UnitPrice, further_seat, unit_prices
from commands.release_seat import release_seat
from ledger.catalog import Product
from ledger.refusals import (
    HolderInOtherTier,
    InvalidRequest,
    NoSeatAvailable,
    Refusal,
    SeatNotOccupied,
)
from projections.views.account_at import AccountAt
from web.app.context import app_state, request_context, services
from web.app.upload_limit import TRIES_MAX, TooManyUploads
from web.html import csrf
from web.html.flash import FlashMessage, bad, flashed, good, warn
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l
from web.html.languages import ngettext
from web.html.rendering import page, redirect_to
from web.portal import certificates, seat_lists, session, texts
from web.portal.blueprint import bp
from web.portal.certificates import Fault, NotUsable
from web.portal.session import session_required
from web.portal.subscriptions import account_now

_MESSAGES: Final = {
    "added": good(_l("Added. It has a seat from now on.")),
    "removed": good(_l("Removed. Its seat is free from now on.")),
    "gone": warn(_l("It had been removed already.")),
    "activated": good(
        _l("Your subscription has started."), _l("Its seats are available right away.")
    ),
}
_THERE_ALREADY: Final = warn(
    _l("This certificate has a seat already."),
    _l("The same certificate counts once; nothing was added."),
    status=409,
)
_UNUSABLE: Final[Mapping[Fault, tuple[object, object]]] = {
    "empty": (_l("The file is empty."), _l("Choose a certificate in PEM or DER.")),
    "too_large": (
        _l("The file is too large for a certificate."),
        _l("A certificate in PEM or DER has a few kilobytes, and at most 64."),
    ),
    "private_key": (
        _l("This file holds a private key. Never send one to anybody."),
        _l("Upload the certificate alone. If others may have this file, replace the key."),
    ),
    "chain": (
        _l("The file holds more than one certificate."),
        _l("Upload the certificate of the till alone, without its chain."),
    ),
    "no_certificate": (
        _l("The file is not a certificate."),
        _l("Choose a certificate in PEM or DER."),
    ),
}


@bp.get("/manage/<product>")
@session_required
def show_manager(product: str, message: FlashMessage | None = None) -> Response:
    """Show who holds the seats, and the form that adds one."""
    found, account = product_of(product), account_now()
    return page(
        "portal/seats.html",
        message=message or flashed(_MESSAGES),
        product=found,
        words=texts.words(found),
        tiers=seat_lists.by_tier(account, texts.catalog(), services().texts, found),
        now=request_context().now,
        name=request.form.get("name", ""),
        tier=request.form.get("tier"),
        once=csrf.new_idempotency_key(),
        file_bytes_max=certificates.FILE_BYTES_MAX,
        next_unit=_next_unit(account, found),
    )


def _next_unit(found: AccountAt, product: Product) -> UnitPrice | None:
    """Return what a further holder of a billed product costs, if that is known."""
    stripe = services().stripe
    if stripe is None or not product.billed:
        return None
    by = further_seat(found.account, product, found.moment.now)
    return unit_prices(stripe, [by])[0]


@bp.post("/manage/<product>/add")
@session_required
def add_holder(product: str) -> Response:
    """Let a certificate or a connection take a seat."""
    found = product_of(product)
    try:
        taken = occupy_seat(services(), request_context(), _asked_for(found))
    except NotUsable as problem:
        return show_manager(product, _unusable(problem.fault))
    except TooManyUploads as problem:
        response = show_manager(product, _too_many(problem.retry_after_s))
        response.headers["Retry-After"] = str(problem.retry_after_s)
        return response
    except Refusal as refusal:
        return show_manager(product, _refusal_message(found, refusal))
    if found.seat == texts.CERTIFICATE:
        if not taken.created:
            return show_manager(product, _THERE_ALREADY)
        app_state().upload_tries.give_back(session.id())
    return redirect_to(url_for("portal.show_manager", product=product, done="added"))


@bp.post("/manage/<product>/remove")
@session_required
def remove_holder(product: str) -> Response:
    """Give a seat back."""
    product_of(product)
    account, holder, done = session.account(), request.form.get("holder", ""), "removed"
    try:
        release_seat(services(), request_context(), account, product, holder)
    except SeatNotOccupied:
        done = "gone"
    except InvalidRequest:
        abort(400)
    return redirect_to(url_for("portal.show_manager", product=product, done=done))


def product_of(id: str) -> Product:
    """Return the product that a page is about; without one there is no such page.

    Raises:
        NotPermitted: its seats are billed by their number, so whoever adds one spends money.
    """
    found = texts.catalog().product(id)
    if found is None:
        abort(404)
    if found.billed:
        request_context().require("manage_users")
    return found


def _asked_for(product: Product) -> Sitting:
    """Read who is to take a seat.

    Raises:
        NotUsable: what was uploaded is no certificate.
        TooManyUploads: what was uploaded is not read.
    """
    account, tier = session.account(), request.form.get("tier") or None
    if product.seat == texts.CERTIFICATE:
        app_state().upload_tries.take(session.id(), request_context().now)
        # Its name cannot be written anew, so a code in it is masked and not refused.
        certificate = certificates.read(_uploaded(), partial(validation.without_codes, services()))
        return Sitting(account, product.id, tier, certificate.holder, certificate.label)
    # Named after this showing of the form: sent twice, it is the same one.
    holder = f"{product.seat[:3]}_{csrf.idempotency_key()}"
    return Sitting(account, product.id, tier, holder, request.form.get("name", "").strip())


def _uploaded() -> bytes:
    """Return what was uploaded, or as much of it as shows that it is too large."""
    files = request.files.getlist("certificate")
    if len(files) > 1:
        raise NotUsable("chain")
    return files[0].stream.read(certificates.FILE_BYTES_MAX + 1) if files else b""


def _refusal_message(product: Product, refusal: Refusal) -> FlashMessage:
    match refusal:
        case NoSeatAvailable(seats=0):
            return bad(_("You have no seats here yet."), *_more_seats(), status=409)
        case NoSeatAvailable(seats=seats, used=used):
            return bad(
                _("No seat is free: %(used)s of %(seats)s are taken.", used=used, seats=seats),
                texts.words(product).full,
                *_more_seats(),
                status=409,
            )
        case HolderInOtherTier(tier=tier):
            name = product.tier_name(tier)
            return bad(_("It has a seat in %(tier)s already.", tier=name), status=409)
        case InvalidRequest():
            return bad(
                _("Please give it a name and, where there are tiers, a tier."),
                _("A name is one line of up to 500 characters."),
                status=422,
            )
    raise refusal


def _more_seats() -> list[str]:
    return [_("For more seats use Upgrade Plan: buy some, or activate a key of your reseller.")]


def _unusable(fault: Fault) -> FlashMessage:
    title, advice = _UNUSABLE[fault]
    return bad(title, advice, _l("Nothing of the file was kept."), status=422)


def _too_many(seconds: int) -> FlashMessage:
    minutes = -(-seconds // 60)
    return bad(
        _("Too many files that took no seat"),
        _("After %(num)s of them in ten minutes no further file is read.", num=TRIES_MAX),
        ngettext(
            "You can try again in %(num)s minute.",
            "You can try again in %(num)s minutes.",
            minutes,
        ),
        _("Nothing of the file was kept."),
        status=429,
    )
