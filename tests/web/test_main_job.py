"""The main job over HTTP, on each store: from an order of keys to a seat that is taken."""

from __future__ import annotations

from tests.web.api import INT, POS, RESELLER, Api

NOON = "2026-03-01T12:00:00.000000Z"
A_YEAR_LATER = "2027-03-01T12:00:00.000000Z"


def test_a_key_is_issued_validated_and_redeemed_and_its_seats_are_taken(any_api: Api) -> None:
    api = any_api
    api.allow()
    ordered = api.post("reseller", "/v1/keys", {**POS, "count": 2})
    assert ordered.status == 201
    assert ordered.position == api.head
    first, second = ordered.body["keys"]
    assert first["masked"] == f"POS-••••-••••-{first['code'][-4:]}"

    wanted = {"code": f" {first['code'].lower()} ", "account": "acme", "session": "s-1"}
    assert api.post("portal", "/v1/keys/validate", wanted).body == {
        "product": "cloud_pos",
        "product_name": "Cloud POS",
        "tier": None,
        "tier_name": None,
        "seats": 2,
        "months": 12,
        "expires_if_activated_now": A_YEAR_LATER,
        "running": None,
        "choices": [{"start": "now", "starts_at": NOON, "expires_at": A_YEAR_LATER}],
    }

    redeemed = api.post("portal", "/v1/keys/redeem", wanted)
    assert redeemed.status == 201
    assert redeemed.headers["ETag"] == '"1"'
    row = redeemed.body["subscription"]
    assert row == {
        "subscription": row["subscription"],
        "tier": None,
        "tier_name": None,
        "seats": 2,
        "used": 0,
        "source": "activation_key",
        "key": first["masked"],
        "stripe_subscription": None,
        "status": "active",
        "started_at": NOON,
        "expires_at": A_YEAR_LATER,
        "renews": False,
        "can_manage": False,
    }

    seat = api.sit("till-1", label="Till at the door")
    assert (seat.status, seat.headers["ETag"]) == (201, '"2"')
    assert seat.body == {
        "account": "acme",
        "as_of": NOON,
        "known_at": NOON,
        "position": seat.position,
        "product": "cloud_pos",
        "tier": None,
        "holder": "till-1",
        "label": "Till at the door",
        "occupied_at": NOON,
        "licensed": True,
        "subscription": row["subscription"],
        "reason": None,
    }
    assert api.sit("till-1").status == 200
    assert api.get("support", "/v1/accounts/acme/seats/cloud_pos/till-1").body == seat.body

    view = api.get("portal", "/v1/accounts/acme/subscriptions")
    assert view.body == {
        "account": "acme",
        "as_of": NOON,
        "known_at": NOON,
        "position": api.head,
        "products": [
            {
                "product": "cloud_pos",
                "name": "Cloud POS",
                "seats": 2,
                "used": 1,
                "over": 0,
                "rows": [{**row, "used": 1}],
                "upcoming": [],
            },
            {
                "product": "integrations",
                "name": "Integrations",
                "seats": 0,
                "used": 0,
                "over": 0,
                "rows": [],
                "upcoming": [],
            },
        ],
    }
    assert view.headers["ETag"] == '"2"'

    found = api.get("reseller", f"/v1/keys/{first['id']}").body
    assert found == {
        "id": first["id"],
        "masked": first["masked"],
        "product": "cloud_pos",
        "tier": None,
        "seats": 2,
        "months": 12,
        "reseller": RESELLER,
        "batch": ordered.body["batch"],
        "status": "redeemed",
        "issued_at": NOON,
        "redeem_by": None,
        "redeemed_at": NOON,
        "redeemed_by": "acme",
        "subscription": row["subscription"],
        "revoked_at": None,
        "replaced_by": None,
        "replaces": None,
    }
    listed = api.get("admin", "/v1/keys")
    assert [key["id"] for key in listed.body["items"]] == [second["id"], first["id"]]
    assert listed.body["items"][1] == found
    assert listed.body["next"] is None

    gone = api.delete("support", "/v1/accounts/acme/seats/cloud_pos/till-1")
    assert (gone.status, gone.raw, gone.position) == (204, b"", api.head)
    without = api.get("portal", "/v1/accounts/acme/seats/cloud_pos/till-1")
    assert without.status == 200
    shown = ("holder", "tier", "label", "occupied_at", "licensed", "subscription", "reason")
    assert {name: without.body[name] for name in shown} == {
        "holder": "till-1",
        "tier": None,
        "label": None,
        "occupied_at": None,
        "licensed": False,
        "subscription": None,
        "reason": "no_seat",
    }


