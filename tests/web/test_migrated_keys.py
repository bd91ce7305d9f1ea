"""Keys of another system, redeemed there or not: they go on here, and no past is told of."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from commands.import_keys import import_keys
from commands.migrate_keys import MORE_COLUMNS, MigratedKeys, migrate_keys
from ledger.streams.account.facts import SubscriptionImported
from tests.commands.import_files import CODE, HEADER, INT_CODE, INT_LINE, LINE
from tests.web.api import RESELLER, Api
from tests.worlds import context, recorded

COLUMNS = f"{HEADER},{','.join(MORE_COLUMNS)}"
RUNS = f"{LINE},acme,2025-09-01T08:00:00Z,2026-09-15"
ENDED = "POS-6789-EFGH-JKLM,cloud_pos,,2,12,Northwind,,acme,2024-09-01,"
OPEN = f"{INT_LINE},,,"


def migrate(api: Api, *lines: str, **options: Any) -> MigratedKeys:
    return migrate_keys(api.services, context(api.clock.now), [COLUMNS, *lines], **options)


def subscriptions(api: Api, query: str = "") -> list[dict[str, Any]]:
    view = api.get("admin", f"/v1/accounts/acme/subscriptions{query}").body
    return [row for product in view["products"] for row in product["rows"]]


def test_they_give_what_is_left_of_them_from_now_on(any_api: Api) -> None:
    api = any_api
    done = migrate(api, RUNS, ENDED, OPEN)
    assert done[1:6] == (1, 2, 1, 0, [])
    (row,) = subscriptions(api)
    assert (row["seats"], row["started_at"], row["expires_at"]) == (
        5,
        "2025-09-01T08:00:00.000000Z",
        "2026-09-16T00:00:00.000000Z",
    )
    assert [one["status"] for one in subscriptions(api, "?all=true")][-1] == "expired"
    before = (api.clock.now - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert subscriptions(api, f"?as_of={before}") == []
    for till in range(5):
        assert api.sit(f"till-{till}").status == 201
    assert api.sit("till-5").code == "no_seat_available"
    assert api.try_code(INT_CODE).status in (200, 201)
    assert api.try_code(CODE).code == "key_already_yours"
    assert api.try_code(CODE, account="other").code == "key_not_available"
    api.clock.forward(days=300)
    assert [row["tier"] for row in subscriptions(api)] == ["growth"]


def test_the_same_file_again_changes_nothing_and_a_later_one_brings_what_was_redeemed(
    any_api: Api,
) -> None:
    api = any_api
    unredeemed = RUNS.replace("acme,2025-09-01T08:00:00Z,2026-09-15", ",,")
    assert migrate(api, unredeemed, OPEN)[1:6] == (2, 0, 0, 0, [])
    assert migrate(api, unredeemed, OPEN)[:6] == (None, 0, 0, 0, 2, [])
    assert migrate(api, RUNS, OPEN)[:6] == (None, 0, 1, 0, 1, [])
    head = api.head
    assert migrate(api, RUNS, OPEN)[:6] == (None, 0, 0, 0, 2, [])
    # Whatever became of it here stays, and so does the file.
    (row,) = subscriptions(api)
    path = f"/v1/accounts/acme/subscriptions/{row['subscription']}"
    assert api.post("admin", f"{path}/terminate", {"reason": "sold"}).status == 200
    assert migrate(api, RUNS, OPEN).unchanged == 2
    assert api.head == head + 1


def test_all_of_a_file_or_nothing_and_each_fault_by_line_and_column(api: Api) -> None:
    own = api.issue()["code"]
    import_keys(api.services, context(api.clock.now), [HEADER, INT_LINE])
    head = api.head
    lines = [
        RUNS,
        f"{own},cloud_pos,,3,12,Northwind,,acme,2025-09-01,",
        INT_LINE.replace(",2,24,", ",3,24,") + ",acme,2025-09-01,",
        ENDED.replace("acme", "ac me"),
        ENDED.replace("2024-09-01", "2027-09-01"),
        ENDED.replace("2024-09-01", ""),
        ENDED + "2024-08-01",
        ENDED.replace("acme", ""),
        RUNS,
    ]
    done = migrate(api, *lines)
    assert [(one.line_number, one.field) for one in done.refused] == [
        (3, "code"),
        (4, "seats"),
        (5, "account"),
        (6, "redeemed_at"),
        (7, "redeemed_at"),
        (8, "ends_at"),
        (9, "redeemed_at"),
        (10, "code"),
    ]
    assert own not in str(done)
    assert migrate(api, RUNS, dry_run=True)[1:6] == (1 - 1, 1, 0, 0, [])
    assert api.head == head


def test_no_notice_is_given_of_what_is_past_and_those_to_come_are(api: Api) -> None:
    since = api.clock.now.isoformat().replace("+00:00", "Z")
    soon = LINE.replace(CODE, "POS-6789-EFGH-JKLN") + ",acme,2025-03-10,2026-03-05"
    migrate(api, RUNS, ENDED, soon)
    api.clock.forward(days=2)
    assert notices(api, since) == []
    api.clock.forward(days=300)
    told = [one for one in notices(api, since) if one["kind"].startswith("subscription")]
    assert [one["kind"] for one in told].count("subscription.ended") == 2
    assert "subscription.started" not in {one["kind"] for one in told}


def notices(api: Api, since: str) -> list[dict[str, Any]]:
    until = api.clock.now.isoformat().replace("+00:00", "Z")
    got = api.get("admin", f"/v1/notices?from={since}&to={until}&account=acme&limit=100")
    assert got.status == 200, got.body
    return list(got.body["items"])


def test_timeline_statement_receipt_and_diff_tell_of_it(any_api: Api) -> None:
    api = any_api
    migrate(api, RUNS)
    told = [one["summary"] for one in api.get("admin", "/v1/timeline?ref=acme").body["items"]]
    assert any("of another system, redeemed there on 1 Sep 2025" in one for one in told), told
    (key,) = api.get("admin", "/v1/keys?status=redeemed").body["items"]
    assert key["redeemed_at"] == "2025-09-01T08:00:00.000000Z"
    told = [
        one["summary"] for one in api.get("admin", f"/v1/timeline?ref={key['id']}").body["items"]
    ]
    assert any("was redeemed in another system by account acme" in one for one in told), told
    statement = json.loads(
        api.get("admin", f"/v1/resellers/{RESELLER}/statement?month=2026-03").raw
    )
    assert (statement["totals"]["issued"], statement["totals"]["redeemed"]) == (1, 1)
    assert api.get("admin", f"/v1/keys/{key['id']}/receipt").status == 200
    (event,) = [one for one in recorded(api.services) if isinstance(one.fact, SubscriptionImported)]
    assert event.recorded_at == event.occurred_at


def test_its_holder_can_be_given_a_new_code(api: Api) -> None:
    migrate(api, RUNS)
    (key,) = api.get("admin", "/v1/keys").body["items"]
    new = api.post("admin", f"/v1/keys/{key['id']}/reissue", {"reason": "lost"}).body
    (row,) = subscriptions(api)
    assert row["key"] == new["masked"]
    statement = json.loads(
        api.get("admin", f"/v1/resellers/{RESELLER}/statement?month=2026-03").raw
    )
    assert (statement["totals"]["issued"], statement["totals"]["redeemed"]) == (1, 1)
