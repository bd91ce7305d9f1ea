"""The console in a Chromium: by keyboard, without a script, and with nothing for axe to find."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.portal.conftest import NewPage
from tests.portal.test_accessibility import hold_to_axe
from tests.portal.vendor import INT, POS, Vendor

Scheme = Literal["light", "dark"]

_resellers = itertools.count(1)


class World(NamedTuple):
    """An account with a history, and what it was given."""

    account: str
    key: str
    batch: str


@pytest.fixture
def world(vendor: Vendor) -> World:
    account = vendor.account()
    vendor.redeem(account, seats=2)
    vendor.sit(account, "till-1", label="Front desk")
    vendor.sit(account, "till-2")
    vendor.redeem(account, INT)
    vendor.sit(account, "con-1", "integrations", tier="growth", label="W" * 300)
    issued = vendor.ask("POST", "/v1/keys", {**POS, "count": 3, "note": "For the fair"})
    return World(account, issued["keys"][0]["id"], issued["batch"])


def token_of(vendor: Vendor, role: str, *arguments: str) -> str:
    return str(vendor.program.json("tokens", "create", "--role", role, *arguments)["token"])


def sign_in(vendor: Vendor, page: Page, role: str, path: str = "", *arguments: str) -> None:
    page.goto(f"{vendor.url}/console/{path}")
    page.get_by_label("Access token").fill(token_of(vendor, role, *arguments))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def tab_to(page: Page, name: str, tag: str, limit: int = 120) -> None:
    """Press Tab until an element that is called so is reached."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(({tagName, ariaLabel, labels, textContent}) => [tagName, ariaLabel ||"
            " (labels && labels.length ? labels[0].textContent : textContent)])"
            "(document.activeElement)"
        )
        if focused[0].lower() == tag and name in focused[1]:
            return
    raise AssertionError(f"no {tag} {name!r} is reached by Tab")


