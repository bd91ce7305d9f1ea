"""Batches: listed with what became of their keys, revoked and reissued as a whole; and tables."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from commands import many_keys
from commands.import_keys import import_keys
from ledger.book import Book, LedgerUnavailable
from tests.commands.import_files import CODE, HEADER, LINE
from tests.web.api import INT, OTHER_RESELLER, POS, RESELLER, Api
from tests.worlds import context
from web.api import batches as batch_views

LEAKED = {"reason": "Leaked"}
CSV = {"Accept": "text/csv"}


def order(api: Api, role: str = "admin", **changes: Any) -> Any:
    return api.post(role, "/v1/keys", {**POS, **changes}).body


def listed(api: Api, role: str = "admin", query: str = "") -> Any:
    return api.get(role, f"/v1/batches{query}").body["items"]


def test_a_batch_tells_what_became_of_its_keys(any_api: Api) -> None:
    api = any_api
    made = order(api, count=5, note="Spring fair", redeem_by="2026-03-03T00:00:00Z")
    keys = made["keys"]
    api.try_code(keys[0]["code"])
    api.post("admin", f"/v1/keys/{keys[1]['id']}/revoke", LEAKED)
    api.post("admin", f"/v1/keys/{keys[2]['id']}/reissue", LEAKED)
    (shown,) = listed(api, "reseller")
    assert shown == {
        **{name: POS[name] for name in ("product", "seats", "months", "reseller")},
        "batch": made["batch"],
        "tier": None,
        "note": "Spring fair",
        "count": 5,
        "open": 3,
        "redeemed": 1,
        "revoked": 1,
        "lapsed": 0,
        "issued_at": "2026-03-01T12:00:00.000000Z",
    }
    api.clock.forward(days=2)
    assert (listed(api)[0]["open"], listed(api)[0]["lapsed"]) == (0, 3)
    assert listed(api)[0]["issued_at"] == shown["issued_at"]
    assert listed(api, "auditor")[0]["note"] is None
    assert listed(api, "other") == []
    assert listed(api, "other", f"?reseller={RESELLER}") == []


def test_batches_are_listed_page_by_page_and_by_reseller(api: Api) -> None:
    mine = [order(api)["batch"] for _ in range(3)]
    theirs = order(api, reseller=OTHER_RESELLER)["batch"]
    assert [one["batch"] for one in listed(api)] == [theirs, *mine[::-1]]
    assert [one["batch"] for one in listed(api, query=f"?reseller={RESELLER.upper()}")] == mine[
        ::-1
    ]
    page = api.get("admin", "/v1/batches?limit=3").body
    rest = api.get("admin", f"/v1/batches?limit=3&cursor={page['next']}").body
    assert [one["batch"] for one in page["items"] + rest["items"]] == [theirs, *mine[::-1]]
    assert rest["next"] is None


def test_an_import_is_a_batch_of_all_its_resellers(api: Api) -> None:
    lines = [HEADER, LINE, LINE.replace("WXYZ", "WXYY").replace("Northwind", "Southgate")]
    batch = import_keys(api.services, context(), lines).batch
    (shown,) = listed(api)
    assert (shown["batch"], shown["count"], shown["reseller"]) == (batch, 2, None)
    (own,) = listed(api, "reseller")
    assert (own["batch"], own["count"], own["reseller"], own["seats"]) == (batch, 1, RESELLER, 5)
    done = api.post("reseller", f"/v1/batches/{batch}/revoke", LEAKED).body
    assert (done["revoked"], done["kept"]) == (1, [])
    assert [one["revoked"] for one in listed(api)] == [1]

    # What was revoked may come in again, with other terms; what was not may not.
    again = import_keys(api.services, context(), [HEADER, LINE.replace(",5,", ",6,"), lines[2]])
    assert (again.accepted, [one.line_number for one in again.refused]) == (1, [3])
    assert api.try_code(CODE).body["subscription"]["seats"] == 6
    assert [(one["batch"] == again.batch, one["redeemed"]) for one in listed(api)] == [
        (True, 1),
        (False, 0),
    ]


def test_a_leaked_batch_is_revoked_at_once_and_may_be_asked_for_again(any_api: Api) -> None:
    api = any_api
    made = order(api, count=4)
    keys, path = made["keys"], f"/v1/batches/{made['batch']}/revoke"
    api.try_code(keys[0]["code"])
    api.post("admin", f"/v1/keys/{keys[1]['id']}/revoke", LEAKED)
    new = api.post("admin", f"/v1/keys/{keys[2]['id']}/reissue", LEAKED).body
    assert api.post("other", path, LEAKED).status == 404
    kept = [
        {"id": keys[0]["id"], "status": "redeemed"},
        {"id": keys[1]["id"], "status": "revoked"},
    ]
    done = api.post("reseller", path, LEAKED)
    assert (done.status, done.body) == (200, {"revoked": 2, "kept": kept})
    for code in (new["code"], keys[3]["code"]):
        assert api.try_code(code).code == "key_not_available"
    again = api.post("admin", path, LEAKED).body
    assert again["revoked"] == 0
    assert {one["id"]: one["status"] for one in again["kept"]} == {
        keys[0]["id"]: "redeemed",
        **dict.fromkeys((keys[1]["id"], new["id"], keys[3]["id"]), "revoked"),
    }


def test_a_batch_is_reissued_at_once(any_api: Api) -> None:
    api = any_api
    made = order(api, count=3)
    api.try_code(made["keys"][0]["code"])
    got = api.post("support", f"/v1/batches/{made['batch']}/reissue", LEAKED)
    assert got.status == 201
    old = [one["code"] for one in made["keys"]]
    assert len(got.body["keys"]) == 2
    for one in got.body["keys"]:
        assert one["code"] not in old
        assert api.try_code(one["code"]).status == 201
    assert api.try_code(old[1]).code == "key_not_available"
    assert listed(api)[0]["redeemed"] == 3


def test_what_was_done_before_a_fault_stays_and_the_answer_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_keys, "KEYS_IN_A_COMMIT", 2)
    made = order(api, count=5)
    append, calls = Book.append, []

    def fails_once(self: Book, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise LedgerUnavailable("gone")
        return append(self, *args)

    monkeypatch.setattr(Book, "append", fails_once)
    path = f"/v1/batches/{made['batch']}/revoke"
    got = api.post("admin", path, LEAKED)
    assert (got.status, got.code) == (503, "partly_done")
    assert got.body["detail"].startswith("2 keys are done")
    again = api.post("admin", path, LEAKED).body
    assert (again["revoked"], len(again["kept"])) == (3, 2)


def test_a_reissue_that_is_repeated_replaces_nothing_twice(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = any_api
    made = order(api, "admin", count=5)
    api.try_code(made["keys"][0]["code"])
    path = f"/v1/batches/{made['batch']}/reissue"
    once = {"Idempotency-Key": "once"}
    monkeypatch.setattr(many_keys, "KEYS_IN_A_COMMIT", 2)
    append, calls = Book.append, []

    def fails_once(self: Book, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:  # the first says which keys it is about
            raise LedgerUnavailable("gone")
        return append(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Book, "append", fails_once)
        assert api.post("admin", path, LEAKED, headers=once).code == "partly_done"
    first = api.post("admin", path, LEAKED, headers=once)
    assert (first.status, "Idempotency-Replayed" in first.headers) == (201, False)
    keys = first.body["keys"]
    # Of four keys that were open, each was replaced once.
    assert len({one["id"] for one in keys}) == len(keys) == 4
    assert listed(api)[0]["open"] == 4
    states = [api.get("admin", f"/v1/keys/{one['id']}").body["status"] for one in keys]
    assert states == ["issued"] * 4

    again = api.post("admin", path, LEAKED, headers=once)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.body == first.body
    # That codes were shown again is on record, once an hour.
    assert again.position == first.position + 1
    assert api.post("admin", path, LEAKED, headers=once).position == again.position
    api.post("admin", f"/v1/keys/{keys[0]['id']}/reissue", LEAKED)
    api.try_code(keys[1]["code"])
    later = api.post("admin", path, LEAKED, headers=once).body["keys"]
    assert [one["id"] for one in later] == [one["id"] for one in keys]
    assert [one["code"] == one["masked"] for one in later] == [True, True, False, False]

    other = api.post("admin", path, {"reason": "Lost"}, headers=once)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    # Another's keys of requests are its own.
    mine = api.post("reseller", path, LEAKED, headers=once)
    assert (mine.status, len(mine.body["keys"])) == (201, 3)


# Tables


def table(api: Api, role: str, path: str) -> list[dict[str, str]]:
    got = api.get(role, path, headers=CSV)
    assert got.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = got.raw.decode("utf-8")
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_keys_and_batches_come_as_tables_with_all_fields(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = any_api
    made = api.post("admin", "/v1/keys", {**INT, "count": 60, "note": '=HYPERLINK("x")'}).body
    keys = table(api, "reseller", "/v1/keys")
    assert len(keys) == 60
    items = api.get("reseller", "/v1/keys?limit=60").body["items"]
    assert [row["id"] for row in keys] == [one["id"] for one in items]
    assert list(keys[0]) == list(items[0])
    assert keys[0]["masked"] == items[0]["masked"]
    assert (keys[0]["tier"], keys[0]["redeemed_at"]) == ("growth", "")
    assert len(table(api, "reseller", "/v1/keys?limit=7")) == 7
    monkeypatch.setattr(batch_views, "PAGE_MAX", 1)
    for _ in range(2):
        order(api)
    assert len(table(api, "admin", "/v1/batches")) == 3
    batch = table(api, "admin", "/v1/batches")[2]
    assert batch["batch"] == made["batch"]
    # A spreadsheet must not run it.
    assert batch["note"] == '\'=HYPERLINK("x")'


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv; charset=utf-8", "text/csv"),
        ("Text/CSV;Charset=UTF-8;Q=0.9", "text/csv"),
        ("text/csv;header=present, application/json;q=0.5, */*;q=0.1", "text/csv"),
        ("application/json;q=0.3, text/csv; charset=utf-8; q=0.8", "text/csv"),
        ("application/json, text/csv;charset=utf-8;q=0.9", "application/json"),
        ("text/csv;charset=utf-8;q=0", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_a_table_comes_however_the_type_is_spelled(
    shared: Api, accept: str, media_type: str
) -> None:
    for path in ("/v1/keys", "/v1/batches", "/v1/resellers"):
        got = shared.get("admin", path, headers={"Accept": accept})
        assert got.headers["Content-Type"].partition(";")[0] == media_type
