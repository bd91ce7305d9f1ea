"""Who may do what: a token of each role, and none, on each route."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from commands.give_access import create_token, revoke_token
from ledger.streams.token import ROLES
from tests.web.api import POS, RESELLER, Api
from tests.worlds import DAY, NOON, context

KEY_READERS = {"reseller", "support", "auditor", "admin"}
ACCOUNT_READERS = {"portal", "support", "auditor", "admin"}
OWNERS = {"reseller", "admin"}
NOTICE_READERS = {*ACCOUNT_READERS, "reseller"}
PROOF_READERS = {"support", "auditor", "admin"}
EVERYBODY = None

CALLERS = (None, *ROLES)


@dataclass(frozen=True)
class Route:
    """Who gets this status; the other roles get 403, and nobody else is let in at all."""

    method: str
    rule: str
    status: int
    roles: set[str] | None
    body: dict[str, Any] | None = None
    query: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"

    def expected(self, caller: str | None) -> int:
        if self.roles is None or caller in self.roles:
            return self.status
        return 401 if caller is None else 403


ACCOUNT = "/v1/accounts/<account>"
SUBSCRIPTION = f"{ACCOUNT}/subscriptions/<subscription>"
SEAT = f"{ACCOUNT}/seats/<product>/<holder>"
REASON = {"reason": "Because"}
DONE = "http://127.0.0.1:8000/docs"
PURCHASE = {
    "product": "cloud_pos",
    "seats": 1,
    "interval": "month",
    "success_url": DONE,
    "cancel_url": DONE,
}
PREVIEW = {"product": "cloud_pos", "seats": 1, "interval": "month"}
HOLDER = {"product": "cloud_pos", "holder": "till-1"}

# An address of the internet, which nothing is sent to here.
WEBHOOK = {"url": "https://1.1.1.1/hook", "kinds": ["account.changed"]}
ADMIN = {"admin"}

ROUTES = [
    Route("POST", "/v1/keys", 201, OWNERS, POS),
    Route("GET", "/v1/keys", 200, KEY_READERS),
    Route("GET", "/v1/keys/<id:key>", 200, KEY_READERS),
    Route("GET", "/v1/keys/<id:key>/receipt", 200, KEY_READERS),
    Route("POST", "/v1/keys/<id:key>/revoke", 200, OWNERS, REASON),
    Route("POST", "/v1/keys/<id:key>/reissue", 201, {*OWNERS, "support"}, REASON),
    Route("POST", "/v1/keys/<id:key>/reveal", 200, OWNERS, REASON),
    Route("PATCH", "/v1/keys/<id:key>", 200, {"admin"}, {"seats": 7, **REASON}),
    Route("GET", "/v1/batches", 200, KEY_READERS),
    Route("POST", "/v1/batches/<batch>/reveal", 200, OWNERS, REASON),
    Route("POST", "/v1/batches/<batch>/revoke", 200, OWNERS, REASON),
    Route("POST", "/v1/batches/<batch>/reissue", 201, {*OWNERS, "support"}, REASON),
    Route("GET", "/v1/resellers", 200, PROOF_READERS),
    Route("GET", "/v1/resellers/<reseller>", 200, {*PROOF_READERS, "reseller"}),
    Route(
        "POST",
        "/v1/resellers/<reseller>/grants",
        201,
        {"admin"},
        {"product": "cloud_pos", "seats": 1000, **REASON},
    ),
    Route("PUT", "/v1/resellers/<reseller>/limits", 200, {"admin"}, {}),
    Route("POST", "/v1/resellers/<reseller>/suspend", 200, {"admin"}, REASON),
    Route("POST", "/v1/resellers/<reseller>/resume", 200, {"admin"}, REASON),
    Route("POST", "/v1/resellers/<reseller>/revoke", 200, {"admin"}, REASON),
    Route(
        "GET",
        "/v1/resellers/<reseller>/statement",
        200,
        {*PROOF_READERS, "reseller"},
        query="?month=2026-03",
    ),
    Route("GET", "/v1/orders", 200, KEY_READERS),
    Route("GET", "/v1/orders/<order>", 404, KEY_READERS),
    Route("POST", "/v1/orders/<order>/approve", 404, {"admin"}),
    Route("POST", "/v1/orders/<order>/decline", 404, {"admin"}, REASON),
    Route("POST", "/v1/keys/validate", 200, {"portal", "admin"}, {"code": "<code>"}),
    Route("POST", "/v1/keys/redeem", 201, {"portal", "admin"}, {"code": "<code>"}),
    Route("GET", f"{ACCOUNT}/subscriptions", 200, ACCOUNT_READERS),
    Route("GET", f"{ACCOUNT}/entitlements", 200, ACCOUNT_READERS),
    Route("GET", f"{ACCOUNT}/seat-history", 200, ACCOUNT_READERS),
    Route("POST", f"{SUBSCRIPTION}/start", 200, {"support", "admin"}, REASON),
    Route("POST", f"{SUBSCRIPTION}/extend", 200, {"admin"}, {"days": 1, **REASON}),
    Route("POST", f"{SUBSCRIPTION}/suspend", 200, {"admin"}, REASON),
    Route("POST", f"{SUBSCRIPTION}/resume", 200, {"support", "admin"}, REASON),
    Route("POST", f"{SUBSCRIPTION}/terminate", 200, {"admin"}, REASON),
    Route("POST", f"{SUBSCRIPTION}/transfer", 200, {"support", "admin"}, {"to": "b", **REASON}),
    Route(
        "PUT",
        f"{ACCOUNT}/stripe-customer",
        200,
        {"portal", "support", "admin"},
        {"customer": "cus_1"},
    ),
    Route(
        "DELETE",
        f"{ACCOUNT}/stripe-customer",
        409,
        {"support", "admin"},
        {"customer": "cus_1", **REASON},
    ),
    Route(
        "PUT",
        f"{ACCOUNT}/stripe-subscriptions/<stripe_subscription>",
        404,
        {"support", "admin"},
        REASON,
    ),
    Route("GET", f"{ACCOUNT}/seats", 200, ACCOUNT_READERS),
    Route("GET", SEAT, 200, ACCOUNT_READERS),
    Route("PUT", SEAT, 200, {"portal", "admin"}, {}),
    Route("DELETE", SEAT, 204, {"portal", "support", "admin"}),
    Route("POST", f"{ACCOUNT}/attempts/clear", 204, {"support", "admin"}, REASON),
    Route("GET", f"{ACCOUNT}/timeline", 200, ACCOUNT_READERS),
    Route("GET", "/v1/timeline", 200, KEY_READERS),
    Route("POST", "/v1/timeline/search", 200, KEY_READERS, {"ref": "acme"}),
    Route("GET", f"{ACCOUNT}/diff", 200, ACCOUNT_READERS, query="?from=2026-01-01T00:00:00Z"),
    Route("POST", f"{ACCOUNT}/explain", 200, ACCOUNT_READERS, HOLDER),
    Route("GET", "/v1/overview", 200, PROOF_READERS),
    Route("GET", "/v1/events", 200, {"auditor", "admin", "portal"}),
    Route("GET", "/v1/events/kinds", 200, EVERYBODY),
    Route("GET", "/v1/checkpoint", 200, PROOF_READERS),
    Route("GET", "/v1/checkpoint/keys", 200, PROOF_READERS),
    Route("GET", "/v1/proofs/inclusion", 200, PROOF_READERS, query="?position=1"),
    Route("GET", "/v1/proofs/consistency", 200, PROOF_READERS, query="?from=1"),
    Route("GET", "/v1/notices", 200, NOTICE_READERS),
    Route("POST", "/v1/notices/links", 201, NOTICE_READERS - {"auditor"}, {"account": "acme"}),
    Route("GET", "/v1/notices/links", 200, NOTICE_READERS, query="?account=acme"),
    Route("DELETE", "/v1/notices/links/<notice_link>", 204, NOTICE_READERS - {"auditor"}),
    Route("GET", "/v1/notices/feeds/<feed>/atom.xml", 200, EVERYBODY),
    Route("GET", "/v1/notices/feeds/<feed>/calendar.ics", 200, EVERYBODY),
    Route("POST", "/v1/webhooks", 201, ADMIN, WEBHOOK),
    Route("GET", "/v1/webhooks", 200, ADMIN),
    Route("GET", "/v1/webhooks/<webhook>", 200, ADMIN),
    Route("DELETE", "/v1/webhooks/<webhook>", 204, ADMIN),
    Route("POST", "/v1/webhooks/<webhook>/rotate", 200, ADMIN),
    Route("POST", "/v1/webhooks/<webhook>/test", 202, ADMIN),
    Route("POST", "/v1/webhooks/<webhook>/replay", 202, ADMIN, {"after": 0}),
    Route("GET", "/v1/webhooks/<webhook>/deliveries", 200, ADMIN),
    Route("GET", "/healthz", 200, EVERYBODY),
    Route("GET", "/readyz", 200, EVERYBODY),
    Route("GET", "/metrics", 200, EVERYBODY),
    Route("GET", "/openapi.json", 200, EVERYBODY),
    Route("GET", "/docs", 200, EVERYBODY),
    Route("GET", "/", 200, EVERYBODY),
    Route("GET", "/static/<filename>", 200, EVERYBODY),
    Route("POST", "/webhooks/stripe", 503, EVERYBODY),
    Route("POST", f"{ACCOUNT}/portal-session", 201, {"portal", "admin"}, {}),
    Route(
        "POST", f"{ACCOUNT}/portal-sessions/end", 204, {"support", "admin"}, {"reason": "stolen"}
    ),
    Route("POST", f"{ACCOUNT}/checkout", 503, {"portal", "admin"}, PURCHASE),
    Route("POST", f"{ACCOUNT}/checkout/preview", 503, {"portal", "admin"}, PREVIEW),
    Route("POST", f"{ACCOUNT}/stripe-portal", 503, {"portal", "admin"}, {"return_url": DONE}),
    Route("GET", f"{ACCOUNT}/billing", 200, ACCOUNT_READERS),
    Route("GET", "/assets/<name>", 200, EVERYBODY),
    Route("GET", "/portal/open", 200, EVERYBODY),
    # A token is of no use on the customer's pages: they are for who came in by a link.
    *(
        Route(method, f"/portal/{rule}", 403, EVERYBODY)
        for method, rule in [
            ("POST", "open"),
            ("POST", "leave"),
            ("POST", "language"),
            ("GET", ""),
            ("GET", "subscriptions"),
            ("GET", "manage/<product>"),
            ("POST", "manage/<product>/add"),
            ("GET", "manage/<product>/remove"),
            ("POST", "manage/<product>/remove"),
            ("POST", "manage/<product>/rename"),
            ("POST", "manage/<product>/replace"),
            ("GET", "upgrade/<product>"),
            ("GET", "upgrade/<product>/key"),
            ("POST", "upgrade/<product>/validate"),
            ("POST", "upgrade/<product>/activate"),
            ("GET", "buy/<product>"),
            ("POST", "buy/<product>"),
            ("POST", "buy/<product>/pay"),
            ("POST", "stripe"),
            ("GET", "billing"),
            ("GET", "notices"),
            ("POST", "notices/links"),
            ("POST", "notices/links/<notice_link>/revoke"),
        ]
    ),
    Route("GET", "/console/sign-in", 200, EVERYBODY),
    # Where no provider is set up they lead to the form.
    Route("GET", "/console/sign-in/provider", 303, EVERYBODY),
    Route("GET", "/console/sign-in/callback", 303, EVERYBODY),
    # Nor is it on the console's pages, but in the form by which a browser is signed in.
    *(
        Route(method, f"/console/{rule}", 403, EVERYBODY)
        for method, rule in [
            ("POST", "sign-in"),
            ("POST", "sign-out"),
            ("POST", "language"),
            ("GET", ""),
            ("GET", "design"),
            ("POST", "search"),
            ("GET", "timeline"),
            ("GET", "events/<int:position>"),
            ("GET", "cause"),
            ("GET", "accounts"),
            ("GET", "accounts/<account>"),
            ("GET", "accounts/<account>/diff"),
            ("POST", "accounts/<account>/explain"),
            ("GET", "accounts/<account>/seat-history"),
            ("POST", "accounts/<account>/release"),
            ("POST", "accounts/<account>/subscriptions/preview"),
            ("POST", "accounts/<account>/subscriptions/change"),
            ("POST", "accounts/<account>/link"),
            ("POST", "accounts/<account>/unlink"),
            ("POST", "accounts/<account>/assign"),
            ("POST", "accounts/<account>/end-sessions"),
            ("POST", "accounts/<account>/clear-attempts"),
            ("GET", "keys"),
            ("GET", "keys/<key>"),
            ("GET", "keys/<key>/receipt"),
            ("POST", "keys/<key>/revoke"),
            ("POST", "keys/<key>/reissue"),
            ("GET", "batches"),
            ("POST", "batches/<batch>/revoke"),
            ("POST", "batches/<batch>/reissue"),
            ("GET", "resellers"),
            ("GET", "resellers/<reseller>"),
            ("GET", "statement"),
            *(
                ("POST", f"resellers/<reseller>/{what}")
                for what in ("grant", "limits", "suspend", "resume", "revoke-all")
            ),
            ("POST", "resellers/<reseller>/approve"),
            ("POST", "resellers/<reseller>/decline"),
            ("GET", "issue"),
            ("POST", "issue"),
            ("GET", "batches/<batch>"),
            ("POST", "batches/<batch>/reveal"),
            ("GET", "attempts"),
            ("GET", "notices"),
            ("POST", "notices/links"),
            ("POST", "notices/links/<notice_link>/revoke"),
            ("GET", "overview"),
            ("GET", "audit"),
            ("GET", "audit/checkpoint"),
            ("GET", "tokens"),
            ("POST", "tokens"),
            ("POST", "tokens/<token>/revoke"),
            ("GET", "people"),
            ("POST", "people/<person>/end-sessions"),
            ("POST", "people/<person>/lock-out"),
            ("POST", "people/<person>/let-in"),
            ("GET", "design"),
            ("POST", "language"),
        ]
    ),
]

_numbers = count()


def test_the_table_has_every_route(shared: Api) -> None:
    def plain(rule: str) -> str:
        return re.sub(r"<\w+:", "<", rule)

    listed = {(route.method, plain(route.rule)) for route in ROUTES}
    served = {
        (method, plain(rule.rule))
        for rule in shared.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed == served


def filled(api: Api, route: Route) -> tuple[str, dict[str, Any] | None]:
    """Return the route's path and body for an account and a key of this one call."""
    api.allow(seats=10)
    account = f"acct-{next(_numbers)}"
    subscription = api.redeem(account)
    api.sit("till-1", account)
    key = api.issue()
    path = route.rule
    for name, made in {
        "account": lambda: account,
        "product": lambda: "cloud_pos",
        "holder": lambda: "till-1",
        "subscription": lambda: subscription,
        "key": lambda: key["id"],
        "batch": lambda: key["batch"],
        "reseller": lambda: RESELLER,
        "order": lambda: "ord_" + "a" * 26,
        "position": lambda: "1",
        "token": lambda: "kft_a",
        "webhook": lambda: a_webhook(api),
        "notice_link": lambda: a_notice_link(api)["id"],
        "feed": lambda: a_notice_link(api)["atom"].split("/")[-2],
        "filename": lambda: "docs.css",
        "name": lambda: asset_name(api),
    }.items():
        path = re.sub(rf"<(\w+:)?{name}>", lambda _, made=made: made(), path)  # type: ignore[misc]
    body = route.body
    if body and "code" in body:
        body = {"code": key["code"], "account": account, "session": "s-1"}
    if body and "customer" in body:
        body = {**body, "customer": f"cus_{account.removeprefix('acct-')}"}
    return path + route.query, body


