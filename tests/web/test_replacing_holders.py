"""A holder takes the seat of another one: its place, and since when it is taken, in one commit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.web.api import Api, Got

ACME = "/v1/accounts/acme"
SEATS = f"{ACME}/seats/cloud_pos"
INT = {"product": "integrations", "tier": "growth", "seats": 2, "months": 12, "reseller": "North"}


def replace(api: Api, old: str, new: str, **body: Any) -> Got:
    return api.put("portal", f"{SEATS}/{new}", {"replaces": old, **body})


def seated(api: Api) -> list[str]:
    return [one["holder"] for one in api.get("portal", f"{ACME}/seats").body["items"]]


def fill(api: Api) -> Api:
    """Return the API with two seats, both of them taken; the first by till-1."""
    api.redeem()
    for holder in ("till-1", "till-2"):
        api.sit(holder)
        api.clock.forward(minutes=1)
    return api


@pytest.fixture
def full(api: Api) -> Api:
    return fill(api)


def test_the_new_holder_has_the_seat_its_place_and_since_when_it_is_taken(full: Api) -> None:
    before = full.get("portal", f"{SEATS}/till-1").body
    head = full.head
    full.clock.forward(days=3)
    got = replace(full, "till-1", "till-9", label="New till")
    assert (got.status, got.position) == (201, head + 1)
    same = ("tier", "occupied_at", "licensed", "subscription", "reason")
    assert {name: got.body[name] for name in same} == {name: before[name] for name in same}
    assert (got.body["holder"], got.body["label"]) == ("till-9", "New till")
    assert seated(full) == ["till-9", "till-2"]
    assert full.get("portal", f"{SEATS}/till-1").body["reason"] == "no_seat"
    (event,) = full.get("admin", f"/v1/events?after={head}").body["items"]
    assert event["type"] == "account.seat_passed_on@1"


def test_asked_again_it_is_as_it_was(full: Api) -> None:
    first = replace(full, "till-1", "till-9")
    again = replace(full, "till-1", "till-9")
    assert (again.status, again.body) == (200, first.body)
    assert full.head == first.position
    assert replace(full, "till-1", "till-9", label="Bar").body["label"] == "Bar"


def test_one_that_is_over_stays_over(api: Api) -> None:
    key = api.redeem()
    for holder in ("till-1", "till-2"):
        api.sit(holder)
    other = api.redeem(seats=1)
    api.sit("till-3")
    path = f"{ACME}/subscriptions/{other}/terminate"
    assert api.post("admin", path, {"reason": "Paid back"}).status == 200, key
    assert replace(api, "till-3", "till-4").body["reason"] == "over"
    assert replace(api, "till-1", "till-5").body["licensed"]


def test_what_is_refused(full: Api) -> None:
    gone = replace(full, "till-7", "till-8")
    assert (gone.status, gone.code) == (404, "seat_not_occupied")
    both = replace(full, "till-1", "till-2")
    assert (both.status, both.code) == (409, "holder_already_seated")
    itself = replace(full, "till-1", "till-1")
    assert (itself.status, itself.pointers) == (422, ["/replaces"])
    code = replace(full, full.issue()["code"], "till-8")
    assert (code.status, code.pointers) == (422, ["/replaces"])
    unknown = full.put("portal", f"{ACME}/seats/cloud_cash/till-8", {"replaces": "till-1"})
    assert (unknown.status, unknown.pointers) == (422, ["/product"])
    stale = full.put(
        "portal", f"{SEATS}/till-8", {"replaces": "till-1"}, headers={"If-Match": '"1"'}
    )
    assert stale.code == "version_mismatch"
    assert replace(full, "till-1", "till-9").status == 201
    assert replace(full, "till-2", "till-1").status == 201
    # What had till-1's seat may not take another's as well, although that is a repetition in part.
    assert replace(full, "till-1", "till-9").code == "holder_already_seated"


def test_the_tier_is_that_of_the_seat(api: Api) -> None:
    api.redeem(order=INT)
    path = f"{ACME}/seats/integrations"
    assert api.put("portal", f"{path}/shop-1", {"tier": "growth"}).status == 201
    other = api.put("portal", f"{path}/shop-2", {"tier": "scale", "replaces": "shop-1"})
    assert (other.status, other.code, other.body["tier"]) == (
        409,
        "holder_in_other_tier",
        "growth",
    )
    assert api.put("portal", f"{path}/shop-2", {"replaces": "shop-1"}).body["tier"] == "growth"
    again = {"tier": "growth", "replaces": "shop-1"}
    assert api.put("portal", f"{path}/shop-2", again).status == 200


def test_it_is_told_of_both(full: Api) -> None:
    start = full.clock().isoformat()
    full.clock.forward(minutes=1)
    replace(full, "till-1", "till-9")
    for holder in ("till-1", "till-9"):
        told = full.get("support", f"/v1/timeline?ref={holder}").body["items"][0]
        assert told["summary"].startswith(
            "Holder till-9 took over the Cloud POS seat of holder till-1, by "
        )
    asked = {"product": "cloud_pos", "holder": "till-1"}
    why = full.post("support", f"{ACME}/explain", asked).body
    assert (why["rule"], why["code"]) == ("seat_passed_on", "seat_not_occupied")
    assert "was replaced by holder till-9" in why["answer"]
    assert full.post("support", f"{ACME}/explain", {**asked, "holder": "till-9"}).body["rule"] == (
        "licensed"
    )
    full.clock.forward(minutes=1)
    query = {"from": start.replace("+00:00", "Z"), "to": full.clock().isoformat()[:19] + "Z"}
    differs = full.get("support", f"{ACME}/diff?from={query['from']}&to={query['to']}").body
    assert {one["thing"]["holder"]: one["positions"] for one in differs["items"]} == {
        "till-1": [full.head],
        "till-9": [full.head],
    }
    then = full.get("portal", f"{SEATS}/till-1?as_of={query['from']}").body
    assert then["licensed"]


def test_of_many_at_once_one_gets_the_seat(any_api: Api) -> None:
    full = fill(any_api)

    def come(number: int) -> int:
        return replace(full, "till-1", f"new-{number}").status

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(come, range(8)))
    assert statuses == [201, *[404] * 7]
    assert len(seated(full)) == 2
