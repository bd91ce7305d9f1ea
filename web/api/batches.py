"""Batches: the keys of an order or an import, together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from flask import Blueprint, Response, request
from msgspec.structs import astuple

from commands.revoke_keys import RevokedKeys
from ledger.limits import NAME_LENGTH_MAX
from ledger.refusals import BatchNotFound, CodesNotDerivable, IdempotencyKeyReused
from ledger.reseller_names import same
from ledger.streams.key import Status
from projections.answer import Answer, KeyId, doc
from projections.lists.batches import BatchList, BatchPage, BatchView, list_batches
from web.api.answers import RevealedKeys, with_codes
from web.api.operations import Returns, operation
from web.api.request_fields import Text, long_at_most
from web.api.requests import PAGE_MAX, PageQuery, ReadQuery, Reasoned, Repeatable
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.csv_responses import csv_is_wanted, csv_reply
from web.app.errors import PARTLY_DONE
from web.app.many_keys import reissue_batch as reissue_all
from web.app.many_keys import reveal_batch
from web.app.many_keys import revoke_batch as revoke_all
from web.app.responses import reply

blueprint = Blueprint("batches", __name__, url_prefix="/v1")

_READERS = only(ADMIN, RESELLER, SUPPORT, AUDITOR)
_OWNERS = only(ADMIN, RESELLER)
REVOKED = ("Keyfold-Position", "Idempotency-Replayed")


class KeptKeyView(Answer, frozen=True):
    """A key that was not revoked now: it was redeemed, or revoked before."""

    id: KeyId
    status: Status


class RevokedKeysView(Answer, frozen=True):
    """What became of many keys."""

    revoked: Annotated[int, doc("How many were revoked by this request.", 480)]
    kept: list[KeptKeyView]


def revoked_view(done: RevokedKeys) -> RevokedKeysView:
    """Return what became of many keys as it is answered."""
    return RevokedKeysView(done.revoked, [KeptKeyView(one.id, one.status) for one in done.kept])


class BatchesQuery(ReadQuery, PageQuery):
    reseller = Text("In whatever spelling.", validate=long_at_most(NAME_LENGTH_MAX))


@blueprint.get("/batches")
@operation(
    access=_READERS,
    query=BatchesQuery,
    responses={
        200: Returns(BatchList, "Batches, the newest first.", ("Keyfold-Position",), csv=True)
    },
)
def list_keys_by_batch(
    limit: int, cursor: str | None = None, reseller: str | None = None
) -> Response:
    """List batches, and what has become of their keys.

    A reseller sees those that it ordered, and those with keys of its own; of each, its own keys
    count. Of a key that was reissued and the one given for it, the latter counts. As CSV all of
    them come at once, unless `limit` is sent.
    """
    bound = caller().reseller
    of = ("batches", bound, reseller)
    after = cursors.read(services().request_key, of, cursor)
    if bound is not None and reseller is not None and not same(reseller, bound):
        return reply(BatchList([], None), position=services().book.head())
    found = batch_page(reseller or bound, after, PAGE_MAX if _all_wanted() else limit)
    if csv_is_wanted():
        pages = batch_pages(found, reseller or bound) if _all_wanted() else [found.batches]
        rows = ([astuple(one) for one in page] for page in pages)
        return csv_reply(BatchView.__struct_fields__, rows, "batches", position=found.position)
    following = None
    if found.next is not None:
        following = cursors.write(services().request_key, of, found.next)
    return reply(BatchList(found.batches, following), position=found.position)


def batch_page(reseller: str | None, after: Any, limit: int) -> BatchPage:
    """Return a page of batches as the caller may see them."""
    may_read = caller().role in (ADMIN, SUPPORT, RESELLER)
    return list_batches(
        services().book,
        app_state().wiring.tables,
        request_context().now,
        services().texts if may_read else None,
        reseller=reseller,
        after=after,
        limit=limit,
    )


def batch_pages(first: BatchPage, reseller: str | None) -> Iterator[list[BatchView]]:
    """Yield a page of batches, and all that follow."""
    while True:
        yield first.batches
        if first.next is None:
            return
        first = batch_page(reseller, first.next, PAGE_MAX)


def _all_wanted() -> bool:
    return csv_is_wanted() and "limit" not in request.args


@blueprint.post("/batches/<batch>/reveal")
@operation(
    access=_OWNERS,
    body=Reasoned,
    responses={200: Returns(RevealedKeys, "The keys.", ("Keyfold-Position",))},
    refusals=(BatchNotFound, CodesNotDerivable),
)
def reveal_codes(batch: str, reason: str) -> Response:
    """Show a batch's codes again.

    That they were shown is recorded. The codes of keys that were revoked or redeemed since come
    masked; after a key that was reissued come those that were given in its place. Imported codes
    cannot be shown; what was given in place of one can, by its key. Of a batch that was ordered for
    another reseller, one is shown those keys that are its own by now.
    """
    wiring = app_state().wiring
    revealed = reveal_batch(wiring, request_context(), batch, reason, caller().reseller)
    return reply(RevealedKeys(with_codes(revealed.keys)), position=revealed.position)


@blueprint.post("/batches/<batch>/revoke")
@operation(
    access=_OWNERS,
    headers=Repeatable,
    body=Reasoned,
    responses={200: Returns(RevokedKeysView, "What became of its keys.", REVOKED)},
    refusals=(IdempotencyKeyReused, BatchNotFound),
    problems=(PARTLY_DONE,),
)
def revoke_batch(batch: str, idempotency_key: str | None, reason: str) -> Response:
    """Revoke those keys of a batch that nobody has redeemed, also those that have lapsed.

    Up to a thousand in one commit, fewer where they are being redeemed meanwhile. When that is
    interrupted the answer says so; to ask again does the rest. A key that was reissued counts
    as the one given for it.

    A request that is repeated with its Idempotency-Key is about the keys that the first found: it
    does what that has left, answers as it did, and touches nothing that came in since.
    """
    wiring = app_state().wiring
    done = revoke_all(wiring, request_context(), batch, reason, caller().reseller, idempotency_key)
    return reply(revoked_view(done), position=done.position, replayed=done.replayed)


@blueprint.post("/batches/<batch>/reissue")
@operation(
    access=only(ADMIN, RESELLER, SUPPORT),
    headers=Repeatable,
    body=Reasoned,
    responses={
        201: Returns(
            RevealedKeys,
            "The new keys, with their codes.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        )
    },
    refusals=(IdempotencyKeyReused, BatchNotFound),
    problems=(PARTLY_DONE,),
)
def reissue_batch(batch: str, idempotency_key: str | None, reason: str) -> Response:
    """Give new codes for those keys of a batch that can be redeemed.

    Up to a thousand in one commit, with which the old codes stop working. When that is
    interrupted the answer says so: the new codes can be revealed then; to ask again replaces
    them once more, and the rest. A request that is repeated with its Idempotency-Key replaces none
    twice, and answers with the same keys.
    """
    wiring = app_state().wiring
    done = reissue_all(wiring, request_context(), batch, reason, caller().reseller, idempotency_key)
    return reply(
        RevealedKeys(with_codes(done.keys)), 201, position=done.position, replayed=done.replayed
    )