def a_webhook(api: Api) -> str:
    """Return the id of a webhook of this one call."""
    return str(api.post("admin", "/v1/webhooks", WEBHOOK).body["id"])


def a_notice_link(api: Api) -> dict[str, str]:
    """Return a link of this one call; they are counted."""
    whose = {"account": f"acct-{next(_numbers)}", "reseller": RESELLER}
    made = api.post("admin", "/v1/notices/links", whose)
    return dict(made.body)


def asset_name(api: Api) -> str:
    """Return the name of the pages' stylesheet, as it is now."""
    page = api.get(None, "/portal/open").raw.decode()
    return str(re.findall(r"/assets/(\S+css)", page)[0])


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_role_gets_as_far_as_it_should(shared: Api, route: Route) -> None:
    for caller in CALLERS:
        path, body = filled(shared, route)
        before = shared.head
        got = shared.ask(caller, route.method, path, body)
        assert (caller, got.status) == (caller, route.expected(caller)), got.body
        if got.status in {401, 403}:
            assert (caller, shared.head) == (caller, before)
        if got.status == 401:
            assert got.headers["WWW-Authenticate"] == 'Bearer realm="keyfold"'


def test_head_is_for_whom_get_is(shared: Api) -> None:
    reads = [route for route in ROUTES if route.method == "GET"]
    for route in reads:
        path, _ = filled(shared, route)
        for caller in CALLERS:
            got = shared.ask(caller, "HEAD", path)
            expected = (route.expected(caller), b"")
            assert (str(route), caller, got.status, got.raw) == (str(route), caller, *expected)


