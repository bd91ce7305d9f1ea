"""What Stripe names for an account that has not got it is shown where people look."""

from __future__ import annotations

import pytest

from commands.assign_subscription import assign_subscription
from commands.link_customer import link_customer
from commands.record_stripe_event import record_event
from ledger.stripe_objects import read_event
from projections.overview_tables import STRIPE_CLAIMS
from projections.table_differences import differences
from tests.console.desk import signed_in
from tests.stripe.payloads import Json, changed, event, subscription
from tests.web.api import Api, memory_api
from tests.worlds import MINUTE, NOON, stamp
from web.context import EXTENSION


@pytest.fixture
def api() -> Api:
    return memory_api()


def tell(api: Api, payload: Json) -> None:
    record_event(api.ports, stamp(NOON), read_event(payload), "webhook")


def session(claimed: str = "acme") -> Json:
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
    }
    return event("checkout.session.completed", of, at=NOON + MINUTE)


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
    assert list(differences(api.ports.book, tables, STRIPE_CLAIMS)) == []
    return [(one["stripe_object"], one["account"], one["claimed_by"], one["why"]) for one in found]


def test_a_reference_that_proves_nothing_is_shown_until_somebody_says_whose_it_is(api: Api) -> None:
    assert claims(api) == []
    tell(api, session())
    tell(api, {**session(), "id": "evt_again"})
    assert claims(api) == [("cs_1", None, None, "unproven")]
    link_customer(api.ports, stamp(NOON), "beta", "cus_1")
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
    assign_subscription(api.ports, stamp(NOON), "beta", "sub_1", "sold", moved_from="acme")
    assert claims(api) == []


def test_staff_may_say_that_it_stays_where_it_is(api: Api) -> None:
    tell(api, event("customer.subscription.created", subscription(account="acme")))
    tell(api, changed(subscription(account="beta"), at=NOON + MINUTE))
    assert len(claims(api)) == 1
    assign_subscription(api.ports, stamp(NOON), "acme", "sub_1", "theirs")
    assert claims(api) == []
