"""Strangers: who has no link, an old one, another's, or a form of another site."""

from __future__ import annotations

import base64
import http.client
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.cli.program import Program
from tests.portal.conftest import NewPage
from tests.portal.vendor import Vendor

PAGES = [
    "",
    "subscriptions",
    "manage/cloud_pos",
    "manage/integrations",
    "upgrade/cloud_pos",
    "upgrade/cloud_pos/key",
    "buy/cloud_pos",
    "billing",
]
BACK = "open these pages again from there"


def told(page: Page) -> str:
    """Return what the page says, which is a page that says what to do, and no trace of ours."""
    shown = page.get_by_role("alert")
    expect(shown).to_be_visible()
    text = shown.inner_text()
    assert "Traceback" not in page.content()
    return text


def changed(link: str, **changes: object) -> str:
    """Return a link that holds something else than what was signed."""
    text = parse_qs(urlsplit(link).query)["link"][0]
    id, _, signed = text.partition(".")
    data = base64.urlsafe_b64decode(signed)
    content = json.loads(data[32:])
    made = base64.urlsafe_b64encode(data[:32] + json.dumps({**content, **changes}).encode())
    return f"{link.partition('?')[0]}?{urlencode({'link': f'{id}.{made.decode()}'})}"


@pytest.mark.parametrize("path", PAGES)
def test_who_has_no_link_is_told_to_come_in_by_one(vendor: Vendor, page: Page, path: str) -> None:
    answer = page.goto(f"{vendor.url}/portal/{path}")
    assert answer
    assert answer.status == 403
    text = told(page)
    assert "Please come in by a link" in text
    assert BACK in text


def test_looking_at_a_link_opens_nothing(vendor: Vendor, new_page: NewPage) -> None:
    link, before = vendor.link(vendor.account()), vendor.head()
    for _ in range(3):
        new_page().goto(link)
    vendor.server.request("HEAD", link.removeprefix(vendor.url))
    assert vendor.head() == before
    page = new_page()
    page.goto(link)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/portal/subscriptions")


def test_a_link_that_was_opened_is_refused_to_the_next(vendor: Vendor, new_page: NewPage) -> None:
    link = vendor.link(vendor.account())
    first, second = new_page(), new_page()
    for page in (first, second):
        page.goto(link)
    for page in (first, second):
        page.get_by_role("button", name="Continue").click()
    first.wait_for_url("**/portal/subscriptions")
    text = told(second)
    assert "This link was opened already" in text
    assert BACK in text
    second.goto(f"{vendor.url}/portal/subscriptions")
    assert "Please come in by a link" in told(second)


def test_who_opened_a_link_may_open_it_again_and_is_where_it_leads(
    vendor: Vendor, page: Page
) -> None:
    link = vendor.link(vendor.account())
    for _ in range(2):
        page.goto(link)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/portal/subscriptions")
        head = vendor.head()
    assert vendor.head() == head


@pytest.mark.parametrize(
    "changes",
    [
        {"display_name": "Somebody else"},
        {"return_url": "https://evil.example/"},
        {"page": "billing"},
        {"secret": "another"},
        {"id": "another"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_forged_link_is_refused(vendor: Vendor, page: Page, changes: dict[str, object]) -> None:
    link = changed(vendor.link(vendor.account()), **changes)
    before = vendor.head()
    page.goto(link)
    page.get_by_role("button", name="Continue").click()
    text = told(page)
    assert "This link is not valid" in text
    assert BACK in text
    assert vendor.head() == before


@pytest.mark.parametrize("query", ["", "?link=", "?link=nonsense", "?other=1"])
def test_an_address_without_a_link_is_refused(vendor: Vendor, page: Page, query: str) -> None:
    page.goto(f"{vendor.url}/portal/open{query}")
    page.get_by_role("button", name="Continue").click()
    assert "This link is not valid" in told(page)


def test_a_link_shows_its_own_account_and_no_other(vendor: Vendor, new_page: NewPage) -> None:
    mine, other = vendor.account(), vendor.account()
    vendor.redeem(other, seats=777)
    page = new_page()
    vendor.customer(page, mine)
    for path in PAGES[:-1]:
        page.goto(f"{vendor.url}/portal/{path}?account={other}")
        # What is read, and not the page's own ids, which hold any three digits one day.
        assert "777" not in page.locator("body").inner_text()


def test_a_cookie_that_was_changed_is_worth_nothing(vendor: Vendor, page: Page) -> None:
    customer = vendor.customer(page)
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "keyfold_visit"]
    value = cookie["value"]
    id, _, signed = value.partition(".")
    data = base64.urlsafe_b64decode(signed)
    other = data.replace(b'"return_url":null', b'"return_url":"/ab"')
    assert other != data
    for text in (f"{id}.{base64.urlsafe_b64encode(other).decode()}", value[:-4], id, "x", ""):
        page.context.add_cookies([{"name": cookie["name"], "value": text, "url": vendor.url}])
        customer.open("subscriptions")
        assert "Please come in by a link" in told(page)


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(
    vendor: Vendor, page: Page
) -> None:
    vendor.customer(page)
    for cookie in page.context.cookies():
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
    assert page.evaluate("document.cookie") == ""


def test_billing_is_for_those_who_may_manage_users(vendor: Vendor, new_page: NewPage) -> None:
    customer = vendor.customer(new_page())
    expect(customer.page.get_by_role("navigation")).not_to_contain_text("Settings")
    customer.open("billing")
    text = told(customer.page)
    assert "Your link does not permit this" in text
    assert "Manage Users permission" in text


# Forms of other sites


FORMS = [
    "manage/cloud_pos/add",
    "manage/cloud_pos/remove",
    "upgrade/cloud_pos/validate",
    "upgrade/cloud_pos/activate",
    "language",
    "leave",
]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "of another visit"])
def test_a_form_without_this_visits_token_does_nothing(
    vendor: Vendor, new_page: NewPage, path: str, token: str | None
) -> None:
    page = new_page()
    customer = vendor.customer(page)
    other = new_page()
    vendor.customer(other)
    theirs = other.locator("[name=form_token]").first.get_attribute("value")
    before = vendor.head()
    form: dict[str, str | float | bool] = {"code": "POS-ABCD-EFGH-7K2M", "holder": "till-1"}
    if token is not None:
        form["form_token"] = str(theirs) if token == "of another visit" else token
    answer = page.request.post(f"{vendor.url}/portal/{path}", form=form, max_redirects=0)
    assert answer.status == 403
    assert "This form cannot be taken" in answer.text()
    assert "nothing was changed" in answer.text()
    assert vendor.head() == before
    customer.open("subscriptions")
    expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")


