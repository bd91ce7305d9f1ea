"""The Billing page, as its guide describes it: a base plan, and seats billed by their number."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.portal.conftest import NewPage
from tests.portal.selling import PORTAL, Seller, at_stripe
from tests.portal.test_buying import to_stripe
from tests.portal.vendor import Customer

TEAM = {"product": "team", "seats": 3}


def on_billing(
    seller: Seller, page: Page, account: str | None = None, *, seats: int = 3
) -> tuple[Customer, str]:
    """Let an admin with a plan look at the Billing page; answer Stripe's subscription, too."""
    account = account or seller.account()
    subscription = seller.subscribe(account, **{**TEAM, "seats": seats})
    customer = seller.customer(page, account, permissions=["manage_users"])
    customer.go("Billing", "Settings")
    return customer, subscription


def facts(page: Page) -> dict[str, str]:
    shown = page.get_by_role("main").get_by_role("article", name="Subscription")
    names = shown.get_by_role("term").all_inner_texts()
    return dict(zip(names, shown.get_by_role("definition").all_inner_texts(), strict=True))


def lines(page: Page) -> list[list[str]]:
    """Return the parts of this period's total, and the total."""
    table = page.get_by_role("table", name="This period's total")
    rows: list[Locator] = table.get_by_role("row").all()[1:]
    return [row.locator("td, th").all_inner_texts() for row in rows]


def test_billing_is_under_settings_for_who_may_manage_users(
    team_seller: Seller, new_page: NewPage
) -> None:
    on_billing(team_seller, new_page())
    other = team_seller.customer(new_page())
    expect(other.page.get_by_role("navigation")).not_to_contain_text("Settings")
    for path in ("billing", "buy/team", "manage/team", "upgrade/team"):
        other.open(path)
        told = other.page.get_by_role("alert")
        expect(told).to_contain_text("Your link does not permit this")
        expect(told).to_contain_text("admins with the Manage Users permission")


@pytest.mark.parametrize("back", ["billing", ""])
def test_nobody_else_opens_the_page_by_its_form(team_seller: Seller, page: Page, back: str) -> None:
    team_seller.customer(page)
    token = str(page.locator("[name=form_token]").first.get_attribute("value"))
    form: dict[str, str | float | bool] = {"form_token": token, "back": back}
    answer = page.request.post(f"{team_seller.url}/portal/stripe", form=form)
    assert "Recent invoices" not in answer.text()
    assert answer.status == (403 if back else 409)


def test_the_status_is_a_badge(team_seller: Seller, page: Page) -> None:
    on_billing(team_seller, page)
    expect(page.locator("#status")).to_have_text("Active")


def test_the_badge_is_stripes_status_of_this_moment(team_seller: Seller, page: Page) -> None:
    customer, subscription = on_billing(team_seller, page)
    for status, badge in {
        "trialing": "Trial",
        "past_due": "Past Due",
        "unpaid": "Unpaid",
        "paused": "Paused",
        "incomplete": "Incomplete",
        "active": "Active",
        "canceled": "Canceled",
        "incomplete_expired": "Expired",
    }.items():
        at_stripe(team_seller, subscription)["status"] = status
        customer.open("billing")
        expect(page.locator("#status")).to_have_text(badge)


def test_seats_are_shown_as_included_and_in_total_with_the_amount(
    team_seller: Seller, page: Page
) -> None:
    on_billing(team_seller, page, seats=5)
    shown = facts(page)
    assert (shown["Seats included"], shown["Seats in total"], shown["Seats used"]) == (
        "3",
        "5",
        "0",
    )
    assert lines(page) == [
        ["Base plan · Team", "1", "€100.00"],
        ["Seats · Team", "2", "€40.00"],
        ["Total", "€140.00"],
    ]
    expect(page.get_by_role("table", name="This period's total")).to_contain_text("Every month")


def test_the_total_is_base_and_seats_minus_the_discount(team_seller: Seller, page: Page) -> None:
    account = team_seller.account()
    subscription = team_seller.subscribe(account, **{**TEAM, "seats": 4})
    coupon = team_seller.stripe.post(
        "/v1/coupons", {"percent_off": 25, "duration": "forever", "name": "Spring"}
    )
    team_seller.stripe.post(
        f"/v1/subscriptions/{subscription}", {"discounts": [{"coupon": coupon["id"]}]}
    )
    team_seller.deliver()
    customer = team_seller.customer(page, account, permissions=["manage_users"])
    customer.open("billing")
    assert lines(page) == [
        ["Base plan · Team", "1", "€100.00"],
        ["Seats · Team", "1", "€20.00"],
        ["Discount · Spring", "", "-€30.00"],
        ["Total", "€90.00"],
    ]


