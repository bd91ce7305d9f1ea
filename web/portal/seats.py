"""Who holds a product's seats: certificates on POS Manager, connections on Integrations.

Source: the guides "Subscriptions" (Understanding "Used" vs "Seats") and "Activating a Cloud POS
Key".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flask import Response, abort, request, url_for

from commands.occupy_seat import Sitting, occupy_seat
from commands.purchase_offers import UnitPrice, further_seat, unit_prices
from commands.release_seat import release_seat
from commands.replace_holder import Replacement, replace_holder
from ledger.catalog import Product
from ledger.refusals import InvalidRequest, Refusal, SeatNotOccupied, VersionMismatch
from projections.views.account_at import AccountAt
from projections.views.seats import seat
from web.app.context import request_context, services
from web.html import csrf
from web.html.flash import FlashMessage, flashed, good, warn
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.portal import certificates, seat_lists, session, texts, uploads
from web.portal.blueprint import bp
from web.portal.session import session_required
from web.portal.subscriptions import account_now
from web.portal.uploads import Renewal

QUERY_LENGTH_MAX: Final = 100
RENAMES_TRIED: Final = 5
_PAGE: Final = re.compile(r"[1-9][0-9]{0,5}")
_NOTHING_TO_REPLACE: Final = warn(
    _l("The certificate it was to replace has been removed in the meantime."),
    _l("Upload the new one again: it takes a seat if one is free."),
    status=409,
)
_CHANGED: Final = warn(
    _l("The account changed in the meantime, and nothing was renamed. Try again."), status=409
)

_MESSAGES: Final = {
    "added": good(_l("Added. It has a seat from now on.")),
    "added_without": warn(
        _l("Added, but without a seat: it may not work yet."), _l("What is missing stands below.")
    ),
    "added_all": good(_l("Added. Each has a seat from now on.")),
    "replaced": good(_l("Replaced. It has the seat and the place in the queue of the one before.")),
    "renamed": good(_l("Renamed.")),
    "removed": good(_l("Removed. Its seat is free from now on.")),
    "gone": warn(_l("It had already been removed.")),
    "activated": good(
        _l("Your subscription has started."), _l("Its seats are available right away.")
    ),
}


@bp.get("/manage/<product>")
@session_required
def show_manager(
    product: str, message: FlashMessage | None = None, renewals: Sequence[Renewal] = ()
) -> Response:
    """Show who holds the seats, and the form that adds one.

    Args:
        renewals: of certificates that were sent just now, to be asked about.
    """
    found, account = product_of(product), account_now()
    listing = seat_lists.HolderPage(_query(), _page_number())
    return page(
        "portal/seats.html",
        message=message or flashed(_MESSAGES),
        product=found,
        words=texts.words(found),
        tiers=seat_lists.by_tier(account, texts.catalog(), services().texts, found, listing),
        listing=listing,
        page_size=seat_lists.PAGE,
        renewals=renewals,
        now=request_context().now,
        name=request.form.get("name", ""),
        choices=[(one.id, one.name) for one in found.tiers],
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
    """Let certificates or a connection take seats."""
    found = product_of(product)
    if found.seat == texts.CERTIFICATE:
        return _add_certificates(found)
    # Named after this showing of the form: sent twice, it is the same one.
    holder = f"{found.seat[:3]}_{csrf.idempotency_key()}"
    tier, name = request.form.get("tier") or None, request.form.get("name", "").strip()
    wanted = Sitting(session.account(), product, tier, holder, name)
    try:
        occupy_seat(services(), request_context(), wanted)
    except Refusal as refusal:
        return show_manager(product, uploads.refusal_message(found, refusal))
    return _added(product, holder)


def _added(product: str, holder: str) -> Response:
    """Lead back, and say what is so: a billed holder is taken without a plan, too."""
    is_licensed = seat(account_now(), product, holder).licensed
    return _done(product, "added" if is_licensed else "added_without")


def _add_certificates(product: Product) -> Response:
    outcome = uploads.add(account_now(), product)
    if not outcome.messages and not outcome.renewals:
        return _done(product.id, "added" if outcome.added == 1 else "added_all")
    response = show_manager(product.id, outcome.message(), outcome.renewals)
    if outcome.retry_after_s is not None:
        response.headers["Retry-After"] = str(outcome.retry_after_s)
    return response


@bp.post("/manage/<product>/replace")
@session_required
def replace_certificate(product: str) -> Response:
    """Let a renewed certificate take the seat of the one before, or one of its own."""
    found = product_of(product)
    renewal = uploads.read_renewal(request.form.get("renewal", ""), found)
    if renewal is None:
        abort(400)
    account, tier, beside = session.account(), renewal.tier, "beside" in request.form
    try:
        if beside:
            wanted = Sitting(account, product, tier, renewal.holder, renewal.label)
            occupy_seat(services(), request_context(), wanted)
        else:
            replace_holder(
                services(),
                request_context(),
                Replacement(
                    account, product, None, renewal.holder, renewal.replaces, renewal.label
                ),
            )
    except SeatNotOccupied:
        return show_manager(product, _NOTHING_TO_REPLACE)
    except Refusal as refusal:
        return show_manager(product, uploads.refusal_message(found, refusal))
    return _added(product, renewal.holder) if beside else _done(product, "replaced")


@bp.post("/manage/<product>/rename")
@session_required
def rename_holder(product: str) -> Response:
    """Give a holder another name; of a certificate, what else is known of it stays."""
    found, holder = product_of(product), request.form.get("holder", "")
    name = " ".join(request.form.get("name", "").split())
    for _attempt in range(RENAMES_TRIED):
        account = account_now()
        taken = account.account.seat(product, holder)
        if taken is None:
            return _done(product, "gone")
        label = name
        if found.seat == texts.CERTIFICATE and name:
            known = certificates.read_label(services().texts.open(taken.label) or "")
            label = known._replace(name=name).text
        wanted = Sitting(account.id, product, taken.tier, holder, label)
        try:
            occupy_seat(services(), request_context(), wanted, expected_version=account.version)
        except VersionMismatch:
            continue
        except Refusal as refusal:
            return show_manager(product, uploads.refusal_message(found, refusal))
        return _done(product, "renamed")
    return show_manager(product, _CHANGED)


@bp.get("/manage/<product>/remove")
@session_required
def ask_to_remove(product: str) -> Response:
    """Ask whether a holder is to give its seat back, by its name."""
    found, holder = product_of(product), request.args.get("holder", "")
    taken = account_now().account.seat(product, holder)
    if taken is None:
        return _done(product, "gone")
    label = services().texts.open(taken.label) or ""
    is_certificate = found.seat == texts.CERTIFICATE
    name = certificates.read_label(label).name if is_certificate else label
    return page(
        "portal/remove.html",
        product=found,
        words=texts.words(found),
        holder=holder,
        name=name or holder,
    )


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
    return _done(product, done)


def _done(product: str, done: str) -> Response:
    return redirect_to(url_for("portal.show_manager", product=product, done=done))


def _query() -> str:
    return request.args.get("q", "").strip()[:QUERY_LENGTH_MAX]


def _page_number() -> int:
    text = request.args.get("page", "")
    return int(text) if _PAGE.fullmatch(text) else 1


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
