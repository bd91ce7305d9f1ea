"""What changes something can be repeated: with an Idempotency-Key, or since it changes no more."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.web.api import RESELLER, Api

BECAUSE: Final = {"reason": "Agreed by phone"}
HERE: Final = f"/v1/resellers/{RESELLER}"
GRANT: Final = {"product": "cloud_pos", "seats": 10, **BECAUSE}
KEY: Final = {"Idempotency-Key": "r-1"}


def granted(api: Api) -> int:
    return int(api.get("admin", HERE).body["allowances"][0]["granted"])


def test_a_grant_that_is_repeated_grants_nothing_twice(any_api: Api) -> None:
    api = any_api
    first = api.post("admin", f"{HERE}/grants", GRANT, headers=KEY)
    head = api.head
    again = api.post("admin", f"{HERE}/grants", GRANT, headers=KEY)
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (granted(api), api.head) == (10, head)
    other = api.post("admin", f"{HERE}/grants", {**GRANT, "seats": 11}, headers=KEY)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert api.post("admin", f"{HERE}/grants", GRANT, headers={"Idempotency-Key": "r-2"}).body
    assert granted(api) == 20


@pytest.mark.parametrize(
    ("method", "path", "body", "undoing"),
    [
        ("PUT", "limits", {"count": 5}, ("PUT", "limits", {"count": 7})),
        ("POST", "suspend", BECAUSE, ("POST", "resume", BECAUSE)),
        ("POST", "resume", BECAUSE, ("POST", "suspend", BECAUSE)),
    ],
)
def test_what_is_arranged_and_repeated_undoes_nothing_since(
    api: Api, method: str, path: str, body: Any, undoing: tuple[str, str, Any]
) -> None:
    api.post("admin", f"{HERE}/grants", GRANT)
    assert api.ask("admin", method, f"{HERE}/{path}", body, headers=KEY).status == 200
    api.ask("admin", undoing[0], f"{HERE}/{undoing[1]}", undoing[2])
    then = api.get("admin", HERE).body
    again = api.ask("admin", method, f"{HERE}/{path}", body, headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.get("admin", HERE).body == then


def test_an_amendment_that_is_repeated_undoes_none_since(any_api: Api) -> None:
    api = any_api
    path = f"/v1/keys/{api.issue()['id']}"
    first = api.ask("admin", "PATCH", path, {"seats": 5, **BECAUSE}, headers=KEY)
    api.clock.forward(days=1)
    api.ask("admin", "PATCH", path, {"seats": 7, **BECAUSE})
    again = api.ask("admin", "PATCH", path, {"seats": 5, **BECAUSE}, headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status, again.body) == (200, first.body)
    assert api.get("admin", path).body["seats"] == 7
    other = api.ask("admin", "PATCH", path, {"seats": 6, **BECAUSE}, headers=KEY)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "limits", {"count": 5}),
        ("POST", "suspend", BECAUSE),
        ("POST", "resume", BECAUSE),
    ],
)
def test_a_name_that_nobody_has_named_is_no_reseller(
    api: Api, method: str, path: str, body: Any
) -> None:
    got = api.ask("admin", method, f"/v1/resellers/Nrothwind/{path}", body)
    assert (got.status, got.code) == (404, "reseller_not_found")
    assert api.get("admin", "/v1/resellers/Nrothwind").status == 404
    assert api.ask("admin", method, f"{HERE}/{path}", body).status == 200


def test_a_reseller_need_not_name_itself_and_the_vendor_must(api: Api) -> None:
    api.allow()
    order = {"product": "cloud_pos", "seats": 1, "months": 12}
    assert api.post("reseller", "/v1/keys", order).status == 201
    assert api.post("admin", "/v1/keys", order).pointers == ["/reseller"]
    assert api.post("admin", "/v1/keys", {**order, "seats": 0}).pointers == ["/seats", "/reseller"]
    assert "reseller" not in api.document["components"]["schemas"]["IssueKeys"]["required"]


# Every operation

# Those that take no Idempotency-Key, and why a request that is repeated does no harm.
REPEATABLE: Final = {
    # What is asked for is so already, and is never undone: nothing is recorded again.
    "revoke_key", "revoke_batch", "delete_webhook", "revoke_link",
    # It says what is to be so, of one thing, and takes If-Match where that may have changed.
    "occupy_seat", "release_seat", "link_stripe_customer", "unlink_stripe_customer",
    "assign_stripe_subscription",
    # It is done to whatever is there at that moment, and at once again to nothing.
    "revoke_reseller", "clear_attempts", "end_sessions",
    # Decided once; a second one is answered as the first, or refused.
    "approve_order", "decline_order", "reissue_key",
    # Nothing but who asked for it is recorded, or nothing at all.
    "reveal_codes", "reveal_key", "validate_key", "explain", "search_timeline",
    "open_stripe_portal", "preview_checkout", "test_webhook", "replay_messages",
    # Another one of what is made can be taken back, and gives nobody more than the first.
    "make_portal_session", "add_webhook", "make_link", "rotate_webhook",
    # By the event's own id.
    "receive_stripe_event",
}  # fmt: skip


def test_each_operation_that_changes_something_can_be_repeated(api: Api) -> None:
    without = set()
    for path in api.document["paths"].values():
        for method, operation in path.items():
            if method not in {"post", "put", "patch", "delete"}:
                continue
            names = {one["name"] for one in operation["parameters"]}
            if "Idempotency-Key" not in names:
                without.add(operation["operationId"])
                continue
            codes = [str(answer["content"]) for answer in operation["responses"].values()]
            assert any("idempotency_key_reused" in one for one in codes), operation["operationId"]
    assert without == REPEATABLE
