"""Upgrade Plan: a key entered, validated, reviewed and activated, as its guides describe it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.portal import certificates
from tests.portal.vendor import INT, NEVER_ISSUED, POS, Vendor

MANAGERS = [("POS Manager", POS), ("Integrations", INT)]
BUY = {
    "Where to pay": "Stripe checkout in the Client Portal",
    "Billing": "Recurring subscription on your card",
    "Renewal": "Automatic each month or year",
    "Invoices & receipts": "Issued by us",
    "Best for": "Customers who want auto-renewal and self-service billing",
}
ACTIVATE = {
    "Where to pay": "Paid separately, through your reseller",
    "Billing": "Prepaid, one-time",
    "Renewal": "New key required after expiration",
    "Invoices & receipts": "Issued by your reseller",
    "Best for": "Customers working with a local partner, or those who prefer prepaid licensing",
}

both = pytest.mark.parametrize(("manager", "order"), MANAGERS)


def facts(within: Locator) -> dict[str, str]:
    names = within.get_by_role("term").all_inner_texts()
    return dict(zip(names, within.get_by_role("definition").all_inner_texts(), strict=True))


@pytest.mark.parametrize(
    ("manager", "section"), [("POS Manager", "POS"), ("Integrations", "Integrations")]
)
def test_the_manager_is_in_its_section_of_the_sidebar(
    vendor: Vendor, page: Page, manager: str, section: str
) -> None:
    vendor.customer(page).go(manager, section)


@pytest.mark.parametrize("path", ["manage/cloud_pos", "manage/integrations"])
def test_upgrade_plan_is_at_the_top_of_the_page(vendor: Vendor, page: Page, path: str) -> None:
    vendor.customer(page).open(path)
    button = page.get_by_role("button", name="Upgrade Plan").bounding_box()
    first = page.get_by_role("article").first.bounding_box()
    assert button
    assert first
    assert button["y"] + button["height"] <= first["y"]


@both
def test_the_dialog_shows_both_ways_side_by_side(
    vendor: Vendor, page: Page, manager: str, order: dict[str, object]
) -> None:
    dialog = vendor.customer(page).upgrade(manager)
    expect(dialog.get_by_role("heading", level=1)).to_have_text("Upgrade Plan")
    buy, key = (
        dialog.get_by_role("article", name=name) for name in ("Purchase Seats", "Activate Key")
    )
    left, right = buy.bounding_box(), key.bounding_box()
    assert left
    assert right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]


@pytest.mark.parametrize(
    ("manager", "product"), [("POS Manager", "Cloud POS"), ("Integrations", "Integrations")]
)
def test_the_cards_tell_how_buying_and_activating_differ(
    vendor: Vendor, page: Page, manager: str, product: str
) -> None:
    dialog = vendor.customer(page).upgrade(manager)
    expect(dialog.get_by_role("article", name="Purchase Seats")).to_be_visible()
    assert facts(dialog.get_by_role("article", name="Purchase Seats")) == BUY
    assert facts(dialog.get_by_role("article", name="Activate Key")) == ACTIVATE
    expect(dialog).to_contain_text(f"exact same {product} product with identical features")
    expect(dialog).to_contain_text("There's no lock-in either way")


@pytest.mark.parametrize(
    ("manager", "shop"),
    [("POS Manager", "Buy POS License"), ("Integrations", "Buy Integration License")],
)
def test_purchase_seats_leads_to_the_purchase_flow(
    vendor: Vendor, page: Page, manager: str, shop: str
) -> None:
    vendor.customer(page).upgrade(manager).get_by_role("button", name="Purchase Seats").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shop)


@pytest.mark.parametrize(("manager", "prefix"), [("POS Manager", "POS"), ("Integrations", "INT")])
def test_the_key_form_tells_the_format_and_whom_to_ask_for_a_key(
    vendor: Vendor, page: Page, manager: str, prefix: str
) -> None:
    dialog = vendor.customer(page).upgrade(manager)
    dialog.get_by_role("button", name="Activate Key").click()
    expect(dialog.get_by_label("Activation key")).to_be_focused()
    expect(dialog).to_contain_text("Contact your reseller to purchase a key")
    expect(dialog).to_contain_text(f"{prefix}-XXXX-XXXX-XXXX")


def test_the_review_of_a_pos_key_has_product_seats_and_period(vendor: Vendor, page: Page) -> None:
    dialog = vendor.customer(page).enter(vendor.issue(seats=4, months=6))
    expect(dialog.get_by_role("heading", level=1)).to_have_text("Review the package")
    shown = facts(dialog)
    assert list(shown) == ["Product", "Seats", "Period", "Expires"]
    assert (shown["Product"], shown["Seats"], shown["Period"]) == ("Cloud POS", "4", "6 months")
    expect(dialog.get_by_role("button", name="Activate")).to_be_visible()


def test_the_review_of_an_integrations_key_has_tier_seats_and_period(
    vendor: Vendor, page: Page
) -> None:
    code = vendor.issue(INT, tier="scale", seats=3, months=1)
    dialog = vendor.customer(page).enter(code, "Integrations")
    expect(dialog.get_by_role("heading", level=1)).to_have_text("Review the package")
    shown = facts(dialog)
    assert (shown["Product tier"], shown["Seats"], shown["Period"]) == (
        "Integrations · Scale",
        "3",
        "1 month",
    )
    assert shown["Invoices / Month"] == "Up to 10,000"
    assert shown["Sync"] == "Real-time + multi-location"


def test_validating_consumes_nothing(vendor: Vendor, page: Page) -> None:
    code = vendor.issue()
    customer = vendor.customer(page)
    before = vendor.head()
    dialog = customer.enter(code)
    expect(dialog.get_by_role("button", name="Activate")).to_be_visible()
    assert vendor.head() == before
    dialog.get_by_role("link", name="Close").click()
    expect(dialog).not_to_be_visible()
    customer.activate(code)


@both
def test_the_subscription_starts_immediately_for_the_keys_months(
    vendor: Vendor, page: Page, manager: str, order: dict[str, object]
) -> None:
    customer = vendor.customer(page)
    customer.activate(vendor.issue(order, months=12), manager)
    (row,) = vendor.view(customer.account)[str(order["product"])]["rows"]
    assert row["status"] == "active"
    year = int(row["started_at"][:4])
    assert row["expires_at"] == row["started_at"].replace(str(year), str(year + 1), 1)


def test_seats_are_available_for_certificate_upload_right_away(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.activate(vendor.issue(seats=1))
    expect(page.get_by_role("status")).to_contain_text("Its seats are available right away.")
    customer.upload(certificates.pem())
    expect(page.get_by_role("status")).to_contain_text("Added.")
    assert customer.row("Certificates")["Status"] == "Active"


def test_connections_can_be_created_up_to_the_seat_count_right_away(
    vendor: Vendor, page: Page
) -> None:
    customer = vendor.customer(page)
    customer.activate(vendor.issue(INT, seats=1), "Integrations")
    customer.connect("Shop", "Growth")
    expect(page.get_by_role("status")).to_contain_text("Added.")
    customer.connect("Second shop", "Growth")
    expect(page.get_by_role("alert").first).to_contain_text("No seat is free: 1 of 1 are taken.")


def test_an_activated_key_cannot_be_redeemed_again_on_any_account(
    vendor: Vendor, page: Page
) -> None:
    code = vendor.issue()
    customer = vendor.customer(page)
    customer.activate(code)
    alert = customer.enter(code).get_by_role("alert")
    expect(alert).to_contain_text("You activated this key on")
    expect(alert).to_contain_text("Cloud POS: 2 seats until")
    dialog = vendor.customer(page).enter(code)
    expect(dialog.get_by_role("alert")).to_contain_text("This activation key is not available")


# Troubleshooting


@pytest.mark.parametrize(("manager", "prefix"), [("POS Manager", "POS"), ("Integrations", "INT")])
@pytest.mark.parametrize("typed", ["ABCD-EFGH-7K2M", "{0}-ABCD-EFGH", "{0}-ABC0-EFGH-7K21", "{0}"])
def test_invalid_key_format_is_told_in_the_guides_words(
    vendor: Vendor, page: Page, manager: str, prefix: str, typed: str
) -> None:
    dialog = vendor.customer(page).enter(typed.format(prefix), manager)
    told = dialog.get_by_role("alert")
    expect(told).to_be_focused()
    expect(told.locator("strong")).to_have_text("Invalid key format")
    expect(told.get_by_role("listitem")).to_have_text(
        [
            (
                f"Confirm the key is exactly {prefix}-XXXX-XXXX-XXXX — a {prefix}- prefix followed"
                " by three groups of four characters"
            ),
            (
                "Keys use uppercase letters and digits 2–9 only (zero and one are never used, to"
                " avoid look-alike characters)"
            ),
            "Trim any extra spaces if you copy-pasted the key from an email",
        ]
    )
    expect(dialog.get_by_label("Activation key")).to_have_value(typed.format(prefix))


def test_spaces_around_a_pasted_key_and_lower_case_are_forgiven(vendor: Vendor, page: Page) -> None:
    dialog = vendor.customer(page).enter(f"  {vendor.issue().lower()}\t")
    expect(dialog.get_by_role("button", name="Activate")).to_be_visible()


@both
def test_an_unknown_activated_or_revoked_key_is_not_available(
    vendor: Vendor, page: Page, manager: str, order: dict[str, object]
) -> None:
    revoked = vendor.ask("POST", "/v1/keys", order)["keys"][0]
    vendor.ask("POST", f"/v1/keys/{revoked['id']}/revoke", {"reason": "Lost"})
    unknown = NEVER_ISSUED if order is POS else NEVER_ISSUED.replace("POS", "INT")
    customer = vendor.customer(page)
    for code in (unknown, revoked["code"], vendor.redeem(vendor.account(), order)):
        told = customer.enter(code, manager).get_by_role("alert")
        expect(told.locator("strong")).to_have_text("This activation key is not available")
        expect(told.get_by_role("listitem")).to_have_text(
            [
                (
                    "The key has already been activated on another account, or it was revoked by"
                    " the reseller before you could redeem it"
                ),
                "Contact your reseller to confirm the key's status",
            ]
        )


@both
def test_after_five_invalid_attempts_further_tries_are_blocked(
    vendor: Vendor, page: Page, manager: str, order: dict[str, object]
) -> None:
    customer = vendor.customer(page)
    for _ in range(5):
        told = customer.enter("nonsense", manager).get_by_role("alert")
        expect(told).to_contain_text("Invalid key format")
    # A good key, a new dialog, another product's page: it is one session.
    customer.enter(vendor.issue(order), manager)
    told = page.get_by_role("dialog").get_by_role("alert")
    expect(told.locator("strong")).to_have_text("Too many failed attempts")
    expect(told.get_by_role("listitem")).to_have_text(
        [
            "After 5 invalid attempts in one session, further tries are blocked",
            "Close the dialog and try again later, or contact your reseller to verify the key",
            "You can try again in 15 minutes.",
        ]
    )


def test_a_visit_of_somebody_else_is_not_blocked(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    for _ in range(6):
        customer.enter("nonsense")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    again = vendor.customer(page, customer.account)
    again.activate(vendor.issue())


@pytest.mark.parametrize(
    ("manager", "order", "says"),
    [
        (
            "POS Manager",
            INT,
            ["POS- keys activate Cloud POS only", "INT- keys activate Integrations"],
        ),
        (
            "Integrations",
            POS,
            ["INT- keys activate Integrations only", "POS- keys activate Cloud POS"],
        ),
    ],
)
def test_a_key_of_the_other_product_is_told_by_its_prefix(
    vendor: Vendor, page: Page, manager: str, order: dict[str, object], says: list[str]
) -> None:
    told = vendor.customer(page).enter(vendor.issue(order), manager).get_by_role("alert")
    expect(told.locator("strong")).to_have_text("Wrong product prefix")
    expect(told.get_by_role("listitem")).to_have_text(
        [*says, "Keys are not interchangeable between products"]
    )


def test_from_the_other_products_dialog_there_is_a_way_on_with_the_key_that_was_typed(
    vendor: Vendor, page: Page
) -> None:
    customer = vendor.customer(page)
    dialog = customer.enter(vendor.issue(INT))
    dialog.get_by_role("button", name="Use it for Integrations").click()
    expect(dialog).to_contain_text("Integrations · Growth")
    dialog.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("status")).to_contain_text("Your subscription has started")
    expect(page.get_by_role("heading", level=1)).to_have_text("Integrations")


def test_the_format_is_checked_while_typing(vendor: Vendor, page: Page) -> None:
    dialog = vendor.customer(page).upgrade()
    dialog.get_by_role("button", name="Activate Key").click()
    field, hint = dialog.get_by_label("Activation key"), dialog.locator("#code-hint")
    for typed, says, invalid in [
        ("pos-abcd-", "three groups of four", "true"),
        ("int-", "begin with POS-", "true"),
        ("INT-ABCD-EFGH-7K2M", "begin with POS-", "true"),
        ("POS-ABCD-EFGH-7K01", "three groups of four", "true"),
        (" pos-abcd-efgh-7k2m ", "This looks like a key.", "false"),
    ]:
        field.fill(typed)
        expect(hint).to_contain_text(says)
        expect(field).to_have_attribute("aria-invalid", invalid)
    assert vendor.seats(vendor.account()) == []
