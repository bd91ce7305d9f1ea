"""An account's page: what it has at a moment, who sits where, what happened, and why.

The moment is chosen on a slider over the account's events; the panel of the state is asked for
anew by htmx, or by a form where there is no script.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from flask import Response, request, url_for

from ledger.streams.account.stream import ACCOUNT
from ledger.translation import gettext as _
from projections.lists.names import fold, list_accounts
from projections.text.formatting import ERASED, NOT_SHOWN
from projections.views import seats as seated
from projections.views import subscriptions as subscribed
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.seats import SeatsView, SeatView
from projections.views.subscriptions import ProductView, SubscriptionsView
from web.api.timeline import visibility
from web.app.context import app_state, request_context, services
from web.app.times import iso
from web.console import paging, parameters, time_travel
from web.console.blueprint import bp
from web.console.session import STAFF, roles_required
from web.console.time_travel import TimeTravel
from web.console.timeline import KINDS, listing
from web.html.flash import FlashMessage, flashed, good, warn
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page

LISTED_MAX: Final = 50
# So many seats of a product are listed; an account with more is looked at by holder.
SITTING_MAX: Final = 200

MESSAGES: Final = {
    "released": good(_l("The seat was given back."), _l("It is free from now on.")),
    "gone": warn(_l("The seat had been given back already.")),
    "started": good(_l("The subscription has started."), _l("It gives its seats now.")),
    "extended": good(_l("The subscription lasts longer.")),
    "suspended": good(
        _l("The subscription is suspended."), _l("It gives no seats until it is resumed.")
    ),
    "resumed": good(_l("The subscription gives its seats again.")),
    "transferred": good(
        _l("The subscription is the other account's now."), _l("Its holders stayed here.")
    ),
    "terminated": good(_l("The subscription is terminated."), _l("It gives no seats now.")),
    "linked": good(_l("The Stripe customer is linked.")),
    "unlinked": good(_l("The Stripe customer is this account's no more.")),
    "assigned": good(_l("The Stripe subscription is this account's.")),
    "ended": good(
        _l("All portal sessions have ended."),
        _l("Links that were not opened are void, too; the portal can make new ones."),
    ),
    "cleared": good(_l("The account and its sessions may try codes again.")),
}


class LabelledSeat(NamedTuple):
    """A taken seat, with its label as far as the caller may see it."""

    seat: SeatView
    label: str | None


class AccountState(NamedTuple):
    """What an account has at a moment.

    Attributes:
        travel: which moment, and what was known.
        sitting: by product, those who may not work first where there are too many for all.
        link: the address at which it is shown the same for ever.
    """

    account: str
    travel: TimeTravel
    at: AccountAt
    view: SubscriptionsView
    sitting: dict[str, list[LabelledSeat]]
    link: str


class ListedAccount(NamedTuple):
    """An account in the list, with what it has now."""

    id: str
    products: list[ProductView]


@bp.get("/accounts")
@roles_required(*STAFF)
def show_accounts() -> Response:
    """List the accounts that anything ever happened to, by name."""
    starts = fold(parameters.query("starts") or "")
    of = "console accounts", starts
    book, now = services().book, Moment(request_context().now)
    after = paging.after(of)
    ids, following = list_accounts(
        book,
        app_state().wiring.tables,
        start=starts,
        after=(after[0], after[1]) if after else None,
        limit=LISTED_MAX,
    )
    book.load_many(ACCOUNT, ids)  # in one read; each is remembered
    listed = [
        ListedAccount(
            id, subscribed.subscriptions(account_at(book, id, now), services().catalog).products
        )
        for id in ids
    ]
    return page(
        "console/accounts.html",
        starts=parameters.query("starts"),
        accounts=listed,
        following=paging.older(of, following, "console.show_accounts", ("starts",)),
    )


@bp.get("/accounts/<account>")
@roles_required(*STAFF)
def show_account(account: str, message: FlashMessage | None = None) -> Response:
    """Show an account, at the moment that the address asks for; to htmx only its state."""
    account, travel = parameters.account_id(account), time_travel.from_query()
    found = account_at(services().book, account, travel.moment)
    state = _state(found, travel)
    if message is None and "HX-Request" in request.headers:
        return page("console/state.html", state=state)
    _, events = services().book.history(ACCOUNT, account)
    now = account_at(services().book, account, Moment(request_context().now))
    return page(
        "console/account.html",
        message=message or flashed(MESSAGES),
        account=account,
        state=state,
        choices=time_travel.choices(events, travel.moment.as_of),
        products=list(products(found)),
        listing=listing(account, "console.show_account"),
        kinds=KINDS,
        linked=now.account.stripe.customers,
    )


def _state(found: AccountAt, travel: TimeTravel) -> AccountState:
    at, known = found.moment.at, found.moment.known
    return AccountState(
        found.id,
        travel,
        found,
        subscribed.subscriptions(found, services().catalog, ended=True),
        _sitting(seated.seats(found, services().catalog)),
        url_for("console.show_account", account=found.id, as_of=iso(at), known_at=iso(known)),
    )


def products(found: AccountAt) -> Iterator[tuple[str, str]]:
    """Return the products that an account may have seats of, by id and name."""
    for id in dict.fromkeys(id for id, _tier in seated.pools(found.account, services().catalog)):
        known = services().catalog.product(id)
        yield id, known.name if known else id


def _sitting(view: SeatsView) -> dict[str, list[LabelledSeat]]:
    by_product: dict[str, list[SeatView]] = defaultdict(list)
    for seat in view.items:
        by_product[seat.product].append(seat)
    return {product: list(_labelled(_first(seats))) for product, seats in by_product.items()}


def _first(seats: list[SeatView]) -> list[SeatView]:
    if len(seats) > SITTING_MAX:
        seats = sorted(seats, key=lambda one: one.licensed)
    return seats[:SITTING_MAX]


def _labelled(seats: list[SeatView]) -> Iterator[LabelledSeat]:
    texts = visibility().texts
    opened = texts.open_all(one.label for one in seats) if texts else [None] * len(seats)
    for seat, text in zip(seats, opened, strict=True):
        shown = None
        if seat.label is not None:
            shown = _(NOT_SHOWN) if texts is None else text or _(ERASED)
        yield LabelledSeat(seat, shown)
