"""Signing in at a provider: who is let in as what, and what is held against what it says."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from commands import people as commands
from commands.gateways import oidc as gateway
from commands.give_access import create_token
from commands.open_portal_session import Granted, make_link, open_portal_session
from ledger.refusals import PersonNotFound
from ledger.streams.people import ID, PEOPLE, person_id
from ledger.streams.portal_session import LinkInvalid
from tests.console.desk import Desk, Seen, _seen, signed_in, stranger
from tests.console.planted_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEY,
    NEXT_KEY,
    STRANGERS_KEY,
    PlantedProvider,
    planted_provider,
    signed_by,
)
from tests.web.api import OTHER_RESELLER, RESELLER, Api, memory_api
from tests.worlds import context
from web.app.oidc_settings import OidcSettings

SUBJECT = "248289761001"


@pytest.fixture
def provider() -> Iterator[PlantedProvider]:
    with planted_provider() as found:
        found.claims["keyfold_role"] = "admin"
        yield found


@pytest.fixture
def api(provider: PlantedProvider) -> Api:
    return api_of(provider)


def api_of(provider: PlantedProvider, **settings: Any) -> Api:
    return memory_api(oidc=OidcSettings(provider.url, CLIENT_ID, CLIENT_SECRET, **settings))


def begin(desk: Desk, onward: str = "") -> dict[str, str]:
    """Go to the provider; return what the browser takes there."""
    answer = desk.client.get(f"/console/sign-in/provider?onward={onward}")
    assert answer.status_code == 303, answer.text
    url = answer.headers["Location"]
    return {"url": url, **dict(parse_qsl(urlsplit(url).query))}


def come_back(desk: Desk, **query: str) -> Seen:
    return _seen(desk.client.get("/console/sign-in/callback", query_string=query))


def sign_in(api: Api, provider: PlantedProvider, onward: str = "") -> tuple[Desk, Seen]:
    desk = stranger(api)
    taken = begin(desk, onward)
    code = provider.give_code(taken["url"])
    return desk, come_back(desk, code=code, state=taken["state"])


def id_of(api: Api, provider: PlantedProvider, subject: str = SUBJECT) -> str:
    return person_id(api.services.person_key, provider.url, subject)


def refused(api: Api, provider: PlantedProvider) -> Seen:
    """Try to sign in, in vain: whatever is shown, nobody is signed in, and it is no 500."""
    desk, seen = sign_in(api, provider)
    assert seen.status in {403, 502, 503}
    assert desk.get("").status == 403
    assert SUBJECT not in seen.page
    return seen


# Being let in


def test_the_form_leads_to_the_provider_beside_the_token(api: Api) -> None:
    seen = stranger(api).get("accounts/acme?as_of=2026-03-01T12:00:00Z")
    assert "Sign in with 127.0.0.1" in seen.text
    assert "Access token" in seen.text
    (link,) = [one for one in seen.links if one.startswith("/console/sign-in/provider")]
    assert "accounts/acme" in link
    assert "Sign in with" not in stranger(memory_api()).get("").text


def test_without_a_provider_its_pages_lead_to_the_form() -> None:
    desk = stranger(memory_api())
    for path in ("provider", "callback?code=1&state=2"):
        answer = desk.client.get(f"/console/sign-in/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in")


def test_a_person_is_let_in_and_led_on_by_a_page(api: Api, provider: PlantedProvider) -> None:
    desk, seen = sign_in(api, provider, "/console/overview")
    assert (seen.status, seen.title) == (200, "Signed in")
    # A page and no redirection, or the browser would not send the cookie it has just been given.
    assert '<meta http-equiv="refresh" content="0; url=/console/overview">' in seen.page
    assert desk.get("overview").status == 200
    cookies = seen.headers.getlist("Set-Cookie")
    (ours,) = [one for one in cookies if one.startswith("keyfold_console=")]
    assert {"HttpOnly", "SameSite=Strict"} <= set(ours.split("; "))
    (tried,) = [one for one in cookies if one.startswith("keyfold_console_provider=")]
    assert "Max-Age=0" in tried.split("; ")


@pytest.mark.parametrize("onward", ["https://evil.example/", "//evil.example/console/", "/portal/"])
def test_nobody_is_led_on_to_elsewhere(api: Api, provider: PlantedProvider, onward: str) -> None:
    _, seen = sign_in(api, provider, onward)
    assert 'content="0; url=/console/"' in seen.page
    assert "evil" not in seen.page


def test_what_the_browser_takes_along(api: Api) -> None:
    desk = stranger(api)
    one, other = begin(desk), begin(desk)
    assert one["response_type"] == "code"
    assert one["scope"] == "openid"
    assert one["code_challenge_method"] == "S256"
    assert one["redirect_uri"] == "http://127.0.0.1:8000/console/sign-in/callback"
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 43
        assert one[name] != other[name]
    assert len({one["state"], one["nonce"], one["code_challenge"]}) == 3
    cookie = desk.client.get_cookie("keyfold_console_provider")
    assert cookie
    assert (cookie.http_only, cookie.same_site, cookie.max_age) == (True, "Lax", 600)


@pytest.mark.parametrize(
    ("settings", "said", "role"),
    [
        ({}, {"keyfold_role": "support"}, "support"),
        ({}, {"keyfold_role": ["x", "auditor"]}, "auditor"),
        ({}, {"keyfold_role": ["support", "admin"]}, "admin"),
        ({"role_claim": "realm_access.roles"}, {"realm_access": {"roles": ["admin"]}}, "admin"),
        ({"role_claim": "a.b"}, {"a.b": "admin", "a": {"b": "support"}}, "admin"),
        ({"role_claim": "https://x/roles"}, {"https://x/roles": "admin"}, "admin"),
        (
            {"role_claim": "groups", "roles": (("support", "desk"), ("admin", "chiefs"))},
            {"groups": ["chiefs", "desk"]},
            "support",
        ),
    ],
)
def test_a_role_is_given_by_a_claim(
    provider: PlantedProvider, settings: dict[str, Any], said: dict[str, Any], role: str
) -> None:
    provider.claims = said
    api = api_of(provider, **settings)
    sign_in(api, provider)
    assert api.services.book.load(PEOPLE, ID).state[id_of(api, provider)].role == role


@pytest.mark.parametrize(
    ("said", "problem", "shown"),
    [
        ({"keyfold_role": None}, "no_role", "gives you no role"),
        ({"keyfold_role": 7}, "no_role", "gives you no role"),
        ({"keyfold_role": []}, "no_role", "gives you no role"),
        ({"keyfold_role": "chief"}, "unknown_role", "is no role here"),
        ({"keyfold_role": ["portal"]}, "portal_role", "no console for role portal"),
        ({"keyfold_role": "reseller"}, "no_reseller", "which reseller"),
        (
            {"keyfold_role": "reseller", "keyfold_reseller": [RESELLER, OTHER_RESELLER]},
            "no_reseller",
            "which reseller",
        ),
        (
            {"keyfold_role": "reseller", "keyfold_reseller": "Nobody's"},
            "unknown_reseller",
            "not known here",
        ),
    ],
)
def test_who_is_nothing_here_is_told_so(
    api: Api, provider: PlantedProvider, said: dict[str, Any], problem: str, shown: str
) -> None:
    provider.claims = said
    before = api.head
    for _ in range(3):
        assert shown in refused(api, provider).said
    # Once in ten minutes, and with nothing of who it was.
    (event,) = api.services.book.follow(before)
    assert (event.fact.problem, event.fact.person) == (problem, None)  # type: ignore[attr-defined]


def test_the_provider_is_asked_for_more_where_the_token_has_no_role(
    provider: PlantedProvider,
) -> None:
    provider.claims = {}
    provider.userinfo = {"sub": SUBJECT, "keyfold_role": "admin"}
    desk, _ = sign_in(api_of(provider), provider)
    assert desk.get("tokens").status == 200
    provider.userinfo = {"sub": "another", "keyfold_role": "admin"}
    assert "does not hold" in refused(api_of(provider), provider).said


def test_it_is_not_asked_for_more_than_that(api: Api, provider: PlantedProvider) -> None:
    provider.userinfo = {"sub": SUBJECT}
    sign_in(api, provider)
    assert "/userinfo" not in provider.asked


# The person


def test_the_person_is_the_actor_and_no_name_is_anywhere(
    api: Api, provider: PlantedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.claims |= {"name": "Ada Lovelace", "email": "ada@example.com"}
    api.redeem("acme")
    api.sit("till-1")
    desk, _ = sign_in(api, provider)
    before = api.head
    desk.send("accounts/acme/release", product="cloud_pos", holder="till-1", reason="x")
    (event,) = api.services.book.follow(before)
    person = id_of(api, provider)
    assert (event.name, event.actor) == ("account.seat_released@1", person)
    assert f"by person {person}" in desk.get("timeline?account=acme").text
    for path in (f"timeline?ref={person}", f"timeline?actor={person}"):
        assert "gave its Cloud POS seat back" in desk.get(path).text
    (found, *_) = api.get("auditor", f"/v1/timeline?actor={person}").body["items"]
    assert (found["actor"], found["actor_role"]) == (person, "admin")
    desk.send("sign-out")
    ledger = "".join(repr(one) for one in api.services.book.follow(0))
    for told in ("Ada", "ada@", SUBJECT, provider.url):
        assert told not in ledger
        assert told not in caplog.text


def test_a_person_is_known_again_and_by_nobody_elses_id(
    api: Api, provider: PlantedProvider
) -> None:
    sign_in(api, provider)
    before = api.head
    sign_in(api, provider)
    (event,) = api.services.book.follow(before)
    assert event.name == "console_session.person_signed_in@1"
    key = api.services.person_key
    other = {person_id(key, provider.url, "1"), person_id(key, provider.url + "/", SUBJECT)}
    assert id_of(api, provider) not in other
    provider.claims["keyfold_role"] = "auditor"
    desk, _ = sign_in(api, provider)
    assert desk.get("tokens").status == 403
    assert len(api.services.book.load(PEOPLE, ID).state) == 1


def test_a_session_ends_after_half_a_day_or_sooner(provider: PlantedProvider) -> None:
    from datetime import timedelta

    for minutes in (720, 30):
        api = api_of(provider, lifetime=timedelta(minutes=minutes))
        desk, _ = sign_in(api, provider)
        api.clock.forward(minutes=minutes - 1)
        assert desk.get("").status == 200
        api.clock.forward(minutes=1)
        assert desk.get("").status == 403


def test_signing_out_ends_the_session_for_who_has_a_copy(
    api: Api, provider: PlantedProvider
) -> None:
    desk, _ = sign_in(api, provider)
    thief = stranger(api)
    cookie = desk.client.get_cookie("keyfold_console")
    assert cookie
    thief.client.set_cookie("keyfold_console", cookie.value)
    assert thief.get("").status == 200
    before = api.head
    desk.send("sign-out")
    assert (desk.get("").status, thief.get("").status) == (403, 403)
    (event,) = api.services.book.follow(before)
    assert event.name == "console_session.person_signed_out@1"


def test_a_person_of_a_reseller_sees_that_one_alone(api: Api, provider: PlantedProvider) -> None:
    mine = api.issue()
    theirs = api.issue(
        {"product": "cloud_pos", "seats": 2, "months": 12, "reseller": OTHER_RESELLER}
    )
    provider.claims |= {"keyfold_role": "reseller", "keyfold_reseller": RESELLER.upper()}
    desk, _ = sign_in(api, provider)
    assert desk.get(f"keys/{mine['id']}").status == 200
    assert desk.get(f"keys/{theirs['id']}").status == 404
    assert desk.get("people").status == 403


def test_an_order_is_approved_by_another_than_who_placed_it(
    api: Api, provider: PlantedProvider
) -> None:
    """A person who orders does not approve it, having become an admin; another does."""
    api.allow(RESELLER)
    admin = signed_in(api, "admin")
    admin.send(f"resellers/{RESELLER}/limits", approval_above=1, count="")
    provider.claims |= {"keyfold_role": "reseller", "keyfold_reseller": RESELLER}
    desk, _ = sign_in(api, provider)
    order = {"product": "cloud_pos", "seats": 2, "months": 12, "count": 1, "reason": "x"}
    assert "waits" in desk.send("issue", once="0" * 24, **order).said
    (waiting,) = api.get("admin", "/v1/orders").body["items"]
    assert waiting["placed_by"] == id_of(api, provider)
    provider.claims |= {"keyfold_role": "admin"}
    same, _ = sign_in(api, provider)
    assert waiting["order"] in same.get(f"timeline?ref={waiting['placed_by']}").text
    approving = f"resellers/{RESELLER}/approve"
    assert "approved" not in same.send(approving, order=waiting["order"]).said
    provider.claims |= {"sub": "another"}
    other, _ = sign_in(api, provider)
    assert "The order is approved" in other.send(approving, order=waiting["order"]).said


# Ending sessions, locking out


def test_all_sessions_of_a_person_end_at_once(api: Api, provider: PlantedProvider) -> None:
    one, other = (sign_in(api, provider)[0] for _ in range(2))
    provider.claims["sub"] = "another"
    another, _ = sign_in(api, provider)
    commands.end_sessions(api.services, context(), id_of(api, provider), "A lost laptop")
    assert (one.get("").status, other.get("").status) == (403, 403)
    assert another.get("").status == 200
    provider.claims["sub"] = SUBJECT
    again, _ = sign_in(api, provider)
    assert again.get("").status == 200


def test_who_is_locked_out_is_out_at_once_until_let_in(api: Api, provider: PlantedProvider) -> None:
    person = id_of(api, provider)
    desk, _ = sign_in(api, provider)
    admin = signed_in(api, "admin")
    assert person in admin.get("people").text
    seen = admin.send(f"people/{person}/lock-out", reason="Has left")
    assert "let in no more" in seen.said
    assert desk.get("").status == 403
    before = api.head
    for _ in range(3):
        assert "locked out" in refused(api, provider).said
    (event,) = api.services.book.follow(before)
    assert (event.fact.problem, event.fact.person) == ("locked_out", person)  # type: ignore[attr-defined]
    admin.send(f"people/{person}/let-in", reason="Is back")
    assert desk.get("").status == 403
    again, _ = sign_in(api, provider)
    assert again.get("").status == 200
    assert "Has left" in admin.get(f"timeline?ref={person}").text


def test_one_may_be_locked_out_before_ever_signing_in(api: Api, provider: PlantedProvider) -> None:
    person = id_of(api, provider)
    with pytest.raises(PersonNotFound):
        commands.end_sessions(api.services, context(), person)
    commands.lock_out(api.services, context(), person)
    assert "locked out" in refused(api, provider).said
    assert person in signed_in(api, "admin").get("people").text


def test_what_a_person_granted_ends_when_it_is_locked_out(
    api: Api, provider: PlantedProvider
) -> None:
    desk, _ = sign_in(api, provider)
    made = desk.send("notices/links", account="acme", language="en")
    feed = urlsplit(made.field("ics")).path
    assert api.client.get(feed).status_code == 200
    # What is granted in a session at the portal, which rests on the one who gave the link to it.
    asked = context()._replace(actor=id_of(api, provider))
    key = api.app.extensions["keyfold"].wiring.link_key
    links = [make_link(api.services, key, asked, Granted("acme")).text for _ in range(3)]
    opened = open_portal_session(api.services, key, context(), links[0])
    assert opened.account == "acme"
    commands.lock_out(api.services, context(), id_of(api, provider))
    assert api.client.get(feed).status_code == 410
    with pytest.raises(LinkInvalid):
        open_portal_session(api.services, key, context(), links[1])
    # Whoever locked it out may have had reason to think that it was another who made it.
    commands.let_in(api.services, context(), id_of(api, provider))
    assert api.client.get(feed).status_code == 410
    with pytest.raises(LinkInvalid):
        open_portal_session(api.services, key, context(), links[2])


# What does not hold


def test_a_callback_that_nobody_began_is_refused(api: Api, provider: PlantedProvider) -> None:
    taken = begin(stranger(api))
    code = provider.give_code(taken["url"])
    victim = stranger(api)
    seen = come_back(victim, code=code, state=taken["state"])
    assert (seen.status, "not begun here" in seen.said) == (403, True)
    assert "/token" not in provider.asked


@pytest.mark.parametrize("state", ["", "0" * 43, "ü"])
def test_another_state_is_refused(api: Api, provider: PlantedProvider, state: str) -> None:
    desk = stranger(api)
    code = provider.give_code(begin(desk)["url"])
    assert "not begun here" in come_back(desk, code=code, state=state).said
    assert "/token" not in provider.asked


def test_a_try_is_over_after_one_answer_and_after_ten_minutes(
    api: Api, provider: PlantedProvider
) -> None:
    desk = stranger(api)
    taken = begin(desk)
    assert come_back(desk, error="access_denied", state=taken["state"]).status == 403
    code = provider.give_code(taken["url"])
    assert "not begun here" in come_back(desk, code=code, state=taken["state"]).said
    taken = begin(desk)
    kept = desk.client.get_cookie("keyfold_console_provider")
    assert kept
    api.clock.forward(minutes=10)
    desk.client.set_cookie("keyfold_console_provider", kept.value)
    code = provider.give_code(taken["url"])
    assert "not begun here" in come_back(desk, code=code, state=taken["state"]).said


def test_a_code_that_was_used_is_refused(api: Api, provider: PlantedProvider) -> None:
    desk = stranger(api)
    taken = begin(desk)
    kept = desk.client.get_cookie("keyfold_console_provider")
    assert kept
    code = provider.give_code(taken["url"])
    assert come_back(desk, code=code, state=taken["state"]).status == 200
    thief = stranger(api)
    thief.client.set_cookie("keyfold_console_provider", kept.value)
    seen = come_back(thief, code=code, state=taken["state"])
    assert (seen.status, thief.get("").status) == (502, 403)


def test_a_code_of_another_try_is_refused(api: Api, provider: PlantedProvider) -> None:
    """PKCE: who puts a stolen code into a try of their own has another verifier."""
    stolen = provider.give_code(begin(stranger(api))["url"])
    thief = stranger(api)
    seen = come_back(thief, code=stolen, state=begin(thief)["state"])
    assert (seen.status, thief.get("").status) == (502, 403)


NOW = int(time.time())


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"aud": "another"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["another"]}, "aud"),
        ({"aud": [CLIENT_ID, "another"]}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"iss": "https://login.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"exp": NOW - 3600}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"iat": NOW + 3600}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": NOW + 3600}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "sub"),
    ],
)
def test_an_id_token_that_is_for_another_or_another_time_is_refused(
    api: Api,
    provider: PlantedProvider,
    caplog: pytest.LogCaptureFixture,
    said: dict[str, Any],
    part: str,
) -> None:
    provider.claims |= said
    assert "does not hold" in refused(api, provider).said
    assert f"the provider is not to be trusted: {part}" in caplog.text
    assert SUBJECT not in caplog.text


def test_several_audiences_are_taken_from_who_names_us(api: Api, provider: PlantedProvider) -> None:
    provider.claims |= {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert sign_in(api, provider)[1].status == 200


def with_header(header: Any, signature: str = "") -> Callable[[dict[str, Any]], str]:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return lambda claims: f"{part(header)}.{part(claims)}.{signature}"


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    signed = with_header({"alg": "HS256", "kid": KEY.kid})(claims).rpartition(".")[0]
    mac = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def signed_with_the_client_secret(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))


@pytest.mark.parametrize(
    "sign",
    [
        with_header({"alg": "none"}),
        with_header({"alg": "none", "kid": KEY.kid}),
        with_header({"alg": "RS256", "kid": KEY.kid}),
        with_header({"alg": "RS256", "kid": 7}, "AAAA"),
        with_header({"alg": 7, "kid": KEY.kid}, "AAAA"),
        with_header({"alg": "ES256", "kid": KEY.kid}, "AAAA"),
        with_header({"kid": KEY.kid}, "AAAA"),
        with_header([7], "AAAA"),
        with_header({"alg": "RS256", "kid": KEY.kid, "crit": ["x"], "x": 1}, "AAAA"),
        signed_with_the_public_key,
        signed_with_the_client_secret,
        signed_by(STRANGERS_KEY),
        lambda claims: signed_by(KEY)(claims)[:-8] + "AAAAAAAA",
        lambda _: "nonsense",
        lambda _: "",
    ],
)
def test_an_id_token_that_the_provider_has_not_signed_is_refused(
    api: Api, provider: PlantedProvider, sign: Callable[[dict[str, Any]], str]
) -> None:
    provider.sign = sign
    assert "does not hold" in refused(api, provider).said


def test_a_new_key_is_looked_for_once(api: Api, provider: PlantedProvider) -> None:
    sign_in(api, provider)
    sign_in(api, provider)
    assert provider.asked.count("/keys") == 1
    provider.sign, provider.keys = signed_by(NEXT_KEY), [KEY, NEXT_KEY]
    assert sign_in(api, provider)[1].status == 200
    assert provider.asked.count("/keys") == 2
    # One that it does not publish is looked for no more than once in a try.
    provider.keys = [KEY]
    provider.sign = signed_by(NEXT_KEY)
    fresh = api_of(provider)
    refused(fresh, provider)
    assert provider.asked.count("/keys") == 3


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://login.example"},
        {"issuer": None},
        {"authorization_endpoint": "http://login.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"jwks_uri": None},
    ],
)
def test_a_provider_that_describes_another_is_not_gone_to(
    api: Api, provider: PlantedProvider, description: dict[str, Any]
) -> None:
    provider.description = description
    seen = stranger(api).get("sign-in/provider")
    assert (seen.status, "does not hold" in seen.said) == (502, True)


def test_an_answer_of_another_issuer_is_refused(api: Api, provider: PlantedProvider) -> None:
    """RFC 9207: of several providers, one could pass another's code on."""
    desk = stranger(api)
    taken = begin(desk)
    code = provider.give_code(taken["url"])
    seen = come_back(desk, code=code, state=taken["state"], iss="https://other.example")
    assert (seen.status, "/token" in provider.asked) == (502, False)
    provider.description = {"authorization_response_iss_parameter_supported": True}
    named = api_of(provider)
    refused(named, provider)
    desk = stranger(named)
    taken = begin(desk)
    code = provider.give_code(taken["url"])
    assert come_back(desk, code=code, state=taken["state"], iss=provider.url).status == 200


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("access_denied", 403, "not signed you in"),
        ("login_required", 403, "not signed you in"),
        ("temporarily_unavailable", 503, "does not answer"),
        ("invalid_scope", 502, "does not take"),
        ("<script>alert(1)</script>", 502, "does not take"),
    ],
)
def test_a_provider_that_says_no_is_told_by_a_page(
    api: Api, error: str, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = stranger(api)
    taken = begin(desk, "/console/overview")
    seen = come_back(desk, error=error, error_description="Ada is gone", state=taken["state"])
    assert seen.status == status
    assert said in seen.said
    assert "script>alert" not in seen.page + caplog.text
    assert "Ada" not in seen.page + caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b'{"error": "invalid_client"}'), "does not take"),
        ((400, b'{"error": ["x"]}'), "does not take"),
        ((500, b"<html>"), "does not answer"),
        ((200, b"<html>"), "does not hold"),
        ((200, b"[]"), "does not hold"),
        ((200, b"{}"), "does not hold"),
        ((200, b'{"id_token": 7}'), "does not hold"),
        ((302, b""), "does not take"),
        ((200, b" " * (gateway.BODY_BYTES_MAX + 1)), "does not answer"),
    ],
)
def test_a_token_endpoint_that_fails_is_told_by_a_page(
    api: Api, provider: PlantedProvider, answer: tuple[int, bytes], said: str
) -> None:
    provider.token_answer = answer
    assert said in refused(api, provider).said


