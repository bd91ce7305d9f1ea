"""Signing in: with a token, in a form, for as long as the token is good."""

from __future__ import annotations

import base64

import pytest

from commands.give_access import create_token, revoke_token
from ledger import signing
from ledger.streams import token as tokens
from tests.console.desk import Desk, signed_in, stranger
from tests.web.api import Api, memory_api
from tests.worlds import DAY, MINUTE, context
from web.app.context import EXTENSION
from web.console import session


@pytest.fixture
def api() -> Api:
    return memory_api()


def try_token(desk: Desk, token: str, **fields: str) -> tuple[int, str]:
    sent = {"form_token": desk.get("sign-in").field("form_token"), "token": token, **fields}
    answer = desk.client.post("/console/sign-in", data=sent)
    return answer.status_code, answer.headers.get("Location") or answer.text


@pytest.mark.parametrize("role", ["admin", "support", "auditor", "reseller"])
def test_each_role_that_has_a_console_is_let_in(api: Api, role: str) -> None:
    assert signed_in(api, role).get("").title == "What are you looking for?"


@pytest.mark.parametrize("token", ["", "kf_abcdefghijk234", "nonsense", "ü", "kf_" + "a" * 500])
def test_what_is_no_token_lets_nobody_in_and_is_not_repeated(api: Api, token: str) -> None:
    desk = stranger(api)
    status, page = try_token(desk, token)
    assert status == 403
    assert "This token lets nobody in" in page
    assert not token or token not in page
    assert desk.get("").status == 403


def test_a_portals_token_has_no_console(api: Api) -> None:
    desk = stranger(api)
    status, page = try_token(desk, api.tokens["portal"])
    assert (status, "no console for tokens of role portal" in page) == (403, True)
    assert desk.get("keys").status == 403


def test_a_stranger_sees_the_form_and_is_led_on_to_the_page_asked_for(api: Api) -> None:
    desk = stranger(api)
    found = desk.get("accounts/acme?as_of=2026-03-01T12:00:00Z")
    assert (found.status, found.title) == (403, "Sign in")
    onward = found.field("onward")
    status, place = try_token(desk, api.tokens["support"], onward=onward)
    assert (status, place) == (303, "/console/accounts/acme?as_of=2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example/console/", "/portal/", "/console/\n", "x"]
)
def test_nobody_is_led_on_to_elsewhere(api: Api, onward: str) -> None:
    assert try_token(stranger(api), api.tokens["admin"], onward=onward) == (303, "/console/")


def test_the_cookie_is_out_of_reach_and_does_not_hold_the_token(api: Api) -> None:
    desk = stranger(api)
    sent = {
        "form_token": desk.get("sign-in").field("form_token"),
        "token": api.tokens["admin"],
    }
    answer = desk.client.post("/console/sign-in", data=sent)
    cookie = next(
        one for one in answer.headers.getlist("Set-Cookie") if one.startswith("keyfold_console=")
    )
    value, *flags = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
    held = base64.urlsafe_b64decode(value.partition(".")[2])
    assert api.tokens["admin"].encode() not in held
    assert api.tokens["admin"].removeprefix("kf_").encode() not in held


def test_a_cookie_that_was_changed_is_worth_nothing(api: Api) -> None:
    desk = signed_in(api, "auditor")
    cookie = desk.client.get_cookie("keyfold_console")
    assert cookie
    id, _, signed = cookie.value.partition(".")
    raw = bytearray(base64.urlsafe_b64decode(signed))
    raw[-20] ^= 1
    changed = base64.urlsafe_b64encode(bytes(raw)).decode()
    desk.client.set_cookie("keyfold_console", f"{id}.{changed}")
    assert desk.get("").status == 403


def test_a_session_is_over_when_its_token_is_revoked(api: Api) -> None:
    given = create_token(api.services, context(), "admin")
    api.tokens["gone"] = given.secret
    desk = signed_in(api, "gone")
    assert desk.get("tokens").status == 200
    revoke_token(api.services, context(), given.token.id)
    found = desk.get("tokens")
    assert (found.status, found.title) == (403, "Sign in")


def test_a_session_is_over_after_half_a_day_or_with_its_token(api: Api) -> None:
    create = create_token(api.services, context(), "admin", expires_at=api.clock.now + DAY / 24)
    api.tokens["short"] = create.secret
    long, short = signed_in(api, "admin"), signed_in(api, "short")
    api.clock.forward(hours=1)
    assert (long.get("").status, short.get("").status) == (200, 403)
    api.clock.forward(hours=11)
    assert long.get("").status == 403


