"""Partners: what a reseller may order, spends and gets back, and what the vendor decides."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api, Got

BECAUSE = {"reason": "Contract of spring"}
PARTNER = f"/v1/resellers/{RESELLER}"


def grant(api: Api, seats: int, reseller: str = RESELLER, **more: Any) -> Got:
    body = {"product": "cloud_pos", "seats": seats, **BECAUSE, **more}
    return api.post("admin", f"/v1/resellers/{reseller}/grants", body)


def order(api: Api, role: str = "reseller", key: str | None = None, **changes: Any) -> Got:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(role, "/v1/keys", {**POS, "count": 1, "seats": 1, **changes}, headers=headers)


def shown(api: Api, role: str = "reseller") -> Any:
    return api.get(role, PARTNER).body


def allowance(api: Api) -> tuple[int, int, int]:
    (one,) = shown(api)["allowances"]
    return one["granted"], one["spent"], one["left"]


def test_a_reseller_orders_within_what_was_granted(any_api: Api) -> None:
    api = any_api
    refused = order(api)
    assert (refused.status, refused.code, refused.body["left"]) == (409, "allowance_exceeded", 0)
    granted = grant(api, 100, RESELLER.upper())
    assert granted.status == 201
    assert granted.body["allowances"] == [
        {"product": "cloud_pos", "tier": None, "granted": 100, "spent": 0, "left": 100}
    ]
    assert order(api, seats=5, count=12).status == 201
    assert allowance(api) == (100, 60, 40)
    refused = order(api, seats=5, count=9)
    assert (refused.code, refused.body["left"]) == ("allowance_exceeded", 40)
    assert order(api, product="integrations", tier="growth").body["left"] == 0
    assert order(api, "admin", seats=100, count=9).status == 201
    assert allowance(api) == (100, 60, 40)
    assert (grant(api, -41).code, grant(api, -41).body["left"]) == ("allowance_spent", 40)
    assert grant(api, -40).status == 201
    assert allowance(api) == (60, 60, 0)
    assert grant(api, 0).pointers == ["/seats"]
    assert grant(api, 1, tier="growth").pointers == ["/tier"]


def test_an_order_that_is_repeated_spends_once(any_api: Api) -> None:
    grant(any_api, 10)
    first, again = (order(any_api, key="o-1", seats=5, count=2) for _ in range(2))
    assert again.body == first.body
    assert again.headers["Idempotency-Replayed"] == "true"
    assert allowance(any_api) == (10, 10, 0)


def test_what_is_revoked_is_given_back_and_what_lapses_or_is_reissued_is_not(any_api: Api) -> None:
    api = any_api
    grant(api, 100)
    made = order(api, seats=3, count=5, redeem_by="2026-03-09T00:00:00Z").body
    one, two, three, _, _ = (key["id"] for key in made["keys"])
    api.try_code(made["keys"][0]["code"])
    assert api.post("reseller", f"/v1/keys/{one}/revoke", BECAUSE).status == 409
    for _ in range(2):
        api.post("reseller", f"/v1/keys/{two}/revoke", BECAUSE)
        assert allowance(api) == (100, 12, 88)
    new = api.post("reseller", f"/v1/keys/{three}/reissue", BECAUSE).body["id"]
    assert allowance(api) == (100, 12, 88)
    api.clock.forward(days=20)
    assert allowance(api) == (100, 12, 88)
    api.post("admin", f"/v1/keys/{new}/revoke", BECAUSE)
    assert allowance(api) == (100, 9, 91)
    done = api.post("reseller", f"/v1/batches/{made['batch']}/revoke", BECAUSE).body
    assert (done["revoked"], allowance(api)) == (2, (100, 3, 97))


def test_what_the_vendor_issued_gives_nothing_back(api: Api) -> None:
    grant(api, 10)
    key = api.issue()
    api.post("admin", f"/v1/keys/{key['id']}/revoke", BECAUSE)
    assert allowance(api) == (10, 0, 10)


def test_an_amendment_changes_what_is_spent(api: Api) -> None:
    grant(api, 50)
    key = order(api, seats=50).body["keys"][0]["id"]
    path = f"/v1/keys/{key}"
    assert api.ask("admin", "PATCH", path, {"seats": 5, **BECAUSE}).status == 200
    assert allowance(api) == (50, 5, 45)
    refused = api.ask("admin", "PATCH", path, {"seats": 51, **BECAUSE})
    assert (refused.code, refused.body["left"]) == ("allowance_exceeded", 45)
    # It becomes another's, which spends nothing for it; and comes back as the vendor's gift.
    for name in (OTHER_RESELLER, RESELLER):
        assert api.ask("admin", "PATCH", path, {"reseller": name, **BECAUSE}).status == 200
        assert allowance(api) == (50, 0, 50)
    new = api.post("admin", f"{path}/reissue", BECAUSE).body["id"]
    api.post("admin", f"/v1/keys/{new}/revoke", BECAUSE)
    assert allowance(api) == (50, 0, 50)


def test_one_order_has_limits(api: Api) -> None:
    grant(api, 10_000)
    limits = {"count": 10, "seats": 5, "months": 12, "approval_above": None}
    got = api.put("admin", f"{PARTNER}/limits", limits)
    assert got.status == 200
    assert got.body["order_max"] == {"count": 10, "seats": 5, "months": 12}
    refused = order(api, count=11, seats=6, months=13)
    assert (refused.status, refused.pointers) == (422, ["/count", "/seats", "/months"])
    assert order(api, count=10, seats=5, months=12).status == 201
    assert api.put("admin", f"{PARTNER}/limits", {}).body["order_max"]["count"] is None
    assert api.put("admin", f"{PARTNER}/limits", {"count": 0}).pointers == ["/count"]
    api.put("admin", f"{PARTNER}/limits", limits)
    # All of them are set, so that nothing at all must be no slip.
    assert api.put("admin", f"{PARTNER}/limits").status == 415
    assert shown(api)["order_max"]["count"] == 10


def test_a_large_order_waits_and_is_approved(any_api: Api) -> None:
    api = any_api
    grant(api, 100)
    api.put("admin", f"{PARTNER}/limits", {"approval_above": 10})
    assert order(api, seats=5, count=2).status == 201
    waiting = order(api, key="big", seats=5, count=3, note="For the fair")
    assert waiting.status == 202
    assert waiting.body == {"order": waiting.body["order"], "status": "waiting"}
    assert allowance(api) == (100, 10, 90)
    assert order(api, key="big", seats=5, count=3, note="For the fair").body == waiting.body
    assert order(api, key="big", seats=5, count=4).code == "idempotency_key_reused"
    path = f"/v1/orders/{waiting.body['order']}"
    (listed,) = api.get("support", "/v1/orders?status=waiting").body["items"]
    assert listed == api.get("reseller", path).body
    assert (listed["note"], listed["count"]) == ("For the fair", 3)
    assert api.get("other", path).status == 404
    assert api.get("other", "/v1/orders").body["items"] == []

    approved = api.post("admin", f"{path}/approve")
    assert approved.status == 201
    assert len(approved.body["keys"]) == 3
    assert allowance(api) == (100, 25, 75)
    assert api.post("admin", f"{path}/approve").body == approved.body
    assert api.post("admin", f"{path}/decline", BECAUSE).code == "order_decided"
    # Who ordered repeats the order, and has the keys.
    again = order(api, key="big", seats=5, count=3, note="For the fair")
    assert (again.status, again.body) == (201, approved.body)
    assert api.get("admin", path).body["batch"] == approved.body["batch"]
    (batch,) = api.get("reseller", "/v1/batches?limit=1").body["items"]
    assert (batch["batch"], batch["note"]) == (approved.body["batch"], "For the fair")


def test_an_order_that_waits_can_be_declined_and_must_still_fit_when_it_is_approved(
    api: Api,
) -> None:
    grant(api, 30)
    api.put("admin", f"{PARTNER}/limits", {"approval_above": 0})
    one, two = (order(api, key=f"o-{n}", seats=15) for n in range(2))
    assert (one.status, two.status) == (202, 202)
    grant(api, -10)
    assert api.post("admin", f"/v1/orders/{one.body['order']}/approve").status == 201
    refused = api.post("admin", f"/v1/orders/{two.body['order']}/approve")
    assert (refused.code, refused.body["left"]) == ("allowance_exceeded", 5)
    path = f"/v1/orders/{two.body['order']}/decline"
    declined = api.post("admin", path, BECAUSE)
    assert (declined.status, declined.body["status"]) == (200, "declined")
    assert api.post("admin", path, BECAUSE).status == 200
    assert order(api, key="o-1", seats=15).body["status"] == "declined"
    assert api.post("admin", f"/v1/orders/{two.body['order']}/approve").code == "order_decided"


@pytest.mark.parametrize("keys", [False, True])
def test_a_suspended_reseller_orders_nothing(any_api: Api, keys: bool) -> None:
    api = any_api
    grant(api, 10)
    made = order(api, count=3).body["keys"]
    assert api.try_code(made[0]["code"]).status == 201
    body = {**BECAUSE, **({"keys": True} if keys else {})}
    assert api.post("admin", f"{PARTNER}/suspend", body).body["status"] == "suspended"
    assert order(api).code == "reseller_suspended"
    for what, done in (("validate", 200), ("redeem", 201)):
        got = api.try_code(made[1]["code"], what=what)
        assert got.status == (409 if keys else done)
        assert not keys or got.code == "key_not_available"
    if keys:
        why = api.post("support", "/v1/accounts/acme/explain", {"code": made[1]["code"]}).body
        assert why["rule"] == "reseller_suspended"
        told = api.get("support", "/v1/accounts/acme/timeline?limit=500").body["items"]
        assert any("its reseller is suspended" in one["summary"] for one in told)
    resumed = api.post("admin", f"{PARTNER}/resume", BECAUSE).body
    assert (resumed["status"], resumed["keys_suspended"]) == ("active", False)
    assert api.try_code(made[2]["code"]).status == 201
    assert order(api).status == 201


def test_all_of_a_resellers_keys_are_revoked_at_once(api: Api) -> None:
    grant(api, 50)
    made = [*order(api, count=3).body["keys"], api.issue(reseller=RESELLER.lower())]
    other = api.issue(reseller=OTHER_RESELLER)
    api.try_code(made[0]["code"])
    done = api.post("admin", f"{PARTNER}/revoke", BECAUSE).body
    assert done == {"revoked": 3, "kept": [{"id": made[0]["id"], "status": "redeemed"}]}
    assert allowance(api) == (50, 1, 49)
    assert api.try_code(other["code"]).status == 201
    nobody = api.post("admin", "/v1/resellers/Nobody/revoke", BECAUSE)
    assert (nobody.status, nobody.code) == (404, "reseller_not_found")


def test_a_reseller_sees_itself_and_who_is_to_renew(any_api: Api) -> None:
    api = any_api
    grant(api, 500)
    keys = order(api, count=4, seats=2, months=2).body["keys"]
    for account, key in zip(("acme", "beta"), keys, strict=False):
        api.try_code(key["code"], account=account)
        api.sit("till-1", account)
    late = order(api, months=12, seats=2).body["keys"][0]
    api.try_code(late["code"], account="beta")
    view = shown(api)
    assert view["keys"] == {"issued": 5, "open": 2, "redeemed": 3, "revoked": 0, "lapsed": 0}
    assert {one["key"]: (one["seats"], one["used"], one["renewed"]) for one in view["ending"]} == {
        keys[0]["id"]: (2, 1, False),
        keys[1]["id"]: (2, 0, True),
    }
    assert api.get("other", PARTNER).code == "reseller_not_found"
    assert api.get("reseller", f"/v1/resellers/{RESELLER.upper()}").body == view
    names = [one["reseller"] for one in api.get("auditor", "/v1/resellers").body["items"]]
    assert names == [RESELLER, OTHER_RESELLER]
    first = api.get("auditor", "/v1/resellers?limit=1").body
    rest = api.get("auditor", f"/v1/resellers?limit=1&cursor={first['next']}").body
    assert [one["reseller"] for one in rest["items"]] == [OTHER_RESELLER]
    got = api.get("admin", "/v1/resellers", headers={"Accept": "text/csv"})
    row = next(csv.DictReader(io.StringIO(got.raw.decode("utf-8-sig"))))
    assert (row["reseller"], row["left"], row["not_renewed"]) == (RESELLER, "490", "1")
    assert (row["product"], row["ending"], view["ending_count"]) == ("cloud_pos", "2", 2)


def test_what_ends_in_ninety_days_is_ending_and_what_ends_later_is_not(api: Api) -> None:
    api.redeem("acme", months=12)
    view = api.get("portal", "/v1/accounts/acme/subscriptions").body
    ends_at = view["products"][0]["rows"][0]["expires_at"]
    at = datetime.fromisoformat(ends_at) - timedelta(days=90)
    told = []
    for moment in (at - timedelta(seconds=1), at):
        api.clock.now = moment
        told.append([one["expires_at"] for one in shown(api)["ending"]])
    assert told == [[], [ends_at]]


def test_what_waits_fits_into_what_is_left(any_api: Api) -> None:
    api = any_api
    grant(api, 10)
    api.put("admin", f"{PARTNER}/limits", {"approval_above": 0})
    first, second = (order(api, count=2, seats=2).body["order"] for _ in range(2))
    refused = order(api, count=3, seats=1)
    assert (refused.status, refused.code, refused.body["left"]) == (409, "allowance_exceeded", 2)
    assert api.post("admin", f"/v1/orders/{first}/decline", BECAUSE).status == 200
    assert order(api, count=6, seats=1).status == 202
    assert order(api, count=1, seats=1).body["left"] == 0
    assert api.post("admin", f"/v1/orders/{second}/approve").status == 201
    assert order(api, count=1, seats=1).body["left"] == 0  # six wait, and six are left
    grant(api, 1)
    assert order(api, count=1, seats=1).status == 202


def test_each_allowance_has_a_row_of_its_own(api: Api) -> None:
    grant(api, 500)
    body = {"product": "integrations", "tier": "growth", "seats": 7, **BECAUSE}
    api.post("admin", f"{PARTNER}/grants", body)
    got = api.get("admin", "/v1/resellers", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(got.raw.decode("utf-8-sig"))))
    told = [(row["product"], row["tier"], row["left"], row["issued"]) for row in rows[:2]]
    assert told == [("cloud_pos", "", "500", "0"), ("integrations", "growth", "7", "")]


def test_what_ends_is_cut_off_reseller_by_reseller_and_counted(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = any_api
    monkeypatch.setattr("projections.lists.resellers.ENDING_IN_LIST", 2)
    monkeypatch.setattr("projections.lists.resellers.ENDING_MAX", 3)
    for number in range(4):
        api.redeem(f"a{number}", months=1)
    api.clock.forward(hours=1)
    api.redeem("b", months=1, reseller=OTHER_RESELLER)
    items = api.get("admin", "/v1/resellers").body["items"]
    told = {one["reseller"]: (len(one["ending"]), one["ending_count"]) for one in items}
    assert told == {RESELLER: (2, 4), OTHER_RESELLER: (1, 1)}
    alone = api.get("admin", PARTNER).body
    assert (len(alone["ending"]), alone["ending_count"]) == (3, 4)
    got = api.get("admin", "/v1/resellers", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(got.raw.decode("utf-8-sig"))))
    assert [(row["ending"], row["not_renewed"]) for row in rows] == [("4", ""), ("1", "1")]


def test_a_month_that_is_over_is_told_in_the_same_bytes_for_ever(any_api: Api) -> None:
    api = any_api
    grant(api, 500)
    made = order(api, count=6, seats=2, redeem_by="2026-03-20T00:00:00Z").body["keys"]
    api.try_code(made[0]["code"])
    api.post("reseller", f"/v1/keys/{made[1]['id']}/revoke", BECAUSE)
    api.post("reseller", f"/v1/keys/{made[2]['id']}/reissue", BECAUSE)
    api.ask("admin", "PATCH", f"/v1/keys/{made[3]['id']}", {"redeem_by": None, **BECAUSE})
    path = f"{PARTNER}/statement?month=2026-03"
    so_far = api.get("reseller", path).body
    assert so_far["totals"] == {"issued": 6, "seats": 12, "redeemed": 1, "revoked": 1, "lapsed": 0}
    api.clock.forward(days=31)
    march = api.get("admin", path)
    line = {"product": "cloud_pos", "tier": None, "months": 12}
    assert march.body["lines"] == [
        {**line, "issued": 6, "seats": 12, "redeemed": 1, "revoked": 1, "lapsed": 3}
    ]
    api.try_code(made[3]["code"])
    order(api, count=2)
    for key in made[4:]:
        api.post("admin", f"/v1/keys/{key['id']}/revoke", BECAUSE)
    # A machine whose clock was set back changes nothing of it, either.
    api.clock.forward(days=-20)
    order(api)
    api.clock.forward(days=40)
    assert api.get("reseller", path).raw == march.raw
    april = api.get("reseller", f"{PARTNER}/statement?month=2026-04").body["totals"]
    assert april == {"issued": 3, "seats": 3, "redeemed": 1, "revoked": 2, "lapsed": 0}
    got = api.get("reseller", path, headers={"Accept": "text/csv"})
    row, total = csv.DictReader(io.StringIO(got.raw.decode("utf-8-sig")))
    assert (row["month"], row["issued"], row["lapsed"]) == ("2026-03", "6", "3")
    assert row["position"] == str(march.body["position"])
    assert total == {**row, "product": "TOTAL", "months": ""}
    assert api.get("reseller", f"{PARTNER}/statement?month=2026-3").pointers == ["/month"]
    assert api.get("other", path).status == 404


def test_a_name_may_have_a_slash(api: Api) -> None:
    here = "/v1/resellers/Kassen%20A%2FS"
    assert grant(api, 3, "Kassen%20A%2FS").body["reseller"] == "Kassen A/S"
    assert api.get("admin", here).body["allowances"][0]["left"] == 3
    assert api.post("admin", f"{here}/suspend", BECAUSE).body["status"] == "suspended"
    statement = api.get("support", f"{here}/statement?month=2026-01")
    assert (statement.status, statement.body["reseller"]) == (200, "Kassen A/S")