def test_a_provider_that_is_down_is_told_by_a_page_and_tokens_work(
    provider: PlantedProvider,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        provider.url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        api = api_of(provider)
        seen = stranger(api).get("sign-in/provider")
        assert (seen.status, "does not answer" in seen.said) == (503, True)
        assert signed_in(api, "admin").get("").status == 200


def test_a_provider_that_hangs_takes_few_threads_and_not_for_long(
    provider: PlantedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "READ_S", 0.2)
    monkeypatch.setattr(gateway, "TURN_S", 0.05)
    api = api_of(provider)
    go_on, hanging = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        hanging.release()
        go_on.wait(30)

    provider.wait = hang
    seen: list[int] = []
    monkeypatch.setattr(gateway, "READ_S", 30)
    threads = [
        threading.Thread(target=lambda: seen.append(stranger(api).get("sign-in/provider").status))
        for _ in range(2)
    ]
    for one in threads:
        one.start()
    for _ in threads:
        assert hanging.acquire(timeout=30)
    # Two wait for it; the third is told at once, and does not wait beside them.
    assert stranger(api).get("sign-in/provider").status == 503
    assert len(provider.asked) == 2
    go_on.set()
    for one in threads:
        one.join(30)
    assert seen == [303, 303]
    go_on.clear()
    monkeypatch.setattr(gateway, "READ_S", 0.2)
    fresh = api_of(provider)
    assert stranger(fresh).get("sign-in/provider").status == 503
    go_on.set()


def test_a_provider_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "CALL_S", 0.1)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        api = memory_api(oidc=OidcSettings(url, CLIENT_ID, CLIENT_SECRET))
        assert stranger(api).get("sign-in/provider").status == 503
        stop.set()
        thread.join(30)


def test_tokens_go_on_beside_people(api: Api, provider: PlantedProvider) -> None:
    given = create_token(api.services, context(), "support")
    api.tokens["desk"] = given.secret
    desk = signed_in(api, "desk")
    commands.lock_out(api.services, context(), id_of(api, provider))
    assert desk.get("").status == 200
