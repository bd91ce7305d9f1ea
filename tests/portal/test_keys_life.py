"""From a reseller's key to the end of its subscription, with a clock that is moved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cli.program import Program
from tests.portal.conftest import NewPage
from tests.portal.vendor import INT, POS, Vendor

START = "2026-01-31T10:00:00Z"

both = pytest.mark.parametrize(
    ("manager", "panel", "order"),
    [("POS Manager", "Cloud POS", POS), ("Integrations", "Integrations", INT)],
)


@dataclass(kw_only=True)
class Timed(Vendor):
    """A vendor whose clock a file holds."""

    clock: Path

    def be(self, at: str) -> None:
        self.clock.write_text(at + "\n")


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    folder = tmp_path_factory.mktemp("timed")
    clock = folder / "clock"
    clock.write_text(START + "\n")
    program = Program(folder, {"KEYFOLD_TEST_CLOCK": "clock"})
    program.done("db", "upgrade")
    with program.served() as server:
        yield Timed(program, server, clock=clock)


@both
def test_a_reseller_issues_keys_that_its_customers_activate(
    timed: Timed, page: Page, manager: str, panel: str, order: dict[str, object]
) -> None:
    made = timed.program.json("tokens", "create", "--role", "reseller", "--reseller", "Northwind")
    timed.tokens["reseller"] = made["token"]
    tier = ("--tier", str(order["tier"])) if order.get("tier") else ()
    granted = ("--product", str(order["product"]), *tier, "--seats", "100", "--reason", "Contract")
    timed.program.done("resellers", "grant", "Northwind", *granted)
    code = timed.ask("POST", "/v1/keys", order, "reseller")["keys"][0]["code"]
    customer = timed.customer(page)
    customer.activate(code, manager)
    customer.go("Subscriptions")
    assert customer.row(panel)["Source"].endswith(code[-4:])


@both
def test_an_activated_key_is_marked_as_such(
    timed: Timed, page: Page, manager: str, panel: str, order: dict[str, object]
) -> None:
    key = timed.ask("POST", "/v1/keys", order)["keys"][0]
    customer = timed.customer(page)
    customer.activate(key["code"], manager)
    marked = timed.ask("GET", f"/v1/keys/{key['id']}")
    assert (marked["status"], marked["redeemed_by"]) == ("redeemed", customer.account)
    customer.go("Subscriptions")
    assert customer.row(panel)["Source"].startswith("Activation key")


@both
def test_a_subscription_ends_after_the_keys_months(
    timed: Timed, new_page: NewPage, manager: str, panel: str, order: dict[str, object]
) -> None:
    timed.be(START)
    account = timed.account()
    timed.customer(new_page(), account).activate(timed.issue(order, months=1), manager)
    for at, rows in (("2026-02-28T09:59:00Z", 1), ("2026-02-28T10:00:00Z", 0)):
        timed.be(at)
        customer = timed.customer(new_page(), account)
        expect(customer.panel(panel).get_by_role("table")).to_have_count(rows)
    expect(customer.panel(panel)).to_contain_text("You don't have any active")


@both
def test_when_it_has_ended_a_new_key_is_activated_the_same_way(
    timed: Timed, new_page: NewPage, manager: str, panel: str, order: dict[str, object]
) -> None:
    timed.be(START)
    account = timed.account()
    timed.customer(new_page(), account).activate(timed.issue(order, months=1), manager)
    timed.be("2026-03-15T10:00:00Z")
    customer = timed.customer(new_page(), account)
    customer.activate(timed.issue(order, seats=9), manager)
    customer.go("Subscriptions")
    assert customer.row(panel)["Seats"] == "9"


@both
def test_what_ends_soon_is_renewed_by_a_key_that_begins_when_it_ends(
    timed: Timed, new_page: NewPage, manager: str, panel: str, order: dict[str, object]
) -> None:
    timed.be(START)
    account = timed.account()
    timed.customer(new_page(), account).activate(timed.issue(order, months=1), manager)
    timed.be("2026-02-20T10:00:00Z")
    customer = timed.customer(new_page(), account)
    banner = customer.panel(panel).locator(".said")
    expect(banner).to_contain_text("2 seats end on 28 Feb 2026")
    banner.get_by_role("link", name="Activate a key").click()
    expect(customer.page.get_by_role("heading", level=1)).to_have_text("Activate Key")
    dialog = customer.enter(timed.issue(order, seats=3), manager)
    expect(dialog).to_contain_text("ends on 28 Feb 2026, 10:00: it gives 2 seats.")
    expect(dialog.get_by_label("Now: 3 seats more, until 20 Feb 2027")).to_be_checked()
    dialog.get_by_label("As a renewal: 3 seats from 28 Feb 2026").check()
    dialog.get_by_role("button", name="Activate").click()
    expect(customer.page.get_by_role("status")).to_contain_text("Its seats begin when")
    expect(banner).to_have_count(0)
    now, later = customer.panel(panel).get_by_role("table").all()
    expect(now.get_by_role("row")).to_have_count(2)
    expect(later).to_contain_text("28 Feb 2027")
    timed.be("2026-02-28T10:00:00Z")
    customer = timed.customer(new_page(), account)
    assert customer.row(panel)["Seats"] == "3"


def test_a_renewal_that_would_begin_at_another_time_is_shown_anew(
    timed: Timed, new_page: NewPage
) -> None:
    timed.be(START)
    account = timed.account()
    timed.customer(new_page(), account).activate(timed.issue(POS, months=1), "POS Manager")
    reviewed = []
    for _tab in range(2):
        customer = timed.customer(new_page(), account)
        dialog = customer.enter(timed.issue(POS, seats=3), "POS Manager")
        dialog.get_by_label("As a renewal: 3 seats from 28 Feb 2026").check()
        reviewed.append((customer, dialog))
    (first, its), (second, other) = reviewed
    its.get_by_role("button", name="Activate").click()
    expect(first.page.get_by_role("status")).to_contain_text("Its seats begin when")
    other.get_by_role("button", name="Activate").click()
    shown = second.page.locator("#upgrade")
    expect(shown).to_contain_text("nothing was activated")
    # It follows what the first has begun.
    shown.get_by_label(re.compile("As a renewal: 3 seats from 28 Feb 2027")).check()
    shown.get_by_role("button", name="Activate").click()
    expect(second.page.get_by_role("status")).to_contain_text("Its seats begin when")


@both
def test_after_its_end_a_panel_says_which_key_ended_and_asks_for_another(
    timed: Timed, new_page: NewPage, manager: str, panel: str, order: dict[str, object]
) -> None:
    timed.be(START)
    account = timed.account()
    code = timed.issue(order, months=1)
    timed.customer(new_page(), account).activate(code, manager)
    timed.be("2026-03-10T10:00:00Z")
    customer = timed.customer(new_page(), account)
    expect(customer.panel(panel)).to_contain_text(f"{code[-4:]} ended on 28 Feb 2026")
    expect(customer.panel(panel).get_by_role("button")).to_have_count(2)
    customer.panel(panel).get_by_role("button", name="Activate a key").click()
    expect(customer.page.get_by_role("heading", level=1)).to_have_text("Activate Key")


@both
def test_later_a_blocked_session_may_try_again(
    timed: Timed, page: Page, manager: str, panel: str, order: dict[str, object]
) -> None:
    timed.be("2026-03-20T10:00:00Z")
    customer = timed.customer(page, minutes=60)
    for _ in range(6):
        told = customer.enter("nonsense", manager).get_by_role("alert")
        expect(told).to_be_visible()
    expect(told).to_contain_text("Too many failed attempts")
    timed.be("2026-03-20T10:15:00Z")
    customer.activate(timed.issue(order), manager)


# The visit itself has an end


def test_a_link_that_was_not_opened_in_time_is_refused(timed: Timed, page: Page) -> None:
    timed.be("2026-03-21T10:00:00Z")
    link = timed.link(timed.account(), minutes=5)
    timed.be("2026-03-21T10:05:00Z")
    before = timed.head()
    page.goto(link)
    page.get_by_role("button", name="Continue").click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("This link has expired")
    expect(told).to_contain_text("open these pages again from there")
    assert timed.head() == before


def test_a_visit_ends_and_says_how_to_come_back(timed: Timed, page: Page) -> None:
    timed.be("2026-03-22T10:00:00Z")
    customer = timed.customer(page, minutes=5)
    customer.go("POS Manager")
    timed.be("2026-03-22T10:41:00Z")
    before = timed.head()
    page.get_by_label("Certificate file").set_input_files(
        {"name": "a", "mimeType": "text/plain", "buffer": b"a"}
    )
    page.get_by_role("button", name="Add certificate").click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Your visit is over")
    expect(told).to_contain_text("open these pages again from there")
    assert timed.head() == before


def test_a_test_clock_is_told_on_every_page(timed: Timed, page: Page) -> None:
    timed.be("2026-03-23T10:00:00Z")
    customer = timed.customer(page)
    for path in ("subscriptions", "manage/cloud_pos", "buy/cloud_pos", "nowhere"):
        customer.open(path)
        expect(page.get_by_role("note")).to_contain_text("test clock")
