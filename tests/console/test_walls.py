"""Who sees what: a reseller its own alone, free text who may, whole codes nobody."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import pytest
from flask import Response

from tests.console.desk import SECRETS, Desk, routes, signed_in
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api, memory_api
from web.console.session import roles_required
from web.html.session import session_page
from web.portal.session import session_required as portal_session_required

NOTE = "For the fair in spring"
THEIRS = "For the fair in autumn"
LABEL = "Front desk of the fair"
ROLES = ("admin", "support", "auditor", "reseller")
# Forms that are about their reader alone.
OF_THE_READER = {"/sign-in", "/sign-out", "/search", "/issue", "/language", "/notices/links"}


@pytest.fixture(scope="module")
def api() -> Api:
    """Return a world in which everything bears free text, and two resellers have keys."""
    api = memory_api()
    for name in (RESELLER, OTHER_RESELLER):
        api.allow(name)
    api.issue({**POS, "note": NOTE})
    api.redeem("acme", {**POS, "note": NOTE})
    api.sit("till-1", label=LABEL)
    theirs = api.issue({**POS, "reseller": OTHER_RESELLER, "note": THEIRS})
    api.post("admin", f"/v1/keys/{theirs['id']}/revoke", {"reason": THEIRS})
    api.redeem("acme", {**POS, "reseller": OTHER_RESELLER})
    api.try_code("POS-ABCD-EFGH-7K2M")
    return api


def owned(api: Api, reseller: str) -> tuple[set[str], set[str]]:
    """Return the keys and batches that are a reseller's."""
    items = api.get("admin", f"/v1/keys?reseller={reseller}").body["items"]
    return {one["id"] for one in items}, {one["batch"] for one in items}


def paths(api: Api) -> list[str]:
    """Return every address that there is for a GET, with everything that there is."""
    mine, theirs = owned(api, RESELLER), owned(api, OTHER_RESELLER)
    keys, batches = mine[0] | theirs[0], mine[1] | theirs[1]
    found = []
    for one in routes(api):
        if one.method == "GET" and one.rule != "/sign-in":
            rule = one.rule.lstrip("/").replace("<account>", "acme")
            if "<int:position>" in rule:
                found += [rule.replace("<int:position>", str(n)) for n in range(1, api.head + 1)]
            elif "<key>" in rule:
                found += [rule.replace("<key>", key) for key in sorted(keys)]
            elif "<batch>" in rule:
                found += [rule.replace("<batch>", batch) for batch in sorted(batches)]
            else:
                found.append(rule)
    masked = {one["masked"] for one in api.get("admin", "/v1/keys").body["items"]}
    refs = [*keys, *batches, *masked, "acme", "till-1", RESELLER, OTHER_RESELLER, "req_1"]
    found += [f"timeline?ref={ref}" for ref in sorted(refs)]
    found += [f"timeline?account=acme&ref={ref}" for ref in ("acme", "till-1")]
    found += [f"keys?reseller={OTHER_RESELLER}", "keys?redeemed_by=acme", "keys?status=revoked"]
    found += [f"keys?batch={batch}" for batch in sorted(batches)]
    streams = {event.stream for event in api.services.book.follow(0)}
    found += [f"cause?of={stream}/{n}" for stream in sorted(streams) for n in (1, 2)]
    found += ["accounts/acme/diff?from=2026-01-01T00:00:00Z", "attempts?account=acme"]
    return found


def walk(desk: Desk, paths: list[str]) -> dict[str, str]:
    """Return what every page says that is shown, redirections followed."""
    shown = {}
    for path in paths:
        seen = desk.get(path)
        if seen.status == 303:
            seen = desk.get(seen.headers["Location"].removeprefix("/console/"))
        if seen.status == 200:
            shown[path] = seen.page
    return shown