def test_a_batch_is_revealed_and_a_key_is_revoked_and_reissued(any_api: Api) -> None:
    api = any_api
    ordered = api.post("admin", "/v1/keys", {**INT, "count": 3, "note": "Spring order"}).body
    kept, revoked, redeemed = ordered["keys"]

    taken_back = api.post("reseller", f"/v1/keys/{revoked['id']}/revoke", {"reason": "Refund"})
    assert taken_back.body["status"] == "revoked"
    assert taken_back.body["revoked_at"] == NOON
    assert taken_back.position == api.head
    assert api.try_code(redeemed["code"]).status == 201

    revealed = api.post("reseller", f"/v1/batches/{ordered['batch']}/reveal", {"reason": "Lost"})
    assert revealed.position == api.head
    assert revealed.body["keys"] == [
        kept,
        {**revoked, "code": revoked["masked"]},
        {**redeemed, "code": redeemed["masked"]},
    ]

    one = api.post("reseller", f"/v1/keys/{kept['id']}/reveal", {"reason": "Lost"})
    assert (one.status, one.position, one.body) == (200, api.head, {"keys": [kept]})
    last = api.get("admin", "/v1/timeline").body["items"][0]
    said = f"Code of key {kept['masked']} shown again, by reseller Northwind: “Lost”"
    assert last["summary"] == said

    new = api.post("support", f"/v1/keys/{redeemed['id']}/reissue", {"reason": "Leaked"})
    assert (new.status, new.position) == (201, api.head)
    rows = api.get("portal", "/v1/accounts/acme/subscriptions").body["products"][1]["rows"]
    assert [row["key"] for row in rows] == [new.body["masked"]]
    assert rows[0]["tier_name"] == "Growth"
    old = api.get("support", f"/v1/keys/{redeemed['id']}").body
    assert (old["status"], old["replaced_by"]) == ("revoked", new.body["id"])
    assert api.get("support", f"/v1/keys/{new.body['id']}").body["replaces"] == redeemed["id"]


def test_a_subscription_is_terminated_and_its_holders_are_without_a_seat(any_api: Api) -> None:
    api = any_api
    subscription = api.redeem()
    api.sit("till-1")
    path = f"/v1/accounts/acme/subscriptions/{subscription}/terminate"

    ended = api.post("admin", path, {"reason": "Chargeback"})
    assert (ended.status, ended.position, ended.headers["ETag"]) == (200, api.head, '"3"')
    assert ended.body["subscription"]["status"] == "terminated"
    assert api.post("admin", path, {"reason": "Again"}).body == ended.body

    seat = api.get("portal", "/v1/accounts/acme/seats/cloud_pos/till-1").body
    assert (seat["licensed"], seat["reason"]) == (False, "no_active_subscription")
    assert api.get("portal", "/v1/accounts/acme/subscriptions").body["products"][0]["rows"] == []
    everything = api.get("portal", "/v1/accounts/acme/subscriptions?all=true").body
    assert everything["products"][0]["rows"] == [ended.body["subscription"]]


def test_entitlements_and_history_tell_what_an_account_may_use(any_api: Api) -> None:
    api = any_api
    api.redeem(order=INT)
    api.clock.forward(days=1)
    api.sit("shop-1", product="integrations", tier="growth")

    assert api.get("auditor", "/v1/accounts/acme/entitlements").body["entitlements"] == [
        {
            "product": "integrations",
            "name": "Integrations",
            "tier": "growth",
            "tier_name": "Growth",
            "seats": 2,
            "used": 1,
            "over": 0,
            "limits": {"invoices_per_month": 3000, "sync": "Near real-time + auto retry"},
            "until": A_YEAR_LATER,
            "renews": False,
        }
    ]
    history = api.get("auditor", "/v1/accounts/acme/seat-history?product=integrations&tier=growth")
    next_day = "2026-03-02T12:00:00.000000Z"
    assert history.body == {
        "account": "acme",
        "as_of": next_day,
        "known_at": next_day,
        "position": api.head,
        "product": "integrations",
        "tier": "growth",
        "from": NOON,
        "to": next_day,
        "points": [
            {"at": NOON, "seats": 2, "used": 0},
            {"at": next_day, "seats": 2, "used": 1},
        ],
    }


def test_an_account_nobody_has_heard_of_is_empty(any_api: Api) -> None:
    view = any_api.get("portal", "/v1/accounts/nobody/subscriptions")
    assert (view.status, view.headers["ETag"]) == (200, '"0"')
    assert [product["rows"] for product in view.body["products"]] == [[], []]
    assert any_api.get("portal", "/v1/accounts/nobody/entitlements").body["entitlements"] == []
    assert any_api.get("portal", "/v1/accounts/nobody/seat-history").body["points"] == []
    seats = any_api.get("portal", "/v1/accounts/nobody/seats").body
    assert (seats["items"], seats["next"], len(seats["totals"])) == ([], None, 4)
