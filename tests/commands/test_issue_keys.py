"""Keys are issued: all of an order or nothing of it, and a repeated order once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest
from msgspec.structs import replace

from commands.issue_keys import Issued, issue_keys
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.reveal_codes import reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.refusals import FieldError, IdempotencyKeyReused, InvalidRequest, Refusal
from ledger.streams.batch import CodesRevealed, KeysIssued
from ledger.streams.key import KeyIssued
from tests.worlds import (
    DAY,
    INT_ORDER,
    MINUTE,
    NOON,
    POS_ORDER,
    another_worker,
    context,
    happened,
    recorded,
    services,
    watched,
)

ORDER = replace(
    INT_ORDER,
    count=2,
    redeem_by=(NOON + DAY).astimezone(timezone(timedelta(hours=2))),
    note="for the spring fair",
)


@pytest.fixture
def world() -> Services:
    return services()


def test_an_order_and_its_keys_are_recorded_in_one_commit(world: Services) -> None:
    issued = issue_keys(world, context(actor="kft_one", request_id="req_seven"), ORDER)
    events = recorded(world)
    batch = cast(KeysIssued, events[0].fact)
    assert world.texts.open(batch.note) == "for the spring fair"
    assert batch.note is not None
    assert batch.note.owner == "reseller-Northwind"
    id = issued.batch.removeprefix("bat_")
    expected = KeysIssued(
        batch=issued.batch,
        prefix="INT",
        product="integrations",
        tier="growth",
        seats=2,
        months=12,
        count=2,
        reseller="Northwind",
        redeem_by=NOON + DAY,
        note=batch.note,
        fingerprint=batch.fingerprint,
    )
    assert events == [
        happened(1, f"batch-{id}", 1, expected, actor="kft_one", request_id="req_seven"),
        *(
            happened(
                index + 2,
                key.id.replace("key_", "key-"),
                1,
                KeyIssued(
                    key=key.id,
                    masked=key.masked,
                    batch=issued.batch,
                    index=index,
                    generation=0,
                    derived=True,
                    product="integrations",
                    tier="growth",
                    seats=2,
                    months=12,
                    reseller="Northwind",
                    redeem_by=NOON + DAY,
                    replaces=None,
                ),
                actor="kft_one",
                request_id="req_seven",
                causation=f"batch-{id}/1",
            )
            for index, key in enumerate(issued.keys)
        ),
    ]
    # Times of another zone are stored as UTC, too.
    assert b'"redeem_by":"2026-03-02T12:00:00Z"' in world.book.store.read_from(1, 1)[0].state
    assert (issued.position, issued.replayed) == (3, False)


def test_codes_can_be_derived_from_what_is_recorded(world: Services) -> None:
    issued = issue_keys(world, context(), ORDER)
    for index, key in enumerate(issued.keys):
        assert key.code == world.codes.derive("INT", issued.batch, index)
        assert key.id == world.codes.key_id(key.code)
        assert key.masked == f"INT-••••-••••-{key.code[-4:]}"


def test_two_orders_alike_are_two_orders(world: Services) -> None:
    first, second = (issue_keys(world, context(), ORDER) for _ in range(2))
    assert first.batch != second.batch
    assert not {key.code for key in first.keys} & {key.code for key in second.keys}
    assert len(recorded(world)) == 6


def order(world: Services, idempotency_key: str = "order-1", **options: Any) -> Issued:
    wanted = replace(ORDER, **options)
    return issue_keys(world, context(), wanted, idempotency_key=idempotency_key, scope="kft_one")


def test_a_repeated_order_is_answered_with_the_same_keys_which_is_on_record(
    world: Services,
) -> None:
    first = order(world)
    before = world.book.head()
    for days, repeating in ((30, world), (31, another_worker(world))):
        again = issue_keys(
            repeating,
            context(NOON + days * DAY, actor="kft_one", request_id="req_later"),
            ORDER,  # whose redeem_by is over by now
            idempotency_key="order-1",
            scope="kft_one",
        )
        before += 1
        assert again == first._replace(replayed=True, position=before)
        (event,) = recorded(world, after=before - 1)
        stream = first.batch.replace("bat_", "batch-")
        assert (event.stream, event.fact) == (stream, CodesRevealed())
        assert (event.actor, event.request_id) == ("kft_one", "req_later")


def test_a_repeated_order_is_recorded_once_an_hour_for_each_caller(world: Services) -> None:
    def repeat(at: datetime, actor: str) -> int:
        again = issue_keys(
            another_worker(world),
            context(at, actor=actor),
            ORDER,
            idempotency_key="order-1",
            scope="kft_one",
        )
        assert (again.keys, again.replayed) == (first.keys, True)
        assert again.position == world.book.head()
        return again.position - first.position

    first = order(world)
    assert [repeat(NOON + n * MINUTE, "kft_one") for n in (1, 1, 2, 60)] == [1, 1, 1, 1]
    # Who else sees them is told apart, also when both ask in turn.
    assert [repeat(NOON + 60 * MINUTE, actor) for actor in ("kft_two", "kft_one", "kft_two")] == [
        2,
        2,
        2,
    ]
    # A reveal with its reason is another thing; and what a wrong clock recorded hides nothing.
    reveal_codes(world, context(NOON + 60 * MINUTE, actor="kft_three"), first.batch, "audit")
    assert repeat(NOON + 60 * MINUTE, "kft_three") == 4
    assert repeat(NOON + 800 * DAY, "kft_three") == 5
    assert [repeat(NOON + n * MINUTE, "kft_four") for n in (60, 61)] == [6, 6]
    assert repeat(NOON + 61 * MINUTE, "kft_one") == 7
    assert repeat(NOON + 120 * MINUTE, "kft_one") == 7
    assert repeat(NOON + 121 * MINUTE, "kft_one") == 8


def test_a_repeated_order_masks_the_codes_that_are_open_no_more(world: Services) -> None:
    first = order(world, count=4)
    redeemed, revoked, replaced, open_ = first.keys
    redeem_key(world, context(), Try("acme", "s-1", redeemed.code))
    revoke_key(world, context(), revoked.id, "lost")
    reissue_key(world, context(), replaced.id, "lost")
    again = order(another_worker(world), count=4)
    assert again.batch == first.batch
    assert again.keys == [
        *(one._replace(code=one.masked) for one in (redeemed, revoked, replaced)),
        open_,
    ]


OTHER_CATALOGS = {
    "the prefix changed": lambda integrations: replace(integrations, prefix="ITG"),
    "the tier is gone": lambda integrations: replace(integrations, tiers=integrations.tiers[1:]),
    "the product is gone": lambda _: None,
}


@pytest.mark.parametrize("change", OTHER_CATALOGS.values(), ids=OTHER_CATALOGS.keys())
def test_a_repeated_order_is_answered_as_it_was_whatever_became_of_the_catalog(
    world: Services, change: Callable[[Any], Any]
) -> None:
    asked = replace(ORDER, tier=world.catalog.products[1].tiers[0].id)
    first = issue_keys(world, context(), asked, idempotency_key="order-1")
    pos, integrations = world.catalog.products
    changed = change(integrations)
    catalog = replace(world.catalog, products=(pos, *([changed] if changed else [])))
    later = services(another_worker(world).book, catalog=catalog)
    again = issue_keys(later, context(), asked, idempotency_key="order-1")
    assert (again.batch, again.keys, again.replayed) == (first.batch, first.keys, True)
    with pytest.raises(IdempotencyKeyReused if changed and changed.prefix == "ITG" else Refusal):
        issue_keys(later, context(), replace(asked, seats=9), idempotency_key="order-1")


@pytest.mark.parametrize(
    "other",
    [
        {"seats": 3},
        {"months": 11},
        {"count": 3},
        {"tier": "scale"},
        {"product": "cloud_pos", "tier": None},
        {"reseller": "Southwind"},
        {"redeem_by": None},
        {"redeem_by": NOON + 2 * DAY},
        {"note": "for the autumn fair"},
        {"note": None},
    ],
)
def test_another_order_with_the_same_key_is_refused(world: Services, other: dict[str, Any]) -> None:
    order(world)
    before = recorded(world)
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused):
            order(world, **other)
    assert recorded(world) == before


def test_an_idempotency_key_is_its_callers_own(world: Services) -> None:
    mine = order(world)
    theirs = issue_keys(world, context(), ORDER, idempotency_key="order-1", scope="kft_two")
    unscoped = issue_keys(world, context(), ORDER, idempotency_key="order-1")
    other = order(world, "order-2")
    assert len({mine.batch, theirs.batch, unscoped.batch, other.batch}) == 4


def test_an_order_that_another_worker_carried_out_first_is_answered_as_theirs() -> None:
    book, store = watched()
    world = services(book)
    theirs: list[Issued] = []
    store.overtake = lambda: theirs.append(order(another_worker(world)))
    ours = order(world)
    assert ours.replayed
    assert theirs == [ours._replace(replayed=False, position=3)]
    assert len(recorded(world)) == 4


def test_an_idempotency_key_cannot_be_read_from_the_ledger(world: Services) -> None:
    order(world, "the-order-of-acme")
    assert not any(b"the-order-of" in row.state for row in world.book.store.read_from(0, 9))


def test_a_date_that_is_over_is_refused(world: Services) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest) as caught:
            issue_keys(world, context(NOON + DAY), ORDER)
        assert caught.value.errors == (FieldError("/redeem_by", "must be in the future"),)
    assert recorded(world) == []
    issue_keys(world, context(NOON + DAY - MINUTE), ORDER)


def test_ten_thousand_keys_are_one_commit_and_progress_is_told(world: Services) -> None:
    derived: list[None] = []
    issued = issue_keys(
        world,
        context(),
        replace(POS_ORDER, count=10_000),
        on_key=lambda: derived.append(None),
    )
    assert len(derived) == 10_000
    assert len({key.code for key in issued.keys}) == len({key.id for key in issued.keys}) == 10_000
    assert issued.position == world.book.head() == 10_001
