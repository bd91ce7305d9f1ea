"""Activation keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import marshmallow as ma
from flask import Blueprint, Response, request
from msgspec.structs import astuple

from commands.amend_key import Amendment
from commands.amend_key import amend_key as amend
from commands.issue_keys import Order
from commands.issue_keys import issue_keys as issue
from commands.order_keys import PlacedOrder, order_keys
from commands.reissue_key import reissue_key as reissue
from commands.reveal_codes import reveal_code
from commands.revoke_key import revoke_key as revoke
from ledger.limits import ACCOUNT_ID, COUNT_MAX, MONTHS_MAX, NAME_LENGTH_MAX, SEATS_MAX
from ledger.loaded import Loaded
from ledger.refusals import (
    AllowanceExceeded,
    CodesNotDerivable,
    IdempotencyKeyReused,
    KeyAlreadyRedeemed,
    KeyAlreadyRevoked,
    KeyLapsed,
    KeyNotFound,
    ResellerSuspended,
    SubscriptionEnded,
)
from ledger.reseller_names import same
from ledger.streams import key as key_stream
from ledger.streams.key import KEY, Key
from projections.lists import keys
from projections.lists.keys import KeyList, KeyPage, KeyQuery, KeyView, key_view
from projections.lists.replaced_keys import as_seen
from projections.views.account_at import Moment
from web.api.answers import (
    IssuedKeys,
    KeyWithCode,
    RevealedKeys,
    WaitingOrderView,
    with_codes,
)
from web.api.operations import Returns, operation
from web.api.request_fields import (
    Identifier,
    Shape,
    Text,
    Time,
    WholeNumber,
    long_at_most,
    matching,
    one_of,
    within,
)
from web.api.requests import (
    BATCH_ID,
    NAME,
    OF_CATALOG,
    PAGE_MAX,
    PRODUCT_ID,
    AccountQuery,
    PageQuery,
    ReadQuery,
    Reasoned,
    Repeatable,
    free_text,
    tier_field,
)
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.csv_responses import csv_is_wanted, csv_reply
from web.app.errors import FORBIDDEN, HttpProblem
from web.app.responses import reply

blueprint = Blueprint("keys", __name__, url_prefix="/v1")

_READERS = only(ADMIN, RESELLER, SUPPORT, AUDITOR)
_OWNERS = only(ADMIN, RESELLER)


class IssueKeys(Shape):
    """An order of keys, alike but for their codes."""

    example: ClassVar = {
        "product": "integrations",
        "tier": "growth",
        "seats": 5,
        "months": 12,
        "count": 10,
        "reseller": "Harbour Systems",
        "redeem_by": "2030-01-01T00:00:00Z",
        "note": "Spring order",
    }

    product = Identifier(
        "What redeeming a key gives.", required=True, document={OF_CATALOG: "products"}
    )
    tier = tier_field()
    seats = WholeNumber(required=True, validate=within(1, SEATS_MAX))
    months = WholeNumber(
        "Calendar months from the moment of activation.",
        required=True,
        validate=within(1, MONTHS_MAX),
    )
    count = WholeNumber("How many keys.", load_default=1, validate=within(1, COUNT_MAX))
    reseller = Identifier(
        "Whose keys they are, in whatever case: the first spelling on record is kept. A reseller's"
        " token may leave it out, and may name no other; any other token names it.",
        validate=long_at_most(NAME_LENGTH_MAX),
        document=NAME,
    )
    redeem_by = Time("From this moment on, keys that nobody redeemed have lapsed.", optional=True)
    note = free_text("Free text on one line, stored encrypted.", optional=True)

    @ma.post_load
    def _order(self, data: dict[str, Any], **_: Any) -> Order:
        return Order(**data)

    @ma.validates_schema(pass_original=True, skip_on_field_errors=False)
    def _names_a_reseller(self, data: dict[str, Any], sent: Any, **_: Any) -> None:
        if isinstance(sent, dict) and "reseller" not in {*data, *sent}:
            raise ma.ValidationError(self.fields["reseller"].error_messages["required"], "reseller")

    @ma.pre_load
    def _fill_in_own_name(self, data: Any, **_: Any) -> Any:
        bound = caller().reseller
        if bound is not None and isinstance(data, dict):
            return {"reseller": bound, **data}
        return data


class AmendKey(Shape):
    """What is to become of a key; what is left out stays as it is."""

    example: ClassVar = {"seats": 5, "reason": "50 was a slip"}
    together: ClassVar = {"minProperties": 2}

    seats = WholeNumber(validate=within(1, SEATS_MAX))
    months = WholeNumber(validate=within(1, MONTHS_MAX))
    tier = Identifier("One of the key's product.", allow_none=True, document={OF_CATALOG: "tiers"})
    redeem_by = Time("Null for no limit.", allow_none=True)
    reseller = Identifier("Whose key it is.", validate=long_at_most(NAME_LENGTH_MAX), document=NAME)
    reason = free_text("Free text on one line, stored encrypted.", required=True)

    @ma.post_load
    def _amendment(self, data: dict[str, Any], **_: Any) -> Amendment:
        return Amendment(**data)


class KeysQuery(AccountQuery, PageQuery):
    status = Text(validate=one_of("issued", "redeemed", "revoked", "lapsed"))
    product = Text(validate=matching(PRODUCT_ID))
    reseller = Text("In whatever spelling.", validate=long_at_most(NAME_LENGTH_MAX))
    batch = Text(validate=matching(BATCH_ID))
    redeemed_by = Text("An account.", validate=matching(ACCOUNT_ID))


@blueprint.post("/keys")
@operation(
    access=_OWNERS,
    headers=Repeatable,
    body=IssueKeys,
    responses={
        201: Returns(
            IssuedKeys,
            "The keys, with their codes.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        ),
        202: Returns(
            WaitingOrderView,
            "A reseller's order that is more than it may have without the vendor's approval.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        ),
    },
    refusals=(IdempotencyKeyReused, ResellerSuspended, AllowanceExceeded),
)
def issue_keys(idempotency_key: str | None, body: Order) -> Response:
    """Issue keys.

    All of them in one commit, or none. The codes are not stored: they are derived, and can be
    revealed again. An order that is repeated with its Idempotency-Key answers with the same keys,
    so that a lost answer loses nothing: codes that are open come whole, which is recorded as a
    reveal, once an hour for each caller; those that were redeemed or revoked meanwhile come masked.

    A reseller orders within what was granted to it, and its order spends seats × count in that
    commit; what the vendor issues spends nothing. An order that waits for the vendor is answered
    with its keys when it is repeated after it was approved.
    """
    bound = caller().reseller
    if bound is not None and not same(body.reseller, bound):
        raise HttpProblem(FORBIDDEN, "this token issues keys for its own reseller only")
    if bound is None:
        issued = issue(services(), request_context(), body, idempotency_key=idempotency_key)
    else:
        ordered = order_keys(
            services(),
            request_context(),
            body,
            bound,
            idempotency_key=idempotency_key,
            # One reseller's keys must neither meet nor reveal another's; the vendor's are one.
            scope=f"reseller {bound}",
        )
        if isinstance(ordered, PlacedOrder):
            return reply(
                WaitingOrderView(ordered.order, ordered.status),
                202,
                position=ordered.position,
                replayed=ordered.replayed,
            )
        issued = ordered
    return reply(
        IssuedKeys(issued.batch, with_codes(issued.keys)),
        201,
        position=issued.position,
        replayed=issued.replayed,
    )


@blueprint.get("/keys")
@operation(
    access=_READERS,
    query=KeysQuery,
    responses={200: Returns(KeyList, "Keys, the newest first.", ("Keyfold-Position",), csv=True)},
)
def list_keys(
    limit: int,
    cursor: str | None = None,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    **filters: Any,
) -> Response:
    """List keys.

    A reseller sees its own. The list can be read as of a moment, like an account. As CSV all of
    them come at once, unless `limit` is sent.
    """
    bound = caller().reseller
    times = {"as_of": as_of, "known_at": known_at}
    given = {**filters, **{name: time for name, time in times.items() if time is not None}}
    of = ("keys", bound, sorted(given.items()))
    after = cursors.read(services().request_key, of, cursor)
    if bound is not None and not same(filters.setdefault("reseller", bound), bound):
        return reply(KeyList([], None), position=services().book.head())
    all_wanted = csv_is_wanted() and "limit" not in request.args
    read_page = partial(
        _page,
        KeyQuery(**filters),
        Moment(request_context().now, as_of, known_at),
        limit=PAGE_MAX if all_wanted else limit,
    )
    page = read_page(after=after)
    if csv_is_wanted():
        pages = _following(page, read_page) if all_wanted else [page.keys]
        rows = ([astuple(one) for one in some] for some in pages)
        return csv_reply(KeyView.__struct_fields__, rows, "keys", position=page.position)
    following = None
    if page.next is not None:
        following = cursors.write(services().request_key, of, page.next)
    return reply(KeyList(page.keys, following), position=page.position)


def _page(query: KeyQuery, moment: Moment, *, after: int | None, limit: int) -> KeyPage:
    book, tables = services().book, app_state().wiring.tables
    page = keys.list_keys(book, tables, query, moment, after=after, limit=limit)
    return page._replace(keys=as_seen(book, page.keys, caller().reseller))


def _following(page: KeyPage, read_page: Callable[..., KeyPage]) -> Iterator[list[KeyView]]:
    yield page.keys
    while page.next is not None:
        page = read_page(after=page.next)
        yield page.keys


@blueprint.get("/keys/<id:key>")
@operation(
    access=_READERS,
    query=ReadQuery,
    responses={200: Returns(KeyView, "The key.")},
    refusals=(KeyNotFound,),
)
def get_key(key: str) -> Response:
    """Show a key."""
    loaded = services().book.load(KEY, key_stream.stream_id(key))
    key_stream.owned(loaded.state, caller().reseller)
    return reply(_key(loaded))


def _key(loaded: Loaded[Key | None], at: datetime | None = None) -> KeyView:
    assert loaded.state
    view = key_view(loaded.state, at or request_context().now)
    return as_seen(services().book, [view], caller().reseller)[0]


@blueprint.patch("/keys/<id:key>")
@operation(
    access=only(ADMIN),
    headers=Repeatable,
    body=AmendKey,
    responses={
        200: Returns(KeyView, "The key.", ("Keyfold-Position", "Idempotency-Replayed")),
    },
    refusals=(
        IdempotencyKeyReused,
        KeyNotFound,
        KeyAlreadyRevoked,
        KeyAlreadyRedeemed,
        AllowanceExceeded,
    ),
)
def amend_key(key: str, idempotency_key: str | None, body: Amendment) -> Response:
    """Put something about a key right before anybody redeems it.

    Whoever redeems it gets what is true at that moment. A key that has lapsed goes on when it gets
    a later `redeem_by`. To be another reseller's it needs no new code.
    Repeated with its Idempotency-Key it is answered with the key as it was after the first time,
    and undoes no amendment since.
    """
    amended = amend(services(), request_context(), key, body, idempotency_key=idempotency_key)
    then = amended.loaded.recorded_at if amended.replayed else None
    return reply(_key(amended.loaded, then), position=amended.position, replayed=amended.replayed)


@blueprint.post("/keys/<id:key>/revoke")
@operation(
    access=_OWNERS,
    headers=Repeatable,
    body=Reasoned,
    responses={
        200: Returns(KeyView, "The key.", ("Keyfold-Position", "Idempotency-Replayed")),
    },
    refusals=(IdempotencyKeyReused, KeyNotFound, KeyAlreadyRedeemed),
)
def revoke_key(key: str, idempotency_key: str | None, reason: str) -> Response:
    """Revoke a key before anybody redeems it.

    One that is revoked already stays as it is. Repeated with its Idempotency-Key it is answered
    with the key as it was after the first time, also where the same code came in again since.
    """
    revoked = revoke(
        services(),
        request_context(),
        key,
        reason,
        reseller=caller().reseller,
        idempotency_key=idempotency_key,
    )
    then = revoked.loaded.recorded_at if revoked.replayed else None
    return reply(_key(revoked.loaded, then), position=revoked.position, replayed=revoked.replayed)


@blueprint.post("/keys/<id:key>/reissue")
@operation(
    access=only(ADMIN, RESELLER, SUPPORT),
    headers=Repeatable,
    body=Reasoned,
    responses={
        201: Returns(KeyWithCode, "The new key.", ("Keyfold-Position", "Idempotency-Replayed")),
    },
    refusals=(IdempotencyKeyReused, KeyNotFound, KeyAlreadyRevoked, KeyLapsed, SubscriptionEnded),
)
def reissue_key(key: str, idempotency_key: str | None, reason: str) -> Response:
    """Give a key's holder a new code.

    The old one stops working in the same commit. The subscription of a redeemed key stays as it is,
    and shows the new masked code; when it has ended, no new code is given.

    Repeated with its Idempotency-Key it is answered with the same key; its code comes masked when
    it was redeemed or revoked since.
    """
    reissued = reissue(
        services(),
        request_context(),
        key,
        reason,
        reseller=caller().reseller,
        idempotency_key=idempotency_key,
    )
    view = KeyWithCode(*reissued[:3])
    return reply(view, 201, position=reissued.position, replayed=reissued.replayed)


@blueprint.post("/keys/<id:key>/reveal")
@operation(
    access=_OWNERS,
    body=Reasoned,
    responses={
        200: Returns(
            RevealedKeys,
            "The key, and after it those that were given in its place.",
            ("Keyfold-Position",),
        )
    },
    refusals=(KeyNotFound, CodesNotDerivable),
)
def reveal_key(key: str, reason: str) -> Response:
    """Show a key's code again.

    That it was shown is recorded. After a key that was reissued come those that were given in its
    place, also when the code of the first was issued elsewhere: that one is known to nobody here,
    and comes masked, as do the codes of keys that were revoked or redeemed.
    """
    revealed = reveal_code(services(), request_context(), key, reason, reseller=caller().reseller)
    return reply(RevealedKeys(with_codes(revealed.keys)), position=revealed.position)