def test_options_tells_the_methods_to_anybody(shared: Api) -> None:
    for route in ROUTES:
        path, _ = filled(shared, route)
        got = shared.ask(None, "OPTIONS", path)
        assert (str(route), got.status, got.raw) == (str(route), 200, b"")
        assert route.method in got.headers["Allow"].split(", ")
        assert "Access-Control-Allow-Origin" not in got.headers


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer kf_",
        "Bearer kf_abc def",
        "Bearer {admin}x",
        "bearer{admin}",
        "{admin}",
        "Basic {admin}",
        "Bearer kf_\u00e4\u00f6",
        "Bearer " + "kf_" + "a" * 5000,
    ],
)
def test_what_is_no_valid_token_lets_nobody_in(shared: Api, sent: str) -> None:
    header = sent.replace("{admin}", shared.tokens["admin"])
    got = shared.get(None, "/v1/keys", headers={"Authorization": header})
    assert (got.status, got.code) == (401, "unauthenticated")
    assert 'error="invalid_token"' in got.headers["WWW-Authenticate"]


def test_the_scheme_of_a_token_is_not_case_sensitive(shared: Api) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        sent = {"Authorization": f"{scheme} {shared.tokens['admin']}"}
        assert shared.get(None, "/v1/keys", headers=sent).status == 200


