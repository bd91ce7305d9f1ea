"""The timeline over HTTP: found by anything, page by page, and never by a code in a URL."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.losing import lose
from tests.web.api import POS, Api, stored_api

TIMELINE = "/v1/timeline"
OF_ACME = "/v1/accounts/acme/timeline"


def lived(api: Api) -> dict[str, str]:
    """Let a key be redeemed and a till come; answer what it was all called."""
    key = api.issue(note="Spring order")
    subscription = api.try_code(key["code"]).body["subscription"]["subscription"]
    got = api.sit("till-1", label="Front desk")
    return {
        **key,
        "subscription": subscription,
        "account": "acme",
        "holder": "till-1",
        "request": got.headers["X-Request-Id"],
    }


def test_an_event_is_told_whole(any_api: Api) -> None:
    named = lived(any_api)
    got = any_api.get("admin", OF_ACME)
    assert (got.body["account"], got.body["position"]) == ("acme", any_api.head)
    assert got.headers["ETag"] == '"2"'
    first = got.body["items"][0]
    portal = first["actor"]
    assert first == {
        "position": any_api.head,
        "event": "account.seat_occupied@1",
        "recorded_at": "2026-03-01T12:00:00.000000Z",
        "occurred_at": "2026-03-01T12:00:00.000000Z",
        "actor": portal,
        "actor_role": "portal",
        "request_id": named["request"],
        "causation": None,
        "summary": "Holder till-1 (“Front desk”) took a Cloud POS seat, by portal",
        "refs": ["acme", "till-1", named["request"], portal],
        "data": {
            "product": "cloud_pos", "tier": None, "holder": "till-1", "label": "Front desk",
        },
    }  # fmt: skip
    activated = got.body["items"][1]
    assert activated["summary"] == (
        f"Key {named['masked']} redeemed: 2 Cloud POS seats until 1 Mar 2027, by portal"
    )
    assert activated["data"]["expires_at"] == "2027-03-01T12:00:00.000000Z"
    assert activated["causation"] == f"key-{named['id'].removeprefix('key_')}/2"


@pytest.mark.parametrize(
    "by", ["account", "holder", "id", "masked", "batch", "subscription", "request"]
)
def test_it_is_found_by_each_of_its_names(api: Api, by: str) -> None:
    named = lived(api)
    found = api.get("support", f"{TIMELINE}?ref={quote(named[by])}").body["items"]
    assert found
    assert all(named[by] in one["refs"] or by == "masked" for one in found)
    searched = api.post("support", f"{TIMELINE}/search", {"ref": named[by]}).body
    assert searched["items"] == found


def test_a_whole_code_is_searched_for_and_goes_no_further(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    named = lived(api)
    spellings = [named["code"], f" {named['code'].lower()} "]
    for ref in spellings:
        got = api.post("support", f"{TIMELINE}/search", {"ref": ref})
        assert [one["event"] for one in got.body["items"]] == [
            "account.subscription_activated@1", "key.redeemed@1", "key.issued@1",
        ]  # fmt: skip
        assert named["code"].encode() not in got.raw.upper()
    assert named["code"] not in caplog.text.upper()
    got = api.get("support", f"{TIMELINE}?ref={named['code']}")
    assert (got.status, got.code) == (422, "code_in_url")


def test_pages_of_a_search_for_a_code_go_on(api: Api) -> None:
    named = lived(api)
    whole = api.post("support", f"{TIMELINE}/search", {"ref": named["code"]}).body["items"]
    found, cursor = [], ""
    for _ in whole:
        got = api.post("support", f"{TIMELINE}/search?limit=1{cursor}", {"ref": named["code"]})
        found += got.body["items"]
        cursor = f"&cursor={got.body['next']}"
    assert found == whole
    assert got.body["next"] is None
    other = api.post("support", f"{TIMELINE}/search?limit=1{cursor}", {"ref": "acme"})
    assert other.pointers == ["/cursor"]


def test_a_code_is_searched_for_as_it_was_typed_and_an_id_like_a_code_is_an_id(api: Api) -> None:
    key = api.issue()
    bare = key["code"].replace("-", "").lower()
    for typed in (bare, key["code"].replace("-", " – "), f"“{key['code']}”"):
        found = api.post("support", f"{TIMELINE}/search", {"ref": typed}).body["items"]
        assert [one["event"] for one in found] == ["key.issued@1"]
    api.put("portal", "/v1/accounts/INTERNATIONALLY/seats/cloud_pos/till-1", {})
    found = api.post("support", f"{TIMELINE}/search", {"ref": "INTERNATIONALLY"}).body["items"]
    assert [one["event"] for one in found] == ["attempts.seat_refused@1"]


def test_a_code_that_nobody_issued_finds_nothing(api: Api) -> None:
    lived(api)
    got = api.post("admin", f"{TIMELINE}/search", {"ref": "POS-AAAA-BBBB-CCCC"})
    assert (got.status, got.body["items"]) == (200, [])


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("event=account.seat_occupied", ["account.seat_occupied@1"]),
        ("event=account.seat_occupied@1", ["account.seat_occupied@1"]),
        ("ref=till-1", ["account.seat_occupied@1"]),
        ("event=account.seat_released", []),
        ("from=2026-03-01T12:00:00Z&to=2026-03-01T12:00:01Z&limit=1", ["account.seat_occupied@1"]),
        ("to=2026-03-01T12:00:00Z", []),
        ("as_of=2026-03-01T11:00:00Z", []),
        ("known_at=2026-03-01T11:00:00Z", []),
        ("actor=operator", []),
    ],
)
def test_an_accounts_timeline_is_narrowed_down(api: Api, query: str, events: list[str]) -> None:
    lived(api)
    got = api.get("admin", f"{OF_ACME}?{query}")
    assert [one["event"] for one in got.body["items"]] == events


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("ref=", "/ref"), ("ref=%00", "/ref"), (f"ref={'x' * 257}", "/ref"), ("event=x", "/event"),
        ("actor=A%20b", "/actor"), ("from=today", "/from"), ("limit=0", "/limit"),
        ("cursor=x", "/cursor"), ("kind=x", "/kind"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(shared: Api, query: str, pointer: str) -> None:
    for path in (TIMELINE, OF_ACME):
        got = shared.get("admin", f"{path}?{query}")
        assert (got.status, got.code, got.pointers) == (422, "invalid_request", [pointer])


@pytest.mark.parametrize("ref", ["\x00", "\ud800", "x" * 257, "", 7, None])
def test_what_is_searched_for_must_be_a_text_that_can_be_read(shared: Api, ref: object) -> None:
    got = shared.post("admin", f"{TIMELINE}/search", {"ref": ref})
    assert (got.status, got.pointers) == (422, ["/ref"])


def test_free_text_shows_to_admin_support_and_portal_alone(api: Api) -> None:
    lived(api)
    for role in ("admin", "support", "portal"):
        assert b"Front desk" in api.get(role, OF_ACME).raw
        assert b"Front desk" in api.get(role, "/v1/accounts/acme/seats").raw
    for asked in ("/v1/accounts/acme/seats", "/v1/accounts/acme/seats/cloud_pos/till-1"):
        seen = api.get("auditor", asked)
        assert b"Front desk" not in seen.raw
        assert b'"label":"(not shown)"' in seen.raw.replace(b": ", b":")
    auditors = api.get("auditor", OF_ACME)
    assert b"Front desk" not in auditors.raw
    assert auditors.body["items"][0]["data"]["label"] == "(not shown)"
    assert b"Spring order" in api.get("admin", TIMELINE).raw
    for role in ("auditor", "reseller"):
        assert b"Spring order" not in api.get(role, TIMELINE).raw


def test_what_staff_wrote_is_not_for_the_portal(api: Api) -> None:
    api.redeem()
    key = api.get("admin", "/v1/keys").body["items"][0]["id"]
    api.sit("till-1", label="Front desk")
    seat = "/v1/accounts/acme/seats/cloud_pos/till-1"
    own = {"customer": "cus_1", "reason": "As the portal said"}
    assert api.put("portal", "/v1/accounts/acme/stripe-customer", own).status == 200
    said = {"reason": "Ms Smith does not pay"}
    assert api.post("support", "/v1/accounts/acme/attempts/clear", said).status == 204
    assert api.post("support", "/v1/accounts/acme/portal-sessions/end", said).status == 204
    assert api.post("support", f"/v1/keys/{key}/reissue", said).status == 201
    unlinking = {"customer": "cus_1", **said}
    path = "/v1/accounts/acme/stripe-customer"
    assert api.ask("support", "DELETE", path, unlinking).status == 200
    (row,) = api.get("admin", "/v1/accounts/acme/subscriptions").body["products"][0]["rows"]
    path = f"/v1/accounts/acme/subscriptions/{row['subscription']}/terminate"
    assert api.post("admin", path, said).status == 200
    assert api.delete("portal", seat).status == 204
    staffs = api.get("support", OF_ACME)
    assert staffs.raw.count(b"Ms Smith does not pay") >= 6
    portals = api.get("portal", OF_ACME)
    assert b"Ms Smith" not in portals.raw
    assert b"Front desk" in portals.raw
    assert b"As the portal said" in portals.raw
    told = [one for one in portals.body["items"] if one["data"].get("reason") is not None]
    assert {one["data"]["reason"] for one in told} == {"As the portal said", "(not shown)"}
    assert all("not shown" not in one["summary"] for one in told)
    assert len(portals.body["items"]) == len(staffs.body["items"])


def test_the_portal_does_not_learn_what_a_code_is(api: Api) -> None:
    key = api.issue()
    api.post("admin", f"/v1/keys/{key['id']}/revoke", {"reason": "Lost"})
    api.try_code(key["code"])
    api.try_code("POS-AAAA-BBBB-CCCC")
    revoked, unknown = api.get("portal", OF_ACME).body["items"][::-1]
    for told in (revoked, unknown):
        assert told["data"]["found"] == "(not shown)"
        assert told["data"]["key_version"] is None
    assert revoked["summary"].replace(revoked["data"]["masked"], "") == unknown["summary"].replace(
        unknown["data"]["masked"], ""
    ).replace("s-1", "s-0")
    assert "revoked" in json.dumps(api.get("support", OF_ACME).body)


def test_a_reseller_finds_its_own_keys_and_nothing_of_anothers(api: Api) -> None:
    mine = lived(api)
    theirs = api.issue(POS, reseller="Southgate")
    for ref in (theirs["id"], theirs["batch"], theirs["masked"], "acme", "till-1", mine["request"]):
        got = api.get("reseller", f"{TIMELINE}?ref={quote(ref)}")
        assert (got.status, got.body["items"]) == (200, []), ref
    searched = api.post("reseller", f"{TIMELINE}/search", {"ref": theirs["code"]})
    assert searched.body["items"] == []
    for ref in (mine["id"], mine["masked"], mine["batch"]):
        found = api.get("reseller", f"{TIMELINE}?ref={quote(ref)}").body["items"]
        assert {one["event"] for one in found} & {"key.issued@1", "batch.keys_issued@1"}
        assert not [one for one in found if one["event"].startswith(("account.", "attempts."))]
    streams = {one["summary"] for one in api.get("reseller", TIMELINE).body["items"]}
    assert not [one for one in streams if "Southgate" in one]


def test_an_account_that_nobody_knows_has_an_empty_timeline(shared: Api) -> None:
    got = shared.get("portal", "/v1/accounts/nobody/timeline")
    assert (got.status, got.body["items"], got.body["next"]) == (200, [], None)


def test_a_read_waits_for_its_position(api: Api) -> None:
    lived(api)
    assert api.get("admin", f"{TIMELINE}?min_position={api.head}").status == 200
    assert api.get("admin", f"{TIMELINE}?min_position={api.head + 1}").status == 503


def test_a_request_is_not_taken_for_a_thing_that_bears_its_id(any_api: Api) -> None:
    named = lived(any_api)
    paths: dict[str, str] = {}
    for id in ("acme", "till-1", named["id"], named["subscription"], "of-mine"):
        account = f"other-{len(paths)}"
        path = f"/v1/accounts/{account}/portal-session"
        any_api.post("portal", path, {}, headers={"X-Request-Id": id})
        paths[id] = account
    for id, account in paths.items():
        found = any_api.get("admin", f"{TIMELINE}?ref={id}").body["items"]
        own = [one for one in found if account in one["refs"]]
        assert len(own) == (1 if id == "of-mine" else 0), id
        assert found
        (asked_for,) = any_api.get("admin", f"{TIMELINE}?ref=request:{id}").body["items"]
        assert account in asked_for["refs"]


def test_an_event_that_is_missing_is_left_out_and_the_log_names_it(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with stored_api(database_url) as api:
        lived(api)
        api.sit("till-2")
        whole = api.get("admin", OF_ACME).body["items"]
        gone = [one["position"] for one in whole[1:3]]
        for position in gone:
            lose(database_url, position)
        for path in (OF_ACME, f"{TIMELINE}?ref=acme"):
            caplog.clear()
            got = api.get("admin", path)
            assert got.status == 200, got.body
            assert got.body["items"] == [whole[0], *whole[3:]]
            missing = [one for one in caplog.messages if "is missing" in one]
            assert [int(one.split()[1]) for one in missing] == sorted(gone)
