"""Webhooks are added, shown, changed and removed, by the API and by commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.gateways.webhook_addresses import URL_LENGTH_MAX
from ledger.streams.webhooks import KINDS
from tests.cli.program import Program
from tests.web.api import Api, memory_api

# Of the internet; nothing is sent to it here.
URL = "https://1.1.1.1/hook"


@pytest.fixture
def api() -> Api:
    return memory_api()


def add(api: Api, **fields: object) -> str:
    got = api.post("admin", "/v1/webhooks", {"url": URL, "kinds": ["account.changed"], **fields})
    assert got.status == 201, got.body
    return str(got.body["id"])


def test_a_webhook_is_shown_without_its_secret_and_listed_in_pages(api: Api) -> None:
    got = api.post("admin", "/v1/webhooks", {"url": URL, "kinds": list(KINDS)})
    assert got.body["secret"].startswith("whsec_")
    shown = api.get("admin", f"/v1/webhooks/{got.body['id']}")
    assert got.body["secret"] not in shown.raw.decode()
    assert (shown.body["url"], shown.body["kinds"]) == (URL, sorted(KINDS))
    assert (shown.body["status"], shown.body["waiting"]) == ("active", 0)
    ids = [got.body["id"], *(add(api) for _ in range(4))]
    found: list[str] = []
    cursor = ""
    while True:
        page = api.get("admin", f"/v1/webhooks?limit=2{cursor}").body
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(found) == sorted(ids)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "https://127.0.0.1/hook"}, "/url"),
        ({"url": "http://1.1.1.1/hook"}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": "https://1.1.1.1/" + "a" * URL_LENGTH_MAX}, "/url"),
        ({"url": "https://1.1.1.1/POS-ABCD-EFGH-7K2M"}, "/url"),
        ({"kinds": []}, "/kinds"),
        ({"kinds": None}, "/kinds"),
        ({"kinds": "account.changed"}, "/kinds"),
        ({"kinds": ["account.created"]}, "/kinds/0"),
        ({"kinds": ["notice.*", "notice.subscription.extended"]}, "/kinds/1"),
        ({"reseller": " North"}, "/reseller"),
        ({"after": 10_000}, "/after"),
        ({"after": -1}, "/after"),
        ({"events": []}, "/events"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_recorded(
    api: Api, fields: dict[str, object], pointer: str
) -> None:
    before = api.head
    sent = {"url": URL, "kinds": ["account.changed"], **fields}
    got = api.post("admin", "/v1/webhooks", sent)
    assert (got.status, got.pointers, api.head) == (422, [pointer], before)


def test_a_list_that_is_missing_is_told_as_any_field_is(api: Api) -> None:
    got = api.post("admin", "/v1/webhooks", {"url": URL})
    assert got.body["errors"] == [{"pointer": "/kinds", "detail": "is missing"}]


def test_who_is_gone_is_not_found(api: Api) -> None:
    id = add(api)
    assert api.delete("admin", f"/v1/webhooks/{id}").status == 204
    for method, path in [
        ("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries"),
    ]:  # fmt: skip
        got = api.ask("admin", method, f"/v1/webhooks/{id}{path}")
        assert (got.status, got.code) == (404, "webhook_not_found")
    got = api.post("admin", f"/v1/webhooks/{id}/replay", {"after": 0})
    assert (got.status, got.code) == (404, "webhook_not_found")
    assert api.get("admin", "/v1/webhooks/kfwh_x").status == 404


def test_a_replay_cannot_begin_where_the_ledger_has_not_come_to(api: Api) -> None:
    got = api.post("admin", f"/v1/webhooks/{add(api)}/replay", {"after": 10_000})
    assert (got.status, got.pointers) == (422, ["/after"])


def test_the_timeline_tells_what_was_done_to_a_webhook_but_not_its_address(api: Api) -> None:
    id = add(api, reseller="North")
    for path in ("rotate", "test"):
        api.post("admin", f"/v1/webhooks/{id}/{path}")
    api.post("admin", f"/v1/webhooks/{id}/replay", {"after": 0})
    api.delete("admin", f"/v1/webhooks/{id}")
    got = api.get("auditor", f"/v1/timeline?ref={id}")
    assert [one["summary"].partition(", by")[0] for one in got.body["items"]] == [
        f"Webhook {id} removed",
        f"Everything after position 0 sent to webhook {id} once more",
        f"Test of webhook {id} asked for",
        f"Secret of webhook {id} rotated; the last one signs for another day",
        f"Webhook {id} added: account.changed about keys of North to 1.1.1.1",
    ]


def test_what_waits_is_in_the_figures(api: Api) -> None:
    id = add(api)
    api.redeem("acme")
    figures = api.get(None, "/metrics").raw.decode()
    assert f'keyfold_webhook_messages_waiting{{webhook="{id}"}} 0.0' in figures
    assert f'keyfold_webhook_positions_behind{{webhook="{id}"}}' in figures
    assert f'keyfold_webhook_disabled{{webhook="{id}"}} 0.0' in figures


def test_the_commands_do_what_the_api_does(tmp_path: Path) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    added = keyfold.json("webhooks", "add", URL, "--kind", "key.changed", "--reseller", "North")
    id = added["id"]
    (listed,) = keyfold.json("webhooks", "list")["items"]
    assert (listed["id"], listed["kinds"], listed["reseller"]) == (id, ["key.changed"], "North")
    rotated = keyfold.json("webhooks", "rotate", id)
    assert rotated["secret"] != added["secret"]
    assert rotated["previous_until"] is not None
    assert keyfold.json("webhooks", "test", id)["message"].startswith("msg_")
    assert keyfold.json("webhooks", "replay", id, "--after", "0")["status"] == "active"
    assert keyfold.json("webhooks", "deliveries", id) == {"items": [], "next": None}
    assert id in keyfold.done("webhooks", "list").out
    assert keyfold.done("webhooks", "remove", id).out == f"{id} is removed\n"
    assert keyfold.run("webhooks", "test", id).err.startswith("webhook_not_found:")
    refused = keyfold.run("webhooks", "add", "https://localhost/")
    assert (refused.code, refused.err.partition(":")[0]) == (1, "invalid_request")


def test_notices_are_listed_by_a_command(tmp_path: Path) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    keyfold.done("tokens", "create", "--role", "support", "--days", "40")
    query = ("notices", "--from", "2020-01-01T00:00:00Z", "--to", "2099-01-01T00:00:00Z")
    found = keyfold.json(*query)["items"]
    assert [(one["kind"], one["facts"]["days"]) for one in found] == [
        ("token.expiring", days) for days in (30, 7, 1)
    ]
    assert keyfold.done(*query, "--csv").out.startswith("id,kind,at,account,reseller,subject,")
    assert "expires in 7 days" in keyfold.done(*query, "--kind", "token.expiring").out
    assert keyfold.done("notices").out.strip() == "AT  KIND  ACCOUNT  RESELLER  SUBJECT  SUMMARY"
