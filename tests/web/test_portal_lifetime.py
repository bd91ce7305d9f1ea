"""How long a customer's session lasts, what ends it, and what it may do: asked as a browser asks.

What a page looks like is tested in a browser, in tests/portal.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from commands.give_access import create_token, revoke_token
from commands.rotate_signing_keys import rotate_signing_keys
from ledger import signing
from ledger.streams import token as tokens
from tests.portal import certificates as files
from tests.web.api import PUBLIC_URL, Api, memory_api
from tests.worlds import NOON, context
from web.app.context import EXTENSION
from web.app.settings import read_settings
from web.app.upload_limit import TRIES_MAX, TooManyUploads, UploadTries
from web.portal import session as portal_session

COOKIE = "keyfold_visit"
FIELD = re.compile(r'name="form_token" value="(\w+)"')


@pytest.fixture
def api() -> Api:
    return memory_api()


@dataclass
class Browser:
    client: FlaskClient

    def get(self, path: str) -> TestResponse:
        return self.client.get(f"/portal/{path}")

    def post(self, path: str, **fields: object) -> TestResponse:
        found = FIELD.search(self.get("subscriptions").text)
        token = found[1] if found else ""
        return self.client.post(f"/portal/{path}", data={"form_token": token, **fields})

    @property
    def cookie(self) -> str:
        found = self.client.get_cookie(COOKIE)
        assert found
        return found.value


def link_of(api: Api, who: str = "portal", account: str = "acme", **granted: Any) -> str:
    path = f"/v1/accounts/{account}/portal-session"
    url: str = api.post(who, path, granted).body["url"]
    return url.removeprefix(PUBLIC_URL)


def opened(api: Api, link: str) -> tuple[Browser, TestResponse]:
    client = api.app.test_client()
    page = client.get(link).text
    sent = {
        name: html.unescape(value)
        for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)
    }
    return Browser(client), client.post("/portal/open", data=sent)


def visitor(api: Api, who: str = "portal", **granted: Any) -> Browser:
    browser, answer = opened(api, link_of(api, who, **granted))
    assert answer.status_code == 303, answer.text
    return browser


def copy_of(api: Api, browser: Browser) -> Browser:
    client = api.app.test_client()
    client.set_cookie(COOKIE, browser.cookie)
    return Browser(client)


# How long


def test_a_session_goes_on_for_half_an_hour_after_each_request(api: Api) -> None:
    browser = visitor(api)
    for _ in range(4):
        api.clock.forward(minutes=29.9)
        assert browser.get("subscriptions").status_code == 200
    api.clock.forward(minutes=30)
    assert browser.get("subscriptions").status_code == 403


def test_a_session_ends_after_eight_times_its_links_minutes(api: Api) -> None:
    browser = visitor(api, minutes=5)
    for _ in range(2):
        api.clock.forward(minutes=19.9)
        assert browser.get("subscriptions").status_code == 200
    api.clock.forward(minutes=0.2)
    assert browser.get("subscriptions").status_code == 403


def test_a_session_that_is_over_names_the_way_back(api: Api) -> None:
    browser = visitor(api, return_url=f"{PUBLIC_URL}/back")
    api.clock.forward(minutes=30)
    page = browser.get("manage/cloud_pos")
    assert page.status_code == 403
    assert "Your visit is over" in page.text
    assert f'href="{PUBLIC_URL}/back"' in page.text


def test_what_was_typed_too_late_is_shown_once_more(api: Api) -> None:
    browser = visitor(api)
    form = FIELD.search(browser.get("subscriptions").text)
    assert form
    api.clock.forward(minutes=30)
    typed = {"code": 'POS-ABCD"><b>'}
    late = browser.client.post(
        "/portal/upgrade/cloud_pos/validate", data={"form_token": form[1], **typed}
    )
    assert late.status_code == 403
    assert 'value="POS-ABCD&#34;&gt;&lt;b&gt;"' in late.text
    # A form of another site could make us say anything.
    foreign = browser.client.post("/portal/upgrade/cloud_pos/validate", data=typed)
    assert (foreign.status_code, "POS-ABCD" in foreign.text) == (403, False)


def test_the_billing_page_of_a_prepaid_customer_says_what_is_so(api: Api) -> None:
    browser = visitor(api, permissions=["manage_users"])
    assert "Start one to use your seats" in browser.get("billing").text
    api.redeem(seats=2)
    page = browser.get("billing").text
    assert "You pay nothing by card. 2 seats come from activation keys." in page
    assert "Inactive" not in page
    assert "Start one" not in page


# A link of another account


def test_another_accounts_link_asks_first_and_ends_the_session_that_is_open(api: Api) -> None:
    browser = visitor(api, display_name="Acme & Sons")
    thief = copy_of(api, browser)
    link = link_of(api, account="beta", display_name="Beta")
    shown = browser.client.get(link).text
    assert "Acme &amp; Sons is open in this browser." in shown
    token = FIELD.search(shown)
    assert token
    form = {"form_token": token[1], "link": text_in(link)}
    head = api.head
    # As it was shown before the other account was opened in another tab.
    asked = browser.client.post("/portal/open", data=form)
    assert (asked.status_code, "Beta is opened" in asked.text, api.head) == (409, True, head)
    instead = re.search(r'name="instead" value="(\w+)"', asked.text)
    assert instead
    done = browser.client.post("/portal/open", data={**form, "instead": instead[1]})
    assert done.status_code == 303
    assert "Beta" in browser.get("subscriptions").text
    assert thief.get("subscriptions").status_code == 403


def test_another_link_of_the_same_account_asks_nothing(api: Api) -> None:
    browser = visitor(api)
    assert "open in this browser" not in browser.client.get(link_of(api)).text
    api.clock.forward(minutes=30)
    assert "open in this browser" not in browser.client.get(link_of(api, account="beta")).text


# A link that was opened


def text_in(link: str) -> str:
    return parse_qs(urlsplit(link).query)["link"][0]


def sent_again(api: Api, client: FlaskClient, link: str) -> TestResponse:
    """Send the form that opens a link, as it was shown before."""
    text = text_in(link)
    shown = FIELD.search(client.get(link).text)
    assert shown
    return client.post("/portal/open", data={"form_token": shown[1], "link": text})


def test_a_link_that_was_opened_says_so_whether_or_not_there_are_cookies(api: Api) -> None:
    link = link_of(api)
    browser, _ = opened(api, link)
    form = {"form_token": "x", "link": text_in(link)}
    for client in (api.app.test_client(), api.app.test_client(use_cookies=False)):
        answer = client.post("/portal/open", data=form)
        assert answer.status_code == 410
        assert "This link was opened already" in answer.text
        assert "cookies" not in answer.text
    again = sent_again(api, browser.client, link)
    assert (again.status_code, again.headers["Location"]) == (303, "/portal/subscriptions")
    browser.post("leave")
    left = sent_again(api, browser.client, link)
    assert left.status_code == 410
    assert "This link was opened already" in left.text


def test_the_form_of_a_link_sent_twice_is_opened_once(api: Api) -> None:
    link = link_of(api)
    client = api.app.test_client()
    shown = FIELD.search(client.get(link).text)
    assert shown
    form = {"form_token": shown[1], "link": text_in(link)}
    first, second = (client.post("/portal/open", data=form) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    client.delete_cookie(COOKIE)
    third = client.post("/portal/open", data=form)
    assert third.status_code == 410
    assert "This link was opened already" in third.text


def test_two_links_in_two_tabs_of_a_browser_are_both_opened(api: Api) -> None:
    client = api.app.test_client()
    links = [link_of(api) for _ in range(2)]
    forms = []
    for link in links:
        shown = FIELD.search(client.get(link).text)
        assert shown
        forms.append({"form_token": shown[1], "link": text_in(link)})
    assert [client.post("/portal/open", data=form).status_code for form in forms] == [303, 303]


@pytest.mark.parametrize(
    ("change", "status", "title"),
    [
        (lambda _api, text: text + "x", 403, "This link is not valid"),
        (lambda api, text: api.clock.forward(days=1) or text, 410, "This link has expired"),
        (lambda _api, text: text, 403, "Your browser does not accept cookies"),
    ],
)
def test_a_browser_without_cookies_is_told_what_is_so_of_its_link(
    api: Api, change: Callable[[Api, str], str], status: int, title: str
) -> None:
    text = change(api, text_in(link_of(api)))
    client = api.app.test_client(use_cookies=False)
    answer = client.post("/portal/open", data={"form_token": "x", "link": text})
    assert (answer.status_code, title in answer.text) == (status, True)


# What ends it


def test_leaving_ends_a_session_also_for_who_has_a_copy_of_the_cookie(api: Api) -> None:
    browser = visitor(api)
    thief = copy_of(api, browser)
    assert thief.get("subscriptions").status_code == 200
    assert browser.post("leave").status_code == 200
    assert thief.get("subscriptions").status_code == 403
    assert thief.post("upgrade/cloud_pos/validate", code="POS-ABCD-EFGH-7K2M").status_code == 403


def test_revoking_the_token_ends_its_sessions_and_its_unopened_links(api: Api) -> None:
    given = create_token(api.services, context(), "portal")
    api.tokens["gone"] = given.secret
    browser, unopened = visitor(api, "gone"), link_of(api, "gone")
    others = visitor(api)
    revoke_token(api.services, context(), given.token.id)
    assert browser.get("subscriptions").status_code == 403
    assert opened(api, unopened)[1].status_code == 403
    assert others.get("subscriptions").status_code == 200


def test_staff_end_all_sessions_of_an_account(api: Api) -> None:
    browser, unopened = visitor(api), link_of(api)
    path = "/v1/accounts/acme/portal-sessions/end"
    assert api.post("portal", path, {"reason": "x"}).status == 403
    assert api.post("support", path, {}).status == 422
    got = api.post("support", path, {"reason": "A laptop was stolen"})
    assert (got.status, got.raw) == (204, b"")
    assert browser.get("subscriptions").status_code == 403
    assert opened(api, unopened)[1].status_code == 403
    assert visitor(api).get("subscriptions").status_code == 200
    told = api.get("support", "/v1/accounts/acme/timeline").body["items"]
    (ended,) = [one for one in told if one["event"] == "portal_access.sessions_ended@1"]
    assert "A laptop was stolen" in str(ended)


def test_a_cookie_signed_with_the_ledgers_own_secret_is_nobodys_session(api: Api) -> None:
    browser = visitor(api)
    id = browser.cookie.partition(".")[0]
    key = api.app.extensions[EXTENSION].wiring.cookie_key
    for session in (id, "kfp_" + "a" * 26):
        made = portal_session.PortalCookie(session, "0" * 64, api.clock.now, None, None)
        signed = signing.sign(key, portal_session.SESSIONS.purpose, made)
        thief = Browser(api.app.test_client())
        thief.client.set_cookie(COOKIE, f"{session}.{signed}")
        assert thief.get("subscriptions").status_code == 403


def test_a_page_that_does_not_say_whom_it_is_for_is_for_nobody(api: Api) -> None:
    browser = visitor(api)
    api.app.view_functions["portal.show_billing"] = lambda: "secret"
    for who in (browser, Browser(api.app.test_client())):
        answer = who.get("billing")
        assert (answer.status_code, "secret" in answer.text) == (401, False)


def test_over_https_too_a_language_that_was_chosen_is_kept() -> None:
    api = memory_api(public_url="https://licences.example")
    made = api.post("portal", "/v1/accounts/acme/portal-session", {}).body["url"]
    client = api.app.test_client()
    sent = dict(re.findall(r'name="(\w+)" value="([^"]*)"', client.get(made).text))
    client.post("https://licences.example/portal/open", data=sent)
    page = client.get("https://licences.example/portal/subscriptions").text
    form = {"form_token": FIELD.findall(page)[0], "language": "de"}
    assert client.post("https://licences.example/portal/language", data=form).status_code == 303
    page = client.get("https://licences.example/portal/subscriptions").text
    assert '<html lang="de"' in page


# Where a link leads, and what is shown


@pytest.mark.parametrize(
    ("page", "path"),
    [
        (None, "/portal/subscriptions"),
        ("subscriptions", "/portal/subscriptions"),
        ("billing", "/portal/billing"),
        ("manage/integrations", "/portal/manage/integrations"),
        ("buy/cloud_pos", "/portal/buy/cloud_pos"),
        ("activate/cloud_pos", "/portal/upgrade/cloud_pos/key"),
    ],
)
def test_a_link_leads_to_its_page(api: Api, page: str | None, path: str) -> None:
    link = link_of(api, page=page, permissions=["manage_users"])
    browser, answer = opened(api, link)
    assert answer.headers["Location"] == path
    assert browser.client.get(path).status_code in (200, 503)


def test_the_accounts_name_is_shown_and_not_recorded(api: Api) -> None:
    browser = visitor(api, display_name="Bäckerei <Acme>")
    assert "Bäckerei &lt;Acme&gt;" in browser.get("subscriptions").text
    assert "Bäckerei" not in repr(list(api.services.book.follow(0)))
    nameless = visitor(api).get("subscriptions").text
    assert '<span class="account">acme</span>' in nameless


# What it may


def test_a_session_without_permissions_sees_no_way_to_spend(api: Api) -> None:
    browser = visitor(api, permissions=[])
    for path in ("subscriptions", "upgrade/cloud_pos", "buy/cloud_pos", "manage/cloud_pos"):
        page = browser.get(path).text
        assert 'action="/portal/buy/' not in page
        assert 'href="/portal/buy/' not in page
        assert 'action="/portal/stripe"' not in page
    assert browser.get("billing").status_code == 403
    once = {"once": "0" * 24, "seats": "500", "interval": "month"}
    answer = browser.post("buy/cloud_pos", **once)
    assert answer.status_code == 403
    assert "does not permit" in answer.text
    assert browser.post("stripe").status_code == 403


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        (None, (True, True, False)),
        ([], (False, False, False)),
        (["buy"], (True, False, False)),
        (["manage_billing"], (False, True, False)),
        (["manage_users"], (True, True, True)),
        (["buy", "manage_billing", "manage_users"], (True, True, True)),
    ],
)
def test_each_permission_lets_do_its_own(
    api: Api, permissions: list[str] | None, may: tuple[bool, bool, bool]
) -> None:
    granted: dict[str, Any] = {} if permissions is None else {"permissions": permissions}
    browser = visitor(api, **granted)
    bought = browser.post("buy/cloud_pos", once="0" * 24, seats="1", interval="month")
    managed, billing = browser.post("stripe"), browser.get("billing")
    # There is no key for Stripe here, which is found out only after what is permitted.
    statuses = (bought.status_code, managed.status_code, billing.status_code)
    assert tuple(status != 403 for status in statuses) == may


# Cookies


@pytest.mark.parametrize(
    "url", ["https://licences.example", "HTTPS://licences.example", "HttpS://Licences.Example/"]
)
def test_cookies_are_secure_however_https_is_spelled(api: Api, url: str) -> None:
    found = api.app.extensions[EXTENSION]
    public_url = read_settings({"KEYFOLD_PUBLIC_URL": url}).public_url
    settings = found.wiring.settings._replace(public_url=public_url)
    wiring = found.wiring._replace(settings=settings)
    api.app.extensions[EXTENSION] = found._replace(wiring=wiring)
    link = link_of(api).removeprefix(public_url)
    answer = api.app.test_client().get(link)
    assert answer.status_code == 200
    cookies = answer.headers.getlist("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert "; Secure" in cookie


# Files that are uploaded


MANAGER = "manage/cloud_pos"
ADD = "manage/cloud_pos/add"


def upload(browser: Browser, data: bytes) -> TestResponse:
    return browser.post(ADD, certificate=(io.BytesIO(data), "till.pem"))


def seats(api: Api, account: str = "acme") -> int:
    return len(api.get("portal", f"/v1/accounts/{account}/seats").body["items"])


def test_after_twenty_useless_files_no_further_one_is_read_for_ten_minutes(api: Api) -> None:
    api.redeem(seats=3)
    browser = visitor(api)
    useless = [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----" * 100, bytes(70_000)]
    for n in range(TRIES_MAX):
        assert upload(browser, useless[n % len(useless)]).status_code == 422
        api.clock.forward(seconds=1)
    head = api.services.book.head()
    refused = upload(browser, files.pem())
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "580"
    assert "Too many rejected files" in refused.text
    assert "You can try again in 10 minutes." in refused.text
    assert (seats(api), api.services.book.head()) == (0, head)
    # What the session may do otherwise, and other sessions, are as they were.
    assert browser.get(MANAGER).status_code == 200
    assert upload(visitor(api), files.pem("Till 1")).status_code == 303
    api.clock.forward(seconds=579)
    assert upload(browser, files.pem("Till 2")).status_code == 429
    api.clock.forward(seconds=1)
    assert upload(browser, files.pem("Till 2")).status_code == 303
    assert seats(api) == 2


def test_a_certificate_that_takes_no_seat_is_a_try_as_well(api: Api) -> None:
    api.redeem(seats=1)
    browser = visitor(api)
    assert upload(browser, files.pem("Till 1")).status_code == 303
    for n in range(TRIES_MAX):
        assert upload(browser, files.pem(f"Till {1 + n % 2}")).status_code == 409
    assert upload(browser, files.pem("Till 1")).status_code == 429


def test_certificates_that_take_seats_are_no_tries(api: Api) -> None:
    count = TRIES_MAX + 2
    api.redeem(seats=count)
    browser = visitor(api)
    for n in range(count):
        assert upload(browser, files.pem(f"Till {n}")).status_code == 303
    assert seats(api) == count


def test_useless_files_that_are_sent_at_once_are_counted_each() -> None:
    tries = UploadTries()

    def tried(_: int) -> bool:
        try:
            tries.take("kfp_a", NOON)
        except TooManyUploads:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tried, range(8 * TRIES_MAX))) == TRIES_MAX


def test_a_clock_that_is_put_back_blocks_no_longer_than_the_period() -> None:
    tries = UploadTries()
    for _ in range(TRIES_MAX):
        tries.take("kfp_a", NOON)
    with pytest.raises(TooManyUploads) as blocked:
        tries.take("kfp_a", NOON)
    assert blocked.value.retry_after_s == 600
    tries.take("kfp_a", NOON - timedelta(days=1))


def test_of_many_sessions_only_those_that_sent_a_file_last_are_remembered() -> None:
    tries = UploadTries(remembered=2)
    for _ in range(TRIES_MAX):
        tries.take("kfp_a", NOON)
    tries.take("kfp_b", NOON)
    with pytest.raises(TooManyUploads):
        tries.take("kfp_a", NOON)
    tries.take("kfp_c", NOON)
    tries.give_back("kfp_b")
    with pytest.raises(TooManyUploads):
        tries.take("kfp_a", NOON)
    tries.take("kfp_d", NOON)
    tries.take("kfp_e", NOON)
    tries.take("kfp_a", NOON)


# Requests' ids


def test_a_page_never_takes_a_request_id_of_its_callers_choice(api: Api) -> None:
    browser = visitor(api)
    token = tokens.token_id(api.services.token_key, api.tokens["portal"])
    for id in ("victim", token, "key_" + "a" * 26, "cus_1"):
        for path in ("/portal/subscriptions", "/portal/nothing", "/console/"):
            answer = browser.client.get(path, headers={"X-Request-Id": id})
            assert answer.headers["X-Request-Id"].startswith("req_"), path
    sent = browser.client.get("/healthz", headers={"X-Request-Id": "mine"})
    assert sent.headers["X-Request-Id"] == "mine"


# Rotating the keys


def test_two_signing_keys_are_alive_and_a_third_ends_the_first(api: Api) -> None:
    browser, unopened = visitor(api), link_of(api)
    code = str(api.issue()["code"])
    rotate_signing_keys(api.services, context())
    idle = copy_of(api, browser)
    assert browser.get("subscriptions").status_code == 200
    assert opened(api, unopened)[1].status_code == 303
    second = link_of(api)
    rotate_signing_keys(api.services, context())
    # The one browser was given a cookie under the key before; the copy is from before both.
    assert browser.get("subscriptions").status_code == 200
    assert idle.get("subscriptions").status_code == 403
    assert opened(api, second)[1].status_code == 303
    body = {"code": code, "account": "acme", "session": "s"}
    assert api.post("portal", "/v1/keys/redeem", body).status == 201


def test_rotating_at_once_ends_every_session_and_link(api: Api) -> None:
    browser, unopened = visitor(api), link_of(api)
    rotate_signing_keys(api.services, context(), keep_previous=False)
    assert browser.get("subscriptions").status_code == 403
    assert opened(api, unopened)[1].status_code == 403
    assert visitor(api).get("subscriptions").status_code == 200