@pytest.mark.parametrize(
    ("who", "whose", "others"),
    [("reseller", RESELLER, OTHER_RESELLER), ("other", OTHER_RESELLER, RESELLER)],
)
def test_a_reseller_reaches_its_own_alone_by_every_address(
    api: Api, who: str, whose: str, others: str
) -> None:
    shown = walk(signed_in(api, who), paths(api))
    mine, theirs = owned(api, whose), owned(api, others)
    for path, page in shown.items():
        # What was asked for may be repeated; nothing else of another's may be there.
        said = page.replace(path.partition("ref=")[2] or "\0", "")
        for id in theirs[0] | theirs[1]:
            digest = id.partition("_")[2]
            assert digest not in said or f"batch={id}" in path, (path, id)
        if not path.startswith("keys?reseller="):
            assert others not in said.replace(path.partition("=")[2] or "\0", ""), path
    assert not {path for path in shown for id in theirs[0] | theirs[1] if f"/{id}" in path}
    assert {f"keys/{key}/receipt" for key in mine[0]} <= set(shown)
    assert {f"keys/{key}" for key in mine[0]} <= set(shown)
    assert {f"batches/{batch}" for batch in mine[1]} <= set(shown)
    assert not {path for path in shown if re.match("accounts|attempts|overview|audit|tok", path)}


def test_searching_tells_a_reseller_nothing_of_anothers(api: Api) -> None:
    desk = signed_in(api, "other")
    keys, batches = owned(api, RESELLER)
    for ref in (*keys, *batches, "acme", "till-1", "key_" + "a" * 26, "bat_" + "a" * 26):
        answer = desk.client.post(
            "/console/search", data={"form_token": desk.form_token(), "ref": ref}
        )
        assert (answer.status_code, "Location" in answer.headers) == (200, False)
        assert "Nothing like" in answer.text
        assert (
            "Nothing, or nothing that your token may see." in desk.get(f"timeline?ref={ref}").text
        )


def test_searching_tells_a_reseller_not_which_codes_others_have(api: Api) -> None:
    desk = signed_in(api, "reseller")
    there = api.issue(reseller=OTHER_RESELLER)["code"]
    for spell in (str, lambda code: code.replace("-", ""), lambda code: f"x{code}x"):
        seen = [desk.send("search", ref=spell(code)) for code in (there, "POS-ABCD-EFGH-7K2M")]
        assert seen[0].status == seen[1].status
        assert seen[0].said == seen[1].said
        pages = [re.sub(r"key_[a-z2-7]{26}|value=\"\w+\"|req_\w+", "", one.page) for one in seen]
        assert pages[0] == pages[1]


def test_a_reseller_can_change_nothing_of_anothers(api: Api) -> None:
    keys, batches = owned(api, RESELLER)
    desk = signed_in(api, "other")
    for one in routes(api):
        if one.method == "POST" and one.rule not in OF_THE_READER:
            for key in keys:
                rule = one.rule.lstrip("/").replace("<key>", key).replace("<account>", "acme")
                rule = rule.replace("<batch>", min(batches)).replace("<token>", "kft_a")
                seen = desk.send(rule, reason="Mine now", product="cloud_pos", holder="till-1")
                assert seen.status in {403, 404}, rule
                assert not SECRETS.search(seen.page)
    issued = desk.send(
        "issue", once="0" * 24, product="cloud_pos", seats=1, months=1, count=1,
        reseller=RESELLER, reason="Mine now",
    )  # fmt: skip
    assert issued.status == 200
    newest = api.get("admin", "/v1/keys").body["items"][0]
    assert (newest["batch"] in issued.page, newest["reseller"]) == (True, OTHER_RESELLER)
    assert owned(api, RESELLER) == (keys, batches)


@dataclass(frozen=True)
class Reader:
    """Somebody of a role, and what every page says to them."""

    role: str
    desk: Desk
    shown: dict[str, str]


@pytest.fixture(scope="module", params=ROLES)
def reader(api: Api, request: pytest.FixtureRequest) -> Reader:
    desk = signed_in(api, request.param)
    return Reader(request.param, desk, walk(desk, paths(api)))


def test_every_link_leads_where_its_reader_may_look(reader: Reader) -> None:
    pages, desk = reader.shown.values(), reader.desk
    links = {link for page in pages for link in re.findall(r'<a href="/console/([^"#]*)', page)}
    assert len(links) > 10
    for link in sorted(links):
        assert desk.get(html.unescape(link)).status in {200, 303}, link


