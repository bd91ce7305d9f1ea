"""However badly events are delivered, the ledger is as Stripe is.

Each history is lived in the stand-in. One ledger hears of it whole and in order. Another hears of
it shuffled, with events doubled and a tenth of them lost, in the words of an old version of the
API, and is then reconciled. Both must show what Stripe itself has in the end.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.gateways.stripe import StripeGateway
from commands.reconcile_stripe import Drift, reconcile_stripe
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.events import RequestContext
from ledger.stripe.objects import read_event
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import SubscriptionRow, subscriptions
from tests.stripe.histories import ACCOUNT, STEPS, VERSIONS, Life, Step
from tests.stripe_server import StripeServer, in_disorder
from tests.worlds import services

Json = dict[str, Any]

IN_A_RUN = 20
# In parts, so that they share the processors.
PARTS, IN_A_PART = 8, 1_250
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]


def ledger(stripe: StripeServer) -> Services:
    return services()._replace(stripe=StripeGateway(stripe.api_key, stripe.url))


def now(stripe: StripeServer) -> datetime:
    return datetime.fromtimestamp(stripe.clock, UTC)


def context(stripe: StripeServer) -> RequestContext:
    return RequestContext(now(stripe), "stripe", "req_1")


def hear(world: Services, stripe: StripeServer, events: list[Json]) -> None:
    for one in events:
        record_event(world, context(stripe), read_event(one), "webhook")


def reconcile(world: Services, stripe: StripeServer, *, dry_run: bool = False) -> list[Drift]:
    return list(reconcile_stripe(world, lambda: context(stripe), [], dry_run=dry_run))


def view(world: Services, stripe: StripeServer) -> list[list[SubscriptionRow]]:
    asked = account_at(world.book, ACCOUNT, Moment(now(stripe)))
    shown = subscriptions(asked, world.catalog, ended=True)
    return [sorted(product.rows, key=str) for product in shown.products]


def seats_at_stripe(stripe: StripeServer, life: Life) -> Counter[str]:
    """Answer the seats that Stripe sells at the end, reckoned apart, by the key of their price."""
    seats: Counter[str] = Counter()
    for id in life.subscriptions:
        subscription = stripe.get(f"/v1/subscriptions/{id}")
        if subscription["status"] in ("active", "trialing", "past_due"):
            for item in subscription["items"]["data"]:
                seats[item["price"]["lookup_key"].rpartition("_")[0]] += item["quantity"]
    return +seats


def seats_in(shown: list[list[SubscriptionRow]]) -> Counter[str]:
    seats: Counter[str] = Counter()
    for product, rows in zip(("cloud_pos", "integrations"), shown, strict=True):
        for row in rows:
            if row.status in ("active", "trialing", "past_due"):
                seats["_".join(filter(None, (product, row.tier)))] += row.seats
    return +seats


def hold(steps: list[Step], seed: int, version: str | None) -> None:
    with StripeServer(seed=seed) as stripe:
        life = Life(stripe)
        life.live(steps)
        whole = ledger(stripe)
        hear(whole, stripe, stripe.events)
        told = stripe.events if version is None else stripe.events_as(version)
        torn = ledger(stripe)
        hear(torn, stripe, in_disorder(told, seed=seed, shuffle=True, duplicate=1.0, drop=0.1))
        reconcile(torn, stripe)
        assert view(torn, stripe) == view(whole, stripe)
        assert seats_in(view(whole, stripe)) == seats_at_stripe(stripe, life)
        assert reconcile(torn, stripe) == []
        assert reconcile(torn, stripe, dry_run=True) == []


def histories(number: int) -> Any:
    """Answer a test's decorators: so many histories; a failing one is printed with its seed."""

    def decorated(test: Any) -> Any:
        drawn = given(STEPS, st.integers(0, 2**32), st.sampled_from(VERSIONS))
        return settings(max_examples=number, suppress_health_check=UNHURRIED)(drawn(test))

    return decorated


@histories(IN_A_RUN)
def test_shuffled_doubled_and_thinned_it_is_the_same_after_reconciling(
    steps: list[Step], seed: int, version: str | None
) -> None:
    hold(steps, seed, version)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_histories(part: int) -> None:
    @histories(IN_A_PART)
    def held(steps: list[Step], seed: int, version: str | None) -> None:
        hold(steps, seed, version)

    held()
