"""Requests that are sent again: answered as before, and carried out once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from tests.web.api import INT, POS, RESELLER, Api, Got, api_over
from web.app.context import EXTENSION

ONCE = {"Idempotency-Key": "order-2026-03-01/1"}


def order(api: Api, body: Any = POS, headers: dict[str, str] = ONCE) -> Got:
    return api.post("admin", "/v1/keys", body, headers=headers)


def redeem(api: Api, code: str, headers: dict[str, str] = ONCE, **others: Any) -> Got:
    body = {"code": code, "account": "acme", "session": "s-1", **others}
    return api.post("portal", "/v1/keys/redeem", body, headers=headers)


def test_an_order_that_is_repeated_is_answered_with_the_same_codes(any_api: Api) -> None:
    first = order(any_api, {**INT, "count": 3})
    head = any_api.head
    again = order(any_api, {**INT, "count": 3})
    assert (again.status, again.body) == (first.status, first.body)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    # That the codes were shown again is on record.
    assert any_api.head == head + 1


def test_an_order_is_the_same_in_whatever_words(api: Api) -> None:
    first = order(api)
    spelled_out = {**dict(reversed(POS.items())), "count": 1, "tier": None, "seats": 2.0}
    assert order(api, spelled_out).body == first.body
    time = {**POS, "redeem_by": "2027-01-01T00:00:00Z"}
    sent = {"Idempotency-Key": "timed"}
    first = order(api, time, sent)
    assert order(api, {**time, "redeem_by": "2027-01-01T01:00:00+01:00"}, sent).body == first.body


@pytest.mark.parametrize(
    "change",
    [{"seats": 3}, {"months": 1}, {"count": 2}, {"reseller": "Other"}, {"note": "x"},
     {"redeem_by": "2027-01-01T00:00:00Z"}],
    ids=str,
)  # fmt: skip
def test_another_order_is_refused(api: Api, change: dict[str, Any]) -> None:
    order(api)
    head = api.head
    assert order(api, {**POS, **change}).code == "idempotency_key_reused"
    assert api.head == head


def test_orders_without_a_key_are_each_their_own(api: Api) -> None:
    assert order(api, headers={}).body["batch"] != order(api, headers={}).body["batch"]


def test_ten_equal_orders_at_once_make_one_batch(any_api: Api) -> None:
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: order(any_api, {**POS, "count": 5}), range(10)))
    assert {got.status for got in answers} == {201}
    assert all(got.body == answers[0].body for got in answers)
    assert sum("Idempotency-Replayed" in got.headers for got in answers) == 9
    assert len(any_api.get("admin", "/v1/keys").body["items"]) == 5


def test_a_redemption_that_is_repeated_is_answered_as_it_was_then(any_api: Api) -> None:
    api = any_api
    code = api.issue()["code"]
    first = redeem(api, code)
    api.sit("till-1")
    api.clock.forward(days=400)
    head = api.head
    again = redeem(api, code)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"] == '"1"'
    assert api.head == head


def test_a_refusal_that_is_repeated_is_refused_as_it_was_then_and_counts_once(api: Api) -> None:
    key = api.issue()
    code = key["code"]
    api.try_code(code, account="first")
    first = redeem(api, code)
    head = api.head
    for _ in range(6):
        again = redeem(api, code)
        assert (
            (again.status, again.code) == (first.status, first.code) == (409, "key_not_available")
        )
        assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert api.head == head
    assert redeem(api, code, {}).status == 409


def test_a_redemption_of_something_else_is_refused(api: Api) -> None:
    code = api.issue()["code"]
    redeem(api, code)
    for name, value in {"account": "other", "session": "s-2", "product": "cloud_pos"}.items():
        changed: dict[str, Any] = {name: value}
        assert redeem(api, code, **changed).code == "idempotency_key_reused"


def test_a_blocked_try_may_be_repeated_once_the_block_has_ended(api: Api) -> None:
    code = api.issue()["code"]
    for _ in range(5):
        redeem(api, "nonsense", {})
    assert redeem(api, code).status == 429
    api.clock.forward(minutes=15)
    assert redeem(api, code).status == 201


def test_a_request_that_does_not_fit_may_be_mended_and_sent_again(api: Api) -> None:
    assert order(api, {**POS, "seats": 0}).status == 422
    assert order(api).status == 201


def test_a_code_of_its_own_is_told_over_http_and_a_block_is_lifted_on_record(api: Api) -> None:
    key = api.issue()
    given = api.try_code(key["code"]).body["subscription"]
    for what in ("redeem", "validate"):
        again = api.try_code(f"“{key['code'].replace('-', '–')}”", what=what)
        assert (again.status, again.code) == (409, "key_already_yours")
        assert again.body["title"] == "You have activated this key already"
        assert again.body["subscription"] == given["subscription"]
        assert again.body["activated_at"] == given["started_at"]
    for _ in range(5):
        assert api.try_code("nonsense", session="s-own").code == "invalid_key_format"
    assert api.try_code(key["code"], session="s-own").code == "too_many_attempts"
    cleared = api.post("support", "/v1/accounts/acme/attempts/clear", {"reason": "Called us"})
    assert (cleared.status, cleared.raw, cleared.position) == (204, b"", api.head)
    assert api.try_code(key["code"], session="s-own").code == "key_already_yours"
    last = api.get("support", "/v1/accounts/acme/timeline").body["items"][0]
    assert (last["event"], last["data"]["reason"]) == ("attempts.block_lifted@1", "Called us")


def test_a_request_that_was_repeated_is_answered_as_of_its_own_event(api: Api) -> None:
    """The account had events before, and has had some since."""
    first, second, third = (api.issue() for _ in range(3))
    api.try_code(first["code"])
    asked = {"code": second["code"], "account": "acme", "session": "s-1"}
    headers = {"Idempotency-Key": "r-2"}
    given = api.post("portal", "/v1/keys/redeem", asked, headers=headers)
    assert given.status == 201
    api.try_code(third["code"])
    again = api.post("portal", "/v1/keys/redeem", asked, headers=headers)
    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body == given.body
    assert again.headers["ETag"] == given.headers["ETag"] == '"2"'


def test_what_was_answered_stays_so_when_its_product_has_left_the_catalog(api: Api) -> None:
    grant = {"product": "cloud_pos", "seats": 10, "reason": "Spring"}
    grants = f"/v1/resellers/{RESELLER}/grants"
    code = api.issue()["code"]

    def ask(api: Api, **headers: str) -> list[Got]:
        return [
            api.post("admin", grants, grant, headers=headers),
            order(api, headers=headers),
            redeem(api, code, headers=headers, product="cloud_pos"),
        ]

    first = ask(api, **ONCE)
    wiring = api.app.extensions[EXTENSION].wiring
    products = [one for one in wiring.services.catalog.products if one.id != "cloud_pos"]
    catalog = replace(wiring.services.catalog, products=tuple(products))
    later = api_over(wiring._replace(services=wiring.services._replace(catalog=catalog)), api)
    again = ask(later, **ONCE)
    assert [one.status for one in again] == [one.status for one in first] == [201] * 3
    assert all(one.headers["Idempotency-Replayed"] == "true" for one in again)
    assert again[0].body["allowances"] == first[0].body["allowances"]
    assert {one.status for one in ask(later)} == {422}