def test_free_text_is_shown_to_admin_and_support_and_a_note_to_its_reseller(
    reader: Reader,
) -> None:
    pages = "".join(reader.shown.values())
    may = reader.role in {"admin", "support"}
    assert (LABEL in pages, THEIRS in pages) == (may, may)
    assert (NOTE in pages) == (may or reader.role == "reseller")


def test_a_masked_code_stays_masked_for_all(reader: Reader) -> None:
    assert "POS-••••-••••-" in "".join(reader.shown.values())
    assert [path for path, page in reader.shown.items() if SECRETS.search(page)] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_page_is_for_whom_it_should_be(api: Api, role: str) -> None:
    desk = signed_in(api, role)
    for one in routes(api):
        rule = one.rule.lstrip("/")
        for name, value in {
            "<account>": "acme",
            "<key>": "key_x",
            "<batch>": "bat_x",
            "<token>": "kft_x",
            "<int:position>": "1",
        }.items():
            rule = rule.replace(name, value)
        if one.roles is None or rule == "sign-out":
            continue
        seen = desk.get(rule) if one.method == "GET" else desk.send(rule)
        assert (seen.status == 403) == (role not in one.roles), (one.rule, seen.status)


def test_a_page_that_does_not_say_whom_it_is_for_is_for_nobody() -> None:
    api = memory_api()
    desk = signed_in(api, "admin")

    def secret() -> Response:
        return Response("secret")

    api.app.view_functions["console.show_keys"] = secret
    assert (desk.get("keys").status, "secret" in desk.get("keys").page) == (401, False)
    session_page("console")(secret)  # but for no role
    assert (desk.get("keys").status, "secret" in desk.get("keys").page) == (403, False)


def test_a_page_that_is_marked_for_another_wing_is_for_nobody() -> None:
    api = memory_api()
    admin = signed_in(api, "admin")
    for endpoint, path, mark in (
        ("console.show_keys", "/console/keys", portal_session_required),
        ("portal.show_subscriptions", "/portal/subscriptions", roles_required("admin")),
        ("docs.show_docs", "/docs", roles_required("admin")),
        ("docs.show_docs", "/docs", portal_session_required),
    ):

        def secret() -> Response:
            return Response("secret")

        api.app.view_functions[endpoint] = mark(secret)
        for client in (api.client, admin.client):
            got = client.get(path)
            assert (got.status_code, b"secret" in got.data) == (401, False), (endpoint, mark)


def test_every_page_is_never_kept_and_loads_nothing_from_elsewhere(api: Api) -> None:
    desk = signed_in(api, "admin")
    policy = api.get(None, "/portal/open").headers["Content-Security-Policy"]
    for path in [*paths(api), "nowhere", "accounts/%20", "timeline?from=x", "sign-in"]:
        seen = desk.get(path)
        assert seen.headers["Content-Security-Policy"] == policy, path
        assert seen.headers["Cache-Control"] == "no-store"
        assert seen.headers["Referrer-Policy"] == "no-referrer"
        assert seen.headers["X-Frame-Options"] == "DENY"
        assert not re.search(r"<script(?! src)|<style| style=| on[a-z]+=|https?://", seen.page), (
            path
        )


def test_a_code_in_an_address_is_refused_and_not_repeated(api: Api) -> None:
    code = api.issue()["code"]
    for path in (f"timeline?ref={code}", f"keys/{code}", f"accounts/{code}"):
        seen = signed_in(api, "admin").get(path)
        assert (seen.status, code in seen.page) == (422, False)


def test_a_reseller_finds_its_own_keys_by_the_last_of_a_code(api: Api) -> None:
    mine, theirs = owned(api, RESELLER)[0], owned(api, OTHER_RESELLER)[0]
    desk = signed_in(api, "reseller")
    for id in mine | theirs:
        masked = api.get("admin", f"/v1/keys/{id}").body["masked"]
        seen = desk.send("search", ref=masked[-4:].lower())
        assert (id in seen.page) is (id in mine)
