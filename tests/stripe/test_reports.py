"""What a Stripe subscription gives as its reports come: statuses, items, times, others' bugs.

Source of the bugs: docs/stripe.md, "What others got wrong".
"""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from tests.stripe.payloads import (
    Json,
    changed,
    deliver,
    ended,
    event,
    item,
    panel,
    rows,
    seconds,
    subscription,
)
from tests.web.api import Api
from tests.worlds import DAY, MINUTE, NOON, SECOND
from web.app.times import iso

MONTH = 30 * DAY


def created(of: Json, **more: Any) -> Json:
    return event("customer.subscription.created", of, **more)


def deleted(of: Json, at: Any) -> Json:
    return event("customer.subscription.deleted", ended(of, at), at=at)


# One row


def test_a_row_shows_what_stripe_said(api: Api) -> None:
    deliver(api, created(subscription()))
    (row,) = rows(api)
    assert row.pop("subscription").startswith("kfsub_")
    assert row == {
        "tier": None,
        "tier_name": None,
        "seats": 2,
        "used": 0,
        "source": "stripe",
        "key": None,
        "stripe_subscription": "sub_1",
        "status": "active",
        "started_at": iso(NOON),
        "expires_at": iso(NOON + MONTH),
        "renews": True,
        "can_manage": True,
    }


def test_keys_and_stripe_fill_one_pool(api: Api) -> None:
    api.redeem("acme")
    deliver(api, created(subscription()))
    found = panel(api)
    assert (found["seats"], [row["source"] for row in found["rows"]]) == (
        4,
        ["stripe", "activation_key"],
    )
    for number in range(4):
        api.sit(f"till-{number}", "acme")
    got = api.put("portal", "/v1/accounts/acme/seats/cloud_pos/till-9", {})
    assert (got.status, got.code) == (409, "no_seat_available")


def test_each_non_empty_tier_is_a_row_of_its_own(api: Api) -> None:
    items = [
        item("integrations_growth_month", 2, days=30),
        item("integrations_starter_month", 1, days=365),
        item("integrations_scale_month", 0),
        item("integrations_growth_year", 3, days=300),
    ]
    deliver(api, created(subscription(items=items)))
    found = rows(api, product="integrations")
    assert {(row["tier"], row["seats"], row["expires_at"]) for row in found} == {
        ("starter", 1, iso(NOON + 365 * DAY)),
        ("growth", 5, iso(NOON + 30 * DAY)),
    }
    assert len({row["subscription"] for row in found}) == 1


@pytest.mark.parametrize(
    ("status", "gives"),
    [
        ("active", True),
        ("trialing", True),
        ("past_due", True),
        ("paused", False),
        ("unpaid", False),
        ("incomplete", False),
        ("a_new_one", False),
    ],
)
def test_what_gives_seats(api: Api, status: str, gives: bool) -> None:
    deliver(api, changed(subscription(status=status)))
    found = panel(api)
    assert [row["status"] for row in found["rows"]] == [status]
    assert found["seats"] == (2 if gives else 0)


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_what_has_ended_is_listed_among_the_ended_only(api: Api, status: str) -> None:
    gone = subscription(status=status, ended_at=seconds(NOON), canceled_at=seconds(NOON))
    deliver(api, changed(gone))
    got = api.get("portal", "/v1/accounts/acme/subscriptions").body["products"][0]
    assert (got["seats"], got["rows"]) == (0, [])
    assert [(row["status"], row["can_manage"]) for row in rows(api)] == [("canceled", False)]


def test_a_pause_of_the_collection_takes_no_seat(api: Api) -> None:
    paused = subscription(pause_collection={"behavior": "void", "resumes_at": None})
    deliver(api, changed(paused))
    assert panel(api)["seats"] == 2


# Times


def test_three_days_after_its_period_a_row_that_nobody_speaks_of_gives_none(api: Api) -> None:
    deliver(api, created(subscription()))
    api.sit("till-1", "acme")
    api.clock.now = NOON + MONTH + 3 * DAY
    assert panel(api)["rows"][0]["status"] == "active"
    api.clock.now += SECOND
    found = panel(api)
    assert (found["seats"], found["over"]) == (0, 1)
    assert [(row["status"], row["seats"]) for row in found["rows"]] == [("unconfirmed", 2)]
    seat = api.get("portal", "/v1/accounts/acme/seats/cloud_pos/till-1").body
    assert (seat["licensed"], seat["reason"]) == (False, "no_active_subscription")


