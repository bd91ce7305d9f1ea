"""At the console: a reseller at home, and what staff arrange with it."""

from __future__ import annotations

import csv
import io

import pytest

from tests.console.desk import Desk, signed_in
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api, memory_api

ONCE = "0123456789abcdef01234567"
FAIR = "For the fair in spring"


@pytest.fixture
def api() -> Api:
    api = memory_api()
    api.allow(seats=50)
    return api


def batch_of(api: Api) -> str:
    body = {**POS, "count": 3, "note": FAIR}
    return str(api.post("reseller", "/v1/keys", body).body["batch"])


def table(page: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page.removeprefix("\ufeff"))))


def test_a_reseller_is_at_home(api: Api) -> None:
    batch = batch_of(api)
    keys = api.get("reseller", "/v1/keys").body["items"]
    api.redeem("acme", months=1)
    api.issue(reseller=OTHER_RESELLER, note="Nothing of theirs")
    home = signed_in(api, "reseller").get("")
    assert "4 issued: 3 open, 1 redeemed, 0 revoked, 0 lapsed" in home.text
    assert "44 of 50 seats left to order" in home.text
    assert FAIR in home.text
    assert f"/console/batches/{batch}" in home.links
    assert "Nothing of theirs" not in home.text
    ending = home.text.partition("Ending in 90 days")[2]
    assert ending.startswith(" Key Gives Used Ends Renewed POS-••••-••••-")
    assert len(keys) == 3


def test_tables_are_downloaded(api: Api) -> None:
    batch_of(api)
    desk = signed_in(api, "reseller")
    assert [row["note"] for row in table(desk.get("batches?as=csv").page)] == [FAIR]
    assert len(table(desk.get("keys?as=csv").page)) == 3
    line, _ = table(desk.get("statement?month=2026-03").page)
    assert (line["reseller"], line["issued"]) == (RESELLER, "3")
    assert desk.get("statement?month=03").status == 422
    (row,) = table(signed_in(api, "support").get("resellers?as=csv").page)[:1]
    assert row["reseller"] == RESELLER


def test_a_batch_is_revoked_or_reissued_as_a_whole(api: Api) -> None:
    batch = batch_of(api)
    desk = signed_in(api, "reseller")
    assert FAIR in desk.get("batches").text
    reissued = desk.send(f"batches/{batch}/reissue", reason="Leaked")
    assert reissued.title == "3 keys reissued"
    codes = api.get("reseller", "/v1/keys?status=issued").body["items"]
    assert len(codes) == 3
    revoked = desk.send(f"batches/{batch}/revoke", reason="Leaked")
    assert revoked.said.startswith("Revoked: 3 keys.")
    assert desk.send(f"batches/{batch}/revoke", reason="").said.startswith("The request has fields")
    others = signed_in(api, "other")
    assert others.send(f"batches/{batch}/revoke", reason="Mine").status == 404


def arrange(desk: Desk, what: str, **fields: object) -> str:
    return desk.send(f"resellers/{RESELLER}/{what}", **fields).said


def test_staff_arrange_what_a_reseller_may_order(api: Api) -> None:
    desk = signed_in(api, "admin")
    assert RESELLER in desk.get("resellers").text
    given = {"product": "cloud_pos", "seats": 7, "reason": "Contract"}
    assert arrange(desk, "grant", **given) == "The seats are granted."
    too_many = arrange(desk, "grant", **{**given, "seats": 58, "take": "1"})
    assert too_many == "So many seats are spent already. Nothing was changed. Left: 57 seats."
    assert arrange(desk, "limits", approval_above=5, count="") == "The limits are set."
    order = {**POS, "count": 3, "note": FAIR}
    waiting = signed_in(api, "reseller").send(
        "issue", once=ONCE, product="cloud_pos", seats=2, months=12, count=3, reason=FAIR
    )
    assert waiting.said.startswith("The order waits for the vendor")
    assert FAIR in desk.get(f"resellers/{RESELLER}").text
    (first,) = api.get("admin", "/v1/orders").body["items"]
    assert arrange(desk, "approve", order=first["order"]).startswith("The order is approved")
    second = api.post("reseller", "/v1/keys", order).body["order"]
    assert arrange(desk, "decline", order=second, reason="Too many").startswith("The order is decl")
    assert arrange(desk, "suspend", reason="Unpaid", keys="1") == "The reseller is suspended."
    assert "Its keys cannot be redeemed" in desk.get(f"resellers/{RESELLER}").text
    assert arrange(desk, "resume", reason="Paid") == "The reseller may order again."
    assert arrange(desk, "revoke-all", reason="Leaked").startswith("All keys that nobody")
    assert api.get("admin", f"/v1/resellers/{RESELLER}").body["keys"]["open"] == 0
    assert desk.get("resellers/Nobody").status == 404
    assert signed_in(api, "support").send(f"resellers/{RESELLER}/resume", reason="x").status == 403
