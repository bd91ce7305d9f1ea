"""What is put right of a key before anybody redeems it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from commands.amend_key import Amendment, amend_key
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from ledger.book import Book
from ledger.refusals import KeyAlreadyRedeemed
from ledger.streams.account.stream import ACCOUNT
from tests.web.api import INT, OTHER_RESELLER, POS, RESELLER, Api
from tests.worlds import another_worker, context, issue, services, watched

BECAUSE = {"reason": "A slip"}


def amend(api: Api, key: str, **body: Any) -> Any:
    return api.ask("admin", "PATCH", f"/v1/keys/{key}", {**BECAUSE, **body})


def test_everything_that_may_be_amended_holds_from_then_on(any_api: Api) -> None:
    api = any_api
    key = api.issue(INT, seats=50)
    was = api.get("admin", f"/v1/keys/{key['id']}").body
    api.clock.forward(hours=1)
    end = "2027-01-01T00:00:00.000000Z"
    terms = {"seats": 5, "months": 24, "tier": "scale", "redeem_by": end}
    got = amend(api, key["id"], **terms, reseller=OTHER_RESELLER.upper())
    assert got.status == 200
    assert got.body == {**was, **terms, "reseller": got.body["reseller"]}
    assert got.body["reseller"] in (OTHER_RESELLER, OTHER_RESELLER.upper())
    assert api.get("admin", "/v1/keys").body["items"] == [got.body]
    before = (api.clock.now - timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    assert api.get("admin", f"/v1/keys?as_of={before}&reseller={RESELLER}").body["items"] == [was]
    head = api.head
    assert amend(api, key["id"], **terms).body == got.body
    assert api.head == head

    # It is another reseller's now, and each sees what happened while it was its own.
    assert api.get("reseller", f"/v1/keys/{key['id']}").status == 404
    assert api.get("other", f"/v1/keys/{key['id']}").status == 200
    events = {
        role: [one["event"] for one in api.get(role, f"/v1/timeline?ref={key['id']}").body["items"]]
        for role in ("reseller", "other")
    }
    assert events == {"reseller": ["key.issued@1"], "other": ["key.amended@1"]}
    (entry,) = api.get("other", f"/v1/timeline?ref={key['id']}").body["items"]
    assert "seats 50" not in entry["summary"]
    (entry, _) = api.get("admin", f"/v1/timeline?ref={key['id']}").body["items"]
    assert "seats 50 → 5, months 12 → 24, redeem by never → 1 Jan 2027" in entry["summary"]
    revealed = api.post("reseller", f"/v1/batches/{key['batch']}/reveal", BECAUSE).body["keys"]
    assert [one["code"] for one in revealed] == [key["masked"]]
    assert api.try_code(key["code"]).body["subscription"]["seats"] == 5


def test_what_cannot_be_amended_says_why(api: Api) -> None:
    for made, code in (
        (api.issue(), "key_already_redeemed"),
        (api.issue(), "key_already_revoked"),
    ):
        if code == "key_already_redeemed":
            api.try_code(made["code"])
        else:
            api.post("admin", f"/v1/keys/{made['id']}/revoke", BECAUSE)
        got = amend(api, made["id"], seats=1)
        assert (got.status, got.code) == (409, code)
    assert amend(api, "key_" + "a" * 26, seats=1).status == 404
    key = api.issue()["id"]
    refused: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["/"]),
        ({"seats": 0}, ["/seats"]),
        ({"seats": None}, ["/seats"]),
        ({"tier": "growth"}, ["/tier"]),
        ({"redeem_by": "2026-01-01T00:00:00Z"}, ["/redeem_by"]),
        ({"reseller": "=1"}, ["/reseller"]),
        ({"product": "integrations"}, ["/product"]),
    ]
    for body, pointers in refused:
        got = amend(api, key, **body)
        assert (got.status, got.pointers) == (422, pointers)
    assert api.ask("admin", "PATCH", f"/v1/keys/{key}", {"seats": 1}).pointers == ["/reason"]


def test_a_key_that_has_lapsed_goes_on_with_a_later_date(api: Api) -> None:
    key = api.issue(redeem_by="2026-03-02T00:00:00Z")
    api.clock.forward(days=2)
    assert api.try_code(key["code"]).code == "key_not_available"
    assert amend(api, key["id"], redeem_by=None).body["status"] == "issued"
    assert api.try_code(key["code"]).status == 201


@pytest.mark.parametrize("amended_first", [True, False])
def test_a_redemption_gives_what_is_true_in_its_commit(amended_first: bool) -> None:
    book, store = watched()
    world = services(book)
    key = issue(world)
    other = another_worker(world)
    other.book.store = store

    def change() -> object:
        return amend_key(other, context(), key.id, Amendment(seats=9, reason="A slip"))

    def spend() -> object:
        return redeem_key(other, context(), Try("acme", "s-1", key.code))

    if amended_first:
        store.overtake = change
        redeem_key(world, context(), Try("acme", "s-1", key.code))
        assert seats_of(world) == 9
    else:
        store.overtake = spend
        with pytest.raises(KeyAlreadyRedeemed):
            amend_key(world, context(), key.id, Amendment(seats=9, reason="A slip"))
        assert seats_of(world) == 3


def seats_of(world: Services) -> int:
    book: Book = world.book
    (gave,) = book.load(ACCOUNT, "acme").state.subscriptions.values()
    return gave.seats


def test_an_order_of_the_api_can_be_amended(api: Api) -> None:
    assert amend(api, api.issue(POS)["id"], months=1).body["months"] == 1
