"""An account's page: what it has at a moment, who sits where, what happened, and why.

The moment is chosen on a slider over the account's events; the panel of the state is asked for
anew by htmx, or by a form where there is no script.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from flask import Response, request, url_for

from ledger.streams.account.decisions import ACCOUNT
from projections.text.formatting import ERASED, NOT_SHOWN
from projections.views import seats as seated
from projections.views import subscriptions as subscribed
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.seats import SeatsView, SeatView
from projections.views.subscriptions import SubscriptionsView
from web.api.timeline import visibility
from web.app.context import request_context, services
from web.app.times import iso
from web.console import form_fields, session, time_travel
from web.console.rendering import page
from web.console.time_travel import Asked
from web.console.timeline import KINDS, listing
from web.html.flash import Saying

# So many seats of a product are listed; an account with more is looked at by holder.
SITTING_MAX: Final = 200


class Sitting(NamedTuple):
    """A taken seat, with its label as far as the caller may see it."""

    seat: SeatView
    label: str | None


class State(NamedTuple):
    """What an account has at a moment.

    Attributes:
        asked: which moment, and what was known.
        sitting: by product, those who may not work first where there are too many for all.
        link: the address at which it is shown the same for ever.
    """

    account: str
    asked: Asked
    at: AccountAt
    view: SubscriptionsView
    sitting: dict[str, list[Sitting]]
    link: str


def show_account(account: str) -> Response:
    """Show an account, at the moment that the address asks for; to htmx only its state."""
    account = form_fields.account_id(account)
    if "HX-Request" in request.headers:
        return page("state.html", state=state(account, time_travel.asked()), may=session.may)
    return show(account, _done(request.args.get("done")))


def show(account: str, said: Saying | None) -> Response:
    """Show an account's page, with what came of a form that was sent from it."""
    wanted = time_travel.asked()
    _, events = services().book.history(ACCOUNT, account)
    return page(
        "account.html",
        said.status if said else 200,
        said=said,
        account=account,
        state=state(account, wanted),
        choices=time_travel.choices(events, wanted.moment.as_of),
        products=list(products(account_at(services().book, account, wanted.moment))),
        listing=listing(form_fields.asked("ref"), account),
        kinds=KINDS,
        linked=account_at(
            services().book, account, Moment(request_context().now)
        ).account.stripe.customers,
        may=session.may,
    )


def state(account: str, wanted: Asked) -> State:
    """Answer what an account has at a moment."""
    found = account_at(services().book, account, wanted.moment)
    view = seated.seats(found, services().catalog)
    at, known = found.moment.at, found.moment.known
    return State(
        account,
        wanted,
        found,
        subscribed.subscriptions(found, services().catalog, ended=True),
        _sitting(view),
        url_for("console.show_account", account=account, as_of=iso(at), known_at=iso(known)),
    )


def products(found: AccountAt) -> Iterator[tuple[str, str]]:
    """Answer the products that an account may have seats of, by id and name."""
    for id in dict.fromkeys(id for id, _ in seated.pools(found.account, services().catalog)):
        known = services().catalog.product(id)
        yield id, known.name if known else id


def _sitting(view: SeatsView) -> dict[str, list[Sitting]]:
    by_product: dict[str, list[SeatView]] = defaultdict(list)
    for seat in view.items:
        by_product[seat.product].append(seat)
    return {product: list(_labelled(_first(seats))) for product, seats in by_product.items()}


def _first(seats: list[SeatView]) -> list[SeatView]:
    if len(seats) > SITTING_MAX:
        seats = sorted(seats, key=lambda one: one.licensed)
    return seats[:SITTING_MAX]


def _labelled(seats: list[SeatView]) -> Iterator[Sitting]:
    texts = visibility().texts
    opened = texts.open_all(one.label for one in seats) if texts else [None] * len(seats)
    for seat, text in zip(seats, opened, strict=True):
        shown = None
        if seat.label is not None:
            shown = NOT_SHOWN if texts is None else text or ERASED
        yield Sitting(seat, shown)


def _done(done: str | None) -> Saying | None:
    match done:
        case "released":
            return Saying("good", "The seat was given back.", ["It is free from now on."])
        case "gone":
            return Saying("warn", "The seat had been given back already.")
        case "terminated":
            return Saying("good", "The subscription is terminated.", ["It gives no seats now."])
        case "linked":
            return Saying("good", "The Stripe customer is linked.")
        case "unlinked":
            return Saying("good", "The Stripe customer is this account's no more.")
        case "assigned":
            return Saying("good", "The Stripe subscription is this account's.")
        case "ended":
            return Saying(
                "good",
                "All portal sessions have ended.",
                ["Links that were not opened are void, too; the portal can make new ones."],
            )
        case "cleared":
            return Saying("good", "The account and its sessions may try codes again.")
    return None
