"""Resellers: what they may order, what they have ordered, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import marshmallow as ma
from flask import Blueprint, Response, request

from commands import arrange_reseller
from commands.retry import Decided
from ledger.limits import COUNT_MAX, MONTHS_MAX, SEATS_MAX
from ledger.refusals import AllowanceSpent, IdempotencyKeyReused, ResellerNotFound
from ledger.reseller_names import same
from ledger.streams.reseller import LimitsSet, Reseller
from projections.lists.resellers import (
    ResellerList,
    ResellerPage,
    ResellerView,
    list_resellers,
    one_reseller,
)
from projections.lists.statements import MONTH, ResellerStatement
from web.api.batches import REVOKED, RevokedKeysView, revoked_view
from web.api.operations import Returns, operation
from web.api.request_fields import (
    Identifier,
    Shape,
    Text,
    Truth,
    WholeNumber,
    matching,
    within,
)
from web.api.requests import (
    OF_CATALOG,
    PAGE_MAX,
    PageQuery,
    ReadQuery,
    Reasoned,
    Repeatable,
    tier_field,
)
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.csv_responses import csv_is_wanted, csv_reply
from web.app.errors import PARTLY_DONE
from web.app.many_keys import revoke_reseller as revoke_all
from web.app.reseller_tables import RESELLER_COLUMNS, reseller_rows
from web.app.responses import reply
from web.app.statements import STATEMENT_COLUMNS, statement_of, statement_rows

blueprint = Blueprint("resellers", __name__, url_prefix="/v1/resellers")

_STAFF = only(ADMIN, SUPPORT, AUDITOR)
_READERS = only(ADMIN, SUPPORT, AUDITOR, RESELLER)
_ARRANGED = ("Keyfold-Position", "Idempotency-Replayed")


class Grant(Reasoned):
    """Seats that a reseller may order from now on; below zero, that it may order no more."""

    example: ClassVar = {"product": "cloud_pos", "seats": 500, "reason": "Contract of spring"}

    product = Identifier(required=True, document={OF_CATALOG: "products"})
    tier = tier_field()
    seats = WholeNumber(
        "May be negative, but never takes away what is spent.",
        required=True,
        validate=within(-arrange_reseller.GRANT_MAX, arrange_reseller.GRANT_MAX),
        document={"not": {"const": 0}},
    )


def _most(description: str, largest: int) -> WholeNumber:
    return WholeNumber(description, optional=True, validate=within(1, largest))


class OrderLimits(Shape):
    """What one order may have at most; what is left out has no limit but everybody's."""

    example: ClassVar = {"count": 100, "seats": 50, "months": 24, "approval_above": 200}

    count = _most("Keys.", COUNT_MAX)
    seats = _most("Of each key.", SEATS_MAX)
    months = _most("Of each key.", MONTHS_MAX)
    approval_above = WholeNumber(
        "An order of more seats in all waits for the vendor.",
        optional=True,
        validate=within(0, arrange_reseller.GRANT_MAX),
    )

    @ma.post_load
    def _limits(self, data: dict[str, Any], **_: Any) -> LimitsSet:
        return LimitsSet(**data)


class Suspend(Reasoned):
    """Why a reseller is suspended."""

    example: ClassVar = {"keys": True, "reason": "Invoices unpaid"}

    keys = Truth("Nor can its keys be redeemed.", load_default=False)


class _Page(ReadQuery, PageQuery):
    pass


class StatementQuery(ReadQuery):
    month = Text("`YYYY-MM`, in UTC.", required=True, validate=matching(MONTH))


@blueprint.get("")
@operation(
    access=_STAFF,
    query=_Page,
    responses={200: Returns(ResellerList, "Resellers, by name.", csv=True)},
)
def list_all_resellers(limit: int, cursor: str | None = None) -> Response:
    """List resellers.

    Whoever was named as one: by keys, for a token, or by what was arranged with it. As CSV all of
    them come at once, unless `limit` is sent, with a row for each product and tier that a reseller
    may order; what is so of the reseller as a whole is in the first of its rows.
    """
    of = ("resellers",)
    after = cursors.read(services().request_key, of, cursor)
    all_wanted = csv_is_wanted() and "limit" not in request.args
    found = _page(after, PAGE_MAX if all_wanted else limit)
    if csv_is_wanted():
        pages = _following(found) if all_wanted else [found.resellers]
        rows = ([row for one in page for row in reseller_rows(one)] for page in pages)
        return csv_reply(RESELLER_COLUMNS, rows, "resellers")
    following = None
    if found.next is not None:
        following = cursors.write(services().request_key, of, found.next)
    return reply(ResellerList(found.resellers, following))


def _page(after: str | None, limit: int) -> ResellerPage:
    return list_resellers(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        request_context().now,
        after=after,
        limit=limit,
    )


def _following(page: ResellerPage) -> Iterator[list[ResellerView]]:
    yield page.resellers
    while page.next is not None:
        page = _page(page.next, PAGE_MAX)
        yield page.resellers


@blueprint.get("/<name:reseller>")
@operation(
    access=_READERS,
    query=ReadQuery,
    responses={200: Returns(ResellerView, "The reseller.")},
    refusals=(ResellerNotFound,),
)
def get_reseller(reseller: str) -> Response:
    """Show a reseller: what it may order, what became of its keys, and what ends in 90 days.

    A reseller's token sees its own.
    """
    return reply(_shown(reseller))