def test_a_revoked_token_lets_nobody_in_from_then_on(api: Api) -> None:
    given = create_token(api.services, context(), "admin")
    api.tokens["gone"] = given.secret
    assert api.get("gone", "/v1/keys").status == 200
    revoke_token(api.services, context(), given.token.id)
    assert api.get("gone", "/v1/keys").status == 401


def test_a_token_lets_nobody_in_once_it_has_expired(api: Api) -> None:
    api.tokens["short"] = create_token(
        api.services, context(), "admin", expires_at=NOON + DAY
    ).secret
    api.clock.now = NOON + DAY * 0.999
    assert api.get("short", "/v1/keys").status == 200
    api.clock.now = NOON + DAY
    assert api.get("short", "/v1/keys").status == 401


def test_who_asked_is_recorded_with_what_happened(api: Api) -> None:
    token = create_token(api.services, context(), "admin")
    api.tokens["asking"] = token.secret
    got = api.post("asking", "/v1/keys", POS, headers={"X-Request-Id": "order-7"})
    events = list(api.services.book.follow(got.position - 1))
    assert [(event.actor, event.request_id) for event in events] == [(token.token.id, "order-7")]


@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_a_page_that_says_nothing_lets_nobody_in(api: Api, caller: str | None) -> None:
    api.app.view_functions["docs.show_docs"] = lambda: "secret"
    got = api.get(caller, "/docs")
    assert got.status == (401 if caller is None else 403)
    assert b"secret" not in got.raw


ELSEWHERE = "203.0.113.7"


@pytest.mark.parametrize("caller", [*CALLERS, "nonsense"], ids=str)
def test_figures_need_a_token_from_elsewhere(shared: Api, caller: str | None) -> None:
    shared.tokens["nonsense"] = "kf_nonsense"
    got = shared.get(caller, "/metrics", environ_base={"REMOTE_ADDR": ELSEWHERE})
    expected = {None: 401, "nonsense": 401, "admin": 200, "auditor": 200}
    assert got.status == expected.get(caller, 403)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_figures_need_no_token_from_this_machine(shared: Api, address: str) -> None:
    assert shared.get(None, "/metrics", environ_base={"REMOTE_ADDR": address}).status == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_open_the_figures(shared: Api, header: str) -> None:
    assert shared.get(None, "/metrics", headers={header: ELSEWHERE}).status == 401
