"""Two at once, and one twice: the last seat, the back button, the double click."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cli.program import Program
from tests.portal import certificates
from tests.portal.conftest import NewPage
from tests.portal.vendor import INT, Customer, Vendor


def send_twice(page: Page, form: str) -> list[int]:
    """Send a form of the page twice at the same moment; answer the statuses of where it leads."""
    statuses: list[int] = page.evaluate(
        """async (selector) => {
            const form = document.querySelector(selector);
            const send = () => fetch(form.action, {
                method: "POST",
                body: form.enctype.startsWith("multipart")
                    ? new FormData(form) : new URLSearchParams(new FormData(form)),
            });
            return (await Promise.all([send(), send()])).map((answer) => answer.status);
        }""",
        form,
    )
    return statuses


def last_seat(vendor: Vendor, new_page: NewPage) -> tuple[Customer, Customer]:
    account = vendor.account()
    vendor.redeem(account, seats=1)
    customers = tuple(vendor.customer(new_page(), account) for _ in range(2))
    for customer in customers:
        customer.go("POS Manager")
    return customers[0], customers[1]


def one_sits_and_the_other_is_told(vendor: Vendor, new_page: NewPage) -> None:
    first, second = last_seat(vendor, new_page)
    first.upload(certificates.pem("Till 1"))
    expect(first.page.get_by_role("status")).to_contain_text("Added.")
    second.upload(certificates.pem("Till 2"))
    told = second.page.get_by_role("alert")
    expect(told).to_contain_text("No seat is free: 1 of 1 are taken.")
    expect(told).to_contain_text("Remove a certificate before adding a new one.")
    expect(told).to_contain_text("buy some, or activate a key from your reseller")
    assert len(vendor.seats(first.account)) == 1


def test_of_two_browsers_on_the_last_seat_one_gets_it(vendor: Vendor, new_page: NewPage) -> None:
    one_sits_and_the_other_is_told(vendor, new_page)


def test_it_is_the_same_on_postgres(
    new_page: NewPage, tmp_path: Path, postgres_ledger_url: str
) -> None:
    secret = "c2VjcmV0" * 6
    program = Program(
        tmp_path, {"KEYFOLD_DATABASE_URL": postgres_ledger_url, "KEYFOLD_SECRET": secret}
    )
    program.done("db", "upgrade")
    with program.served("--workers", "2") as server:
        vendor = Vendor(program, server)
        one_sits_and_the_other_is_told(vendor, new_page)
        customer = vendor.customer(new_page())
        customer.activate(vendor.issue())
        customer.go("Subscriptions")
        assert customer.row("Cloud POS")["Used"] == "0 / 2"


def test_of_many_that_ask_at_the_same_moment_one_gets_it(vendor: Vendor, new_page: NewPage) -> None:
    first, second = last_seat(vendor, new_page)
    token = first.page.locator("[name=form_token]").first.get_attribute("value")
    cookies = [f"{one['name']}={one['value']}" for one in first.page.context.cookies()]
    statuses: list[int] = []

    def ask(n: int) -> None:
        parts = {
            'name="form_token"': token,
            'name="certificate"; filename="a"': certificates.pem(f"Till {n}").decode(),
        }
        body = "".join(
            f"--keyfold\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n"
            for name, value in parts.items()
        )
        body += "--keyfold--\r\n"
        statuses.append(
            vendor.send(
                "/portal/manage/cloud_pos/add",
                body.encode(),
                {
                    "Content-Type": "multipart/form-data; boundary=keyfold",
                    "Cookie": "; ".join(cookies),
                },
            )
        )

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303] + [409] * 5
    assert len(vendor.seats(second.account)) == 1


def test_activating_twice_at_once_redeems_once(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    dialog = customer.enter(vendor.issue(seats=3))
    expect(dialog.get_by_role("button", name="Activate")).to_be_visible()
    assert send_twice(page, "#dialog form[action$=activate]") == [200, 200]
    view = vendor.view(customer.account)["cloud_pos"]
    assert (view["seats"], len(view["rows"])) == (3, 1)


def test_a_double_click_on_activate_redeems_once(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    dialog = customer.enter(vendor.issue(seats=3))
    dialog.get_by_role("button", name="Activate").dblclick()
    expect(page.get_by_role("status")).to_contain_text("Your subscription has started.")
    assert vendor.view(customer.account)["cloud_pos"]["seats"] == 3


def test_back_and_activate_again_redeems_once(vendor: Vendor, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    customer = vendor.customer(page)
    customer.open("upgrade/cloud_pos/key")
    page.get_by_label("Activation key").fill(vendor.issue(seats=3))
    page.get_by_role("button", name="Validate", exact=True).click()
    activate = page.get_by_role("button", name="Activate")
    fields: dict[str, str | float | bool] = {
        name: str(page.locator(f"form[action$=activate] [name={name}]").get_attribute("value"))
        for name in ("form_token", "code", "once")
    }
    activate.click()
    expect(page.get_by_role("status")).to_contain_text("Your subscription has started.")
    before = vendor.head()
    # What a browser sends again when the review is sent again after the back button.
    again = page.request.post(f"{vendor.url}/portal/upgrade/cloud_pos/activate", form=fields)
    assert "Your subscription has started." in again.text()
    assert vendor.head() == before


@pytest.mark.parametrize("times", [1, 2])
def test_adding_a_connection_twice_adds_one(vendor: Vendor, page: Page, times: int) -> None:
    account = vendor.account()
    vendor.redeem(account, INT)
    customer = vendor.customer(page, account)
    customer.go("Integrations", "Integrations")
    page.get_by_label("Tier", exact=True).select_option("Growth")
    page.get_by_label("Name", exact=True).fill("Web shop")
    for _ in range(times):
        assert send_twice(page, "form[action$=add]") == [200, 200]
    assert [seat["label"] for seat in vendor.seats(account)] == ["Web shop"]


def test_removing_what_another_has_removed_says_so(vendor: Vendor, new_page: NewPage) -> None:
    account = vendor.account()
    vendor.redeem(account)
    vendor.sit(account, "till-1", label="Door")
    pages = [new_page(), new_page()]
    for page in pages:
        vendor.customer(page, account).go("POS Manager")
        page.get_by_role("button", name="Remove certificate: Door").click()
    for page in pages:
        page.get_by_role("button", name="Remove Door").click()
    expect(pages[0].get_by_role("status")).to_contain_text("Removed.")
    expect(pages[1].get_by_role("alert")).to_contain_text("It had already been removed.")


def test_loading_again_does_not_say_again_what_was_done(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    customer.activate(vendor.issue())
    page.reload()
    expect(page.get_by_role("status")).to_have_count(0)


def test_what_was_refused_is_not_sent_again_by_loading_or_coming_back(
    vendor: Vendor, page: Page
) -> None:
    customer = vendor.customer(page)
    customer.open("manage/cloud_pos")
    customer.upload(b"no certificate")
    expect(page.get_by_role("alert")).to_be_visible()
    page.reload()
    expect(page.get_by_role("alert")).to_have_count(0)
    customer.upload(b"no certificate")
    expect(page.get_by_role("alert")).to_be_visible()
    customer.go("Subscriptions")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("POS Manager")


def test_a_token_that_was_made_is_not_made_again_by_coming_back(vendor: Vendor, page: Page) -> None:
    page.goto(f"{vendor.url}/console/sign-in")
    made = vendor.program.json("tokens", "create", "--role", "admin")["token"]
    page.get_by_label("Access token").fill(made)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.goto(f"{vendor.url}/console/tokens")
    page.get_by_role("button", name=re.compile("Create|Make")).click()
    before = vendor.head()
    page.goto(f"{vendor.url}/console/audit")
    page.go_back()
    expect(page.get_by_role("main")).to_contain_text("Tokens")
    assert vendor.head() == before
