"""Diff and explain over HTTP: who may ask what, and what is answered."""

from __future__ import annotations

import pytest

from tests.web.api import INT, Api

DIFF = "/v1/accounts/acme/diff"
EXPLAIN = "/v1/accounts/acme/explain"
START = "2026-01-01T00:00:00Z"


def seated(api: Api) -> dict[str, str]:
    key = api.issue()
    api.try_code(key["code"])
    for holder in ("till-1", "till-2"):
        api.sit(holder, label=f"Label of {holder}")
    return key


def test_a_diff_tells_each_thing_with_the_events_that_did_it(any_api: Api) -> None:
    key = seated(any_api)
    got = any_api.get("portal", f"{DIFF}?from={START}")
    assert got.headers["ETag"] == '"3"'
    assert (got.body["from"], got.body["to"]) == (
        "2026-01-01T00:00:00.000000Z", "2026-03-01T12:00:00.000000Z",
    )  # fmt: skip
    began, first, _, pool = got.body["items"]
    assert began["summary"] == f"Key {key['masked']} gives 2 Cloud POS seats until 1 Mar 2027"
    assert began["thing"]["kind"] == "subscription"
    assert began["was"] is None
    assert began["now"]["expires_at"] == "2027-03-01T12:00:00.000000Z"
    assert first["thing"] == {
        "kind": "seat", "subscription": None, "product": "cloud_pos", "tier": None,
        "holder": "till-1",
    }  # fmt: skip
    assert first["now"]["label"] == "Label of till-1"
    assert (pool["was"], pool["now"]) == (None, {"seats": 2, "used": 2, "over": 0})
    head = any_api.head
    assert [item["positions"] for item in got.body["items"]] == [
        [head - 2], [head - 1], [head], [head - 2, head - 1, head],
    ]  # fmt: skip


def test_labels_are_for_those_who_may_see_them(api: Api) -> None:
    seated(api)
    got = api.get("auditor", f"{DIFF}?from={START}")
    assert b"Label of" not in got.raw
    assert got.body["items"][1]["now"]["label"] == "(not shown)"


def test_a_diff_may_look_ahead(api: Api) -> None:
    seated(api)
    ahead = f"{DIFF}?from=2026-03-01T12:00:00Z&to=2027-03-02T00:00:00Z"
    summaries = [item["summary"] for item in api.get("support", ahead).body["items"]]
    assert summaries[-1] == "Cloud POS: seats 2 → 0, over 0 → 2"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/from"), ("from=x", "/from"), (f"from=2026-03-02T00:00:00Z&to={START}", "/from"),
        (f"from={START}&as_of={START}", "/as_of"),
    ],
)  # fmt: skip
def test_a_diff_that_does_not_fit_is_told(shared: Api, query: str, pointer: str) -> None:
    got = shared.get("admin", f"{DIFF}?{query}")
    assert (got.status, got.pointers) == (422, [pointer])


def test_a_holder_is_explained_to_the_portal_too(any_api: Api) -> None:
    key = seated(any_api)
    refused = any_api.sit("till-3")
    assert refused.code == "no_seat_available"
    got = any_api.post("portal", EXPLAIN, {"product": "cloud_pos", "holder": "till-3"})
    assert got.status == 200
    body = got.body
    assert body["rule"] == body["code"] == "no_seat_available"
    assert body["answer"].endswith("No seat is free, since 2 of 2 seats were taken.")
    assert f"Key {key['masked']} gives 2 Cloud POS seats until 1 Mar 2027" in body["facts"]
    assert body["positions"][-1] == any_api.head
    later = any_api.post(
        "portal",
        f"{EXPLAIN}?as_of=2027-03-02T00:00:00Z",
        {"product": "cloud_pos", "holder": "till-1"},
    )
    assert later.body["code"] == "no_active_subscription"
    assert later.body["answer"].startswith("On 2 Mar 2027, 00:00 UTC, if nothing more happens:")


def test_a_code_is_explained_to_staff_alone(api: Api) -> None:
    key = api.issue()
    api.post("admin", f"/v1/keys/{key['id']}/revoke", {"reason": "Lost"})
    for role in ("admin", "support", "auditor"):
        got = api.post(role, EXPLAIN, {"code": key["code"]})
        assert (got.status, got.body["rule"]) == (200, "key_revoked")
        assert key["code"].encode() not in got.raw
    got = api.post("portal", EXPLAIN, {"code": key["code"]})
    assert (got.status, got.code) == (403, "forbidden")


def test_a_code_is_explained_for_the_session_and_the_product_it_was_tried_in(api: Api) -> None:
    key = api.issue(INT)
    body = {"code": key["code"], "product": "cloud_pos", "session": "kiosk"}
    api.try_code(key["code"], session="kiosk", product="cloud_pos")
    assert api.post("support", EXPLAIN, body).body["code"] == "wrong_product"
    for _ in range(4):
        api.try_code("INT-0000", session="kiosk")
    assert api.post("support", EXPLAIN, body).body["rule"] == "session_blocked"
    assert api.post("support", EXPLAIN, {**body, "session": "desk"}).body["code"] == "wrong_product"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/holder"]),
        ({"product": "cloud_pos"}, ["/holder"]),
        ({"holder": "till-1"}, ["/product"]),
        ({"product": "cloud_cash", "holder": "till-1"}, ["/product"]),
        ({"product": "cloud_pos", "holder": "till 1"}, ["/holder"]),
        ({"product": "cloud_pos", "holder": "till-1", "session": "s"}, ["/session"]),
        ({"code": "POS-AAAA-BBBB-CCCC", "holder": "till-1"}, ["/holder"]),
        ({"code": 7}, ["/code"]),
    ],
)
def test_an_explanation_needs_a_holder_or_a_code(
    shared: Api, body: dict[str, object], pointers: list[str]
) -> None:
    got = shared.post("admin", EXPLAIN, body)
    assert (got.status, got.pointers) == (422, pointers)


def test_the_overview_counts_over_all_accounts(any_api: Api) -> None:
    seated(any_api)
    any_api.sit("till-3")
    got = any_api.get("auditor", "/v1/overview")
    assert got.status == 200
    assert got.body["position"] == any_api.head
    assert got.body["pools"] == [{"product": "cloud_pos", "tier": None, "seats": 2, "used": 2}]
    assert got.body["keys"] == [
        {
            "reseller": "Northwind",
            "issued": 1,
            "open": 0,
            "redeemed": 1,
            "revoked": 0,
            "lapsed": 0,
        }
    ]
    assert got.body["refusals"] == [{"refusal": "no_seat_available", "found": None, "tries": 1}]
    any_api.clock.forward(days=340)
    (ending,) = any_api.get("admin", "/v1/overview").body["ending"]
    assert (ending["account"], ending["seats"]) == ("acme", 2)
    any_api.clock.forward(days=30)
    after = any_api.get("admin", "/v1/overview").body
    assert after["ending"] == []
    assert after["over_used"] == [
        {"account": "acme", "product": "cloud_pos", "tier": None, "seats": 0, "used": 2}
    ]
