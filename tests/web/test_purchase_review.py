"""More seats on the pages: what they cost is shown before anything is paid, and that is paid."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from ledger.catalog import parse
from tests.stripe.billed_team import CATALOG
from tests.stripe.shop import ITEMS, Shop, shop
from tests.web.test_portal_lifetime import Browser, visitor

SHOP = "buy/cloud_pos"
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as found:
        yield found


def pass_days(it: Shop, days: float) -> None:
    it.stripe.advance(days=days)
    it.api.clock.forward(days=days)


def form(answer: TestResponse, action: str) -> dict[str, str]:
    """Return the hidden fields of a form."""
    found = re.search(rf'<form[^>]*action="/portal/{action}".*?</form>', answer.text, re.DOTALL)
    assert found, answer.text
    return {name: html.unescape(value) for name, value in HIDDEN.findall(found[0])}


def reviewed(browser: Browser, seats: int = 3, interval: str = "month", **more: str) -> Any:
    fields = form(browser.get(SHOP), SHOP)
    sent = {**fields, "seats": seats, "interval": interval, **more}
    return browser.client.post(f"/portal/{SHOP}", data=sent)


def paid(browser: Browser, review: TestResponse, **changes: str) -> TestResponse:
    fields = {**form(review, f"{SHOP}/pay"), **changes}
    return browser.client.post(f"/portal/{SHOP}/pay", data=fields)


def last_invoice(it: Shop, subscription: str) -> tuple[str, int]:
    return it.invoices(subscription)[-1]


def euros(cents: int) -> str:
    return f"€{cents / 100:,.2f}"


def changes_at_stripe(it: Shop) -> int:
    return len(it.asked("POST", ITEMS))


def test_the_form_says_what_a_seat_costs_and_how_many_there_are(it: Shop) -> None:
    browser = visitor(it.api)
    first = browser.get(SHOP).text
    assert "€15.00 a seat" in first
    assert "€150.00 a seat" in first
    assert "Continue to Stripe" in first
    it.subscribe(seats=4)
    more = browser.get(SHOP).text
    assert "Add seats (you have 4)" in more
    assert "€15.00 a seat" in more
    assert "Continue to Stripe" not in more
    # It is paid by the month, and cannot be had by the year beside.
    assert 'value="month"' in more
    assert 'value="year"' not in more
    assert "€150.00" not in more


@pytest.mark.parametrize("days", [0.0, 9.7, 27.123])
def test_the_amount_shown_before_the_click_is_the_amount_invoiced(it: Shop, days: float) -> None:
    bought = it.subscribe(seats=4)["id"]
    pass_days(it, days)
    browser = visitor(it.api)
    review = reviewed(browser)
    assert review.status_code == 200
    assert "4 now, 7 after this" in review.text
    assert "€105.00 a month" in review.text
    assert changes_at_stripe(it) == 0
    # Whoever thinks it over for some minutes pays what was shown.
    pass_days(it, 0.009)
    done = paid(browser, review)
    assert (done.status_code, done.location) == (303, f"/portal/{SHOP}?done=changed")
    reason, amount = last_invoice(it, bought)
    assert reason == "subscription_update"
    assert f"Pay {euros(amount)} now" in review.text
    assert it.quantities(bought) == {"cloud_pos_month": 7}


def test_sent_twice_it_is_paid_once(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    browser = visitor(it.api)
    review = reviewed(browser)
    assert [paid(browser, review).status_code for _ in range(2)] == [303, 303]
    assert it.quantities(bought) == {"cloud_pos_month": 7}
    assert len(it.invoices(bought)) == 2


def later(it: Shop, _bought: str) -> None:
    pass_days(it, 0.02)


def seats_added(it: Shop, _bought: str) -> None:
    assert it.buy(seats=1).status == 201
    it.deliver()


def discount_given(it: Shop, bought: str) -> None:
    it.stripe.post("/v1/coupons", {"id": "half", "percent_off": 50, "duration": "forever"})
    it.stripe.post(f"/v1/subscriptions/{bought}", {"discounts": [{"coupon": "half"}]})


@pytest.mark.parametrize("happens", [later, seats_added, discount_given])
def test_what_costs_anything_else_by_now_is_shown_anew_and_not_paid(
    it: Shop, happens: Callable[[Shop, str], None]
) -> None:
    bought = it.subscribe(seats=4)["id"]
    browser = visitor(it.api)
    review = reviewed(browser)
    happens(it, bought)
    before = it.invoices(bought), it.quantities(bought)
    answer = paid(browser, review)
    assert answer.status_code == 409
    assert "Nothing was bought yet" in answer.text
    assert (it.invoices(bought), it.quantities(bought)) == before
    assert paid(browser, answer).status_code == 303
    assert f"Pay {euros(last_invoice(it, bought)[1])} now" in answer.text


@pytest.mark.parametrize("quote", ["", "AAAA", "forged"])
def test_a_quote_that_is_none_of_ours_pays_nothing(it: Shop, quote: str) -> None:
    bought = it.subscribe(seats=4)["id"]
    browser = visitor(it.api)
    assert paid(browser, reviewed(browser), quote=quote).status_code in (200, 409)
    assert it.quantities(bought) == {"cloud_pos_month": 4}


def test_a_quote_for_fewer_seats_does_not_pay_for_more(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    browser = visitor(it.api)
    assert paid(browser, reviewed(browser, 1), seats="100").status_code == 409
    assert it.quantities(bought) == {"cloud_pos_month": 4}


def test_nothing_is_added_to_a_subscription_unseen_because_it_was_not_heard_of_yet(
    it: Shop,
) -> None:
    session = it.buy(seats=4)
    it.stripe.pay(session.body["url"].rpartition("/")[2])
    browser = visitor(it.api)
    review = reviewed(browser)
    assert "4 now, 7 after this" in review.text


def test_stripe_away_says_so_and_sells_nothing(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    browser = visitor(it.api)
    it.stripe.fail("down")
    page = browser.get(SHOP)
    assert "€15.00 a seat" in page.text  # on record
    assert reviewed(browser).status_code == 503
    it.stripe.mend()
    assert it.quantities(bought) == {"cloud_pos_month": 4}


def test_another_tier_is_added_to_the_subscription_there_is(it: Shop) -> None:
    bought = it.subscribe(product="integrations", tier="growth", seats=1)["id"]
    browser = visitor(it.api)
    path = "buy/integrations"
    shown = browser.get(path)
    assert "€9.00 a seat" in shown.text
    fields = {**form(shown, path), "tier": "starter", "seats": 2, "interval": "month"}
    review = browser.client.post(f"/portal/{path}", data=fields)
    assert "0 now, 2 after this" in review.text
    assert "€47.00 a month" in review.text
    done = browser.client.post(f"/portal/{path}/pay", data=form(review, f"{path}/pay"))
    assert done.status_code == 303
    assert it.quantities(bought) == {
        "integrations_growth_month": 1,
        "integrations_starter_month": 2,
    }
    assert f"Pay {euros(last_invoice(it, bought)[1])} now" in review.text


# A product whose seats are billed by its users


@pytest.fixture
def team() -> Iterator[Shop]:
    prices = {"team_month": ("month", 100_00), "team_seat_month": ("month", 20_00)}
    with shop(parse(CATALOG), prices) as found:
        yield found


def admin(it: Shop) -> Browser:
    return visitor(it.api, permissions=["manage_users"])


def test_the_base_plan_is_offered_once_and_then_the_users_page(team: Shop) -> None:
    browser = admin(team)
    first = browser.get("buy/team").text
    assert "€100.00 for the base plan" in first
    assert "€20.00 for each further seat" in first
    assert 'href="/portal/buy/team"' in browser.get("subscriptions").text
    team.subscribe(product="team", seats=3)
    page = browser.get("buy/team").text
    assert "Each further one is billed from when it is added." in page
    assert '<form method="post" action="/portal/buy/team"' not in page
    assert 'action="/portal/manage/team"' in page
    assert 'action="/portal/buy/team"' not in browser.get("subscriptions").text
    assert 'action="/portal/buy/team"' not in browser.get("upgrade/team").text


def test_the_users_page_says_what_the_next_user_costs(team: Shop) -> None:
    browser = admin(team)
    team.subscribe(product="team", seats=3)
    team.api.sit("user-1", product="team")
    assert "2 more are covered by your plan." in browser.get("manage/team").text
    for number in (2, 3):
        team.api.sit(f"user-{number}", product="team")
    page = browser.get("manage/team").text
    assert "Each further one adds €20.00 a month." in page
    assert "All seats are taken" not in page
    team.stripe.fail("down")
    assert "Each further one adds" in browser.get("manage/team").text


def test_what_the_customers_balance_covers_is_not_paid_again(it: Shop) -> None:
    subscription = it.subscribe(seats=4)
    it.stripe.post(f"/v1/customers/{subscription['customer']}", {"balance": -1000})
    browser = visitor(it.api)
    review = reviewed(browser)
    assert "Pay €35.00 now" in review.text
    assert "The invoice total is €45.00." in review.text
    assert paid(browser, review).status_code == 303
    assert last_invoice(it, subscription["id"])[1] == 3500


def test_in_a_trial_nothing_is_paid_now(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    ends = it.stripe.clock + 20 * 24 * 3600
    it.stripe.post(f"/v1/subscriptions/{bought}", {"trial_end": ends, "proration_behavior": "none"})
    it.deliver()
    browser = visitor(it.api)
    review = reviewed(browser)
    assert "Add the seats" in review.text
    assert "€105.00 a month" in review.text
    before = sum(amount for _reason, amount in it.invoices(bought))
    assert paid(browser, review).status_code == 303
    assert it.quantities(bought) == {"cloud_pos_month": 7}
    assert sum(amount for _reason, amount in it.invoices(bought)) == before


def test_it_is_reckoned_by_stripes_clock_and_not_by_ours(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    it.api.clock.forward(days=20)
    browser = visitor(it.api)
    review = reviewed(browser)
    assert "Pay €45.00 now" in review.text
    assert paid(browser, review).status_code == 303
    assert last_invoice(it, bought)[1] == 4500