def test_figures_are_stripes_own_of_this_moment(team_seller: Seller, page: Page) -> None:
    customer, subscription = on_billing(team_seller, page, seats=4)
    items = team_seller.stripe.get(f"/v1/subscriptions/{subscription}")["items"]["data"]
    seats = next(item for item in items if item["price"]["lookup_key"] == "team_seat_month")
    team_seller.stripe.post(f"/v1/subscription_items/{seats['id']}", {"quantity": 9})
    # Nothing was delivered: what is billed is asked for when it is shown.
    customer.open("billing")
    assert facts(page)["Seats in total"] == "12"
    assert lines(page)[-1] == ["Total", "€280.00"]
    team_seller.deliver()


def test_when_stripe_cannot_be_reached_the_page_says_so(team_seller: Seller, page: Page) -> None:
    customer, _ = on_billing(team_seller, page, seats=5)
    team_seller.stripe.fail("down")
    try:
        customer.open("billing")
        expect(page.get_by_role("main")).to_contain_text("Stripe cannot be reached now.")
        assert facts(page)["Seats in total"] == "5"
        assert lines(page)[-1] == ["Total", "€140.00"]
    finally:
        team_seller.stripe.mend()
    # Who was away is asked again some seconds later, and not at once.
    for _ in range(60):
        customer.open("billing")
        if "Stripe cannot be reached now." not in page.get_by_role("main").inner_text():
            return
        page.wait_for_timeout(500)
    pytest.fail("Stripe is not asked again")


def test_recent_invoices_have_dates_and_amounts(team_seller: Seller, page: Page) -> None:
    customer, subscription = on_billing(team_seller, page, seats=4)
    row = customer.row("Recent invoices")
    assert (row["Status"], row["Amount"]) == ("Paid", "€120.00")
    invoice = team_seller.stripe.get("/v1/invoices", {"subscription": subscription})["data"][0]
    assert row["Number"] == invoice["number"]
    made = datetime.fromtimestamp(invoice["created"], UTC)
    shown = customer.panel("Recent invoices").locator("time")
    expect(shown).to_have_attribute("datetime", re.compile(f"^{made:%Y-%m-%dT%H:%M:%S}"))
    link = page.get_by_role("link", name=invoice["number"])
    expect(link).to_have_attribute("href", invoice["hosted_invoice_url"])


def test_the_customer_portal_is_opened_and_leads_back(team_seller: Seller, page: Page) -> None:
    on_billing(team_seller, page)
    expect(page.get_by_role("main")).to_contain_text(
        "update or replace the card on file, download past invoices and receipts, and cancel or"
        " change the subscription"
    )
    expect(page.get_by_role("main")).to_contain_text("We never store your card number")
    to_stripe(page, "Manage in Stripe", PORTAL)
    asked = next(
        one for one in reversed(team_seller.stripe.requests) if "billing_portal" in one.path
    )
    page.goto(team_seller.sent_back(asked.params["return_url"]))
    expect(page.get_by_role("heading", level=1)).to_have_text("Billing")


@pytest.mark.parametrize("ended", [None, "Canceled", "Expired"])
def test_without_an_active_subscription_it_prompts_to_start_one(
    team_seller: Seller, page: Page, ended: str | None
) -> None:
    account = team_seller.account()
    if ended:
        subscription = team_seller.subscribe(account, **TEAM)
        team_seller.stripe.delete(f"/v1/subscriptions/{subscription}")
        team_seller.deliver()
        if ended == "Expired":
            at_stripe(team_seller, subscription)["status"] = "incomplete_expired"
    customer = team_seller.customer(page, account, permissions=["manage_users"])
    customer.open("billing")
    shown = page.get_by_role("main")
    expect(shown).to_contain_text("You don't have an active subscription.")
    expect(shown).to_contain_text("Restart it" if ended else "Start one")
    expect(page.locator("#status")).to_have_text(ended or "Inactive")
    expect(page.get_by_role("button", name="Manage in Stripe")).to_have_count(0)
    expect(page.get_by_role("table", name="This period's total")).to_have_count(0)
    page.get_by_role("button", name="Buy Team Plan").click()
    expect(page.get_by_role("button", name="Continue to Stripe")).to_be_visible()