def site_with(address: str, html: str) -> str:
    return f"{address}/{base64.urlsafe_b64encode(html.encode()).decode()}"


def test_a_form_on_another_site_does_nothing(vendor: Vendor, page: Page, other_site: str) -> None:
    customer = vendor.customer(page)
    before = vendor.head()
    action = f"{vendor.url}/portal/manage/cloud_pos/remove"
    form = f'<form method="post" action="{action}"><input name="holder" value="a"></form>'
    page.goto(site_with(other_site, f"{form}<script>document.forms[0].submit()</script>"))
    page.wait_for_url(action)
    assert "Please come in by a link" in told(page)
    assert vendor.head() == before
    customer.open("subscriptions")
    expect(page.get_by_role("heading", level=1)).to_have_text("Subscriptions")


def test_a_link_is_not_opened_by_a_form_on_another_site(
    vendor: Vendor, page: Page, other_site: str
) -> None:
    link = vendor.link(vendor.account())
    text = parse_qs(urlsplit(link).query)["link"][0]
    before = vendor.head()
    page.goto(link)
    form = (
        f'<form method="post" action="{vendor.url}/portal/open">'
        f'<input name="link" value="{text}"></form>'
    )
    page.goto(site_with(other_site, f"{form}<script>document.forms[0].submit()</script>"))
    page.wait_for_url("**/portal/open")
    assert "Your browser does not accept cookies" in told(page)
    assert vendor.head() == before


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_link_is_opened_only_by_the_form_that_showed_it(
    vendor: Vendor, page: Page, token: str
) -> None:
    link = vendor.link(vendor.account())
    before = vendor.head()
    page.goto(link)
    form: dict[str, str | float | bool] = {
        "link": parse_qs(urlsplit(link).query)["link"][0],
        "form_token": token,
    }
    answer = page.request.post(f"{vendor.url}/portal/open", form=form)
    assert answer.status == 403
    assert "This form cannot be taken" in answer.text()
    assert vendor.head() == before


@pytest.mark.parametrize("path", ["subscriptions", "open"])
def test_a_page_is_not_shown_in_a_frame_of_another_site(
    vendor: Vendor, new_page: NewPage, other_site: str, path: str
) -> None:
    page = new_page(complaints_expected=True)
    vendor.customer(page)
    frame = f'<iframe src="{vendor.url}/portal/{path}"></iframe>'
    page.goto(site_with(other_site, frame))
    inner = page.frames[-1]
    inner.wait_for_load_state()
    assert inner.url.startswith("chrome-error:")


# What is sent with every page


def test_a_page_loads_nothing_from_elsewhere_and_is_never_kept(vendor: Vendor, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    customer = vendor.customer(page)
    for path in PAGES:
        answer = page.goto(f"{vendor.url}/portal/{path}")
        assert answer
        headers = answer.headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(vendor.url).netloc}
    customer.open("subscriptions")


@pytest.mark.parametrize("path", PAGES[1:])
def test_a_page_has_no_inline_script_or_style(vendor: Vendor, page: Page, path: str) -> None:
    customer = vendor.customer(page, permissions=["manage_users"])
    customer.open(path)
    html = page.request.get(page.url).text()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals=.js", html) == []
    assert re.findall(r"<script(?![^>]+src=)", html) == []


def test_no_address_has_the_link_after_the_first_hop(vendor: Vendor, page: Page) -> None:
    seen: list[tuple[str, str]] = []
    page.on("request", lambda one: seen.append((one.url, one.headers.get("referer", ""))))
    vendor.customer(page)
    page.get_by_role("link", name="POS Manager").click()
    page.wait_for_url("**/manage/cloud_pos")
    opened = [url for url, _ in seen if "link=" in url]
    assert len(opened) == 1
    assert {referer for _, referer in seen} == {""}
    assert "link=" not in page.content()


def test_over_https_the_cookie_is_secure_and_of_this_host_alone(tmp_path: Path) -> None:
    program = Program(tmp_path, {"KEYFOLD_PUBLIC_URL": "https://licences.example"})
    program.done("db", "upgrade")
    with program.served() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/portal/open?link=x")
        answer = connection.getresponse()
        answer.read()
        connection.close()
    name, _, rest = str(answer.headers["Set-Cookie"]).partition("=")
    assert name.startswith("__Host-keyfold_")
    assert set(rest.split("; ")[1:]) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
