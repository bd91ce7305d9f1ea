"""From 320 px on, in any language: no button is cut off or touches another, nothing is too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.conftest import NewPage
from tests.portal.selling import Seller
from tests.portal.vendor import INT, Vendor
from web.html.languages import LANGUAGES

WIDTHS = (320, 360, 768, 1024, 1280)
LOCALES = {"en": "en-GB", "de": "de-DE"}
# What is wider than the window, from the outside in, to tell whose fault it is.
WIDER = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 0.5)
  .slice(-3).map((one) => one.outerHTML.slice(0, 120))"""
# A button whose text is cut off, or that touches the next one.
CUT_OFF = """() => [...document.querySelectorAll("button, [role=button]")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText)"""
TOUCHING = """() => {
  const shown = (one) => one.checkVisibility() && one.offsetWidth;
  const its = [...document.querySelectorAll("button")].filter(shown)
    .map((one) => [one.innerText, one.getBoundingClientRect()]);
  const near = (a, b) => a.left < b.right + 4 && b.left < a.right + 4
    && a.top < b.bottom + 4 && b.top < a.bottom + 4;
  return its.flatMap(([text, a], i) => its.slice(i + 1)
    .filter(([, b]) => near(a, b)).map(([other]) => `${text} / ${other}`));
}"""


@pytest.fixture(params=LANGUAGES)
def locale(request: pytest.FixtureRequest) -> str:
    return LOCALES[request.param]


def complaints(page: Page, paths: list[str], url: str) -> list[object]:
    """Return what is wrong with some pages, at each width."""
    found: list[object] = []
    for path in paths:
        page.goto(f"{url}/{path}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            cut_off, touching = page.evaluate(CUT_OFF), page.evaluate(TOUCHING)
            if wider > 0:
                found.append((path, width, wider, page.evaluate(WIDER)))
            if cut_off or touching:
                found.append((path, width, cut_off, touching))
    return found


def furnish(vendor: Vendor, account: str) -> None:
    """Give an account something of everything, with names as long as there are."""
    vendor.redeem(account, seats=2)
    for name, days in (("Till 1", {}), ("Till 2", {"ends_days": -1})):
        found = certificates.known(name, **days)
        vendor.sit(account, found.holder, label=found.label)
    vendor.redeem(account, INT, seats=1)
    vendor.sit(account, "con-1", "integrations", tier="growth", label="W" * 300)


def test_the_customers_pages_fit(seller: Seller, new_page: NewPage, locale: str) -> None:
    account = seller.account()
    furnish(seller, account)
    seller.subscribe(account, seats=4)
    customer = seller.customer(
        new_page(locale=locale), account, permissions=["manage_users"], display_name="Acme " * 10
    )
    head = seller.seats(account)[0]["holder"]
    paths = [
        *("subscriptions", "billing", "nowhere"),
        *("manage/cloud_pos", "manage/integrations", f"manage/cloud_pos/remove?holder={head}"),
        *("buy/cloud_pos", "buy/integrations", "upgrade/cloud_pos", "upgrade/cloud_pos/key"),
    ]
    found = complaints(customer.page, paths, f"{seller.url}/portal")
    customer.open("buy/cloud_pos")
    customer.page.locator("form:has(#seats) button").click()
    expect(customer.page.get_by_role("button", name="€")).to_be_visible()
    for width in WIDTHS:
        customer.page.set_viewport_size({"width": width, "height": 800})
        found += customer.page.evaluate(WIDER)
    assert found == [], "\n".join(map(str, found))


def test_the_pages_of_billed_users_fit(team_seller: Seller, new_page: NewPage, locale: str) -> None:
    account = team_seller.account()
    team_seller.subscribe(account, product="team", seats=3)
    for number in range(4):
        team_seller.sit(account, f"user-{number}", "team", label=f"User {number}")
    customer = team_seller.customer(new_page(locale=locale), account, permissions=["manage_users"])
    paths = ["subscriptions", "billing", "manage/team", "buy/team", "upgrade/team"]
    found = complaints(customer.page, paths, f"{team_seller.url}/portal")
    assert found == [], "\n".join(map(str, found))


def test_the_page_of_a_link_fits_and_stands_in_the_middle(
    vendor: Vendor, new_page: NewPage, locale: str
) -> None:
    page = new_page(locale=locale)
    link = vendor.link(vendor.account()).removeprefix(f"{vendor.url}/")
    for path in (link, "console/sign-in"):
        assert complaints(page, [path], vendor.url) == []
        box = page.locator(".notice").bounding_box()
        assert box
        assert abs(box["x"] + box["width"] / 2 - WIDTHS[-1] / 2) < 20


def test_on_a_phone_the_menu_is_folded_until_it_is_asked_for(vendor: Vendor, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    vendor.customer(page)
    menu = page.get_by_role("navigation")
    expect(menu.get_by_role("link", name="POS Manager")).to_be_hidden()
    page.get_by_role("button", name="Menu").press("Enter")
    menu.get_by_role("link", name="POS Manager").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("POS Manager")
    expect(menu.get_by_role("link", name="POS Manager")).to_be_hidden()
    page.set_viewport_size({"width": 1024, "height": 800})
    expect(menu.get_by_role("link", name="POS Manager")).to_be_visible()
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()
