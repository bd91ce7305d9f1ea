"""For everyone: by keyboard, without a script, in another language, in another zone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.conftest import NewPage
from tests.portal.keyboard import outlined, press_until
from tests.portal.vendor import INT, Customer, Vendor

# The keyboard


def test_a_link_is_opened_by_enter(vendor: Vendor, page: Page) -> None:
    page.goto(vendor.link(vendor.account()))
    expect(page.get_by_role("button", name="Continue")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/subscriptions")


def test_the_first_tab_skips_to_the_content(vendor: Vendor, page: Page) -> None:
    vendor.customer(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, "Buy Cloud POS Plan", most=1)


def test_a_key_is_activated_by_keyboard(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    press_until(page, "POS Manager")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("POS Manager")
    press_until(page, "Upgrade Plan")
    assert outlined(page)
    page.keyboard.press("Space")
    dialog = page.get_by_role("dialog", name="Upgrade Plan")
    expect(dialog).to_be_visible()
    press_until(page, "Activate Key")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Activation key")).to_be_focused()
    page.keyboard.type(vendor.issue())
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Review the package")).to_be_visible()
    press_until(page, "Activate")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_focused()
    assert vendor.view(customer.account)["cloud_pos"]["seats"] == 2


def test_what_came_into_the_dialog_can_be_sent_at_once(vendor: Vendor, page: Page) -> None:
    vendor.customer(page).go("POS Manager")
    page.evaluate(
        """(code) => document.addEventListener("htmx:afterSwap", () => queueMicrotask(() => {
          const field = document.querySelector("dialog[open] [data-prefix]");
          if (!field || field.value) return;
          field.value = code;
          field.form.requestSubmit();
        }))""",
        vendor.issue(),
    )
    page.get_by_role("button", name="Upgrade Plan").click()
    page.get_by_role("dialog").get_by_role("button", name="Activate Key").click()
    expect(page.get_by_role("dialog", name="Review the package")).to_be_visible()


def test_escape_closes_the_dialog_and_the_focus_is_where_it_was(vendor: Vendor, page: Page) -> None:
    vendor.customer(page).go("POS Manager")
    press_until(page, "Upgrade Plan")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    press_until(page, "Purchase Seats")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Upgrade Plan")).to_be_focused()


def test_a_connection_is_added_and_removed_by_keyboard(vendor: Vendor, page: Page) -> None:
    account = vendor.account()
    vendor.redeem(account, INT)
    customer = vendor.customer(page, account)
    customer.open("manage/integrations")
    press_until(page, "Tier")
    page.keyboard.type("Growth")
    press_until(page, "Name")
    page.keyboard.type("Web shop")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_focused()
    press_until(page, "Remove connection: Web shop")
    assert outlined(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Remove Web shop?")
    press_until(page, "Remove Web shop")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Removed.")


# Without a script


@pytest.fixture
def plain(vendor: Vendor, new_page: NewPage) -> Customer:
    """Return somebody whose browser runs no script."""
    account = vendor.account()
    vendor.redeem(account)
    vendor.redeem(account, INT)
    return vendor.customer(
        new_page(java_script_enabled=False), account, permissions=["manage_users"]
    )


def test_a_key_is_activated_without_a_script(plain: Customer) -> None:
    page = plain.page
    plain.go("POS Manager")
    page.get_by_role("button", name="Upgrade Plan").click()
    page.get_by_role("button", name="Activate Key").click()
    for typed, says in [
        ("POS-1", "Invalid key format"),
        (plain.vendor.issue(INT), "Wrong product prefix"),
        ("POS-ABCD-EFGH-7K2M", "This activation key is not available"),
    ]:
        page.get_by_label("Activation key").fill(typed)
        page.get_by_role("button", name="Validate", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text(says)
    page.get_by_label("Activation key").fill(plain.vendor.issue(seats=5))
    page.get_by_role("button", name="Validate", exact=True).click()
    expect(page.get_by_role("definition").first).to_have_text("Cloud POS")
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("status")).to_contain_text("Your subscription has started.")
    expect(plain.panel("Certificates")).to_contain_text("Used 0 / 7")


def test_closing_leads_back_without_a_script(plain: Customer) -> None:
    plain.open("upgrade/cloud_pos/key")
    plain.page.get_by_role("link", name="Close").click()
    expect(plain.page.get_by_role("heading", level=1)).to_have_text("POS Manager")


def test_seats_are_taken_and_given_back_without_a_script(plain: Customer) -> None:
    page = plain.page
    plain.go("POS Manager")
    plain.upload(certificates.pem())
    expect(page.get_by_role("status")).to_contain_text("Added.")
    plain.remove("Till 1")
    expect(page.get_by_role("status")).to_contain_text("Removed.")
    plain.go("Integrations", "Integrations")
    plain.connect("Web shop", "Growth")
    expect(page.get_by_role("status")).to_contain_text("Added.")
    plain.remove("Web shop", "connection")
    expect(page.get_by_role("status")).to_contain_text("Removed.")


def test_every_page_is_read_without_a_script(plain: Customer) -> None:
    page = plain.page
    links = page.get_by_role("navigation").get_by_role("link")
    titles = links.all_inner_texts()
    assert titles == [
        "Subscriptions",
        "Notices",
        "Buy POS License",
        "Buy Integration License",
        "POS Manager",
        "Integrations",
        "Billing",
    ]
    for n, title in enumerate(titles):
        links.nth(n).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_without_a_script_times_are_utc_and_say_so(plain: Customer) -> None:
    plain.open("subscriptions")
    (row,) = plain.vendor.view(plain.account)["cloud_pos"]["rows"]
    shown = plain.panel("Cloud POS").locator("time").first
    expect(shown).to_have_text(re.compile(r"^\w+ \d+, \d{4}, .* UTC$"))
    expect(shown).to_have_attribute("datetime", row["started_at"])


def test_leaving_works_without_a_script(plain: Customer) -> None:
    page = plain.page
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have left")
    plain.open("subscriptions")
    expect(page.get_by_role("alert")).to_contain_text("Please come in by a link")


# Languages and zones


def test_texts_are_in_the_language_that_the_browser_asks_for(
    vendor: Vendor, new_page: NewPage
) -> None:
    page = new_page(locale="de-AT")
    vendor.customer(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Abos")
    expect(page.locator("html")).to_have_attribute("lang", "de")


def test_another_language_can_be_chosen_and_stays(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.go("POS Manager")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("button", name="Zertifikat hinzufügen")).to_be_visible()
    page.get_by_role("link", name="Abos").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Abos")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")


def test_a_language_nobody_has_translated_is_english(vendor: Vendor, new_page: NewPage) -> None:
    page = new_page(locale="fi-FI")
    vendor.customer(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")


@pytest.mark.parametrize(
    ("locale", "zone", "shown"),
    [
        ("en-GB", "Asia/Tokyo", "1 Mar 2026, 21:30"),
        ("de-DE", "America/New_York", "01.03.2026, 07:30"),
        ("fr-FR", "UTC", "1 mars 2026, 12:30"),
    ],
)
def test_times_are_in_the_readers_own_zone_and_language(
    vendor: Vendor, new_page: NewPage, locale: str, zone: str, shown: str
) -> None:
    page = new_page(locale=locale, timezone_id=zone)
    vendor.customer(page)
    page.set_content("")
    page.goto(f"{vendor.url}/portal/subscriptions")
    time = '<time datetime="2026-03-01T12:30:00.000000Z" title="exact">UTC</time>'
    page.route(
        "**/portal/subscriptions",
        lambda route: route.fulfill(
            response=(answer := route.fetch()), body=answer.text().replace("<h1>", f"{time}<h1>")
        ),
    )
    page.reload()
    expect(page.locator("time").first).to_have_text(shown)


def test_the_exact_time_in_utc_is_on_hover(vendor: Vendor, new_page: NewPage) -> None:
    account = vendor.account()
    vendor.redeem(account)
    page = new_page(timezone_id="Asia/Tokyo")
    customer = vendor.customer(page, account)
    (row,) = vendor.view(account)["cloud_pos"]["rows"]
    exact = row["started_at"][:19].replace("T", " ") + " UTC"
    shown = customer.panel("Cloud POS").locator("time").first
    expect(shown).to_have_attribute("title", exact)


def test_leaving_leads_back_to_where_the_portal_said(
    vendor: Vendor, page: Page, other_site: str
) -> None:
    customer = vendor.customer(page, return_url=f"{other_site}/")
    page.get_by_role("button", name="Leave and go back").click()
    page.wait_for_url(f"{other_site}/")
    customer.open("subscriptions")
    expect(page.get_by_role("alert")).to_contain_text("Please come in by a link")