def test_a_user_without_a_plan_is_said_to_have_no_seat(team_seller: Seller, page: Page) -> None:
    account = team_seller.account()
    customer = team_seller.customer(page, account, permissions=["manage_users"])
    customer.open("manage/team")
    page.get_by_label("Name").fill("Front desk")
    page.get_by_role("button", name="Add").click()
    shown = page.get_by_role("main")
    expect(shown).to_contain_text("Added, but without a seat: it may not work yet.")
    expect(shown).to_contain_text("In use: 1, but you have 0 seats.")
    expect(shown).not_to_contain_text("It has a seat from now on")


def test_past_due_tells_to_update_the_card(team_seller: Seller, page: Page) -> None:
    account = team_seller.account()
    subscription = team_seller.subscribe(account, **TEAM)
    at_stripe(team_seller, subscription)["status"] = "past_due"
    customer = team_seller.customer(page, account, permissions=["manage_users"])
    customer.open("billing")
    expect(page.locator("#status")).to_have_text("Past Due")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Open the portal and update the card.")
    expect(told).to_contain_text(
        "A failed renewal usually just means an expired or declined card, and access is restored"
        " once payment goes through."
    )
    expect(page.get_by_role("button", name="Manage in Stripe")).to_be_visible()


def test_each_user_counts_and_one_who_has_left_frees_a_seat(
    team_seller: Seller, page: Page
) -> None:
    customer, subscription = on_billing(team_seller, page)
    of = {"subscription": subscription}
    expect(page.get_by_role("main")).to_contain_text(
        "Deactivating a user who has left frees their seat at the next billing cycle."
    )
    page.get_by_role("button", name="Manage users").click()
    for n in range(5):
        page.get_by_label("Name", exact=True).fill(f"User {n}")
        page.get_by_role("button", name="Add user").click()
        expect(page.get_by_role("status")).to_contain_text("Added.")
    team_seller.program.done("stripe", "sync")
    team_seller.deliver()
    customer.open("billing")
    assert facts(page)["Seats in total"] == "5"
    assert facts(page)["Seats used"] == "5"
    assert lines(page)[1] == ["Seats · Team", "2", "€40.00"]
    invoices = len(team_seller.stripe.get("/v1/invoices", of)["data"])
    customer.open("manage/team")
    page.get_by_role("button", name="Deactivate user: User 4").click()
    page.get_by_role("button", name="Remove User 4").click()
    expect(page.get_by_role("status")).to_contain_text("Removed.")
    team_seller.program.done("stripe", "sync")
    customer.open("billing")
    assert facts(page)["Seats used"] == "4"
    # Nothing is paid back for this period, and from the next one on it is one less.
    assert len(team_seller.stripe.get("/v1/invoices", of)["data"]) == invoices
    asked = {**of, "preview_mode": "recurring"}
    assert team_seller.stripe.post("/v1/invoices/create_preview", asked)["total"] == 120_00


def test_users_are_managed_under_settings(team_seller: Seller, page: Page) -> None:
    customer, _ = on_billing(team_seller, page)
    customer.go("Users", "Settings")
    expect(page.get_by_role("button", name="Add user")).to_be_visible()


def test_access_is_restored_once_payment_goes_through(team_seller: Seller, page: Page) -> None:
    customer, subscription = on_billing(team_seller, page)
    team_seller.sit(customer.account, "user-1", "team")
    told = at_stripe(team_seller, subscription)
    for status, licensed in (("unpaid", False), ("active", True)):
        told["status"] = status
        team_seller.stripe.post(f"/v1/subscriptions/{subscription}", {"metadata": {"n": status}})
        team_seller.deliver()
        (seat,) = team_seller.seats(customer.account)
        assert seat["licensed"] is licensed
    customer.open("billing")
    expect(page.locator("#status")).to_have_text("Active")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_nothing_of_a_card_is_kept(team_seller: Seller, page: Page) -> None:
    on_billing(team_seller, page)
    assert "4242" not in page.get_by_role("main").inner_text()
    for file in team_seller.program.folder.glob("keyfold.db*"):
        kept = file.read_bytes()
        assert b"last4" not in kept
        assert b"exp_month" not in kept


def test_the_page_and_its_form_work_without_a_script(
    team_seller: Seller, new_page: NewPage
) -> None:
    page = new_page(java_script_enabled=False)
    on_billing(team_seller, page, seats=5)
    assert lines(page)[-1] == ["Total", "€140.00"]
    to_stripe(page, "Manage in Stripe", PORTAL)
