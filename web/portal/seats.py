"""Who holds a product's seats: certificates on POS Manager, connections on Integrations.

Source: the guides "Subscriptions" (Understanding "Used" vs "Seats") and "Activating a Cloud POS
Key".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from flask import Response, abort, request, url_for

from commands import validation
from commands.occupy_seat import Sitting, occupy_seat
from commands.release_seat import release_seat
from ledger.catalog import Product
from ledger.refusals import (
    HolderInOtherTier,
    InvalidRequest,
    NoSeatAvailable,
    Refusal,
    SeatNotOccupied,
)
from web.app.context import app_state, request_context, services
from web.app.upload_limit import TRIES_MAX, TooManyUploads
from web.html import csrf
from web.html.flash import Saying
from web.html.languages import gettext as _
from web.html.languages import ngettext
from web.html.rendering import page, see
from web.portal import certificates, seat_lists, texts
from web.portal.certificates import NotUsable
from web.portal.session import visit
from web.portal.subscriptions import account_now

_ONCE: Final = re.compile(r"[0-9a-f]{24}")


def show_manager(product: str) -> Response:
    """Show who holds the seats, and the form that adds one."""
    return _page(product_of(product), _done(request.args.get("done")))


def add_holder(product: str) -> Response:
    """Let a certificate or a connection take a seat."""
    found = product_of(product)
    try:
        wanted = _asked_for(found)
        taken = occupy_seat(services(), request_context(), wanted)
    except NotUsable as problem:
        return _page(found, _unusable(problem))
    except TooManyUploads as problem:
        seconds = problem.retry_after_s
        return _page(found, _too_many(seconds), {"Retry-After": str(seconds)})
    except Refusal as refusal:
        return _page(found, _refused(found, refusal))
    if found.seat == texts.CERTIFICATE and not taken.created:
        return _page(found, _there_already())
    if found.seat == texts.CERTIFICATE:
        app_state().upload_tries.give_back(visit().id)
    return _see(found, "added")


def remove_holder(product: str) -> Response:
    """Give a seat back."""
    found = product_of(product)
    try:
        release_seat(
            services(), request_context(), visit().account, found.id, request.form.get("holder", "")
        )
    except SeatNotOccupied:
        return _see(found, "gone")
    except InvalidRequest:
        abort(400)
    return _see(found, "removed")


def product_of(id: str) -> Product:
    """Answer the product that a page is about; without one there is no such page.

    Raises:
        NotPermitted: its seats are billed by their number, so whoever adds one spends money.
    """
    found = services().catalog.product(id)
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
    account, tier = visit().account, request.form.get("tier") or None
    if product.seat == texts.CERTIFICATE:
        app_state().upload_tries.take(visit().id, request_context().now)
        # Its name cannot be written anew, so a code in it is masked and not refused.
        certificate = certificates.read(_uploaded(), partial(validation.without_codes, services()))
        return Sitting(account, product.id, tier, certificate.holder, certificate.label)
    once = request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        abort(400)
    # Named after this showing of the form: sent twice, it is the same one.
    name = request.form.get("name", "").strip()
    return Sitting(account, product.id, tier, f"{product.seat[:3]}_{once}", name)


def _uploaded() -> bytes:
    """Answer what was uploaded, or as much of it as shows that it is too large."""
    files = request.files.getlist("certificate")
    if len(files) > 1:
        raise certificates.Chain
    return files[0].stream.read(certificates.FILE_BYTES_MAX + 1) if files else b""


def _page(
    product: Product, said: Saying | None, headers: Mapping[str, str] | None = None
) -> Response:
    found = account_now()
    return page(
        "seats.html",
        said.status if said else 200,
        headers,
        said=said,
        product=product,
        words=texts.words(product),
        groups=seat_lists.groups(found, services().catalog, services().texts, product),
        name=request.form.get("name", ""),
        tier=request.form.get("tier"),
        once=csrf.once(),
        file_bytes_max=certificates.FILE_BYTES_MAX,
    )


def _see(product: Product, done: str) -> Response:
    return see(url_for("portal.show_manager", product=product.id, done=done))


def _done(done: str | None) -> Saying | None:
    match done:
        case "added":
            return Saying("good", _("Added. It has a seat from now on."))
        case "removed":
            return Saying("good", _("Removed. Its seat is free from now on."))
        case "gone":
            return Saying("warn", _("It had been removed already."))
        case "activated":
            return Saying(
                "good",
                _("Your subscription has started."),
                [_("Its seats are available right away.")],
            )
    return None


def _refused(product: Product, refusal: Refusal) -> Saying:
    match refusal:
        case NoSeatAvailable(seats=0):
            return Saying("bad", _("You have no seats here yet."), _more_seats(), 409)
        case NoSeatAvailable(seats=seats, used=used):
            return Saying(
                "bad",
                _("No seat is free: %(used)s of %(seats)s are taken.", used=used, seats=seats),
                [texts.words(product).full, *_more_seats()],
                409,
            )
        case HolderInOtherTier(tier=tier):
            name = product.tier_name(tier)
            return Saying("bad", _("It has a seat in %(tier)s already.", tier=name), (), 409)
        case InvalidRequest():
            return Saying(
                "bad",
                _("Please give it a name and, where there are tiers, a tier."),
                [_("A name is one line of up to 500 characters.")],
                422,
            )
    raise refusal


def _more_seats() -> list[str]:
    return [_("For more seats use Upgrade Plan: buy some, or activate a key of your reseller.")]


def _there_already() -> Saying:
    return Saying(
        "warn",
        _("This certificate has a seat already."),
        [_("The same certificate counts once; nothing was added.")],
        409,
    )


def _unusable(problem: NotUsable) -> Saying:
    nothing_kept = _("Nothing of the file was kept.")
    match problem:
        case certificates.Empty():
            title, advice = _("The file is empty."), _("Choose a certificate in PEM or DER.")
        case certificates.TooLarge():
            title = _("The file is too large for a certificate.")
            advice = _("A certificate in PEM or DER has a few kilobytes, and at most 64.")
        case certificates.PrivateKey():
            title = _("This file holds a private key. Never send one to anybody.")
            advice = _(
                "Upload the certificate alone. If others may have this file, replace the key."
            )
        case certificates.Chain():
            title = _("The file holds more than one certificate.")
            advice = _("Upload the certificate of the till alone, without its chain.")
        case _:
            title = _("The file is not a certificate.")
            advice = _("Choose a certificate in PEM or DER.")
    return Saying("bad", title, [advice, nothing_kept], 422)


def _too_many(seconds: int) -> Saying:
    minutes = -(-seconds // 60)
    return Saying(
        "bad",
        _("Too many files that took no seat"),
        [
            _("After %(num)s of them in ten minutes no further file is read.", num=TRIES_MAX),
            ngettext(
                "You can try again in %(num)s minute.",
                "You can try again in %(num)s minutes.",
                minutes,
            ),
            _("Nothing of the file was kept."),
        ],
        429,
    )
