"""The Notices page: what became of the account's seats and will, and links to read it elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.portal.conftest import NewPage
from tests.portal.test_accessibility import hold_to_axe
from tests.portal.vendor import Vendor


def test_a_link_is_made_shown_once_and_revoked(vendor: Vendor, new_page: NewPage) -> None:
    customer = vendor.customer(new_page(viewport={"width": 360, "height": 800}))
    vendor.redeem(customer.account)
    customer.open("notices")
    page = customer.page
    expect(page.get_by_role("article", name="In the last 90 days")).to_contain_text(
        "Start: Cloud POS, 2 seats"
    )
    expect(page.get_by_role("article", name="To come")).to_contain_text("Ends on ")
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_role("button", name="Copy the address of the feed")).to_be_visible()
    hold_to_axe(page)
    for label, begins in [("For a calendar", b"BEGIN:VCALENDAR"), ("For a feed reader", b"<?xml")]:
        path = urlsplit(page.get_by_label(label).input_value()).path
        got = page.request.get(vendor.url + path)
        assert (got.status, got.body().startswith(begins)) == (200, True)
    customer.open("notices")
    expect(page.get_by_label("For a calendar")).to_have_count(0)
    page.locator("summary", has_text="Revoke").click()
    page.get_by_role("button", name="Revoke the link").click()
    expect(page.get_by_role("status")).to_contain_text("The link shows nothing any more")
    assert page.request.get(vendor.url + path).status == 410


def test_links_are_for_who_may_manage_payments(vendor: Vendor, new_page: NewPage) -> None:
    customer = vendor.customer(new_page(complaints_expected=True), permissions=["buy"])
    customer.open("notices")
    page = customer.page
    expect(page.get_by_role("article", name="To come")).to_be_visible()
    expect(page.get_by_role("button", name="Make a link")).to_have_count(0)
    token = str(page.locator("[name=form_token]").first.get_attribute("value"))
    form: dict[str, str | float | bool] = {"form_token": token}
    other = vendor.ask("POST", "/v1/notices/links", {"account": "another"})["id"]
    assert page.request.post(f"{vendor.url}/portal/notices/links", form=form).status == 403
    may = vendor.customer(new_page(complaints_expected=True))
    token = str(may.page.locator("[name=form_token]").first.get_attribute("value"))
    path = f"/portal/notices/links/{other}/revoke"
    got = may.page.request.post(vendor.url + path, form={"form_token": token})
    assert got.status == 404