def test_a_renewal_that_was_not_heard_of_for_four_days_is_made_good_when_it_comes(api: Api) -> None:
    deliver(api, created(subscription()))
    api.sit("till-1", "acme")
    renewed_at = NOON + MONTH
    api.clock.now = renewed_at + 4 * DAY
    assert panel(api)["seats"] == 0
    renewed = subscription(items=[item("cloud_pos_month", 2, begins=renewed_at)])
    deliver(api, changed(renewed, at=renewed_at))
    assert panel(api)["seats"] == 2
    then = iso(renewed_at + 3 * DAY + SECOND)
    assert panel(api, as_of=then)["seats"] == 2
    assert panel(api, as_of=then, known_at=then)["seats"] == 0


def test_an_announced_end_is_kept_to_without_a_further_word(api: Api) -> None:
    deliver(api, changed(subscription(cancel_at_period_end=True)))
    assert [(row["renews"], row["expires_at"]) for row in rows(api)] == [(False, iso(NOON + MONTH))]
    api.clock.now = NOON + MONTH
    assert (panel(api)["seats"], [row["status"] for row in rows(api)]) == (0, ["canceled"])


def test_an_end_that_was_announced_for_a_day_is_when_it_expires(api: Api) -> None:
    deliver(api, changed(subscription(cancel_at=seconds(NOON + DAY))))
    assert [row["expires_at"] for row in rows(api)] == [iso(NOON + DAY)]
    api.clock.now = NOON + DAY
    assert panel(api)["seats"] == 0


def test_as_of_a_moment_before_its_end_it_was_there(api: Api) -> None:
    deliver(api, created(subscription()))
    api.clock.now = NOON + 5 * DAY
    deliver(api, deleted(subscription(), NOON + DAY))
    assert panel(api, as_of=iso(NOON + DAY - SECOND))["seats"] == 2
    assert panel(api, as_of=iso(NOON + DAY))["seats"] == 0
    known = iso(NOON + 4 * DAY)
    assert panel(api, as_of=iso(NOON + 2 * DAY), known_at=known)["seats"] == 2


def test_the_seat_history_steps_where_stripe_says(api: Api) -> None:
    deliver(api, created(subscription()))
    api.clock.now = NOON + 60 * DAY
    got = api.get("portal", "/v1/accounts/acme/seat-history?product=cloud_pos").body["points"]
    silent = NOON + MONTH + 3 * DAY + timedelta(microseconds=1)
    assert [(point["at"], point["seats"]) for point in got] == [(iso(NOON), 2), (iso(silent), 0)]


# Any order


def test_in_whatever_order_reports_come_the_state_is_the_same() -> None:
    story = [
        created(subscription(status="incomplete"), id="evt_a"),
        changed(subscription(), at=NOON + SECOND, id="evt_b"),
        changed(subscription(items=[item("cloud_pos_month", 5)]), at=NOON + 2 * MINUTE, id="evt_c"),
        changed(subscription(status="past_due"), at=NOON + DAY, id="evt_d"),
        deleted(subscription(), NOON + 2 * DAY) | {"id": "evt_e"},
    ]
    for told in (story, story[:-1]):
        views = set()
        for order in permutations(told):
            api = fresh()
            for one in order:
                deliver(api, one)
            views.add(str(rows(api)))
        assert len(views) == 1


def fresh() -> Api:
    from tests.stripe.payloads import TAKING
    from tests.web.api import memory_api

    api = memory_api(stripe=TAKING)
    api.clock.now = NOON + 3 * DAY
    return api


# Bugs of others


def test_updated_before_created_in_the_same_second(api: Api) -> None:
    deliver(api, changed(subscription(status="active")))
    deliver(api, created(subscription(status="incomplete")))
    assert panel(api)["seats"] == 2


def test_updated_dated_a_second_before_created(api: Api) -> None:
    deliver(api, created(subscription(status="incomplete"), at=NOON + SECOND))
    deliver(api, changed(subscription(status="active"), at=NOON))
    assert panel(api)["seats"] == 2


def test_a_stale_update_after_the_end_revives_nothing(api: Api) -> None:
    deliver(api, created(subscription()))
    deliver(api, deleted(subscription(), NOON + DAY))
    deliver(api, changed(subscription(), at=NOON + MINUTE))
    deliver(api, changed(subscription(), at=NOON + 2 * DAY))
    api.clock.now = NOON + 2 * DAY
    assert panel(api)["seats"] == 0


