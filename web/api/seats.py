"""Who sits on an account's seats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from flask import Blueprint, Response
from msgspec.structs import replace

from commands.occupy_seat import Sitting
from commands.occupy_seat import occupy_seat as occupy
from commands.release_seat import release_seat as release
from commands.replace_holder import Replacement, replace_holder
from ledger.limits import HOLDER_ID
from ledger.refusals import (
    HolderAlreadySeated,
    HolderInOtherTier,
    NoSeatAvailable,
    ProductNotFound,
    SeatNotOccupied,
    VersionMismatch,
)
from projections.text.formatting import NOT_SHOWN
from projections.views import seats as seated
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.seats import HolderView, SeatsView, SeatView
from web.api.accounts import READERS, check_pools, read_account
from web.api.operations import Returns, operation
from web.api.request_fields import Identifier, Shape, Text, matching
from web.api.requests import PRODUCT_ID, AccountQuery, IfMatch, PageQuery, free_text, tier_field
from web.api.timeline import visibility
from web.app import cursors
from web.app.auth import ADMIN, PORTAL, SUPPORT, only
from web.app.context import request_context, services
from web.app.responses import nothing, reply
from web.app.times import iso

blueprint = Blueprint("seats", __name__, url_prefix="/v1")

_AFTER_WRITE = ("Keyfold-Position", "ETag")


class TakeSeat(Shape):
    """Where a holder wants to sit."""

    example: ClassVar = {"tier": None, "label": "Till at the door"}

    tier = tier_field()
    label = free_text("What people know the holder by; stored encrypted.", optional=True)
    replaces = Identifier(
        "Whose seat the holder takes, with its place in the queue and since when it is taken, in"
        " one commit; the tier may be left out then.",
        optional=True,
        validate=matching(HOLDER_ID),
    )


class SeatsQuery(AccountQuery, PageQuery):
    product = Text(validate=matching(PRODUCT_ID))


@blueprint.get("/accounts/<account>/seats")
@operation(
    access=READERS,
    query=SeatsQuery,
    responses={200: Returns(SeatsView, "Taken seats, who came first first.", ("ETag",))},
)
def list_seats(
    account: str,
    limit: int,
    cursor: str | None = None,
    product: str | None = None,
    **times: datetime,
) -> Response:
    """List an account's taken seats, and how each product and tier stands."""
    given = {**times, **({} if product is None else {"product": product})}
    of = ("seats", account, sorted(given.items()))
    after = cursors.read(services().request_key, of, cursor)
    found = read_account(account, **times)
    if product is not None:
        check_pools(found.account, product, None)
    view = seated.seats(found, services().catalog, product)
    places = _places(found)
    following = [one for one in view.items if after is None or places(one) > tuple(after)]
    shown = following[:limit]
    more = None
    if len(following) > limit:
        more = cursors.write(services().request_key, of, places(shown[-1]))
    items = seated.with_labels(shown, _labels(shown))
    return reply(replace(view, items=items, next=more), version=found.version)


def _places(found: AccountAt) -> Callable[[SeatView], tuple[Any, ...]]:
    """Return what tells a seat's place in the list: its pool's, then who came first.

    It is told of the seat itself, so that the next page goes on where this one ended, also when a
    seat of either was taken or given back meanwhile.
    """
    pools = {pool: n for n, pool in enumerate(seated.pools(found.account, services().catalog))}

    def place(view: SeatView) -> tuple[Any, ...]:
        seat = found.account.seat(view.product, view.holder)
        assert seat
        return pools[view.product, view.tier], iso(seat.occupied_at), seat.version

    return place


@blueprint.get("/accounts/<account>/seats/<product>/<holder>")
@operation(
    access=READERS,
    query=AccountQuery,
    responses={200: Returns(HolderView, "The seat.", ("ETag",))},
    refusals=(ProductNotFound,),
)
def get_seat(account: str, product: str, holder: str, **times: datetime) -> Response:
    """Show a holder's seat: may this one work right now?

    A holder without a seat may not: `licensed` is false, and `reason` is `no_seat`.
    """
    found = read_account(account, **times)
    if product not in {id for id, _ in seated.pools(found.account, services().catalog)}:
        raise ProductNotFound
    return _seat(found, product, holder)


@blueprint.put("/accounts/<account>/seats/<product>/<holder>")
@operation(
    access=only(PORTAL, ADMIN),
    headers=IfMatch,
    body=TakeSeat,
    body_required=False,
    responses={
        201: Returns(HolderView, "The seat, newly taken.", _AFTER_WRITE),
        200: Returns(HolderView, "The seat; this holder sits there already.", _AFTER_WRITE),
    },
    refusals=(
        VersionMismatch,
        SeatNotOccupied,
        HolderInOtherTier,
        HolderAlreadySeated,
        NoSeatAvailable,
    ),
)
def occupy_seat(
    account: str,
    product: str,
    holder: str,
    expected_version: int | None,
    tier: str | None,
    label: str | None,
    replaces: str | None,
) -> Response:
    """Let a holder take a seat, a free one or that of the holder it replaces.

    One that sits there already keeps it, with the new label if there is one. Without a seat free
    nobody is let in but for another.
    """
    if replaces is None:
        wanted = Sitting(account, product, tier, holder, label)
        taken = occupy(services(), request_context(), wanted, expected_version=expected_version)
    else:
        taken = replace_holder(
            services(),
            request_context(),
            Replacement(account, product, tier, holder, replaces, label),
            expected_version=expected_version,
        )
    now = request_context().now
    found = AccountAt(
        account, taken.account.state, Moment(now), taken.position, taken.account.version
    )
    return _seat(found, product, holder, 201 if taken.created else 200, position=taken.position)


@blueprint.delete("/accounts/<account>/seats/<product>/<holder>")
@operation(
    access=only(PORTAL, SUPPORT, ADMIN),
    headers=IfMatch,
    responses={204: Returns(None, "The seat is free.", _AFTER_WRITE)},
    refusals=(VersionMismatch, SeatNotOccupied),
)
def release_seat(account: str, product: str, holder: str, expected_version: int | None) -> Response:
    """Give a holder's seat back."""
    try:
        released = release(
            services(),
            request_context(),
            account,
            product,
            holder,
            expected_version=expected_version,
        )
    except SeatNotOccupied:
        # A product that nobody has heard of is a mistake to be told of, not a free seat.
        found = account_at(services().book, account, Moment(request_context().now))
        check_pools(found.account, product, None)
        raise
    return nothing(position=released.position, version=released.account.version)


def _seat(
    found: AccountAt, product: str, holder: str, status: int = 200, *, position: int | None = None
) -> Response:
    view = seated.seat(found, product, holder)
    (label,) = _labels([view])
    return reply(replace(view, label=label), status, position=position, version=found.version)


def _labels(views: Sequence[SeatView | HolderView]) -> list[str | None]:
    """Return the seats' labels as the caller may see them, by the timeline's rule."""
    texts = visibility().texts
    if texts is None:
        return [NOT_SHOWN if one.label else None for one in views]
    return texts.open_all(one.label for one in views)
