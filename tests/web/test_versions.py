"""Versions and positions: who writes knows what it wrote on, and who reads may ask for no less."""

from __future__ import annotations

import threading

import pytest

from tests.stripe.shop import shop
from tests.web.api import POS, Api, memory_api

SEATS = "/v1/accounts/acme/seats/cloud_pos"
ACCOUNT_PAGES = ["subscriptions", "entitlements", "seat-history", "seats", "seats/cloud_pos/till-1"]


@pytest.fixture
def seated(api: Api) -> Api:
    """Return an account at version 2."""
    api.redeem()
    api.sit("till-1")
    return api


@pytest.mark.parametrize("page", ACCOUNT_PAGES)
def test_every_read_of_an_account_has_its_version(seated: Api, page: str) -> None:
    path = f"/v1/accounts/acme/{page}"
    assert seated.get("portal", path).headers["ETag"] == '"2"'
    # The version is what writes are held to: the account's now, whatever moment was asked about.
    then = "?as_of=2026-03-01T12:00:00Z&known_at=2026-03-01T12:00:00Z"
    seated.clock.forward(days=1)
    seated.sit("till-2")
    assert seated.get("portal", path + then).headers["ETag"] == '"3"'


def test_a_write_goes_through_on_the_version_that_was_read(seated: Api) -> None:
    taken = seated.put("portal", f"{SEATS}/till-2", {}, headers={"If-Match": '"2"'})
    assert (taken.status, taken.headers["ETag"]) == (201, '"3"')
    given_back = seated.delete("portal", f"{SEATS}/till-2", headers={"If-Match": '"3"'})
    assert (given_back.status, given_back.headers["ETag"]) == (204, '"4"')


def test_a_redemption_is_held_to_the_version_and_a_mismatch_is_no_try(seated: Api) -> None:
    body = {"code": seated.issue()["code"], "account": "acme", "session": "s"}
    for _ in range(6):
        refused = seated.post("portal", "/v1/keys/redeem", body, headers={"If-Match": '"1"'})
        assert (refused.status, refused.code) == (412, "version_mismatch")
    redeemed = seated.post("portal", "/v1/keys/redeem", body, headers={"If-Match": '"2"'})
    assert (redeemed.status, redeemed.headers["ETag"]) == (201, '"3"')


@pytest.mark.parametrize("sent", ['"0"', '"1"', '"3"', '"002"'])
def test_a_write_on_another_version_is_refused_and_told_which_it_is(seated: Api, sent: str) -> None:
    head = seated.head
    expected = 201 if sent == '"002"' else 412
    got = seated.put("portal", f"{SEATS}/till-2", {}, headers={"If-Match": sent})
    assert got.status == expected
    if expected == 412:
        assert (got.code, got.body["version"]) == ("version_mismatch", 2)
        assert seated.head == head


def test_a_star_is_whatever_version_there_is(seated: Api) -> None:
    assert seated.put("portal", f"{SEATS}/till-2", {}, headers={"If-Match": "*"}).status == 201


def test_what_changes_nothing_moves_nothing(seated: Api) -> None:
    again = seated.sit("till-1")
    assert (again.status, again.headers["ETag"], again.position) == (200, '"2"', seated.head)


def test_an_answer_may_be_asked_not_to_be_from_before_a_write(seated: Api) -> None:
    position = seated.sit("till-2").position
    for page in ACCOUNT_PAGES:
        got = seated.get("portal", f"/v1/accounts/acme/{page}?min_position={position}")
        assert (got.status, got.body["position"]) == (200, position)
    assert seated.get("admin", f"/v1/keys?min_position={position}").status == 200


@pytest.mark.parametrize("page", [*(f"accounts/acme/{page}" for page in ACCOUNT_PAGES), "keys"])
def test_a_position_that_does_not_come_is_not_waited_for_for_ever(seated: Api, page: str) -> None:
    got = seated.get("admin", f"/v1/{page}?min_position={seated.head + 1}")
    assert (got.status, got.code) == (503, "position_not_reached")
    assert got.headers["Retry-After"] == "1"


def test_a_position_that_is_about_to_come_is_waited_for() -> None:
    api = memory_api(position_wait_s=10)
    expected = api.head + 2  # An order of one key is two events.
    order = threading.Timer(0.05, api.post, ("admin", "/v1/keys", POS))
    order.start()
    got = api.get("admin", f"/v1/accounts/acme/subscriptions?min_position={expected}")
    order.join()
    assert (got.status, got.body["position"]) == (200, expected)


# Every write to an account

RETURN = "http://127.0.0.1:8000/docs"
SUBSCRIPTION = "kfsub_" + "a" * 26
REASON: dict[str, object] = {"reason": "asked for"}
# By operation: a body that fits. One that writes to an account and is not here fails the test.
WRITES: dict[str, dict[str, object]] = {
    "assign_stripe_subscription": REASON,
    "clear_attempts": REASON,
    "end_sessions": REASON,
    "link_stripe_customer": {"customer": "cus_1"},
    "make_portal_session": {},
    "occupy_seat": {},
    "open_stripe_portal": {"return_url": RETURN},
    "redeem_key": {"code": "POS-ABCD-EFGH-7K2M", "account": "acme", "session": "s"},
    "release_seat": {},
    "start_checkout": {
        "product": "cloud_pos",
        "seats": 2,
        "interval": "month",
        "success_url": RETURN,
        "cancel_url": RETURN,
    },
    "start_subscription": REASON,
    "extend_subscription": {"days": 1, **REASON},
    "suspend_subscription": REASON,
    "resume_subscription": REASON,
    "transfer_subscription": {"to": "beta", **REASON},
    "terminate_subscription": REASON,
    "unlink_stripe_customer": {"customer": "cus_1", **REASON},
}
READS = {"explain", "preview_checkout", "validate_key"}
PLACES = {
    "account": "acme",
    "holder": "till-1",
    "product": "cloud_pos",
    "subscription": SUBSCRIPTION,
    "stripe_subscription": "sub_1",
}


def writes_to_an_account() -> list[tuple[str, str, str]]:
    """Return method, path template and operation of each; of no account are keys and webhooks."""
    found = []
    for template, operations in memory_api().document["paths"].items():
        for method, operation in operations.items():
            is_write = method in {"post", "put", "patch", "delete"}
            is_of_account = "{account}" in template or template.startswith("/v1/keys/redeem")
            if is_write and is_of_account and operation["operationId"] not in READS:
                found.append((method.upper(), template, operation["operationId"]))
    return found


@pytest.mark.parametrize(("method", "template", "operation"), writes_to_an_account())
def test_every_write_to_an_account_is_held_to_its_version_before_anything_is_done(
    method: str, template: str, operation: str
) -> None:
    with shop() as it:
        it.api.redeem()
        it.api.sit("till-1")
        it.stripe.requests.clear()
        head, path = it.api.head, template.format(**PLACES)
        for stale in ('"0"', '"1"', '"3"'):
            headers = {"If-Match": stale, "Idempotency-Key": f"k-{stale[1]}"}
            got = it.api.ask("admin", method, path, WRITES[operation], headers=headers)
            assert (got.status, got.body and got.body.get("code")) == (412, "version_mismatch")
            assert got.body["version"] == 2
        assert (it.api.head, it.stripe.requests) == (head, [])
        got = it.api.ask("admin", method, path, WRITES[operation], headers={"If-Match": '"2"'})
        assert got.status != 412
