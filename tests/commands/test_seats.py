"""Seats are taken and given back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from commands.change_subscription import terminate_subscription
from commands.occupy_seat import Occupied, Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.release_seat import release_seat
from commands.services import Services
from ledger.events import Sealed
from ledger.refusals import (
    HolderInOtherTier,
    NoSeatAvailable,
    SeatNotOccupied,
    VersionMismatch,
)
from ledger.streams.account.facts import SeatOccupied, SeatRelabelled, SeatReleased
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import SeatRefused
from tests.worlds import (
    DAY,
    INT_ORDER,
    MINUTE,
    NOON,
    SECOND,
    another_worker,
    context,
    happened,
    issue,
    recorded,
    services,
    watched,
)

LATER = NOON + MINUTE


def with_seats(world: Services) -> Services:
    """Three seats of Cloud POS and two of Integrations Growth, on `acme`: positions 1 to 8."""
    for key in (issue(world), issue(world, INT_ORDER)):
        redeem_key(world, context(), Try("acme", "s-1", key.code))
    return world


@pytest.fixture
def world() -> Services:
    return with_seats(services())


def occupy(
    world: Services,
    holder: str,
    label: str | None = None,
    *,
    at: datetime = LATER,
    product: str = "cloud_pos",
    tier: str | None = None,
    **options: Any,
) -> Occupied:
    return occupy_seat(world, context(at), Sitting("acme", product, tier, holder, label), **options)


def test_a_holder_is_let_in_once(world: Services) -> None:
    asked = context(LATER, actor="kft_one", request_id="req_seven")
    wanted = Sitting("acme", "cloud_pos", None, "till-1", "front till")
    occupied = occupy_seat(world, asked, wanted)
    (event,) = recorded(world, after=8)
    assert isinstance(event.fact, SeatOccupied)
    label = event.fact.label
    assert isinstance(label, Sealed)
    assert (label.owner, world.texts.open(label)) == ("account-acme", "front till")
    assert event == happened(
        9,
        "account-acme",
        3,
        SeatOccupied(product="cloud_pos", tier=None, holder="till-1", label=label),
        at=LATER,
        actor="kft_one",
        request_id="req_seven",
    )
    assert (occupied.created, occupied.position) == (True, 9)
    assert occupied.account.state.seat("cloud_pos", "till-1") is not None
    for repeating in (world, another_worker(world)):
        for same in (wanted, wanted._replace(label=None)):
            again = occupy_seat(repeating, context(LATER + DAY), same)
            assert (again.created, again.position) == (False, 9)
            assert again.account.state == occupied.account.state
    assert world.book.head() == 9


def test_another_label_is_recorded(world: Services) -> None:
    occupy(world, "till-1", "front till")
    again = occupy(world, "till-1", "back till")
    assert not again.created
    (event,) = recorded(world, after=9)
    assert isinstance(event.fact, SeatRelabelled)
    assert world.texts.open(event.fact.label) == "back till"
    expected = SeatRelabelled(product="cloud_pos", holder="till-1", label=event.fact.label)
    assert event == happened(10, "account-acme", 4, expected, at=LATER)
    assert not occupy(world, "till-1", "back till").created
    assert world.book.head() == 10


def test_after_an_erasure_a_label_can_be_given_again(world: Services) -> None:
    occupy(world, "till-1", "front till")
    world.texts.destroy("account-acme")
    account = occupy(world, "till-1", "front till").account
    seat = account.state.seat("cloud_pos", "till-1")
    assert seat is not None
    assert world.texts.open(seat.label) == "front till"


def test_when_all_seats_are_taken_the_next_is_refused_on_record(world: Services) -> None:
    for n in range(3):
        occupy(world, f"till-{n}")
    with pytest.raises(NoSeatAvailable) as caught:
        occupy(world, "till-9", "one more")
    assert (caught.value.seats, caught.value.used) == (3, 3)
    expected = SeatRefused(
        refusal="no_seat_available",
        product="cloud_pos",
        tier=None,
        holder="till-9",
        seats=3,
        used=3,
        sits_in=None,
        account_version=5,
    )
    assert recorded(world, after=11) == [happened(12, "attempts-acme", 1, expected, at=LATER)]
    assert world.book.load(ACCOUNT, "acme").version == 5


def refusals(world: Services) -> list[SeatRefused]:
    facts = (event.fact for event in recorded(world))
    return [fact for fact in facts if isinstance(fact, SeatRefused)]


def refuse(world: Services, holder: str, at: datetime) -> None:
    with pytest.raises(NoSeatAvailable):
        occupy_seat(world, context(at), Sitting("acme", "cloud_pos", None, holder))


def test_a_seat_that_is_refused_again_and_again_is_recorded_once_an_hour(world: Services) -> None:
    for n in range(3):
        occupy(world, f"till-{n}")
    for second in range(0, 3600, 10):
        refuse(another_worker(world), "till-9", LATER + second * SECOND)
    assert len(refusals(world)) == 1
    refuse(world, "till-9", LATER + 3600 * SECOND)
    refuse(world, "till-9", LATER + 3601 * SECOND)
    assert len(refusals(world)) == 2
    refuse(world, "till-8", LATER + 3602 * SECOND)
    assert [one.holder for one in refusals(world)] == ["till-9", "till-9", "till-8"]


def test_a_seat_that_is_refused_for_another_reason_is_recorded_again(world: Services) -> None:
    for n in range(3):
        occupy(world, f"till-{n}")
    refuse(world, "till-9", LATER)
    release_seat(world, context(LATER), "acme", "cloud_pos", "till-0")
    (subscription, *_) = world.book.load(ACCOUNT, "acme").state.subscriptions
    terminate_subscription(world, context(LATER), "acme", subscription, "a mistake")
    refuse(world, "till-9", LATER)
    refuse(world, "till-9", LATER)
    assert [(one.seats, one.used) for one in refusals(world)] == [(3, 3), (0, 2)]


def test_no_more_than_a_hundred_refused_seats_of_an_account_are_recorded_in_an_hour(
    world: Services,
) -> None:
    for n in range(3):
        occupy(world, f"till-{n}")
    for n in range(130):
        refuse(world, f"guess-{n}", LATER)
    assert len(refusals(world)) == 100
    for n in range(130):
        refuse(world, f"guess-{n}", LATER + 3600 * SECOND)
    assert len(refusals(world)) == 200


def test_a_holder_of_another_tier_is_refused_on_record(world: Services) -> None:
    occupy(world, "shop", product="integrations", tier="growth")
    with pytest.raises(HolderInOtherTier) as caught:
        occupy(world, "shop", product="integrations", tier="scale")
    assert caught.value.tier == "growth"
    expected = SeatRefused(
        refusal="holder_in_other_tier",
        product="integrations",
        tier="scale",
        holder="shop",
        seats=0,
        used=0,
        sits_in="growth",
        account_version=3,
    )
    assert recorded(world, after=9) == [happened(10, "attempts-acme", 1, expected, at=LATER)]


def test_how_a_tiers_seats_stood_is_on_record(world: Services) -> None:
    for n in range(2):
        occupy(world, f"shop-{n}", product="integrations", tier="growth")
    with pytest.raises(NoSeatAvailable):
        occupy(world, "shop-9", product="integrations", tier="growth")
    refused = recorded(world)[-1].fact
    assert isinstance(refused, SeatRefused)
    assert (refused.tier, refused.seats, refused.used) == ("growth", 2, 2)


def test_what_a_clock_ahead_has_written_to_the_account_takes_no_seat_out_of_service(
    world: Services,
) -> None:
    late = issue(world)
    redeem_key(world, context(NOON.replace(year=2029)), Try("acme", "s-1", late.code))
    for n in range(6):
        occupy(world, f"till-{n}", at=NOON)
    with pytest.raises(NoSeatAvailable) as caught:
        occupy(world, "till-9", at=NOON)
    assert (caught.value.seats, caught.value.used) == (6, 6)


def test_a_subscription_that_ran_out_gives_no_seat_but_throws_nobody_out(world: Services) -> None:
    occupy(world, "till-1")
    over = NOON.replace(year=2027)
    assert not occupy(world, "till-1", at=over).created
    with pytest.raises(NoSeatAvailable) as caught:
        occupy(world, "till-2", at=over)
    assert (caught.value.seats, caught.value.used) == (0, 1)


def test_a_seat_is_given_back_once(world: Services) -> None:
    occupy(world, "till-1")
    asked = context(LATER + DAY, actor="kft_one", request_id="req_seven")
    released = release_seat(world, asked, "acme", "cloud_pos", "till-1")
    expected = SeatReleased(product="cloud_pos", tier=None, holder="till-1")
    assert recorded(world, after=9) == [
        happened(
            10,
            "account-acme",
            4,
            expected,
            at=LATER + DAY,
            actor="kft_one",
            request_id="req_seven",
        )
    ]
    assert released.position == 10
    assert not released.account.state.seats
    for repeating in (world, another_worker(world)):
        with pytest.raises(SeatNotOccupied):
            release_seat(repeating, context(LATER), "acme", "cloud_pos", "till-1")
    assert world.book.head() == 10


def test_a_seat_that_was_given_back_is_free_for_another(world: Services) -> None:
    for n in range(3):
        occupy(world, f"till-{n}")
    release_seat(world, context(LATER), "acme", "cloud_pos", "till-1")
    assert occupy(world, "till-9").created


def test_a_seat_of_a_product_that_left_the_catalog_can_be_given_back(world: Services) -> None:
    occupy(world, "shop", product="integrations", tier="growth")
    catalog = type(world.catalog)(products=world.catalog.products[:1])
    release_seat(world._replace(catalog=catalog), context(LATER), "acme", "integrations", "shop")
    assert not world.book.load(ACCOUNT, "acme").state.seats


# A version that the caller has seen


def test_a_write_on_the_version_that_was_seen_goes_through(world: Services) -> None:
    first = occupy(world, "till-1", expected_version=2)
    release_seat(
        world, context(LATER), "acme", "cloud_pos", "till-1", expected_version=first.account.version
    )
    assert world.book.load(ACCOUNT, "acme").version == 4


def test_a_write_on_another_version_is_refused(world: Services) -> None:
    occupy(world, "till-1", expected_version=2)
    for _ in range(2):
        with pytest.raises(VersionMismatch) as caught:
            occupy(world, "till-2", expected_version=2)
        assert caught.value.version == 3
        with pytest.raises(VersionMismatch):
            release_seat(world, context(LATER), "acme", "cloud_pos", "till-1", expected_version=99)
    assert world.book.head() == 9


# Others at work


def test_the_last_seat_goes_to_the_faster_of_two() -> None:
    book, store = watched()
    world = with_seats(services(book))
    for n in range(2):
        occupy(world, f"till-{n}")
    store.overtake = lambda: occupy(another_worker(world), "faster")
    with pytest.raises(NoSeatAvailable):
        occupy(world, "slower")
    holders = world.book.load(ACCOUNT, "acme").state.holders("cloud_pos", None)
    assert [seat.holder for seat in holders] == ["till-0", "till-1", "faster"]


def test_a_version_that_moved_while_we_decided_is_refused() -> None:
    book, store = watched()
    world = with_seats(services(book))
    store.overtake = lambda: occupy(another_worker(world), "faster")
    with pytest.raises(VersionMismatch):
        occupy(world, "slower", expected_version=2)


def test_one_holder_that_asks_twice_at_once_gets_one_seat() -> None:
    book, store = watched()
    world = with_seats(services(book))
    store.overtake = lambda: occupy(another_worker(world), "till-1")
    assert not occupy(world, "till-1").created
    assert world.book.load(ACCOUNT, "acme").version == 3
