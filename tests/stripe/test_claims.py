"""What Stripe names for an account that has not got it is shown where people look."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from commands.assign_subscription import assign_subscription
from commands.link_customer import link_customer
from commands.record_stripe_event import record_event
from ledger.stripe.objects import read_event
from projections.audit.table_differences import differences
from projections.lists import overview
from projections.lists.overview_tables import STRIPE_CLAIMS
from tests.console.desk import signed_in
from tests.stripe.payloads import Json, changed, event, subscription
from tests.web.api import Api, memory_api
from tests.worlds import MINUTE, NOON, context
from web.app.context import EXTENSION


@pytest.fixture
def api() -> Api:
    return memory_api()


def tell(api: Api, payload: Json) -> None:
    record_event(api.services, context(NOON), read_event(payload), "webhook")


def session(claimed: str = "acme", *, at: datetime = NOON + MINUTE, **more: Any) -> Json:
    of = {
        "id": "cs_1",
        "object": "checkout.session",
        "client_reference_id": claimed,
        "customer": "cus_1",
        "metadata": {},
        "mode": "subscription",
        "payment_status": "paid",
        "status": "complete",
        "subscription": "sub_1",
        **more,
    }
    return event("checkout.session.completed", of, at=at)


def claims(api: Api) -> list[tuple[str, str | None, str | None, str]]:
    """Return what the overview lists; everybody who counts or shows it must say the same."""
    found = api.get("admin", "/v1/overview").body["claims"]
    figures = api.get("admin", "/metrics").raw.decode()
    for why in ("claimed", "unproven"):
        count = sum(one["why"] == why for one in found)
        assert f'keyfold_stripe_objects_to_look_at{{why="{why}"}} {count:.1f}' in figures
    page = signed_in(api, "support").get("overview").page
    for one in found:
        for path in (f"timeline?ref={one['stripe_object']}", f"accounts/{one['account']}"):
            assert f'href="/console/{path}"' in page or path.endswith("None")
    tables = api.app.extensions[EXTENSION].wiring.tables
    assert list(differences(api.services.book, tables, STRIPE_CLAIMS)) == []
    return [(one["stripe_object"], one["account"], one["claimed_by"], one["why"]) for one in found]


def test_a_reference_that_proves_nothing_is_shown_until_somebody_says_whose_it_is(api: Api) -> None:
    assert claims(api) == []
    tell(api, session())
    tell(api, {**session(), "id": "evt_again"})
    assert claims(api) == [("cs_1", None, None, "unproven")]
    link_customer(api.services, context(NOON), "beta", "cus_1")
    assert claims(api) == []


def test_a_claim_on_what_another_account_has_is_shown_until_staff_decides(api: Api) -> None:
    tell(api, event("customer.subscription.created", subscription(account="acme")))
    assert claims(api) == []
    for n, account in enumerate(("beta", "gamma", "beta"), start=1):
        tell(api, changed(subscription(account=account), at=NOON + n * MINUTE))
    assert sorted(claims(api)) == [
        ("sub_1", "acme", "beta", "claimed"),
        ("sub_1", "acme", "gamma", "claimed"),
    ]
    assign_subscription(api.services, context(NOON), "beta", "sub_1", "sold", moved_from="acme")
    assert claims(api) == []


def test_staff_may_say_that_it_stays_where_it_is(api: Api) -> None:
    tell(api, event("customer.subscription.created", subscription(account="acme")))
    tell(api, changed(subscription(account="beta"), at=NOON + MINUTE))
    assert len(claims(api)) == 1
    assign_subscription(api.services, context(NOON), "acme", "sub_1", "theirs")
    assert claims(api) == []


@pytest.mark.parametrize("customer", ["cus_1", None])
@pytest.mark.parametrize("status", ["complete", "expired"])
def test_a_session_that_is_over_without_a_subscription_is_nothing_to_look_at(
    api: Api, customer: str | None, status: str
) -> None:
    sold: Json = {"customer": customer, "mode": "payment", "subscription": None}
    tell(api, session(**sold, status="open"))
    assert claims(api) == [("cs_1", None, None, "unproven")]
    tell(api, session(**sold, status=status, at=NOON + 2 * MINUTE))
    assert claims(api) == []


def test_what_nobody_can_assign_is_nothing_to_look_at(api: Api) -> None:
    for n, account in enumerate(("acme", "beta", "acme")):
        named = {"metadata": {"keyfold_account": account}}
        tell(api, session(account, subscription=None, at=NOON + n * MINUTE, **named))
        charge = {
            "id": "ch_1", "object": "charge", "amount": 100, "amount_refunded": 100 - n,
            "currency": "eur", "customer": "cus_1", "payment_intent": "pi_1", **named,
        }  # fmt: skip
        tell(api, event("charge.refunded", charge, at=NOON + n * MINUTE))
    assert claims(api) == []


def test_references_that_prove_nothing_crowd_no_claim_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "LISTED_MAX", 2)
    tell(api, event("customer.subscription.created", subscription(account="acme")))
    tell(api, changed(subscription(account="beta"), at=NOON + MINUTE))
    for n in range(3):
        tell(api, session(id=f"cs_{n}", customer=None, subscription=f"sub_9{n}"))
    found = api.get("admin", "/v1/overview").body["claims"]
    assert [one["stripe_object"] for one in found] == ["sub_1", "cs_2"]
