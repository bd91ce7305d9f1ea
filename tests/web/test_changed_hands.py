"""Keys that are given to another reseller: neither sees, changes or counts what is the other's."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec

from commands.revoke_keys import revoke_keys
from ledger.streams.webhooks import Webhook
from projections.lists.account_states import AccountsAtPositions
from projections.lists.webhook_messages import message_of
from projections.lists.webhook_queue import QueuedMessage
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
    assert [totals(raw) for raw in closed] == [(2, 0), (0, 0), (2, 1)]
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
        api.services, context(api.clock.now), [kept, given], "They closed", owner=RESELLER
    )
    assert (done.revoked, done.kept) == (1, [])
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
        message = message_of(book, catalog, AccountsAtPositions(book), hook, queued)
        assert message.data["data"]["follows"] == follows
        assert (others in msgspec.json.encode(message).decode()) is (reseller is None)
