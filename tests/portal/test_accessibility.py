"""axe finds nothing on any page or dialog, wide and narrow, in light and dark.

That every page there is can be seen and reached by everybody is in test_every_page.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.portal import certificates
from tests.portal.conftest import NewPage
from tests.portal.selling import Seller, at_stripe
from tests.portal.vendor import INT, NEVER_ISSUED, Customer, Vendor

Scheme = Literal["light", "dark"]

LONG = pytest.mark.long
# The others in the long run: tests/test_every_page.py holds light and wide pages to axe.
SEEN = pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("dark", 360),
        pytest.param("light", 1280, marks=LONG),
        pytest.param("light", 360, marks=LONG),
        pytest.param("dark", 1280, marks=LONG),
    ],
)


# What may be pressed is large enough to be hit (WCAG 2.2, 2.5.8); axe looks for it if asked only.
OPTIONS = {"rules": {"target-size": {"enabled": True}}}


def axe_on(page: Page) -> list[dict[str, Any]]:
    """Return what axe finds on a page."""
    found: list[dict[str, Any]] = Axe().run(page, options=OPTIONS).response["violations"]
    return found


def hold_to_axe(page: Page) -> None:
    found = axe_on(page)
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{page.url} is {wider} px wider than the window"


def subscriptions(customer: Customer) -> None:
    customer.open("subscriptions")


def pos_manager(customer: Customer) -> None:
    customer.open("manage/cloud_pos")


def pos_manager_full(customer: Customer) -> None:
    customer.open("manage/cloud_pos")
    customer.upload(certificates.pem("Till 9"))
    expect(customer.page.get_by_role("alert")).to_be_visible()


def integrations(customer: Customer) -> None:
    customer.open("manage/integrations")


def upgrade(customer: Customer) -> None:
    customer.open("upgrade/integrations")


def shop(customer: Customer) -> None:
    customer.open("buy/cloud_pos")


def shop_with_tiers(customer: Customer) -> None:
    customer.open("buy/integrations")


def billing(customer: Customer) -> None:
    customer.open("billing")


def nowhere(customer: Customer) -> None:
    customer.open("nowhere")


def used_link(customer: Customer) -> None:
    customer.page.goto(customer.vendor.link(customer.account))


def left(customer: Customer) -> None:
    customer.open("subscriptions")
    customer.page.get_by_role("button", name="Leave").click()
    expect(customer.page.get_by_text("You have left")).to_be_visible()


STATES = [
    subscriptions,
    pos_manager,
    pos_manager_full,
    integrations,
    upgrade,
    shop,
    shop_with_tiers,
    billing,
    nowhere,
    used_link,
    left,
]


@pytest.fixture(scope="module")
def account(vendor: Vendor) -> str:
    """Return an account that has something of everything: over-use, expired, long names."""
    account = vendor.account()
    vendor.redeem(account, seats=1)
    vendor.redeem(account, seats=2)
    for n, days in enumerate([{}, {"ends_days": -1}, {"starts_days": 1}], start=1):
        found = certificates.known(f"Till {n}", **days)
        vendor.sit(account, found.holder, label=found.label)
    row = vendor.view(account)["cloud_pos"]["rows"][0]["subscription"]
    vendor.ask(
        "POST", f"/v1/accounts/{account}/subscriptions/{row}/terminate", {"reason": "Paid back"}
    )
    later = {"code": vendor.issue(), "account": account, "session": "v"}
    vendor.ask("POST", "/v1/keys/redeem", {**later, "start": "when_current_ends"})
    vendor.redeem(account, INT, seats=1)
    vendor.sit(account, "con-1", "integrations", tier="growth", label="W" * 300)
    return account


@SEEN
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(
    vendor: Vendor,
    new_page: NewPage,
    account: str,
    state: Callable[[Customer], None],
    scheme: Scheme,
    width: int,
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    customer = vendor.customer(page, account, permissions=["manage_users"])
    state(customer)
    hold_to_axe(page)


def dialogs(customer: Customer) -> Iterator[str]:
    """Go through everything that the dialog of POS Manager can show, in one load of the page."""
    page, vendor = customer.page, customer.vendor
    dialog, code = page.locator("#dialog"), page.locator("#code")

    def validate(typed: str) -> None:
        code.fill(typed)
        dialog.locator("form:has(#code) button").click()

    customer.open("manage/cloud_pos")
    page.locator("form[action$='/upgrade/cloud_pos'] button").click()
    expect(dialog.locator("#card-key")).to_be_visible()
    yield "the choice"
    dialog.locator("form[action$='/key'] button").click()
    expect(code).to_be_focused()
    yield "the key"
    code.fill("INT-")
    expect(code).to_have_attribute("aria-invalid", "true")
    yield "what cannot be a key of it"
    validate(NEVER_ISSUED)
    expect(dialog.get_by_role("alert")).to_be_visible()
    yield "a refusal"
    validate(vendor.issue(INT))
    expect(dialog.locator("[name=code][type=hidden]")).to_be_attached()
    yield "a key of another product"
    validate(vendor.issue())
    expect(dialog.get_by_role("radio")).to_have_count(2)
    yield "the review of a renewal"


@pytest.mark.parametrize(
    ("scheme", "width", "locale"),
    [
        ("dark", 360, "en-GB"),
        ("light", 1280, "de-DE"),
        pytest.param("light", 360, "de-DE", marks=LONG),
        pytest.param("dark", 1280, "en-GB", marks=LONG),
    ],
)
def test_axe_finds_nothing_in_a_dialog(
    vendor: Vendor, new_page: NewPage, scheme: Scheme, width: int, locale: str
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800}, locale=locale)
    account = vendor.account()
    vendor.redeem(account)
    for shown in dialogs(vendor.customer(page, account)):
        assert axe_on(page) == [], shown
    page.goto(f"{vendor.url}/console/design")
    page.locator("[name=token]").fill(
        vendor.program.json("tokens", "create", "--role", "admin")["token"]
    )
    page.keyboard.press("Enter")
    page.locator("[data-opens=sample-dialog]").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe_on(page) == []


@SEEN
def test_axe_finds_nothing_where_there_is_nothing_yet(
    vendor: Vendor, new_page: NewPage, scheme: Scheme, width: int
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    customer = vendor.customer(page)
    for path in ("subscriptions", "manage/cloud_pos", "manage/integrations", "buy/integrations"):
        customer.open(path)
        hold_to_axe(page)


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=LONG), "dark"])
def test_a_page_in_german_is_marked_as_such(
    vendor: Vendor, new_page: NewPage, scheme: Scheme
) -> None:
    page = new_page(color_scheme=scheme, locale="de-DE")
    vendor.customer(page)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    hold_to_axe(page)


@SEEN
def test_axe_finds_nothing_on_what_is_bought_at_stripe(
    seller: Seller, new_page: NewPage, scheme: Scheme, width: int
) -> None:
    account = seller.account()
    seller.redeem(account)
    seller.subscribe(account)
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    customer = seller.customer(page, account, permissions=["manage_users"])
    for path in ("subscriptions", "buy/cloud_pos", "buy/integrations", "billing"):
        customer.open(path)
        hold_to_axe(page)


@SEEN
def test_axe_finds_nothing_on_billing(
    team_seller: Seller, new_page: NewPage, scheme: Scheme, width: int
) -> None:
    account = team_seller.account()
    subscription = team_seller.subscribe(account, product="team", seats=5)
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    customer = team_seller.customer(page, account, permissions=["manage_users"])
    for status in ("active", "past_due", "canceled"):
        at_stripe(team_seller, subscription)["status"] = status
        customer.open("billing")
        expect(page.locator("#status")).not_to_have_text("Inactive")
        hold_to_axe(page)
    customer.open("manage/team")
    hold_to_axe(page)
