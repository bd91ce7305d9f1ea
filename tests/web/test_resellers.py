"""A reseller sees and touches its own keys only, and never learns that another's exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from commands.give_access import create_token
from commands.issue_keys import Order, issue_keys
from commands.validation import HOLDS_CODE
from tests.console.desk import signed_in
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api, Got
from tests.worlds import context

NEVER_ISSUED = "key_" + "a" * 26
NO_BATCH = "bat_" + "a" * 26


def alike(one: Got, other: Got) -> bool:
    """Tell whether two answers differ in nothing but the request."""

    def bare(got: Got) -> dict[str, Any]:
        return {k: v for k, v in got.body.items() if k not in {"request_id", "instance"}}

    return one.status == other.status and bare(one) == bare(other)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/keys/{key}"),
        ("POST", "/v1/keys/{key}/revoke"),
        ("POST", "/v1/keys/{key}/reissue"),
        ("POST", "/v1/keys/{key}/reveal"),
        ("POST", "/v1/batches/{batch}/reveal"),
    ],
)
def test_anothers_key_is_as_one_that_was_never_issued(api: Api, method: str, path: str) -> None:
    key = api.issue()
    body = {"reason": "Curious"} if method == "POST" else None
    head = api.head
    theirs = api.ask("other", method, path.format(key=key["id"], batch=key["batch"]), body)
    unknown = api.ask("other", method, path.format(key=NEVER_ISSUED, batch=NO_BATCH), body)
    malformed = api.ask("other", method, path.format(key="x", batch="x"), body)
    assert theirs.status == 404
    assert alike(theirs, unknown)
    assert alike(theirs, malformed)
    assert api.head == head
    assert (
        api.ask("reseller", method, path.format(key=key["id"], batch=key["batch"]), body).status
        < 300
    )


@pytest.mark.parametrize(
    "query", ["", "?reseller={mine}", "?reseller={other}", "?batch={batch}", "?product=cloud_pos"]
)
def test_a_list_holds_nothing_of_anothers(api: Api, query: str) -> None:
    api.allow(OTHER_RESELLER)
    theirs = api.issue()
    mine = api.post("other", "/v1/keys", {**POS, "reseller": OTHER_RESELLER}).body["keys"][0]
    path = "/v1/keys" + query.format(mine=OTHER_RESELLER, other=RESELLER, batch=theirs["batch"])
    listed = [key["id"] for key in api.get("other", path).body["items"]]
    assert listed in ([], [mine["id"]])
    assert theirs["id"] in [
        key["id"] for key in api.get("admin", path.replace(OTHER_RESELLER, RESELLER)).body["items"]
    ]


def test_a_cursor_of_one_reseller_is_none_of_anothers(api: Api) -> None:
    for _ in range(2):
        api.issue()
    cursor = api.get("reseller", "/v1/keys?limit=1").body["next"]
    assert cursor
    got = api.get("other", f"/v1/keys?limit=1&cursor={cursor}")
    assert (got.status, got.pointers) == (422, ["/cursor"])


def test_keys_are_issued_for_its_own_name_only(api: Api) -> None:
    api.allow()
    unnamed = {name: value for name, value in POS.items() if name != "reseller"}
    batch = api.post("reseller", "/v1/keys", unnamed)
    assert batch.status == 201
    assert (
        api.get("reseller", f"/v1/keys/{batch.body['keys'][0]['id']}").body["reseller"] == RESELLER
    )
    assert api.post("reseller", "/v1/keys", POS).status == 201

    head = api.head
    refused = api.post("reseller", "/v1/keys", {**POS, "reseller": OTHER_RESELLER})
    assert (refused.status, refused.code) == (403, "forbidden")
    assert api.head == head


def test_the_vendor_must_name_a_reseller(api: Api) -> None:
    got = api.post("admin", "/v1/keys", {**POS, "reseller": None})
    assert (got.status, got.pointers) == (422, ["/reseller"])
    assert api.post(
        "admin", "/v1/keys", {"product": "cloud_pos", "seats": 1, "months": 1}
    ).pointers == ["/reseller"]


def test_two_resellers_may_use_one_idempotency_key(api: Api) -> None:
    api.allow()
    api.allow(OTHER_RESELLER)
    sent = {"Idempotency-Key": "order-1"}
    mine = api.post("reseller", "/v1/keys", POS, headers=sent)
    theirs = api.post("other", "/v1/keys", {**POS, "reseller": OTHER_RESELLER}, headers=sent)
    vendors = api.post("admin", "/v1/keys", POS, headers=sent)
    assert [got.status for got in (mine, theirs, vendors)] == [201, 201, 201]
    assert len({got.body["batch"] for got in (mine, theirs, vendors)}) == 3


SPELLINGS: list[Callable[[str], str]] = [
    lambda code: code.replace("-", " "),
    lambda code: code.replace("-", "_").lower(),
    lambda code: f"x{code.replace('-', '')}x",
    lambda code: f"Sold {code.replace('-', '/')}, by phone",
]


@pytest.fixture
def codes(api: Api) -> dict[str, str]:
    """Return codes: of another reseller's keys and one's own, with a digit and of letters alone."""
    api.allow(OTHER_RESELLER)
    found: dict[str, str] = {}
    for whose, role, reseller in (("their", "admin", RESELLER), ("own", "other", OTHER_RESELLER)):
        keys = api.post(role, "/v1/keys", {**POS, "reseller": reseller, "count": 100}).body["keys"]
        for key in keys:
            plain = key["code"].replace("-", "").isalpha()
            found[f"{whose} plain" if plain else f"{whose} mixed"] = key["code"]
    assert len(found) == 4
    return found


@pytest.mark.parametrize("spell", SPELLINGS)
def test_no_text_tells_a_reseller_which_codes_others_have(
    api: Api, codes: dict[str, str], spell: Callable[[str], str]
) -> None:
    order = {**POS, "reseller": OTHER_RESELLER}
    batch = api.post("other", "/v1/keys", order).body["batch"]
    desk = signed_in(api, "other")

    def answers(code: str) -> list[object]:
        text = spell(code)
        key = api.post("other", "/v1/keys", order).body["keys"][0]["id"]
        got = [
            api.post("other", "/v1/keys", {**order, "note": text}),
            api.post("other", f"/v1/batches/{batch}/reveal", {"reason": text}),
            api.post("other", f"/v1/keys/{key}/reveal", {"reason": text}),
            api.post("other", f"/v1/keys/{key}/revoke", {"reason": text}),
            api.post("other", "/v1/keys", {**order, "tier": text}),
            api.post("other", "/v1/timeline/search", {"ref": text}),
        ]
        told = [
            (one.status, [error["detail"] for error in one.body.get("errors", [])]) for one in got
        ]
        told[-1] = (got[-1].status, got[-1].body.get("items"))
        return [*told, desk.send(f"batches/{batch}/reveal", reason=text).status]

    for kind in ("plain", "mixed"):
        theirs = codes[f"their {kind}"]
        nobodys = theirs[:4] + ("ABCD" if theirs[4:8] != "ABCD" else "EFGH") + theirs[8:]
        assert answers(theirs) == answers(nobodys)
        # Its own it knows, and would show to everybody who may read the text.
        assert answers(codes[f"own {kind}"])[0] == (422, [HOLDS_CODE])


def test_a_reseller_may_write_what_only_looks_like_a_code(api: Api) -> None:
    api.allow(OTHER_RESELLER)
    order = {**POS, "reseller": OTHER_RESELLER, "note": "POS till 4477 Graz"}
    assert api.post("other", "/v1/keys", order).status == 201
    order = {**POS, "reseller": "POS till 4477 Graz"}
    assert api.post("admin", "/v1/keys", order).status == 201


# One reseller, however it is spelled

BOEHM = "Kassen B\u00f6hm"
SPELLED = ("KASSEN BO\u0308HM", "kassen b\u00f6hm", "Kassen Bo\u0308hm")


def test_a_name_in_any_spelling_is_one_reseller_and_the_first_spelling_stays(any_api: Api) -> None:
    api = any_api
    ids = {api.issue(reseller=name)["id"] for name in (BOEHM, *SPELLED)}
    for name in (BOEHM, *SPELLED):
        items = api.get("auditor", f"/v1/keys?reseller={quote(name)}").body["items"]
        assert {one["id"] for one in items} == ids
        assert {one["reseller"] for one in items} == {BOEHM}
    (counted,) = api.get("support", "/v1/overview").body["keys"]
    assert (counted["reseller"], counted["issued"], counted["open"]) == (BOEHM, 4, 4)

    secret = create_token(api.services, context(), "reseller", reseller=SPELLED[0]).secret
    api.tokens["boehm"] = secret
    assert {one["id"] for one in api.get("boehm", "/v1/keys").body["items"]} == ids
    told = api.get("boehm", "/v1/timeline?limit=500").body["items"]
    assert {one["data"].get("reseller") for one in told} == {BOEHM}
    one = ids.pop()
    assert api.post("boehm", f"/v1/keys/{one}/revoke", {"reason": "Lost"}).status == 200


def test_names_that_were_recorded_in_several_spellings_are_one_reseller(any_api: Api) -> None:
    """As before names were told apart by case folding."""
    api = any_api
    before = api.services._replace(first_spelling=lambda _: None)
    for name in ("North", "north", "NORTH"):
        issue_keys(before, context(), Order("cloud_pos", None, 1, 1, 2, name))
    items = api.get("admin", "/v1/keys?reseller=nORTH").body["items"]
    assert [one["reseller"] for one in items] == ["NORTH"] * 2 + ["north"] * 2 + ["North"] * 2
    assert [one["reseller"] for one in api.get("admin", "/v1/overview").body["keys"]] == ["North"]
    api.tokens["north"] = create_token(before, context(), "reseller", reseller="NORTH").secret
    assert len(api.get("north", "/v1/keys?reseller=north").body["items"]) == 6
    assert len(api.get("north", f"/v1/timeline?ref={items[0]['id']}").body["items"]) == 1
    assert api.get("north", f"/v1/keys/{items[5]['id']}").status == 200
    assert api.issue(reseller="north")
    assert api.get("admin", "/v1/keys?reseller=north").body["items"][0]["reseller"] == "North"
