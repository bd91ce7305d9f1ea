"""A Stripe subscription that goes to another account: all that is known of it goes along."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from commands.assign_subscription import assign_subscription
from commands.gateways.stripe import SeatChange, StripeGateway
from commands.gateways.stripe_responses import Retrieved, StripeUnavailable
from commands.link_customer import link_customer, unlink_customer
from commands.map_prices import map_prices
from commands.occupy_seat import Sitting, occupy_seat
from commands.record_stripe_event import record_event
from commands.services import Services
from commands.sync_billed_seats import sync_seats
from ledger.book import Book
from ledger.catalog import builtin, parse
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.objects import read_event
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, StripeSeatsAnswered
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions
from tests.proof.auditors import Auditor
from tests.proof.test_verifier_stripe import export
from tests.stripe.billed_team import ACME, TEAM, billed_team
from tests.stripe.payloads import Json, changed, event, invoice
from tests.stripe.shop import shop
from tests.stripe.test_price_meaning import PRICE, TWICE, of
from tests.worlds import DAY, NOON, context, services
from web.app.json_encoding import to_plain

NOW = NOON + 9 * DAY
# By its id a price is mapped without asking Stripe which key it has now.
TWICE_BY_ID = TWICE.replace('lookup_key = "cloud_pos_month"', f'price = "{PRICE}"')
Way = Callable[[Services], str]


def tell(world: Services, sub: Json, day: float) -> None:
    record_event(world, context(NOW), read_event(changed(sub, at=NOON + day * DAY)), "webhook")


def unnamed(sub: Json) -> Json:
    return sub | {"metadata": {}}


def seats(world: Services, account: str, at: datetime | None = None) -> int:
    asked = account_at(world.book, account, Moment(NOW, at))
    return asked.account.pool("cloud_pos", None, at or NOW).seats


def of_both(world: Services, at: datetime | None = None) -> tuple[int, int]:
    return seats(world, "acme", at), seats(world, "beta", at)


def move(world: Services, account: str = "beta", moved_from: str = "acme") -> None:
    assign_subscription(world, context(NOW), account, "sub_1", "sold", moved_from=moved_from)


# The ways in which a subscription gets from an account to an account: each returns the new one.


def by_a_call(world: Services) -> str:
    move(world)
    return "beta"


def there_and_back(world: Services) -> str:
    move(world)
    move(world, "acme", "beta")
    return "acme"


def by_a_link_elsewhere(world: Services) -> str:
    unlink_customer(world, context(NOW), "acme", "cus_1", "wrong")
    link_customer(world, context(NOW), "beta", "cus_1")
    return "beta"


def by_unlinking_and_linking_again(world: Services) -> str:
    unlink_customer(world, context(NOW), "acme", "cus_1", "wrong")
    link_customer(world, context(NOW), "acme", "cus_1")
    return "acme"


def by_a_call_after_unlinking(world: Services) -> str:
    unlink_customer(world, context(NOW), "acme", "cus_1", "wrong")
    assign_subscription(world, context(NOW), "beta", "sub_1", "sold")
    return "beta"


def by_a_stronger_word(world: Services) -> str:
    named = of("cloud_pos_month", 1) | {"metadata": {"keyfold_account": "beta"}}
    payload = event("customer.subscription.created", named, at=NOON + DAY)
    record_event(world, context(NOW), read_event(payload), "webhook")
    return "beta"


WAYS = [
    by_a_call,
    there_and_back,
    by_a_link_elsewhere,
    by_unlinking_and_linking_again,
    by_a_call_after_unlinking,
    by_a_stronger_word,
]
EACH_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def linked() -> Services:
    world = services(Book("memory:"))
    link_customer(world, context(NOON), "acme", "cus_1")
    return world


@EACH_WAY
def test_prices_mean_what_they_meant(way: Way) -> None:
    world = linked()
    tell(world, unnamed(of("cloud_pos_month")), 1)
    tell(world, unnamed(of(None, 3)), 2)
    assert seats(world, "acme") == 3
    account = way(world)
    assert (seats(world, account), sum(of_both(world))) == (3, 3)
    tell(world, unnamed(of(None, 4)), 3)
    assert (seats(world, account), sum(of_both(world))) == (4, 4)


@EACH_WAY
def test_prices_that_were_mapped_anew_stay_so(way: Way) -> None:
    world = linked()
    tell(world, unnamed(of("cloud_pos_month", 3)), 1)
    map_prices(world._replace(catalog=parse(TWICE_BY_ID)), context(NOW), "acme")
    assert seats(world, "acme") == 6
    account = way(world)
    assert (seats(world, account), sum(of_both(world))) == (6, 6)


@EACH_WAY
def test_prices_that_the_account_was_told_of_before_the_subscription_stay_so(way: Way) -> None:
    world = linked()
    changing = world._replace(catalog=parse(TWICE_BY_ID))
    tell(world, unnamed(of("cloud_pos_month", 3)) | {"id": "sub_2"}, 1)
    map_prices(changing, context(NOW), "acme")
    tell(world, unnamed(of(None, 2)), 2)
    assert seats(world, "acme") == 6 + 4
    account = way(world)
    one = world.book.load(ACCOUNT, account).state.stripe.subscriptions["sub_1"]
    assert [row.seats for row in one.rows({})] == [4]


@EACH_WAY
def test_at_every_moment_one_account_has_it(way: Way) -> None:
    world = linked()
    tell(world, unnamed(of("cloud_pos_month")), 1)
    paid = event("invoice.paid", invoice(), at=NOON + 1.5 * DAY)
    record_event(world, context(NOW), read_event(paid), "webhook")
    tell(world, unnamed(of(None, 3)), 3)
    before = {at: seats(world, "acme", at) for at in (NOON + half * DAY / 2 for half in range(20))}
    assert {*before.values()} == {0, 2, 3}
    way(world)
    assert {at: sum(of_both(world, at)) for at in before} == before
    for at in before:
        sides = [
            account_at(world.book, a, Moment(NOW, at)).account.stripe for a in ("acme", "beta")
        ]
        assert sum(len(side.invoices) for side in sides) == (at >= NOON + 1.5 * DAY)


@EACH_WAY
def test_the_auditors_program_has_the_same(way: Way, tmp_path: Path) -> None:
    auditor = Auditor(tmp_path)
    world = linked()
    tell(world, unnamed(of("cloud_pos_month")), 1)
    tell(world, unnamed(of(None, 3)), 2)
    map_prices(world._replace(catalog=parse(TWICE_BY_ID)), context(NOW), "acme")
    way(world)
    auditor.keeps("ledger.jsonl", export(world.book))
    for account in ("acme", "beta"):
        asked = account_at(world.book, account, Moment(NOW, NOW, NOW))
        answer = to_plain(subscriptions(asked, builtin(), ended=False))
        auditor.keeps("answer.json", json.dumps(answer))
        said = auditor.verifies("ledger.jsonl", "--account", account, "--answer", "answer.json")
        assert said.good == ["answer.json is what follows from these events"]


@pytest.mark.parametrize("invoices", [True, False])
def test_what_was_billed_in_the_period_is_not_billed_again(invoices: bool) -> None:
    with billed_team(seats=5) as team:

        def hear() -> None:
            events, team.heard = team.stripe.events[team.heard :], len(team.stripe.events)
            for one in events:
                if invoices or not one["type"].startswith("invoice"):
                    record_event(team.world, team.context(), read_event(one), "webhook")

        team.hear = hear  # type: ignore[method-assign]
        team.wait(days=32)  # it has begun another period
        team.take(8)
        team.wait(minutes=10)
        team.sync()
        team.give_back(3)
        team.wait(minutes=10)
        team.sync()
        paid = team.paid()
        assert team.quantity == 2
        assign_subscription(
            team.world, team.context(), "beta", team.subscription, "merged", moved_from=ACME
        )
        for n in range(8):
            occupy_seat(team.world, team.context(), Sitting("beta", TEAM, None, f"member-{n}"))
        team.wait(minutes=10)
        (synced,) = sync_seats(team.world, team.context, "beta", None)
        assert [one.step for one in synced.steps] == ["restore"]
        assert (team.quantity, team.paid()) == (5, paid)


@EACH_WAY
def test_what_is_told_late_is_no_past_of_two_accounts(way: Way) -> None:
    world = linked()
    tell(world, unnamed(of("cloud_pos_month")), 1)
    tell(world, unnamed(of(None, 3)), 5)
    before = {at: seats(world, "acme", at) for at in (NOON + half * DAY / 2 for half in range(20))}
    way(world)
    tell(world, unnamed(of("cloud_pos_month", 4)), 3)
    assert {at: sum(of_both(world, at)) for at in before} == before


def test_what_is_mapped_anew_later_counts_in_the_account_that_has_it() -> None:
    world = linked()
    tell(world, unnamed(of("cloud_pos_month", 3)), 1)
    map_prices(world._replace(catalog=parse(TWICE_BY_ID)), context(NOW), "acme")
    move(world)
    thrice = parse(TWICE_BY_ID.replace("seats = 2", "seats = 3"))
    map_prices(world._replace(catalog=thrice), context(NOW), "beta")
    assert of_both(world) == (0, 9)
    assert world.book.load(ACCOUNT, "acme").state.stripe.subscriptions == {}


# What was under way when it left


@pytest.mark.parametrize(("fault", "seats_there"), [("applied_then_cut", 8), ("cut", 5)])
def test_a_step_of_the_seat_sync_is_closed_and_reported_where_the_subscription_is(
    fault: str, seats_there: int
) -> None:
    with billed_team(seats=2) as team:
        team.take(5)
        team.wait(minutes=10)
        team.sync()
        team.take(3)
        team.wait(minutes=10)
        path = "/v1/subscriptions/"
        team.stripe.fail(fault, times=9, method="POST", path=path)
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.stripe.mend()
        synced = len(team.facts(SeatsSynced))
        assert team.account().seat_syncs.unanswered
        assign_subscription(
            team.world, team.context(), "beta", team.subscription, "sold", moved_from=ACME
        )
        assert sync_seats(team.world, team.context, ACME, None) == []
        failed = [one.code for one in team.facts(SeatSyncFailed)]
        done = len(team.facts(SeatsSynced)) - synced
        assert (failed, done) == (([], 1) if seats_there == 8 else (["subscription_moved"], 0))
        assert not team.account().seat_syncs.unanswered
        beta = team.world.book.load(ACCOUNT, "beta").state
        assert list(team.account().rows(team.now)) == []
        assert [row.seats for row in beta.rows(team.now)] == [seats_there]


def test_a_step_that_is_answered_after_the_move_is_reported_where_the_subscription_is() -> None:
    with billed_team(seats=2) as team:
        team.take(8)
        team.wait(minutes=10)
        gateway = cast(StripeGateway, team.world.stripe)

        class MovedMeanwhile:
            def __getattr__(self, name: str) -> Any:
                return getattr(gateway, name)

            def set_billed_seats(self, change: SeatChange, key: str) -> Retrieved:
                found = gateway.set_billed_seats(change, key)
                id = team.subscription
                assign_subscription(team.world, team.context(), "beta", id, "sold", moved_from=ACME)
                return found

        world = team.world._replace(stripe=cast(StripeGateway, MovedMeanwhile()))
        assert sync_seats(world, team.context, ACME, None) == []
        beta = team.world.book.load(ACCOUNT, "beta").state
        assert not team.account().seat_syncs.unanswered
        assert list(team.account().rows(team.now)) == []
        assert [row.seats for row in beta.rows(team.now)] == [8]


@pytest.mark.parametrize("fault", ["refused", "not_allowed", "500"])
def test_a_purchase_of_which_stripe_does_not_tell_stays_under_way(fault: str) -> None:
    with shop() as it:
        bought = it.subscribe(seats=2)
        it.stripe.fail("applied_then_cut", path="/v1/subscription_items", method="POST")
        assert it.buy(seats=1, key="k-1").status == 503
        it.stripe.mend()
        now = context(it.api.clock.now)
        assign_subscription(it.api.services, now, "beta", bought["id"], "sold", moved_from="acme")
        it.stripe.fail(fault, path=f"/v1/subscriptions/{bought['id']}", method="GET")
        assert it.buy(seats=1, key="k-1").status >= 500
        assert it.facts(StripeSeatsAnswered) == []
        it.stripe.mend()
        assert it.buy(seats=1, key="k-1").status == 201
        (answered,) = it.facts(StripeSeatsAnswered)
        assert answered.outcome == "done"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "outcome", "seats_there"), [("cut", "given_up", 2), ("applied_then_cut", "done", 3)]
)
def test_a_purchase_under_way_is_closed(fault: str, outcome: str, seats_there: int) -> None:
    with shop() as it:
        bought = it.subscribe(seats=2)
        it.stripe.fail(fault, path="/v1/subscription_items", method="POST")
        assert it.buy(seats=1, key="k-1").status == 503
        it.stripe.mend()
        now = context(it.api.clock.now)
        assign_subscription(it.api.services, now, "beta", bought["id"], "sold", moved_from="acme")
        assert it.buy(seats=1, key="k-1").status == 201
        answered = [one.outcome for one in it.facts(StripeSeatsAnswered)]  # type: ignore[attr-defined]
        assert answered == [outcome]
        assert it.buy(seats=1, key="k-2").status == 201
        assert it.seats() == 0
        there = it.account("beta").pool("cloud_pos", None, it.api.clock.now)
        assert there.seats == seats_there
