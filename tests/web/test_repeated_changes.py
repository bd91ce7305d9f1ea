"""What changes something can be repeated: with an Idempotency-Key, or since it changes no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from commands import many_keys
from commands.import_keys import import_keys
from ledger.book import Book, LedgerUnavailable
from tests.commands.import_files import HEADER, LINE
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api
from tests.worlds import context

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


# Many keys


def status_of(api: Api, *ids: str) -> list[str]:
    return [api.get("admin", f"/v1/keys/{id}").body["status"] for id in ids]


def failing_on(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one call of `Book.append` find no database."""
    append, calls = Book.append, []

    def fails_once(self: Book, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == call:
            raise LedgerUnavailable("gone")
        return append(self, *args)

    monkeypatch.setattr(Book, "append", fails_once)


def test_a_revocation_that_is_repeated_touches_nothing_issued_since(any_api: Api) -> None:
    api = any_api
    keys = [api.issue() for _ in range(3)]
    api.try_code(keys[0]["code"])
    first = api.post("admin", f"{HERE}/revoke", BECAUSE, headers=KEY)
    kept = [{"id": keys[0]["id"], "status": "redeemed"}]
    assert (first.status, first.body) == (200, {"revoked": 2, "kept": kept})
    since, given = api.issue()["id"], api.issue(reseller=OTHER_RESELLER)["id"]
    api.ask("admin", "PATCH", f"/v1/keys/{given}", {"reseller": RESELLER, **BECAUSE})
    head = api.head
    again = api.post("admin", f"{HERE}/revoke", BECAUSE, headers=KEY)
    assert (again.status, again.body, api.head) == (200, first.body, head)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert status_of(api, since, given) == ["issued", "issued"]
    other = api.post("admin", f"{HERE}/revoke", {"reason": "Another"}, headers=KEY)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    # Who asks anew asks for what is there now.
    assert api.post("admin", f"{HERE}/revoke", BECAUSE).body["revoked"] == 2


def test_a_revocation_that_is_repeated_does_what_the_first_had_left(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = any_api
    keys = api.post("admin", "/v1/keys", {**POS, "count": 6}).body["keys"]
    monkeypatch.setattr(many_keys, "KEYS_IN_A_COMMIT", 2)
    with monkeypatch.context() as patched:
        # What is to be revoked, the first two of them, and no more.
        failing_on(3, patched)
        assert api.post("admin", f"{HERE}/revoke", BECAUSE, headers=KEY).code == "partly_done"
    since = api.issue()["id"]
    api.try_code(keys[2]["code"])
    new = api.post("admin", f"/v1/keys/{keys[3]['id']}/reissue", BECAUSE).body
    done = api.post("admin", f"{HERE}/revoke", BECAUSE, headers=KEY)
    kept = [{"id": keys[2]["id"], "status": "redeemed"}]
    assert (done.status, done.body) == (200, {"revoked": 5, "kept": kept})
    assert status_of(api, since, new["id"]) == ["issued", "revoked"]
    again = api.post("admin", f"{HERE}/revoke", BECAUSE, headers=KEY)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (done.body, "true")


def test_a_revoked_batch_is_answered_as_at_first_whoever_has_its_keys_by_now(api: Api) -> None:
    api.allow()
    made = api.post("reseller", "/v1/keys", {**POS, "count": 2}).body
    path = f"/v1/batches/{made['batch']}/revoke"
    first = api.post("reseller", path, BECAUSE, headers=KEY)
    assert first.body == {"revoked": 2, "kept": []}
    assert api.post("reseller", path, BECAUSE, headers=KEY).body == first.body
    # The vendor's keys of requests are its own.
    assert api.post("admin", path, BECAUSE, headers=KEY).body["revoked"] == 0


def test_a_code_that_came_in_again_is_not_revoked_by_what_revoked_it_before(api: Api) -> None:
    batch = import_keys(api.services, context(), [HEADER, LINE]).batch
    (id,) = [one["id"] for one in api.get("admin", f"/v1/keys?batch={batch}").body["items"]]
    asked: dict[str, dict[str, str]] = {
        f"/v1/keys/{id}/revoke": {"Idempotency-Key": "r-1"},
        f"/v1/batches/{batch}/revoke": {"Idempotency-Key": "r-2"},
        f"{HERE}/revoke": {"Idempotency-Key": "r-3"},
    }
    first = [api.post("admin", path, BECAUSE, headers=key).body for path, key in asked.items()]
    api.clock.forward(minutes=1)
    import_keys(api.services, context(api.clock.now), [HEADER, LINE])
    again = [api.post("admin", path, BECAUSE, headers=key).body for path, key in asked.items()]
    assert (again, status_of(api, id)) == (first, ["issued"])


# New codes


@pytest.mark.parametrize("is_redeemed", [False, True], ids=["open", "redeemed"])
def test_a_reissue_that_is_repeated_is_answered_with_the_same_code(
    any_api: Api, is_redeemed: bool
) -> None:
    api = any_api
    key = api.issue()
    if is_redeemed:
        api.try_code(key["code"])
    path = f"/v1/keys/{key['id']}/reissue"
    first = api.post("reseller", path, BECAUSE, headers=KEY)
    assert first.status == 201
    again = api.post("reseller", path, BECAUSE, headers=KEY)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    # That the code was shown again is on record, once an hour.
    assert again.position == first.position + 1
    assert api.post("reseller", path, BECAUSE, headers=KEY).position == again.position
    assert api.post("reseller", path, BECAUSE).code == "key_already_revoked"
    other = api.post("reseller", path, {"reason": "Another"}, headers=KEY)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    api.post("admin", f"/v1/keys/{first.body['id']}/reissue", BECAUSE)
    masked = {**first.body, "code": first.body["masked"]}
    assert api.post("reseller", path, BECAUSE, headers=KEY).body == masked


# Blocks and sessions


def test_a_block_that_came_since_is_not_lifted_by_what_lifted_one_before(api: Api) -> None:
    path = "/v1/accounts/acme/attempts/clear"
    for _ in range(20):
        api.try_code("POS-AAAA-AAAA-AAAA")
    assert api.post("support", path, BECAUSE, headers=KEY).status == 204
    for _ in range(20):
        assert api.try_code("POS-AAAA-AAAA-AAAA").code == "key_not_available"
    again = api.post("support", path, BECAUSE, headers=KEY)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (204, "true")
    assert api.try_code("POS-AAAA-AAAA-AAAA").code == "too_many_attempts"
    assert api.post("support", path, BECAUSE).status == 204
    assert api.try_code("POS-AAAA-AAAA-AAAA").code == "key_not_available"


# Every operation


class Call(NamedTuple):
    path: str
    body: Any
    method: str = "POST"
    role: str = "admin"


def _key(api: Api, what: str) -> Call:
    return Call(f"/v1/keys/{api.issue()['id']}/{what}", BECAUSE)


def _batch(api: Api, what: str) -> Call:
    return Call(f"/v1/batches/{api.issue()['batch']}/{what}", BECAUSE)


def _reseller(api: Api, what: str, body: Any, method: str = "POST") -> Call:
    api.issue()
    return Call(f"{HERE}/{what}", body, method)


def _subscription(api: Api, what: str, **body: Any) -> Call:
    return Call(f"/v1/accounts/acme/subscriptions/{api.redeem()}/{what}", {**BECAUSE, **body})


def _suspended(api: Api) -> Call:
    call = _subscription(api, "resume")
    api.post("admin", call.path.replace("resume", "suspend"), BECAUSE)
    return call


def _scheduled(api: Api) -> Call:
    api.redeem()
    got = api.try_code(api.issue()["code"], start="when_current_ends")
    id = got.body["subscription"]["subscription"]
    return Call(f"/v1/accounts/acme/subscriptions/{id}/start", BECAUSE)


def _redemption(api: Api) -> Call:
    body = {"code": api.issue()["code"], "account": "acme", "session": "s-1"}
    return Call("/v1/keys/redeem", body, role="portal")


REPEATED: Final[dict[str, Callable[[Api], Call]]] = {
    "issue_keys": lambda _: Call("/v1/keys", POS),
    "redeem_key": _redemption,
    "amend_key": lambda api: Call(
        f"/v1/keys/{api.issue()['id']}", {"seats": 5, **BECAUSE}, "PATCH"
    ),
    "revoke_key": lambda api: _key(api, "revoke"),
    "reissue_key": lambda api: _key(api, "reissue"),
    "revoke_batch": lambda api: _batch(api, "revoke"),
    "reissue_batch": lambda api: _batch(api, "reissue"),
    "grant_seats": lambda api: _reseller(api, "grants", GRANT),
    "set_limits": lambda api: _reseller(api, "limits", {"count": 5}, "PUT"),
    "suspend_reseller": lambda api: _reseller(api, "suspend", BECAUSE),
    "resume_reseller": lambda api: _reseller(api, "resume", BECAUSE),
    "revoke_reseller": lambda api: _reseller(api, "revoke", BECAUSE),
    "start_subscription": _scheduled,
    "extend_subscription": lambda api: _subscription(api, "extend", days=30),
    "suspend_subscription": lambda api: _subscription(api, "suspend"),
    "resume_subscription": _suspended,
    "terminate_subscription": lambda api: _subscription(api, "terminate"),
    "transfer_subscription": lambda api: _subscription(api, "transfer", to="other"),
    "clear_attempts": lambda _: Call("/v1/accounts/acme/attempts/clear", BECAUSE),
    "end_sessions": lambda _: Call("/v1/accounts/acme/portal-sessions/end", BECAUSE),
}
# Stripe's answer is what is repeated: tests/stripe/test_checkout.py.
AT_STRIPE: Final = {"start_checkout"}


@pytest.mark.parametrize("operation", REPEATED)
def test_what_is_repeated_gives_the_first_answer_and_changes_nothing(
    api: Api, operation: str
) -> None:
    call = REPEATED[operation](api)
    answers, heads = [], []
    for _ in range(3):
        answers.append(api.ask(call.role, call.method, call.path, call.body, headers=KEY))
        heads.append(api.head)
        api.clock.forward(seconds=1)
    first, *others = answers
    assert first.status < 300, first.body
    assert "Idempotency-Replayed" not in first.headers
    for again in others:
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
    # At most that codes were shown again is put on record.
    assert heads[2] == heads[1] <= heads[0] + 1


# Those that take no Idempotency-Key, and why a request that is repeated does no harm.
REPEATABLE: Final = {
    # What is asked for is so already, and is never undone: nothing is recorded again.
    "delete_webhook", "revoke_link",
    # It says what is to be so, of one thing, and takes If-Match where that may have changed.
    "occupy_seat", "release_seat", "link_stripe_customer", "unlink_stripe_customer",
    "assign_stripe_subscription",
    # Decided once; a second one is answered as the first.
    "approve_order", "decline_order",
    # Nothing but who asked for it is recorded, or nothing at all.
    "reveal_codes", "reveal_key", "validate_key", "explain", "search_timeline",
    "open_stripe_portal", "preview_checkout", "test_webhook", "replay_messages",
    # Another one of what is made can be taken back, and gives nobody more than the first.
    "make_portal_session", "add_webhook", "make_link", "rotate_webhook",
    # By the event's own id.
    "receive_stripe_event",
}  # fmt: skip


def test_each_operation_that_changes_something_can_be_repeated(api: Api) -> None:
    taking, without = set(), set()
    for path in api.document["paths"].values():
        for method, operation in path.items():
            if method not in {"post", "put", "patch", "delete"}:
                continue
            names = {one["name"] for one in operation["parameters"]}
            if "Idempotency-Key" not in names:
                without.add(operation["operationId"])
                continue
            taking.add(operation["operationId"])
            codes = [str(answer) for answer in operation["responses"].values()]
            assert any("idempotency_key_reused" in one for one in codes), operation["operationId"]
    assert without == REPEATABLE
    assert taking == {*REPEATED, *AT_STRIPE}