def _shown(name: str) -> ResellerView:
    """Return a reseller as things stand now.

    Raises:
        ResellerNotFound: nobody was named so, or another reseller asks.
    """
    _own(name)
    wiring = app_state().wiring
    now = request_context().now
    found = one_reseller(services().book, wiring.tables, services().catalog, now, name)
    if found is None:
        raise ResellerNotFound
    return found


def _own(name: str) -> None:
    bound = caller().reseller
    if bound is not None and not same(bound, name):
        raise ResellerNotFound


def _arranged(done: Decided[Reseller], name: str, status: int = 200) -> Response:
    return reply(_shown(name), status, position=done.position, replayed=done.replayed)


@blueprint.post("/<path:reseller>/grants")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=Grant,
    responses={201: Returns(ResellerView, "The reseller.", _ARRANGED)},
    refusals=(IdempotencyKeyReused, AllowanceSpent),
)
def grant_seats(
    reseller: str,
    idempotency_key: str | None,
    product: str,
    tier: str | None,
    seats: int,
    reason: str,
) -> Response:
    """Let a reseller order more seats of a product and tier, or fewer.

    A grant that is repeated with its Idempotency-Key grants nothing twice. This answer, as those to
    the other calls that arrange something with a reseller, shows it as it is now.
    """
    done = arrange_reseller.grant_seats(
        services(),
        request_context(),
        reseller,
        product,
        tier,
        seats,
        reason,
        idempotency_key=idempotency_key,
    )
    return _arranged(done, reseller, 201)


@blueprint.put("/<path:reseller>/limits")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=OrderLimits,
    responses={200: Returns(ResellerView, "The reseller.", _ARRANGED)},
    refusals=(ResellerNotFound, IdempotencyKeyReused),
)
def set_limits(reseller: str, idempotency_key: str | None, body: LimitsSet) -> Response:
    """Set what one order of a reseller's may have at most, and when it waits for the vendor."""
    done = arrange_reseller.set_limits(
        services(), request_context(), reseller, body, idempotency_key=idempotency_key
    )
    return _arranged(done, reseller)


@blueprint.post("/<path:reseller>/suspend")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=Suspend,
    responses={200: Returns(ResellerView, "The reseller.", _ARRANGED)},
    refusals=(ResellerNotFound, IdempotencyKeyReused),
)
def suspend_reseller(
    reseller: str, idempotency_key: str | None, reason: str, keys: bool
) -> Response:
    """Let a reseller order nothing until it is resumed.

    With `keys`, its keys cannot be redeemed, either. What was redeemed stays as it is.
    """
    done = arrange_reseller.suspend_reseller(
        services(), request_context(), reseller, reason, keys=keys, idempotency_key=idempotency_key
    )
    return _arranged(done, reseller)


@blueprint.post("/<path:reseller>/resume")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=Reasoned,
    responses={200: Returns(ResellerView, "The reseller.", _ARRANGED)},
    refusals=(ResellerNotFound, IdempotencyKeyReused),
)
def resume_reseller(reseller: str, idempotency_key: str | None, reason: str) -> Response:
    """Let a reseller order again, and its keys be redeemed."""
    done = arrange_reseller.resume_reseller(
        services(), request_context(), reseller, reason, idempotency_key=idempotency_key
    )
    return _arranged(done, reseller)


@blueprint.post("/<path:reseller>/revoke")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=Reasoned,
    responses={200: Returns(RevokedKeysView, "What became of its keys.", REVOKED)},
    refusals=(ResellerNotFound, IdempotencyKeyReused),
    problems=(PARTLY_DONE,),
)
def revoke_reseller(reseller: str, idempotency_key: str | None, reason: str) -> Response:
    """Revoke those keys of a reseller that nobody has redeemed, also those that have lapsed.

    Up to a thousand in one commit, fewer where they are being redeemed meanwhile. When that is
    interrupted the answer says so; to ask again does the rest. Suspend it first, and it orders
    no others meanwhile.

    A request that is repeated with its Idempotency-Key is about the keys that the first found: it
    does what that has left, answers as it did, and touches nothing that was issued since.
    """
    done = revoke_all(app_state().wiring, request_context(), reseller, reason, idempotency_key)
    return reply(revoked_view(done), position=done.position, replayed=done.replayed)


@blueprint.get("/<path:reseller>/statement")
@operation(
    access=_READERS,
    query=StatementQuery,
    responses={200: Returns(ResellerStatement, "The month.", csv=True)},
    refusals=(ResellerNotFound,),
)
def get_statement(reseller: str, month: str) -> Response:
    """Tell what happened to a reseller's keys in a month of UTC; so far, if it is not over.

    What it says of a month that is over never changes: it is put on record when it is asked for
    first. What is recorded later, and was decided in it, is told in the next month. An amendment
    takes back what was issued, and issues what the key is since, in its own month.
    """
    _own(reseller)
    found = statement_of(app_state().wiring, request_context(), reseller, month)
    if csv_is_wanted():
        return csv_reply(STATEMENT_COLUMNS, [statement_rows(found)], f"statement-{month}")
    return reply(found)
