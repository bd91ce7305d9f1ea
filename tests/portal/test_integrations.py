"""Integrations: connections by tier."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.portal.vendor import INT, Customer, Vendor

TIERS = {
    "Starter": ("Up to 300", "Basic"),
    "Growth": ("Up to 3,000", "Near real-time + auto retry"),
    "Scale": ("Up to 10,000", "Real-time + multi-location"),
}


def at_integrations(vendor: Vendor, page: Page, *tiers: str, seats: int = 2) -> Customer:
    account = vendor.account()
    for tier in tiers:
        vendor.redeem(account, INT, tier=tier.lower(), seats=seats)
    customer = vendor.customer(page, account)
    customer.go("Integrations", "Integrations")
    return customer


@pytest.mark.parametrize(("tier", "limits"), TIERS.items())
def test_a_tier_shows_its_invoices_and_its_sync(
    vendor: Vendor, page: Page, tier: str, limits: tuple[str, str]
) -> None:
    customer = at_integrations(vendor, page)
    shown = customer.panel(tier)
    expect(shown.get_by_role("term")).to_have_text(["Invoices / Month", "Sync"])
    expect(shown.get_by_role("definition")).to_have_text(list(limits))


def test_a_connection_takes_one_seat_at_its_tier(vendor: Vendor, page: Page) -> None:
    customer = at_integrations(vendor, page, "Starter", "Growth")
    customer.connect("Web shop", "Growth")
    expect(page.get_by_role("status")).to_contain_text("Added.")
    expect(customer.panel("Growth")).to_contain_text("Used 1 / 2")
    expect(customer.panel("Starter")).to_contain_text("Used 0 / 2")
    (seat,) = vendor.seats(customer.account)
    assert (seat["tier"], seat["label"]) == ("growth", "Web shop")


def test_removing_a_connection_frees_its_seat(vendor: Vendor, page: Page) -> None:
    customer = at_integrations(vendor, page, "Scale")
    customer.connect("Web shop", "Scale")
    customer.remove("Web shop", "connection")
    expect(page.get_by_role("status")).to_contain_text("Removed.")
    assert vendor.seats(customer.account) == []


def test_a_full_tier_takes_no_more_though_another_has_room(vendor: Vendor, page: Page) -> None:
    customer = at_integrations(vendor, page, "Starter", "Growth", seats=1)
    customer.connect("Web shop", "Growth")
    expect(customer.panel("Growth")).to_contain_text("Remove a connection before adding a new one.")
    customer.connect("Second shop", "Growth")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("No seat is free: 1 of 1 are taken.")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Second shop")
    expect(page.get_by_label("Tier", exact=True)).to_have_value("growth")
    customer.connect("Second shop", "Starter")
    expect(page.get_by_role("status")).to_contain_text("Added.")


@pytest.mark.parametrize("name", [" ", "a\u202eb"])
def test_a_name_that_nobody_could_read_is_refused(vendor: Vendor, page: Page, name: str) -> None:
    customer = at_integrations(vendor, page, "Growth")
    customer.connect(name, "Growth")
    expect(page.get_by_role("alert")).to_contain_text("Please give it a name")
    assert vendor.seats(customer.account) == []


def test_a_name_is_shown_as_it_is_and_never_as_markup(vendor: Vendor, page: Page) -> None:
    name = "<img src=x onerror=alert(1)> \"Shop\" & 'Co'"
    customer = at_integrations(vendor, page, "Growth")
    customer.connect(name, "Growth")
    assert customer.row("Growth")["Name"].startswith(name)
    expect(page.locator("main img")).to_have_count(0)