def test_signing_out_ends_the_session_also_for_who_has_a_copy_of_the_cookie(api: Api) -> None:
    desk, thief = signed_in(api, "admin"), stranger(api)
    cookie = desk.client.get_cookie("keyfold_console")
    assert cookie
    thief.client.set_cookie("keyfold_console", cookie.value)
    assert thief.get("tokens").status == 200
    assert desk.send("sign-out").title == "Sign in"
    assert (desk.get("").status, thief.get("tokens").status) == (403, 403)


def test_signing_in_and_out_is_on_record_with_nothing_of_the_token(api: Api) -> None:
    before = api.head
    desk = signed_in(api, "support")
    desk.send("sign-out")
    opened, ended = api.services.book.follow(before)
    assert (opened.name, ended.name) == ("console_session.opened@1", "console_session.ended@1")
    assert opened.actor == ended.actor
    assert opened.actor.startswith("kft_")
    found = api.get("auditor", f"/v1/timeline?ref={opened.actor}").body["items"]
    assert {opened.position, ended.position} <= {one["position"] for one in found}


def test_a_sign_in_that_failed_is_on_record_once_for_many_alike(api: Api) -> None:
    given = create_token(api.services, context(), "admin")
    revoke_token(api.services, context(), given.token.id)
    short = create_token(api.services, context(), "admin", expires_at=api.clock.now + MINUTE)
    api.clock.forward(minutes=2)
    before = api.head
    tried = ["kf_nobody", given.secret, short.secret, api.tokens["portal"]]
    for token in tried * 5:
        assert try_token(stranger(api), token)[0] == 403
    facts = [event.fact for event in api.services.book.follow(before)]
    assert [(fact.problem, fact.token) for fact in facts] == [  # type: ignore[attr-defined]
        ("unknown_token", None),
        ("revoked_token", given.token.id),
        ("expired_token", short.token.id),
        ("portal_token", portal_id(api)),
    ]
    api.clock.forward(minutes=10)
    try_token(stranger(api), "kf_nobody")
    assert len(list(api.services.book.follow(before))) == 5


def portal_id(api: Api) -> str:
    return tokens.token_id(api.services.token_key, api.tokens["portal"])


def test_a_cookie_signed_with_the_ledgers_own_secret_is_nobodys_session(api: Api) -> None:
    """Whoever knows the secret and the ledger cannot make up a session of an admin."""
    desk = signed_in(api, "admin")
    mine = desk.client.get_cookie("keyfold_console")
    assert mine
    id = mine.value.partition(".")[0]
    (known,) = {e.stream for e in api.services.book.follow(0) if e.stream.startswith("console_s")}
    assert known == f"console_session-{id}"
    for name, secret in ((id, "0" * 64), ("a" * 26, "0" * 64)):
        cookie = session.ConsoleCookie(name, secret)
        key = api.app.extensions[EXTENSION].wiring.cookie_key
        signed = signing.sign(key, session.SESSIONS.purpose, cookie)
        thief = stranger(api)
        thief.client.set_cookie("keyfold_console", f"{name}.{signed}")
        assert thief.get("").status == 403


@pytest.mark.parametrize("token", ["", "0" * 64, "another's"])
def test_a_form_of_another_session_does_nothing(api: Api, token: str) -> None:
    api.redeem("acme")
    api.sit("till-1")
    desk = signed_in(api, "admin")
    if token == "another's":
        token = signed_in(api, "admin").form_token()
    before = api.head
    fields = {"form_token": token, "product": "cloud_pos", "holder": "till-1"}
    answer = desk.client.post("/console/accounts/acme/release", data=fields)
    assert (answer.status_code, api.head) == (403, before)
    assert "This form cannot be taken" in answer.text


def test_signing_in_by_a_form_of_another_site_does_nothing(api: Api) -> None:
    desk = stranger(api)
    desk.get("sign-in")
    for token in ("", "0" * 64):
        sent = {"form_token": token, "token": api.tokens["admin"]}
        assert desk.client.post("/console/sign-in", data=sent).status_code == 403
    without_cookies = api.app.test_client(use_cookies=False)
    answer = without_cookies.post("/console/sign-in", data={"token": api.tokens["admin"]})
    assert (answer.status_code, "does not accept cookies" in answer.text) == (403, True)


def test_who_is_signed_in_is_the_actor_of_what_is_done(api: Api) -> None:
    given = create_token(api.services, context(), "support")
    api.tokens["acting"] = given.secret
    api.redeem("acme")
    api.sit("till-1")
    desk = signed_in(api, "acting")
    before = api.head
    desk.send("accounts/acme/release", product="cloud_pos", holder="till-1", reason="x")
    (event,) = api.services.book.follow(before)
    assert (event.name, event.actor) == ("account.seat_released@1", given.token.id)
    assert event.request_id.startswith("req_")
