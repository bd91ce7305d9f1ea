"""Resellers: who there is, what each may order, what became of its keys, and whom to renew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from flask import Response, request, url_for

from commands import arrange_reseller
from commands.order_keys import approve_order, decline_order
from ledger.refusals import FieldError, InvalidRequest, Refusal, ResellerNotFound
from ledger.streams.reseller import LimitsSet
from ledger.translation import gettext as _
from projections.lists.batches import list_batches
from projections.lists.orders import list_orders
from projections.lists.resellers import ResellerView, list_resellers, one_reseller
from projections.lists.statements import MONTH
from web.api.requests import PAGE_MAX
from web.app.auth import ADMIN, RESELLER, SUPPORT
from web.app.context import app_state, caller, request_context, services
from web.app.csv_responses import csv_reply
from web.app.many_keys import revoke_reseller
from web.app.reseller_tables import RESELLER_COLUMNS, reseller_rows
from web.app.statements import STATEMENT_COLUMNS, statement_of, statement_rows
from web.console import paging, parameters, session
from web.console.blueprint import bp
from web.console.filters import places
from web.console.refusal_messages import refusal_message
from web.console.session import STAFF, roles_required
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to, with_headers

PAGE_SIZE: Final = 50
LATEST: Final = 10
_OF: Final = ("console resellers",)
_LIMITS: Final = ("count", "seats", "months", "approval_above")
_MESSAGES: Final = {
    "granted": good(_l("The seats are granted.")),
    "limited": good(_l("The limits are set.")),
    "suspended": good(_l("The reseller is suspended.")),
    "resumed": good(_l("The reseller may order again.")),
    "revoked": good(_l("All keys that nobody has redeemed are revoked.")),
    "approved": good(_l("The order is approved: its keys are issued.")),
    "declined": good(_l("The order is declined.")),
}


class Partner(NamedTuple):
    """What a reseller's page shows.

    Attributes:
        batches: the latest, with notes for those who may read them.
        waiting: its orders that wait for the vendor.
    """

    view: ResellerView
    batches: list[Any]
    waiting: list[Any]
    month: str


@bp.get("/resellers")
@roles_required(*STAFF)
def show_resellers() -> Response:
    """List resellers, or send the list as a table."""
    after = paging.after(_OF)
    found = list_resellers(*_asked(), after=after, limit=PAGE_SIZE)
    if request.args.get("as") == "csv":
        pages = ([row for one in some for row in reseller_rows(one)] for some in _everyone())
        return with_headers(csv_reply(RESELLER_COLUMNS, pages, "resellers"))
    older = paging.older(_OF, found.next, "console.show_resellers")
    return page("console/resellers.html", resellers=found.resellers, older=older)


def _everyone() -> Iterator[list[ResellerView]]:
    found = list_resellers(*_asked(), limit=PAGE_MAX)
    yield found.resellers
    while found.next is not None:
        found = list_resellers(*_asked(), after=found.next, limit=PAGE_MAX)
        yield found.resellers


def _asked() -> tuple[Any, ...]:
    return services().book, app_state().wiring.tables, services().catalog, request_context().now


def _found(name: str) -> ResellerView:
    view = one_reseller(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        request_context().now,
        name,
    )
    if view is None:
        raise ResellerNotFound
    return view


@bp.get("/resellers/<reseller>")
@roles_required(*STAFF)
def show_reseller(reseller: str, message: FlashMessage | None = None) -> Response:
    """Show a reseller.

    Raises:
        ResellerNotFound: nobody was named so.
    """
    return page(
        "console/reseller.html",
        message=message or flashed(_MESSAGES),
        partner=partner(reseller),
        places=places(),
        may_arrange=session.may(ADMIN),
    )


def partner(name: str) -> Partner:
    """Return what is shown of a reseller.

    Raises:
        ResellerNotFound: nobody was named so.
    """
    view = _found(name)
    book, tables, now = services().book, app_state().wiring.tables, request_context().now
    texts = services().texts if caller().role in (ADMIN, SUPPORT, RESELLER) else None
    batches = list_batches(book, tables, now, texts, reseller=name, limit=LATEST).batches
    waiting = list_orders(
        book, tables, texts, reseller=name, status="waiting", limit=PAGE_SIZE
    ).orders
    return Partner(view, batches, waiting, f"{now:%Y-%m}")


@bp.get("/statement")
@roles_required(*session.ALL)
def download_statement() -> Response:
    """Send a month of a reseller as a table; of the caller's own, if it is one."""
    name = session.reseller() or parameters.query("reseller") or ""
    month = parameters.query("month") or ""
    if not re.fullmatch(MONTH, month):
        raise InvalidRequest(FieldError("/month", _("must be YYYY-MM")))
    view = _found(name)
    found = statement_of(app_state().wiring, request_context(), view.reseller, month)
    table = csv_reply(STATEMENT_COLUMNS, [statement_rows(found)], f"statement-{month}")
    return with_headers(table)


# Arranging


def _grant(name: str) -> None:
    product, _, tier = (parameters.form("product") or "").partition("/")
    arrange_reseller.grant_seats(
        services(),
        request_context(),
        name,
        product,
        tier or None,
        parameters.number("seats") * (-1 if request.form.get("take") else 1),
        parameters.reason(),
    )


def _limit(name: str) -> None:
    given = {
        field: parameters.number(field) if parameters.form(field) else None for field in _LIMITS
    }
    arrange_reseller.set_limits(services(), request_context(), name, LimitsSet(**given))


def _suspend(name: str) -> None:
    keys = bool(request.form.get("keys"))
    arrange_reseller.suspend_reseller(
        services(), request_context(), name, parameters.reason(), keys=keys
    )


def _resume(name: str) -> None:
    arrange_reseller.resume_reseller(services(), request_context(), name, parameters.reason())


def _revoke(name: str) -> None:
    revoke_reseller(app_state().wiring, request_context(), name, parameters.reason())


def _approve(_name: str) -> None:
    approve_order(services(), request_context(), _order())


def _decline(_name: str) -> None:
    decline_order(services(), request_context(), _order(), parameters.reason())


def _order() -> str:
    return parameters.form("order") or ""


_ACTIONS: Final[Mapping[str, tuple[Callable[[str], None], str]]] = {
    "grant": (_grant, "granted"),
    "limits": (_limit, "limited"),
    "suspend": (_suspend, "suspended"),
    "resume": (_resume, "resumed"),
    "revoke-all": (_revoke, "revoked"),
    "approve": (_approve, "approved"),
    "decline": (_decline, "declined"),
}


def _carry_out(what: str) -> Callable[[str], Response]:
    act, done = _ACTIONS[what]

    def carry_out(reseller: str) -> Response:
        """Carry a form of a reseller's page out, and show the reseller with what came of it."""
        try:
            act(reseller)
        except Refusal as refusal:
            return show_reseller(reseller, refusal_message(refusal))
        return redirect_to(url_for("console.show_reseller", reseller=reseller, done=done))

    return carry_out


for _what in _ACTIONS:
    bp.add_url_rule(
        f"/resellers/<reseller>/{_what}",
        f"reseller_{_what.replace('-', '_')}",
        roles_required(ADMIN)(_carry_out(_what)),
        methods=["POST"],
    )
