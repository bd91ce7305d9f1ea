"""What is changed at the console: by the same commands as everywhere, once, and with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from commands.record_stripe_event import record_event
from ledger.stripe.objects import read_event
from tests.console.desk import SECRETS, Desk, Seen, signed_in
from tests.proof.auditors import Auditor
from tests.stripe import payloads
from tests.web.api import RESELLER, Api, memory_api
from tests.web.test_portal_lifetime import visitor
from tests.worlds import context

ORDER = {
    "product": "cloud_pos",
    "seats": 2,
    "months": 12,
    "count": 3,
    "reseller": RESELLER,
    "reason": "Order 4711",
}
ONCE = "0123456789abcdef01234567"


@pytest.fixture
def api() -> Api:
    return memory_api()


@pytest.fixture
def desk(api: Api) -> Desk:
    return signed_in(api, "admin")


def codes(seen: Seen) -> list[str]:
    found = re.findall(r"<li>((?:POS|INT)-[^<]+)</li>", seen.page)
    return [str(code) for code in found]


def row(api: Api) -> dict[str, str]:
    view = api.get("support", "/v1/accounts/acme/subscriptions?all=true").body
    (found,) = view["products"][0]["rows"]
    return dict(found)


# Keys


def test_keys_are_issued_and_their_codes_shown(api: Api, desk: Desk) -> None:
    seen = desk.send("issue", once=desk.get("issue").field("once"), **ORDER)
    assert (seen.status, seen.title, len(codes(seen))) == (200, "3 keys issued", 3)
    assert "The keys are issued." in seen.said
    assert api.try_code(codes(seen)[0]).status == 201
    (batch,) = {one["batch"] for one in api.get("admin", "/v1/keys").body["items"]}
    page = desk.get(f"batches/{batch}")
    assert "by admin: “Order 4711”" in page.text
    assert not SECRETS.search(page.page)


def test_an_order_that_is_sent_twice_issues_nothing_twice(api: Api, desk: Desk) -> None:
    first = desk.send("issue", once=ONCE, **ORDER)
    before = api.head
    again = desk.send("issue", once=ONCE, **ORDER)
    file = desk.send("issue", once=ONCE, **{**ORDER, "as": "csv"})
    assert codes(again) == codes(first)
    assert "had been carried out before" in again.said
    assert [line.split(",")[1] for line in file.page.splitlines()[1:]] == codes(first)
    # Both are on record as one reveal, since they are within an hour.
    assert api.head == before + 1
    other = desk.send("issue", once=ONCE, **{**ORDER, "count": 4})
    assert (other.status, api.head) == (422, before + 1)
    assert "used with another request" in other.said


def test_the_codes_of_a_batch_come_as_a_file(api: Api, desk: Desk) -> None:
    shown = codes(desk.send("issue", once=ONCE, **ORDER))
    batch = api.get("admin", "/v1/keys").body["items"][0]["batch"]
    before = api.head
    file = desk.send(f"batches/{batch}/reveal", reason="Lost the first one", **{"as": "csv"})
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert file.headers["Content-Disposition"] == f'attachment; filename="{batch}.csv"'
    header, *lines = file.page.splitlines()
    assert header.startswith("\ufeffid,code,masked,product,")
    assert [line.split(",")[1] for line in lines] == shown
    assert api.head == before + 1
    assert "shown again, by admin: “Lost the first one”" in desk.get(f"batches/{batch}").text


def test_codes_are_shown_again_but_for_those_of_spent_keys(api: Api, desk: Desk) -> None:
    shown = codes(desk.send("issue", once=ONCE, **ORDER))
    api.try_code(shown[0])
    batch = api.get("admin", "/v1/keys").body["items"][0]["batch"]
    again = codes(desk.send(f"batches/{batch}/reveal", reason="Read them out"))
    assert again[1:] == shown[1:]
    assert again[0] == f"POS-••••-••••-{shown[0][-4:]}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seats": "two"}, "Seats must be a whole number."),
        ({"seats": "0"}, "Seats must be from 1 to 100000, not 0."),
        ({"months": "121"}, "Months must be from 1 to 120, not 121."),
        ({"product": "integrations"}, "Tier is missing: one of"),
        ({"product": "nothing"}, "Product must be one of"),
        ({"reseller": "=1+1"}, "Reseller must not begin with =."),
        ({"reason": ""}, "Reason is missing."),
        ({"reason": "POS-ABCD-EFGH-7K2M"}, "Reason must not have a code or a token in it."),
        ({"redeem_by": "2020-01-01T00:00"}, "Redeem by must be in the future."),
    ],
)
def test_an_order_that_does_not_fit_is_told_beside_the_form(
    api: Api, desk: Desk, changes: dict[str, str], said: str
) -> None:
    before = api.head
    seen = desk.send("issue", once=ONCE, **{**ORDER, **changes})
    assert (seen.status, seen.title, api.head) == (422, "Issue keys", before)
    assert said in seen.said
    assert "Nothing was changed" in seen.said
    assert not SECRETS.search(seen.page)
    # The order can be sent from the same form once it is mended.
    assert seen.field("once") == ONCE
    assert codes(desk.send("issue", once=seen.field("once"), **ORDER))


def test_a_key_is_revoked_with_a_reason_that_its_timeline_shows(api: Api, desk: Desk) -> None:
    key = api.issue()["id"]
    seen = desk.send(f"keys/{key}/revoke", reason="Ordered one too many")
    assert "The key is revoked." in seen.said
    assert "revoked, by admin: “Ordered one too many”" in seen.text
    before = api.head
    assert desk.send(f"keys/{key}/revoke", reason="Again").status == 200
    assert api.head == before


@pytest.mark.parametrize("reason", ["", "   ", "a" * 501, "a\u202eb", "kf_abcdefghijkl"])
@pytest.mark.parametrize("what", ["revoke", "reissue"])
def test_a_key_is_not_changed_without_a_reason_that_fits(
    api: Api, desk: Desk, what: str, reason: str
) -> None:
    key = api.issue()["id"]
    before = api.head
    seen = desk.send(f"keys/{key}/{what}", reason=reason)
    assert (seen.status, api.head) == (422, before)
    assert "Reason" in seen.said
    assert desk.get(f"keys/{key}").status == 200


def test_a_redeemed_key_is_not_revoked(api: Api, desk: Desk) -> None:
    key = api.redeem("acme").replace("kfsub_", "key_")
    before = api.head
    seen = desk.send(f"keys/{key}/revoke", reason="Too late")
    assert (seen.status, api.head) == (409, before)
    assert seen.said.startswith("This key is redeemed already. Nothing was changed.")


def test_a_key_is_reissued_and_its_new_code_works(api: Api, desk: Desk) -> None:
    old = api.issue()
    seen = desk.send(f"keys/{old['id']}/reissue", reason="Sent to the wrong shop")
    (code,) = re.findall(r"(?:POS-)[A-Z2-9-]{14}", seen.page)
    assert api.try_code(old["code"]).status == 409
    assert api.try_code(code).status == 201
    again = desk.send(f"keys/{old['id']}/reissue", reason="Sent to the wrong shop")
    assert (again.status, "revoked already" in again.said) == (409, True)


def test_a_receipt_of_a_key_verifies_offline(api: Api, desk: Desk, tmp_path: Path) -> None:
    key = api.redeem("acme").replace("kfsub_", "key_")
    assert f"/console/keys/{key}/receipt" in desk.get(f"keys/{key}").links
    receipt = desk.get(f"keys/{key}/receipt")
    assert receipt.headers["Content-Disposition"] == f'attachment; filename="{key}.tlog-proof"'
    (vkey,) = re.findall(r'<pre class="note"[^>]*>(\S+)</pre>', desk.get("audit").page)
    auditor = Auditor(tmp_path)
    auditor.keeps("receipt", receipt.page)
    said = auditor.verifies("receipt", "--key", vkey)
    assert (said.code, said.wrong) == (0, [])
    assert "key.redeemed@1" in said.lines[2]


def test_a_checkpoint_is_a_file_to_keep(api: Api, desk: Desk) -> None:
    api.issue()
    got = desk.get("audit/checkpoint")
    assert got.page.splitlines()[1] == str(api.head)
    assert "attachment" in got.headers["Content-Disposition"]


# Accounts


PREVIEW = "accounts/acme/subscriptions/preview"
CHANGE = "accounts/acme/subscriptions/change"


def test_a_seat_is_released_once(api: Api) -> None:
    api.redeem("acme")
    api.sit("till-1")
    desk = signed_in(api, "support")
    release = {"product": "cloud_pos", "holder": "till-1", "reason": "Sold"}
    head = api.head
    assert desk.send("accounts/acme/release", **{**release, "reason": " "}).status == 422
    assert api.head == head
    seen = desk.send("accounts/acme/release", **release)
    assert "given back" in seen.said
    assert "“Sold”" in seen.text
    before = api.head
    assert "given back already" in desk.send("accounts/acme/release", **release).said
    assert api.head == before


def test_a_change_of_a_subscription_is_shown_before_it_is_carried_out(api: Api, desk: Desk) -> None:
    subscription = api.redeem("acme")
    api.sit("till-1")
    fields = {"subscription": subscription, "change": "suspend", "reason": "Not paid"}
    head = api.head
    assert desk.send(PREVIEW, **{**fields, "reason": " "}).status == 422
    shown = desk.send(PREVIEW, **fields)
    assert "is suspended, was active: 2 Cloud POS seats" in shown.text
    assert "Holder till-1 may not work any more" in shown.text
    assert api.head == head
    done = desk.send(CHANGE, **fields, once=shown.field("once"))
    assert "The subscription is suspended." in done.said
    assert "“Not paid”" in done.text
    assert row(api)["status"] == "suspended"
    head = api.head
    assert (
        "The subscription is suspended."
        in desk.send(CHANGE, **fields, once=shown.field("once")).said
    )
    assert api.head == head
    nothing = desk.send(PREVIEW, **fields)
    assert "it is so already" in nothing.text


def test_a_transfer_shows_both_accounts(api: Api) -> None:
    subscription = api.redeem("acme")
    desk = signed_in(api, "support")
    fields = {"subscription": subscription, "change": "transfer", "reason": "Mixed up"}
    for to in ("acme", "", "a b"):
        assert desk.send(PREVIEW, **fields, to=to).status == 422
    shown = desk.send(PREVIEW, **fields, to="umbrella")
    assert "is transferred, was active" in shown.text
    assert "Cloud POS: seats 0 → 2" in shown.text
    done = desk.send(CHANGE, **fields, to="umbrella", once=shown.field("once"))
    assert "is the other account's now" in done.said
    assert row(api)["status"] == "transferred"


def test_who_may_not_change_a_subscription_is_not_shown_what_it_would_do(api: Api) -> None:
    subscription = api.redeem("acme")
    desk = signed_in(api, "support")
    for change in ("extend", "suspend", "terminate"):
        for path in (PREVIEW, CHANGE):
            fields = {"subscription": subscription, "change": change, "reason": "x", "days": 3}
            assert desk.send(path, **fields, once="a" * 26).status == 403
    assert row(api)["status"] == "active"


@pytest.mark.parametrize(
    ("change", "said", "status"),
    [
        ("start", "has started", "active"),
        ("extend", "lasts longer", "scheduled"),
        ("terminate", "is terminated", "terminated"),
    ],
)
def test_what_is_scheduled_is_listed_and_changed(
    api: Api, desk: Desk, change: str, said: str, status: str
) -> None:
    api.redeem("acme")
    later = api.try_code(api.issue()["code"], start="when_current_ends").body["subscription"]
    assert "scheduled" in desk.get("accounts/acme").text
    fields = {"subscription": later["subscription"], "change": change, "reason": "x", "days": 9}
    shown = desk.send(PREVIEW, **fields)
    assert said in desk.send(CHANGE, **fields, once=shown.field("once")).said
    view = api.get("portal", "/v1/accounts/acme/subscriptions?all=true").body["products"][0]
    found = {one["subscription"]: one["status"] for one in view["rows"] + view["upcoming"]}
    assert found[later["subscription"]] == status


def test_a_change_that_cannot_be_is_told_of(api: Api, desk: Desk) -> None:
    fields = {"subscription": "kfsub_x", "change": "terminate", "reason": "x"}
    assert desk.send(PREVIEW, **fields).status == 404
    assert desk.send(PREVIEW, **{**fields, "change": "frob"}).status == 422
    extend = {**fields, "change": "extend", "subscription": api.redeem("acme")}
    for days in ("", "0", "x", "99999"):
        assert desk.send(PREVIEW, **extend, days=days).status == 422


def test_a_stripe_customer_is_linked_to_one_account(api: Api) -> None:
    desk = signed_in(api, "support")
    assert desk.send("accounts/acme/link", customer="cus_1").status == 422
    seen = desk.send("accounts/acme/link", customer="cus_1", reason="They wrote")
    assert "is linked" in seen.said
    assert "“They wrote”" in seen.text
    before = api.head
    other = desk.send("accounts/umbrella/link", customer="cus_1", reason="x")
    assert (other.status, api.head) == (409, before)
    assert other.said.startswith("This Stripe customer is linked to another account.")
    wrong = desk.send("accounts/acme/link", customer="acme", reason="x")
    assert (wrong.status, "Customer must be the id" in wrong.said) == (422, True)


def test_a_stripe_customer_is_unlinked_with_a_reason(api: Api) -> None:
    desk = signed_in(api, "support")
    desk.send("accounts/acme/link", customer="cus_1", reason="They wrote")
    assert "Unlink cus_1" in desk.get("accounts/acme").text
    head = api.head
    assert desk.send("accounts/acme/unlink", customer="cus_1", reason=" ").status == 422
    assert api.head == head
    seen = desk.send("accounts/acme/unlink", customer="cus_1", reason="It was another")
    assert "this account's no more" in seen.said
    assert "“It was another”" in seen.text
    assert "Unlink cus_1" not in seen.text
    again = desk.send("accounts/acme/unlink", customer="cus_1", reason="It was another")
    assert (again.status, "Somebody may have unlinked it" in again.said) == (409, True)
    assert "is linked" in desk.send("accounts/umbrella/link", customer="cus_1", reason="x").said


def test_a_stripe_subscription_is_assigned_with_a_reason(api: Api) -> None:
    desk = signed_in(api, "support")
    told = payloads.event("customer.subscription.created", payloads.subscription(account=None))
    record_event(api.services, context(), read_event(told), "webhook")
    fields = {"stripe_subscription": "sub_1"}
    assert desk.send("accounts/acme/assign", **fields).status == 422
    seen = desk.send("accounts/acme/assign", **fields, reason="Sold by invoice")
    assert "The Stripe subscription is this account's." in seen.said
    assert row(api)["stripe_subscription"] == "sub_1"
    other = desk.send("accounts/umbrella/assign", **fields, reason="Moved")
    assert (other.status, "name that account as well" in other.said) == (409, True)
    moved = desk.send("accounts/umbrella/assign", **{**fields, "from": "acme"}, reason="Moved")
    assert "is this account's" in moved.said
    unknown = desk.send("accounts/acme/assign", stripe_subscription="sub_none", reason="x")
    assert unknown.status == 404
    assert desk.send("accounts/acme/assign", stripe_subscription="x", reason="x").status == 422


def test_all_portal_sessions_of_an_account_end_with_a_reason(api: Api) -> None:
    customer = visitor(api)
    desk = signed_in(api, "support")
    assert desk.send("accounts/acme/end-sessions").status == 422
    assert customer.get("subscriptions").status_code == 200
    seen = desk.send("accounts/acme/end-sessions", reason="A laptop was stolen")
    assert "All portal sessions have ended." in seen.said
    assert "“A laptop was stolen”" in seen.text
    assert customer.get("subscriptions").status_code == 403


def test_a_block_is_lifted_with_a_reason(api: Api) -> None:
    key = api.issue()
    for _ in range(5):
        api.try_code("POS-AAAA-AAAA-AAAA", session="kiosk")
    assert api.try_code(key["code"], session="kiosk").status == 429
    desk = signed_in(api, "support")
    assert "Lift it" in desk.get("attempts?account=acme").text
    assert desk.send("accounts/acme/clear-attempts").status == 422
    seen = desk.send("accounts/acme/clear-attempts", reason="Mistyped it")
    assert "may try codes again" in seen.said
    assert "“Mistyped it”" in seen.text
    assert api.try_code(key["code"], session="kiosk").status == 201


@pytest.mark.parametrize("what", ["unlink", "assign", "end-sessions", "clear-attempts"])
def test_an_auditor_and_a_reseller_change_none_of_that(api: Api, what: str) -> None:
    for role in ("auditor", "reseller"):
        desk = signed_in(api, role)
        head = api.head
        sent = {"customer": "cus_1", "stripe_subscription": "sub_1", "reason": "x"}
        assert desk.send(f"accounts/acme/{what}", **sent).status == 403
        assert api.head == head
    page = signed_in(api, "auditor").get("accounts/acme").page
    assert f"acme/{what}" not in page


# Tokens


def test_a_token_is_made_shown_once_and_taken_back(api: Api, desk: Desk) -> None:
    fields = {"once": ONCE, "role": "reseller", "reseller": RESELLER, "days": "30"}
    assert desk.send("tokens", **fields).status == 422
    fields["reason"] = "For the shop"
    seen = desk.send("tokens", **fields)
    (secret,) = re.findall(r"kf_[a-z2-7]{20,}", seen.page)
    api.tokens["made"] = secret
    assert api.get("made", "/v1/keys").status == 200
    made = signed_in(api, "made")
    before = api.head
    assert secret in desk.send("tokens", **fields).page
    assert desk.send("tokens", **{**fields, "role": "admin"}).status == 422
    assert api.head == before
    listed = desk.get("tokens")
    assert secret not in listed.page
    (id,) = re.findall(r"kft_[a-z2-7]{26}", seen.text.partition("Id")[2])
    assert desk.send(f"tokens/{id}/revoke").status == 422
    assert "lets nobody in any more" in desk.send(f"tokens/{id}/revoke", reason="Lost").said
    told = desk.get(f"timeline?ref={id}").text
    assert "“For the shop”" in told
    assert "“Lost”" in told
    assert (api.get("made", "/v1/keys").status, made.get("").status) == (401, 403)
    assert desk.send("tokens/kft_x/revoke", reason="x").status == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"role": "reseller"}, "Reseller a token of role reseller needs one."),
        ({"role": "admin", "reseller": "x"}, "Reseller a token of role admin has none."),
        ({"role": "king"}, "Role must be one of"),
        ({"role": "admin", "days": "0"}, "Days must be from 1 to 3650."),
        ({"role": "admin", "days": "soon"}, "Days must be a whole number."),
    ],
)
def test_a_token_that_cannot_be_is_not_made(
    api: Api, desk: Desk, fields: dict[str, str], said: str
) -> None:
    before = api.head
    seen = desk.send("tokens", once=ONCE, reason="x", **fields)
    assert (seen.status, api.head) == (422, before)
    assert said in seen.said