def test_one_change_told_by_two_events_is_recorded_once(api: Api) -> None:
    deliver(api, changed(subscription()))
    head = api.head
    got = deliver(api, changed(subscription()))
    assert (got.body["outcome"], api.head) == ("repeated", head + 1)
    assert panel(api)["seats"] == 2


def test_two_changes_of_one_second_that_differ_in_anything_are_both_kept(api: Api) -> None:
    deliver(api, changed(subscription()))
    got = deliver(api, changed(subscription(latest_invoice="in_2", discounts=["di_1"])))
    assert got.body["outcome"] == "reported"
    states = [state for *_, state in api.services.book.store.read_stream("account-acme")[1]]
    assert any(b"di_1" in state for state in states)
    assert panel(api)["seats"] == 2


def test_of_several_items_each_counts(api: Api) -> None:
    items = [item("integrations_starter_month", 1), item("cloud_pos_month", 7)]
    deliver(api, changed(subscription(items=items)))
    assert (panel(api)["seats"], panel(api, product="integrations")["seats"]) == (7, 1)


def test_the_period_is_found_on_the_items_and_on_the_subscription(api: Api) -> None:
    old = subscription("sub_old")
    for one in old["items"]["data"]:
        del one["current_period_start"], one["current_period_end"]
    old |= {
        "current_period_start": seconds(NOON),
        "current_period_end": seconds(NOON + 90 * DAY),
    }
    deliver(api, changed(old))
    deliver(api, changed(subscription("sub_new")))
    found = {row["stripe_subscription"]: row["expires_at"] for row in rows(api)}
    assert found == {"sub_old": iso(NOON + 90 * DAY), "sub_new": iso(NOON + MONTH)}


# Pieces of reports


def test_a_report_without_its_items_leaves_the_seats_as_they_were(api: Api) -> None:
    deliver(api, changed(subscription()))
    bare = subscription(cancel_at_period_end=True)
    del bare["items"]
    deliver(api, changed(bare, at=NOON + MINUTE))
    api.clock.now += DAY
    assert [(row["seats"], row["renews"]) for row in rows(api)] == [(2, False)]


def test_a_report_without_a_status_leaves_the_status_as_it_was(api: Api) -> None:
    deliver(api, changed(subscription(status="past_due")))
    bare = subscription(items=[item("cloud_pos_month", 4)])
    del bare["status"]
    deliver(api, changed(bare, at=NOON + MINUTE))
    api.clock.now += DAY
    assert [(row["seats"], row["status"]) for row in rows(api)] == [(4, "past_due")]


def test_ids_and_objects_are_taken_for_one_another(api: Api) -> None:
    whole = subscription(
        customer={"id": "cus_1", "object": "customer", "email": "somebody"},
        latest_invoice={"id": "in_1", "object": "invoice"},
        schedule={"id": "sub_sched_1"},
    )
    whole["items"]["data"][0]["price"]["product"] = {"id": "prod_1", "name": "POS"}
    deliver(api, changed(whole))
    deliver(api, changed(subscription("sub_2", items=[item(None, 1) | {"price": "price_7"}])))
    assert [row["seats"] for row in rows(api)] == [2]
    events = api.services.book.store.read_stream("account-acme")[1]
    assert all(b"somebody" not in state for *_, state in events)


@pytest.mark.parametrize(
    ("quantity", "usage_type", "seats"),
    [(None, "licensed", 1), (None, "metered", 0), (0, "licensed", 0), (3, "licensed", 3)],
)
def test_a_quantity_that_is_not_told(
    api: Api, quantity: int | None, usage_type: str, seats: int
) -> None:
    one = item("cloud_pos_month", quantity)
    one["price"]["recurring"]["usage_type"] = usage_type
    deliver(api, changed(subscription(items=[one])))
    assert panel(api)["seats"] == seats


# Prices


def test_a_price_that_means_nothing_gives_nothing_and_changes_no_other(api: Api) -> None:
    items = [item("cloud_pos_month", 2), item("somebody_elses", 9)]
    deliver(api, changed(subscription(items=items)))
    assert panel(api)["seats"] == 2


def test_a_price_says_by_its_metadata_what_it_gives(api: Api) -> None:
    pack = item("a_pack_of_five", 2)
    pack["price"]["metadata"] = {
        "keyfold_product": "integrations",
        "keyfold_tier": "scale",
        "keyfold_seats": "5",
    }
    deliver(api, changed(subscription(items=[pack])))
    assert [(row["tier"], row["seats"]) for row in rows(api, product="integrations")] == [
        ("scale", 10)
    ]
