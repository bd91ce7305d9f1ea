"""Buying seats when Stripe fails: a clear answer, nothing half done, done once at the next try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from commands.gateways import stripe as gateway
from ledger.stripe.requests import StripeCheckoutStarted, StripeSeatsAnswered
from tests.stripe.shop import CHECKOUTS, ITEMS, Shop, shop
from tests.worlds import MINUTE


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


FAULTS = [
    ("down", 503, "stripe_unavailable"),
    ("cut", 503, "stripe_unavailable"),
    ("applied_then_cut", 503, "stripe_unavailable"),
    ("slow", 503, "stripe_unavailable"),
    ("429", 503, "stripe_unavailable"),
    ("500", 503, "stripe_unavailable"),
    ("wrong_key", 503, "stripe_not_configured"),
]


@pytest.fixture(autouse=True)
def soon_tired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Stripe for a short time only."""
    monkeypatch.setattr(gateway, "READ_S", 0.5)
    monkeypatch.setattr(gateway, "TRIES_AGAIN", 1)


def fail(it: Shop, kind: str, path: str, **options: Any) -> None:
    options |= {"delay_s": 2.0} if kind == "slow" else {}
    it.stripe.fail(kind, **({} if kind == "down" else {"path": path, "method": "POST", **options}))


@pytest.mark.parametrize(("kind", "status", "code"), FAULTS, ids=str)
@pytest.mark.parametrize("key", ["k-1", None])
def test_a_change_that_stripe_fails_is_made_once_when_it_is_asked_again(
    it: Shop, kind: str, status: int, code: str, key: str | None
) -> None:
    bought = it.subscribe()
    fail(it, kind, ITEMS)
    got = it.buy(key=key)
    assert (got.status, got.code) == (status, code)
    it.stripe.mend()
    again = it.buy(key=key)
    assert (again.status, again.body["seats"]) == (201, 4)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 4}
    assert it.seats() == 4
    assert [reason for reason, _ in it.invoices(bought["id"])] == [
        "subscription_create",
        "subscription_update",
    ]


@pytest.mark.parametrize(("kind", "status", "code"), FAULTS, ids=str)
def test_a_checkout_that_stripe_fails_is_started_once_when_it_is_asked_again(
    it: Shop, kind: str, status: int, code: str
) -> None:
    fail(it, kind, CHECKOUTS)
    got = it.buy(key="k-1")
    assert (got.status, got.code) == (status, code)
    assert it.facts(StripeCheckoutStarted) == []
    it.stripe.mend()
    again = it.buy(key="k-1")
    assert again.status == 201
    assert len(it.facts(StripeCheckoutStarted)) == 1
    keys = {one.idempotency_key for one in it.asked("POST", CHECKOUTS)}
    assert len(keys) == 1
    assert len(it.stripe.world.all("checkout.session")) == 1


@pytest.mark.parametrize("kind", ["500", "500_kept", "cut", "applied_then_cut"])
@pytest.mark.parametrize("key", ["k-1", None])
def test_a_change_that_cannot_be_on_its_way_any_more_is_made_under_another_key(
    it: Shop, kind: str, key: str | None
) -> None:
    bought = it.subscribe()
    fail(it, kind, ITEMS)
    assert it.buy(key=key).status == 503
    it.stripe.mend()
    it.api.clock.now += 3 * MINUTE
    again = it.buy(key=key)
    assert (again.status, again.body["seats"]) == (201, 4)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 4}
    keys = {one.idempotency_key for one in it.asked("POST", ITEMS)}
    assert len(keys) == (1 if kind == "applied_then_cut" else 2)
    assert len(it.invoices(bought["id"])) == 2


def test_a_checkout_that_stripe_keeps_a_failure_of_is_started_under_another_key(it: Shop) -> None:
    fail(it, "500_kept", CHECKOUTS)
    assert it.buy(key="k-1").status == 503
    it.stripe.mend()
    it.api.clock.now += 3 * MINUTE
    assert it.buy(key="k-1").status == 201
    assert len(it.stripe.world.all("checkout.session")) == 1


@pytest.mark.parametrize("kind", ["null", "list", "word", "empty"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/subscriptions"), ("POST", ITEMS), ("GET", CHECKOUTS)],
    ids=str,
)
def test_an_answer_that_is_no_object_is_none_and_the_change_is_made_once(
    it: Shop, kind: str, method: str, path: str
) -> None:
    bought = it.subscribe()
    if path == CHECKOUTS:
        it.buy(product="integrations", tier="growth")
        it.stripe.fail(kind, method=method, path=path)
        got = it.buy(product="integrations", tier="growth", seats=3)
    else:
        it.stripe.fail(kind, method=method, path=path)
        got = it.buy(key="k-1")
    assert (got.status, got.code) == (503, "stripe_unavailable")
    it.stripe.mend()
    assert it.buy(key="k-1").body["seats"] == 4
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 4}


@pytest.mark.parametrize("kind", ["null", "list", "word", "empty"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/prices"), ("POST", CHECKOUTS)], ids=str)
def test_a_checkout_that_stripe_answers_with_no_object_is_not_begun(
    it: Shop, kind: str, method: str, path: str
) -> None:
    it.stripe.fail(kind, method=method, path=path)
    got = it.buy()
    assert (got.status, got.code) == (503, "stripe_unavailable")
    assert it.facts(StripeCheckoutStarted) == []
    assert it.portal().status != 500


def test_an_answer_that_was_cut_off_once_is_asked_for_again_and_found(it: Shop) -> None:
    bought = it.subscribe()
    fail(it, "applied_then_cut", ITEMS, times=1, mid_answer=False)
    assert it.buy().body["seats"] == 4
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 4}
    assert len(it.invoices(bought["id"])) == 2


def test_a_change_is_done_when_only_the_look_after_it_fails(it: Shop) -> None:
    bought = it.subscribe()
    path = f"/v1/subscriptions/{bought['id']}"
    it.stripe.fail("500", path=path, method="GET", times=2)
    got = it.buy(key="k-1")
    assert (got.status, got.code) == (503, "stripe_unavailable")  # the look before it
    got = it.buy(key="k-1")
    assert (got.status, got.body["seats"]) == (201, 4)


def test_another_purchase_waits_for_one_that_may_be_under_way(it: Shop) -> None:
    bought = it.subscribe()
    fail(it, "500", ITEMS)
    assert it.buy(key="k-1").status == 503
    it.stripe.mend()
    got = it.buy(key="k-2", seats=1)
    assert (got.status, got.code) == (503, "ledger_busy")
    it.api.clock.now += 3 * MINUTE
    assert it.buy(key="k-2", seats=1).body["seats"] == 3
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 3}
    outcomes = [fact.outcome for fact in it.facts(StripeSeatsAnswered)]  # type: ignore[attr-defined]
    assert outcomes == ["given_up", "done"]


def test_a_purchase_that_stripe_made_and_did_not_tell_of_is_found_by_the_next(it: Shop) -> None:
    bought = it.subscribe()
    fail(it, "applied_then_cut", ITEMS)
    assert it.buy(key="k-1").status == 503
    it.stripe.mend()
    assert it.buy(key="k-2", seats=1).body["seats"] == 5
    again = it.buy(key="k-1")
    assert (again.status, again.body["seats"]) == (201, 4)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}