def test_search_account_slider_and_explain_by_keyboard(
    vendor: Vendor, page: Page, world: World
) -> None:
    page.goto(f"{vendor.url}/console/")
    tab_to(page, "Access token", "input")
    page.keyboard.type(token_of(vendor, "support"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(world.account)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Account {world.account}")
    assert page.url.endswith(f"/console/accounts/{world.account}")

    # The slider: from now back to the first event, and one on.
    state = page.locator("#state")
    expect(state.get_by_role("heading", level=2)).to_have_text("As it is now")
    tab_to(page, "Moment", "input")
    slider = page.get_by_role("slider")
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    expect(state.get_by_role("heading", level=2)).to_contain_text("As of")
    assert "redeemed: 2 Cloud POS seats" in str(slider.get_attribute("aria-valuetext"))
    expect(state.get_by_text("Used 0 / 2")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(state.get_by_text("Used 1 / 2")).to_be_visible()
    expect(slider).to_be_focused()
    tab_to(page, "As we knew it then", "input")
    page.keyboard.press("Space")
    expect(state).to_contain_text("As we knew it then: only what was recorded by")

    # What is on the screen, by its link.
    shown = state.get_by_role("article").first.inner_text()
    link = state.get_by_role("link", name="Link to this view")
    page.goto(vendor.url + str(link.get_attribute("href")))
    assert page.locator("#state").get_by_role("article").first.inner_text() == shown
    expect(page.get_by_role("switch")).to_be_checked()

    # Why?
    tab_to(page, "Holder", "input")
    page.keyboard.type("till-1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Why?")
    answer = page.locator("#answer")
    expect(answer).to_be_focused()
    expect(answer).to_contain_text("Holder till-1")
    expect(page.get_by_role("list").last).to_be_visible()
    tab_to(page, "took a Cloud POS seat", "a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("account: seat occupied")


def test_a_key_is_issued_revoked_and_filed_in_a_browser(
    vendor: Vendor, page: Page, tmp_path: Path
) -> None:
    reseller = f"Reseller {next(_resellers)}"
    granted = ("--product", "cloud_pos", "--seats", "6", "--reason", "Contract")
    vendor.program.done("resellers", "grant", reseller, *granted)
    sign_in(vendor, page, "reseller", "issue", "--reseller", reseller)
    page.get_by_label("Seats of each key").fill("3")
    page.get_by_label("How many keys").fill("2")
    page.get_by_label("Reason", exact=True).fill("Order 4711")
    page.get_by_role("button", name="Issue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 keys issued")
    codes = page.get_by_role("list", name="Codes").get_by_role("listitem").all_inner_texts()
    head = vendor.head()
    # Loaded again, the same order is sent again; that its codes were shown again is on record once.
    page.reload()
    assert page.get_by_role("list", name="Codes").inner_text().split() == codes
    for _ in range(2):
        with page.expect_download() as download:
            page.get_by_role("button", name="Download as CSV").click()
        download.value.save_as(tmp_path / "codes.csv")
        assert all(code in (tmp_path / "codes.csv").read_text() for code in codes)
        expect(page.locator("form[data-sent]")).to_have_count(0)
    assert vendor.head() == head + 1
    page.go_back()
    page.get_by_role("link", name="Keys", exact=True).click()
    page.locator("main table").get_by_role("link").first.click()
    with page.expect_download() as receipt:
        page.get_by_role("link", name="Download a receipt").click()
    assert receipt.value.suggested_filename.endswith(".tlog-proof")
    page.get_by_label("Reason").first.fill("One too many")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("The key is revoked.")
    page.reload()
    # With the key, its seats go back to what was granted.
    assert vendor.head() == head + 3


def test_everything_works_without_a_script(vendor: Vendor, new_page: NewPage, world: World) -> None:
    page = new_page(java_script_enabled=False)
    sign_in(vendor, page, "admin")
    page.get_by_role("searchbox").fill(world.account)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("slider")).to_have_count(0)
    page.get_by_label("Moment", exact=True).select_option(index=1)
    page.get_by_role("switch").check()
    page.get_by_role("button", name="Show", exact=True).first.click()
    state = page.locator("#state")
    expect(state).to_contain_text("As we knew it then")
    expect(state.get_by_text("Used 1 / 2")).to_be_visible()
    page.get_by_role("link", name="Seat history").click()
    expect(page.get_by_role("table").first).to_contain_text("Holder till-2 took a Cloud POS seat")
    page.goto(f"{vendor.url}/console/accounts/{world.account}")
    page.get_by_label("Holder").fill("till-2")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#answer")).to_contain_text("Holder till-2")
    page.get_by_role("link", name=f"Account {world.account}").first.click()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What changed")
    page.goto(f"{vendor.url}/console/accounts/{world.account}")
    page.get_by_text("Release till-2").first.click()
    page.get_by_role("textbox", name="Reason to release").fill("It was sold")
    page.get_by_role("button", name="Release till-2").click()
    expect(page.get_by_role("status")).to_contain_text("The seat was given back.")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_seat_history_is_drawn(vendor: Vendor, page: Page, world: World) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sign_in(vendor, page, "auditor", f"accounts/{world.account}/seat-history")
    charts = page.get_by_role("img")
    expect(charts).to_have_count(2)
    expect(charts.first.locator("canvas")).to_be_visible()
    drawn = charts.first.locator("canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.some(value => value > 0)"
    )
    assert drawn
    assert all(url.startswith(vendor.url) for url in asked)


def test_who_is_not_permitted_is_told_so(vendor: Vendor, page: Page, world: World) -> None:
    sign_in(vendor, page, "reseller", "", "--reseller", "Nobody's")
    for path in (f"accounts/{world.account}", "overview", "tokens"):
        answer = page.goto(f"{vendor.url}/console/{path}")
        assert answer
        assert answer.status == 403
        expect(page.get_by_role("heading", level=1)).to_have_text("Your token does not permit this")
    for path in (f"keys/{world.key}", f"batches/{world.batch}", "events/1", "nowhere"):
        answer = page.goto(f"{vendor.url}/console/{path}")
        assert answer
        assert answer.status == 404


# The others in the long run: tests/test_every_page.py holds light and wide pages to axe.
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("dark", 360),
        pytest.param("light", 1280, marks=pytest.mark.long),
        pytest.param("light", 360, marks=pytest.mark.long),
        pytest.param("dark", 1280, marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_on_any_page(
    vendor: Vendor, new_page: NewPage, world: World, scheme: Scheme, width: int
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 800}}
    page = new_page(color_scheme=scheme, **options)
    guess = {
        "code": "POS-ABCD-EFGH-7K2M",
        "account": world.account,
        "session": f"guessing-{scheme}-{width}",
    }
    for _ in range(5):
        status, _ = vendor.server.post("/v1/keys/redeem", guess, vendor.tokens["admin"])
        assert status == 409
    page.goto(f"{vendor.url}/console/")
    hold_to_axe(page)
    sign_in(vendor, page, "admin")
    account = f"accounts/{world.account}"
    for path in (
        "", "timeline", "timeline?ref=till-1", "events/1", account, f"{account}/seat-history",
        f"{account}/diff?from=2020-01-01T00:00:00Z", "accounts/nobody", "keys",
        f"keys/{world.key}", "issue", f"batches/{world.batch}",
        f"attempts?account={world.account}", "overview", "audit", "tokens", "nowhere", "batches",
        "design", "resellers", f"resellers/{POS['reseller']}",
    ):  # fmt: skip
        page.goto(f"{vendor.url}/console/{path}")
        # Whatever is folded away is looked at, too.
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        hold_to_axe(page)
    page.goto(f"{vendor.url}/console/{account}")
    page.get_by_role("slider").press("Home")
    expect(page.locator("#state-title")).to_contain_text("As of")
    hold_to_axe(page)
    page.get_by_label("Holder").fill("till-1")
    page.get_by_role("button", name="Explain").click()
    hold_to_axe(page)
    page.goto(f"{vendor.url}/console/tokens")
    page.get_by_label("What for").fill("To look")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text(re.compile("kf_[a-z2-7]{20,}"))).to_be_visible()
    hold_to_axe(page)
    page.goto(f"{vendor.url}/console/batches/{world.batch}")
    page.get_by_label("Reason", exact=True).fill("For the shelf")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("list", name="Codes")).to_be_visible()
    hold_to_axe(page)


def test_what_support_does_to_an_account_is_opened_reasoned_and_told(
    vendor: Vendor, page: Page, world: World
) -> None:
    customer = f"cus_browser{next(_resellers)}"
    linking = {"customer": customer}
    vendor.ask("PUT", f"/v1/accounts/{world.account}/stripe-customer", linking)
    sign_in(vendor, page, "support", f"accounts/{world.account}")
    steps = {
        f"Unlink {customer}": (f"Unlink {customer}", "Reason to unlink", "no more"),
        "Assign a Stripe subscription": ("Assign", "Reason to assign", "no such Stripe"),
        "End all portal sessions": ("End all sessions", "Reason to end", "have ended"),
        "Let it try codes again": ("Lift the block", "Reason to lift", "may try codes again"),
    }
    for summary, (button, reason, told) in steps.items():
        head = vendor.head()
        sent = page.get_by_role("button", name=button, exact=True)
        expect(sent).to_be_hidden()
        page.locator("summary").get_by_text(summary, exact=True).click()
        if button == "Assign":
            page.get_by_label("Subscription", exact=True).fill("sub_of_nobody")
        sent.click()
        # Without a reason the browser sends nothing.
        assert vendor.head() == head
        page.get_by_label(reason).fill("They called")
        sent.click()
        expect(page.locator(".said").first).to_contain_text(told)
