"""Lists: page by page, each thing once, and no cursor but one's own."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.web.api import INT, Api, memory_api
from web.app import cursors

SEATS = "/v1/accounts/acme/seats"


def pages(api: Api, path: str, limit: int, role: str = "admin") -> list[list[str]]:
    """Turn pages to the last, and answer the ids or holders on each."""
    found, cursor = [], ""
    separator = "&" if "?" in path else "?"
    while True:
        got = api.get(role, f"{path}{separator}limit={limit}{cursor}")
        assert got.status == 200, got.body
        found.append([item.get("id") or item["holder"] for item in got.body["items"]])
        if got.body["next"] is None:
            return found
        cursor = f"&cursor={quote(got.body['next'])}"


def test_keys_are_listed_page_by_page_newest_first(any_api: Api) -> None:
    issued = [any_api.issue()["id"] for _ in range(6)]
    for limit in (1, 2, 3, 5, 6, 500):
        found = pages(any_api, "/v1/keys", limit)
        assert [id for page in found for id in page] == issued[::-1]
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        assert found[-1]


def test_an_empty_list_has_no_next_page(api: Api) -> None:
    assert api.get("admin", "/v1/keys").body == {"items": [], "next": None}


def test_keys_are_found_by_what_is_asked_for(any_api: Api) -> None:
    api = any_api
    pos, revoked, lapsing = api.issue(), api.issue(), api.issue(redeem_by="2026-03-02T00:00:00Z")
    growth = api.issue(INT, reseller="Southgate")
    api.post("admin", f"/v1/keys/{revoked['id']}/revoke", {"reason": "Refund"})
    api.try_code(growth["code"], account="acme")
    api.clock.forward(days=2)
    for query, expected in {
        "status=issued": [pos],
        "status=redeemed": [growth],
        "status=revoked": [revoked],
        "status=lapsed": [lapsing],
        "product=integrations": [growth],
        "product=cloud_cash": [],
        "reseller=Northwind": [lapsing, revoked, pos],
        "reseller=Southgate&status=issued": [],
        f"batch={pos['batch']}": [pos],
        "redeemed_by=acme": [growth],
        "redeemed_by=other": [],
        "status=lapsed&as_of=2026-03-01T12:00:00Z": [],
        "status=issued&as_of=2030-01-01T00:00:00Z": [pos],
    }.items():
        found = api.get("admin", f"/v1/keys?{query}").body["items"]
        assert [key["id"] for key in found] == [key["id"] for key in expected], query


def test_keys_can_be_listed_as_they_were(any_api: Api) -> None:
    api = any_api
    key = api.issue()
    api.clock.forward(days=1)
    api.try_code(key["code"])
    api.clock.forward(days=1)
    api.issue()
    then = api.get("admin", "/v1/keys?as_of=2026-03-02T00:00:00Z").body["items"]
    assert [(key["id"], key["status"]) for key in then] == [(key["id"], "issued")]


def test_keys_that_come_while_pages_are_turned_change_none_of_the_later_ones(api: Api) -> None:
    issued = [api.issue()["id"] for _ in range(4)]
    first = api.get("admin", "/v1/keys?limit=2").body
    api.issue()
    rest = api.get("admin", f"/v1/keys?limit=2&cursor={first['next']}").body
    assert [key["id"] for key in first["items"] + rest["items"]] == issued[::-1]


def take_seats(api: Api) -> Api:
    """Take five seats of an account, in two pools."""
    api.redeem(seats=5)
    api.redeem(order=INT)
    for holder in ("till-3", "till-1", "till-2"):
        api.sit(holder, label=f"Label of {holder}")
    for holder in ("shop-2", "shop-1"):
        api.sit(holder, product="integrations", tier="growth")
    return api


@pytest.fixture(scope="module")
def seated() -> Api:
    """Return an account with five seats taken, for those who only look."""
    return take_seats(memory_api())


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_seats_are_listed_page_by_page_who_came_first_first(seated: Api, limit: int) -> None:
    found = [holder for page in pages(seated, SEATS, limit, "portal") for holder in page]
    assert found == ["till-3", "till-1", "till-2", "shop-2", "shop-1"]


def test_every_page_of_seats_has_all_totals(seated: Api) -> None:
    whole = seated.get("portal", SEATS).body
    assert whole["items"][0]["label"] == "Label of till-3"
    first = seated.get("portal", f"{SEATS}?limit=1").body
    assert first["totals"] == whole["totals"] == [
        {"product": "cloud_pos", "tier": None, "seats": 5, "used": 3, "free": 2, "over": 0},
        {"product": "integrations", "tier": "starter", "seats": 0, "used": 0, "free": 0, "over": 0},
        {"product": "integrations", "tier": "growth", "seats": 2, "used": 2, "free": 0, "over": 0},
        {"product": "integrations", "tier": "scale", "seats": 0, "used": 0, "free": 0, "over": 0},
    ]  # fmt: skip


def test_seats_are_found_by_their_product(seated: Api) -> None:
    only = seated.get("portal", f"{SEATS}?product=integrations").body
    assert [seat["holder"] for seat in only["items"]] == ["shop-2", "shop-1"]
    assert {total["product"] for total in only["totals"]} == {"integrations"}


def test_pages_of_seats_go_on_where_they_ended_whoever_comes_and_goes(api: Api) -> None:
    seated = take_seats(api)
    first = seated.get("portal", f"{SEATS}?limit=2").body
    for holder in ("till-3", "till-1"):
        seated.delete("portal", f"{SEATS}/cloud_pos/{holder}")
    seated.sit("till-4")
    rest = seated.get("portal", f"{SEATS}?limit=9&cursor={first['next']}").body
    assert [seat["holder"] for seat in rest["items"]] == ["till-2", "till-4", "shop-2", "shop-1"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/keys?limit=1&status=issued&cursor={keys}",
        "/v1/keys?limit=1&cursor={seats}",
        "/v1/keys?limit=1&cursor={keys}x",
        "/v1/keys?limit=1&cursor=x{keys}",
        "/v1/accounts/acme/seats?limit=1&cursor={keys}",
        "/v1/accounts/other/seats?limit=1&cursor={seats}",
        "/v1/accounts/acme/seats?limit=1&product=cloud_pos&cursor={seats}",
        "/v1/accounts/acme/seats?limit=1&as_of=2026-03-01T12:00:00Z&cursor={seats}",
    ],
)
def test_a_cursor_from_elsewhere_is_refused(seated: Api, path: str) -> None:
    keys = seated.get("admin", "/v1/keys?limit=1").body["next"]
    seats = seated.get("admin", f"{SEATS}?limit=1").body["next"]
    got = seated.get("admin", path.format(keys=keys, seats=seats))
    assert (got.status, got.code, got.pointers) == (422, "invalid_request", ["/cursor"])


def test_a_cursor_says_nothing_of_the_place_that_can_be_changed(seated: Api) -> None:
    cursor = seated.get("admin", "/v1/keys?limit=1").body["next"]
    for n, character in enumerate(cursor[:-1]):
        forged = cursor[:n] + ("A" if character != "A" else "B") + cursor[n + 1 :]
        assert seated.get("admin", f"/v1/keys?limit=1&cursor={forged}").status == 422


def test_the_limit_may_change_from_page_to_page(api: Api) -> None:
    api.issue(count=5)
    cursor = api.get("admin", "/v1/keys?limit=1").body["next"]
    assert len(api.get("admin", f"/v1/keys?limit=3&cursor={cursor}").body["items"]) == 3


def test_fifty_are_on_a_page_unless_others_are_asked_for(api: Api) -> None:
    api.issue(count=60)
    assert len(api.get("admin", "/v1/keys").body["items"]) == 50


def test_a_cursor_stays_good_whatever_way_its_parameters_are_passed_on(api: Api) -> None:
    """Workers of two versions answer side by side while one replaces the other."""
    key = api.services.request_key
    known_at = api.clock.now
    of_keys = ("keys", None, [("known_at", known_at), ("status", "issued")])
    cursor = quote(cursors.write(key, of_keys, 3))
    asked = f"status=issued&known_at={quote(known_at.isoformat())}"
    assert api.get("admin", f"/v1/keys?{asked}&cursor={cursor}").status == 200
    of_seats = ("seats", "acme", [("product", "cloud_pos")])
    api.redeem()
    cursor = quote(cursors.write(key, of_seats, ["2026-03-01T12:00:00Z", 2]))
    assert api.get("admin", f"{SEATS}?product=cloud_pos&cursor={cursor}").status == 200
