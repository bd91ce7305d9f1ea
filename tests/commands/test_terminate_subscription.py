"""A key-sourced subscription ends before its time."""

from __future__ import annotations

import pytest

from commands.change_subscription import terminate_subscription
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Redeemed, Try, redeem_key
from commands.services import Services
from ledger.refusals import (
    NoSeatAvailable,
    SubscriptionEnded,
    SubscriptionNotFound,
    VersionMismatch,
)
from ledger.streams.account.facts import SubscriptionTerminated
from tests.worlds import DAY, NOON, another_worker, context, happened, issue, recorded, services

LATER = NOON + DAY
EXPIRY = NOON.replace(year=2027)


@pytest.fixture
def world() -> Services:
    return services()


@pytest.fixture
def redeemed(world: Services) -> Redeemed:
    return redeem_key(world, context(), Try("acme", "s-1", issue(world).code))


def test_a_termination_is_recorded_with_its_reason_and_only_once(
    world: Services, redeemed: Redeemed
) -> None:
    asked = context(LATER, actor="kft_one", request_id="req_seven")
    id = redeemed.subscription
    terminated = terminate_subscription(world, asked, "acme", id, "never paid")
    (event,) = recorded(world, after=4)
    assert isinstance(event.fact, SubscriptionTerminated)
    reason = event.fact.reason
    assert reason is not None
    assert (reason.owner, world.texts.open(reason)) == ("account-acme", "never paid")
    assert event == happened(
        5,
        "account-acme",
        2,
        SubscriptionTerminated(subscription=id, reason=reason),
        at=LATER,
        actor="kft_one",
        request_id="req_seven",
    )
    assert terminated.position == 5
    assert terminated.loaded.state.subscriptions[id].terminated_at == LATER
    for at in (LATER, EXPIRY + DAY):
        again = terminate_subscription(another_worker(world), context(at), "acme", id, "again")
        assert again._replace(at=LATER) == terminated
    assert world.book.head() == 5


def test_nobody_is_thrown_out_but_the_seats_are_gone_at_once(
    world: Services, redeemed: Redeemed
) -> None:
    occupy_seat(world, context(), Sitting("acme", "cloud_pos", None, "till-1"))
    terminated = terminate_subscription(
        world, context(LATER), "acme", redeemed.subscription, "never paid"
    )
    assert terminated.loaded.state.used == {("cloud_pos", None): 1}
    assert terminated.loaded.state.pool("cloud_pos", None, LATER).over == 1
    with pytest.raises(NoSeatAvailable):
        occupy_seat(world, context(LATER), Sitting("acme", "cloud_pos", None, "till-2"))


def test_what_is_not_there_or_over_cannot_be_terminated(
    world: Services, redeemed: Redeemed
) -> None:
    id = redeemed.subscription
    for account, subscription in (("acme", "kfsub_x"), ("acme", ""), ("beta", id)):
        with pytest.raises(SubscriptionNotFound):
            terminate_subscription(world, context(LATER), account, subscription, "never paid")
    with pytest.raises(SubscriptionEnded):
        terminate_subscription(world, context(EXPIRY), "acme", id, "never paid")
    assert world.book.head() == 4


def test_what_a_clock_ahead_has_written_to_the_account_ends_no_subscription(
    world: Services, redeemed: Redeemed
) -> None:
    redeem_key(world, context(EXPIRY), Try("acme", "s-1", issue(world).code))
    ended = terminate_subscription(
        world, context(NOON), "acme", redeemed.subscription, "never paid"
    )
    subscription = ended.loaded.state.subscriptions[redeemed.subscription]
    assert subscription.terminated_at == NOON
    assert subscription.status(NOON) == "terminated"


def test_the_version_that_was_seen_must_still_hold(world: Services, redeemed: Redeemed) -> None:
    id = redeemed.subscription
    with pytest.raises(VersionMismatch):
        terminate_subscription(world, context(), "acme", id, "x", expected_version=0)
    assert world.book.head() == 4
    terminate_subscription(world, context(), "acme", id, "x", expected_version=1)
