"""Keys that are given to another reseller: neither sees, changes or counts what is the other's."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import msgspec

from commands.import_keys import import_keys
from commands.revoke_keys import revoke_keys
from ledger.streams.webhooks import Webhook
from projections.lists.account_states import AccountsAtPositions
from projections.lists.webhook_messages import messages_of
from projections.lists.webhook_queue import QueuedMessage
from tests.commands.import_files import CODE, HEADER, LINE
from tests.console.desk import signed_in
from tests.web.api import OTHER_RESELLER, POS, RESELLER, Api
from tests.web.test_renewing import redeem_later
from tests.worlds import context

BECAUSE = {"reason": "It was sold on"}


def give(api: Api, key: str, to: str = OTHER_RESELLER, **more: Any) -> None:
    got = api.ask("admin", "PATCH", f"/v1/keys/{key}", {"reseller": to, **more, **BECAUSE})
    assert got.status == 200, got.body


def statement(api: Api, month: str = "2026-03", reseller: str = RESELLER) -> bytes:
    return api.get("admin", f"/v1/resellers/{reseller}/statement?month={month}").raw


def totals(raw: bytes) -> tuple[int, int]:
    found = json.loads(raw)["totals"]
    return found["issued"], found["lapsed"]


def test_a_closed_month_stays_when_a_key_with_another_history_comes(api: Api) -> None:
    # A worker whose clock is a little ahead issues another's key at the month's end, then a second
    # one issues the reseller's.
    api.clock.now = datetime.fromisoformat("2026-04-01T00:00:01+00:00")
    ahead = api.issue(reseller=OTHER_RESELLER)
    api.clock.now = datetime.fromisoformat("2026-03-31T23:59:59+00:00")
    api.issue()
    api.issue()
    lapsed = api.issue(reseller=OTHER_RESELLER, redeem_by="2026-04-05T00:00:00Z")
    api.clock.forward(days=40)
    closed = statement(api), statement(api, "2026-04"), statement(api, "2026-04", OTHER_RESELLER)
    assert [totals(raw) for raw in closed] == [(2, 0), (0, 0), (1, 1)]
    for key in (ahead, lapsed):
        give(api, key["id"], RESELLER)
    assert closed == (
        statement(api),
        statement(api, "2026-04"),
        statement(api, "2026-04", OTHER_RESELLER),
    )


def test_what_is_another_resellers_when_it_is_decided_is_not_revoked(api: Api) -> None:
    kept, given = (api.issue(reseller=RESELLER)["id"] for _ in range(2))
    give(api, given)  # after it was found among the reseller's
    done = revoke_keys(
        api.services,
        context(api.clock.now),
        RESELLER,
        lambda: ([kept, given], ()),
        "They closed",
        owner=RESELLER,
    )
    assert (done.revoked, list(done.kept)) == (1, [])
    assert api.get("other", f"/v1/keys/{given}").body["status"] == "issued"


def test_an_order_that_is_repeated_shows_the_codes_of_whoever_asks(any_api: Api) -> None:
    api = any_api
    ask: dict[str, Any] = {
        "path": "/v1/keys",
        "body": {**POS, "count": 2},
        "headers": {"Idempotency-Key": "o-1"},
    }
    first = api.post("admin", **ask).body
    give(api, first["keys"][0]["id"])
    again = api.post("admin", **ask)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body == first


def test_a_webhook_names_no_subscription_of_anothers_key(api: Api) -> None:
    others = api.redeem(reseller=OTHER_RESELLER)
    redeem_later(api)
    url = api.services.texts.seal("webhook-x", "https://north.example", api.clock.now)
    assert url is not None
    for reseller, follows in ((RESELLER, None), (None, others)):
        hook = Webhook(
            id="kfwh_x",
            url=url,
            added_at=0,
            secrets=(),
            sends_since=0,
            host="north.example",
            kinds=("*",),
            reseller=reseller,
            begins_after=0,
            created_at=api.clock.now,
        )
        (event,) = (
            one
            for one in api.services.book.events_at(range(1, api.head + 1))
            if one.name == "account.subscription_scheduled@1"
        )
        queued = QueuedMessage(hook.id, "acme", 1, "account.changed", event.position, None, 0)
        book, catalog = api.services.book, api.services.catalog
        (message,) = messages_of(book, catalog, AccountsAtPositions(book), hook, [queued])
        assert message.data["data"]["follows"] == follows
        assert (others in msgspec.json.encode(message).decode()) is (reseller is None)


def told(api: Api, role: str, ref: str) -> list[str]:
    return [one["event"] for one in api.get(role, f"/v1/timeline?ref={ref}").body["items"]]


def pages(api: Api, role: str) -> list[str]:
    """Return which events a reseller can open."""
    desk = signed_in(api, role)
    found = []
    for position in range(1, api.head + 1):
        if desk.get(f"events/{position}").status == 200:
            (event,) = api.services.book.events_at([position])
            found.append(event.name)
    return found


def test_each_reseller_sees_what_happened_while_the_key_was_its_own(any_api: Api) -> None:
    api = any_api
    key = api.issue()
    assert api.post("reseller", f"/v1/keys/{key['id']}/reveal", BECAUSE).status == 200
    give(api, key["id"], seats=7)
    assert api.post("other", f"/v1/keys/{key['id']}/reveal", BECAUSE).status == 200
    before = ["batch.codes_revealed@1", "key.issued@1"]
    after = ["batch.codes_revealed@1", "key.amended@1"]
    assert told(api, "reseller", key["id"]) == before
    assert told(api, "other", key["id"]) == after
    assert told(api, "reseller", key["batch"]) == [*before, "batch.keys_issued@1"]
    assert told(api, "other", key["batch"]) == after[:1]
    assert pages(api, "reseller") == ["batch.keys_issued@1", *before[::-1]]
    assert pages(api, "other") == after[::-1]


def test_the_new_reseller_does_not_learn_what_the_key_was_before(api: Api) -> None:
    key = api.issue(seats=50)
    give(api, key["id"], seats=7)
    moved = api.head
    (entry,) = api.get("other", f"/v1/timeline?ref={key['id']}").body["items"]
    assert set(entry["data"]) == {"after", "reason"}
    assert entry["data"]["after"]["seats"] == 7
    assert "reseller (not shown) → Southgate" in entry["summary"]
    desk = signed_in(api, "other")
    for path in (f"events/{moved}", f"keys/{key['id']}", "timeline", f"batches/{key['batch']}"):
        page = desk.get(path)
        assert page.status == 200
        assert RESELLER not in page.page
    # The vendor sees all of it.
    assert f"{RESELLER} → {OTHER_RESELLER}" in signed_in(api, "admin").get(f"events/{moved}").page
    # A receipt proves an event as a whole: there is one of what happens next.
    path = f"keys/{key['id']}/receipt"
    assert (desk.get(path).status, api.get("other", f"/v1/{path}").code) == (
        409,
        "receipt_not_ready",
    )
    assert api.get("admin", f"/v1/{path}").status == 200
    api.try_code(key["code"])
    receipt = api.get("other", f"/v1/{path}")
    assert receipt.status == 200
    proved = base64.b64decode(receipt.raw.decode().splitlines()[1].removeprefix("extra "))
    assert b"key.redeemed@1" in proved
    assert RESELLER.encode() not in proved


def test_codes_that_the_new_reseller_gave_are_not_listed_to_the_old_one(any_api: Api) -> None:
    api = any_api
    batch = api.post("admin", "/v1/keys", {**POS, "count": 2}).body
    given, kept = batch["keys"]
    replaced = api.post("reseller", f"/v1/keys/{kept['id']}/reissue", BECAUSE).body
    for key in (given, replaced):
        give(api, key["id"])
    new = [
        api.post("other", f"/v1/keys/{key['id']}/reissue", BECAUSE).body
        for key in (given, replaced)
    ]
    path = f"/v1/batches/{batch['batch']}/reveal"
    mine = api.post("reseller", path, BECAUSE).body["keys"]
    assert [one["id"] for one in mine] == [given["id"], kept["id"]]
    assert all(one["code"] == one["masked"] for one in mine)
    mine = api.post("reseller", f"/v1/keys/{kept['id']}/reveal", BECAUSE).body["keys"]
    assert [one["id"] for one in mine] == [kept["id"]]
    theirs = api.post("other", path, BECAUSE).body["keys"]
    assert [one["code"] for one in theirs] == [
        given["masked"],
        new[0]["code"],
        replaced["masked"],
        new[1]["code"],
    ]


def listed(api: Api, role: str, query: str = "") -> list[tuple[str, str, int, str | None]]:
    items = api.get(role, f"/v1/batches{query}").body["items"]
    return [(one["batch"], one["reseller"], one["count"], one["note"]) for one in items]


def test_a_batch_is_of_whoever_ordered_it_and_of_all_who_have_keys_of_it(any_api: Api) -> None:
    api = any_api
    order = api.post("admin", "/v1/keys", {**POS, "count": 2, "note": "For the fair"}).body
    path = f"/v1/batches/{order['batch']}"
    first, second = (key["id"] for key in order["keys"])
    assert api.post("other", f"{path}/reveal", BECAUSE).code == "batch_not_found"
    assert signed_in(api, "other").get(f"batches/{order['batch']}").status == 404
    give(api, first)
    assert listed(api, "other") == [(order["batch"], OTHER_RESELLER, 1, None)]
    assert listed(api, "admin", f"?reseller={OTHER_RESELLER}") == listed(api, "other")
    page = signed_in(api, "other").get(f"batches/{order['batch']}")
    assert page.status == 200
    assert "Keys 1 " in page.text
    shown = api.post("other", f"{path}/reveal", BECAUSE).body["keys"]
    assert [one["id"] for one in shown] == [first]
    assert told(api, "other", order["batch"]) == ["batch.codes_revealed@1"]
    give(api, second)
    assert [one[:3] for one in listed(api, "reseller")] == [(order["batch"], RESELLER, 0)]
    done = api.post("other", f"{path}/revoke", BECAUSE)
    assert done.body["revoked"] == 2


def test_an_import_that_is_given_away_is_the_new_resellers(any_api: Api) -> None:
    api = any_api
    import_keys(api.services, context(api.clock.now), [HEADER, LINE])
    (key,) = api.get("admin", "/v1/keys").body["items"]
    assert key["reseller"] == RESELLER
    give(api, key["id"])
    assert listed(api, "other") == [(key["batch"], OTHER_RESELLER, 1, None)]
    assert listed(api, "admin", f"?reseller={OTHER_RESELLER}") == listed(api, "other")
    assert listed(api, "reseller") == []
    assert signed_in(api, "other").get(f"batches/{key['batch']}").status == 200
    assert signed_in(api, "reseller").get(f"batches/{key['batch']}").status == 404
    path = f"/v1/batches/{key['batch']}"
    assert api.post("other", f"{path}/reveal", BECAUSE).code == "codes_not_derivable"
    assert api.post("reseller", f"{path}/reveal", BECAUSE).code == "batch_not_found"
    assert api.post("reseller", f"{path}/revoke", BECAUSE).code == "batch_not_found"
    assert api.post("other", f"{path}/revoke", BECAUSE).body["revoked"] == 1


def test_which_of_anothers_keys_it_was_given_for_is_not_said(api: Api) -> None:
    old = api.issue()["id"]
    new = api.post("reseller", f"/v1/keys/{old}/reissue", BECAUSE).body["id"]
    (listed_before, _) = api.get("reseller", "/v1/keys").body["items"]
    assert listed_before["replaces"] == old
    give(api, new)
    newest = api.post("other", f"/v1/keys/{new}/reissue", BECAUSE).body["id"]
    for role, known in (("admin", old), ("other", None)):
        items = api.get(role, f"/v1/keys?reseller={OTHER_RESELLER}").body["items"]
        assert {one["id"]: one["replaces"] for one in items} == {newest: new, new: known}
        assert api.get(role, f"/v1/keys/{new}").body["replaces"] == known
    table = api.get("other", "/v1/keys", headers={"Accept": "text/csv"}).raw.decode()
    pages = [signed_in(api, "other").get(path).page for path in (f"keys/{new}", "keys?as=csv")]
    assert not any(old in text for text in (table, *pages))


def test_of_an_import_each_reseller_sees_what_happened_to_its_own(any_api: Api) -> None:
    api = any_api
    others = LINE.replace(CODE, "POS-6789-EFGH-JKLM").replace(RESELLER, OTHER_RESELLER)
    import_keys(api.services, context(api.clock.now), [HEADER, LINE, others])
    (theirs,) = api.get("other", "/v1/keys").body["items"]
    api.post("other", f"/v1/keys/{theirs['id']}/reissue", BECAUSE)
    assert api.post("other", f"/v1/keys/{theirs['id']}/reveal", BECAUSE).status == 200
    assert told(api, "reseller", theirs["batch"]) == ["key.issued@1"]
    assert told(api, "other", theirs["batch"]) == [
        "batch.codes_revealed@1",
        "key.issued@1",
        "key.issued@1",
    ]
