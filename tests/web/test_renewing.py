"""What becomes of subscriptions that keys gave: renewed, extended, suspended, transferred …"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from commands.erase_account import erase_account
from ledger.events import RequestContext
from projections.lists.keys import KeyQuery, list_keys
from projections.lists.overview import overview
from projections.views.account_at import Moment
from projections.views.whatif import Policy, what_if
from tests.web.api import INT, POS, Api, Got
from web.app.context import EXTENSION

REASON = {"reason": "So agreed"}
LATER = {"start": "when_current_ends"}
NOON = "2026-03-01T12:00:00.000000Z"


def at(date: str) -> str:
    return f"{date}T12:00:00.000000Z"


def change(
    api: Api,
    what: str,
    subscription: str,
    body: dict[str, Any] = REASON,
    *,
    role: str = "admin",
    account: str = "acme",
    key: str | None = None,
) -> Got:
    path = f"/v1/accounts/{account}/subscriptions/{subscription}/{what}"
    headers = {"Idempotency-Key": key} if key else None
    return api.post(role, path, body, headers=headers)


def pos(api: Api, query: str = "", account: str = "acme") -> dict[str, Any]:
    """Return how Cloud POS stands on an account."""
    view = api.get("portal", f"/v1/accounts/{account}/subscriptions{query}").body
    found: dict[str, Any] = view["products"][0]
    return found


def spans(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["status"], row["started_at"], row["expires_at"]) for row in rows]


def redeem_later(api: Api, **changes: Any) -> str:
    got = api.try_code(api.issue(POS, **changes)["code"], **LATER)
    assert got.status == 201, got.body
    return str(got.body["subscription"]["subscription"])


def test_a_key_is_renewed_without_losing_a_day(any_api: Api) -> None:
    api = any_api
    first = api.redeem()
    code = api.issue()["code"]
    told = api.try_code(code, what="validate").body
    assert told["running"] == {"seats": 2, "expires_at": at("2027-03-01")}
    assert told["choices"] == [
        {"start": "now", "starts_at": NOON, "expires_at": at("2027-03-01")},
        {
            "start": "when_current_ends",
            "starts_at": at("2027-03-01"),
            "expires_at": at("2028-03-01"),
        },
    ]
    got = api.try_code(code, **LATER)
    assert (got.status, got.body["subscription"]["status"]) == (201, "scheduled")
    chained = api.try_code(api.issue()["code"], **LATER).body["subscription"]
    assert spans([chained]) == [("scheduled", at("2028-03-01"), at("2029-03-01"))]

    shown = pos(api)
    assert (shown["seats"], [row["subscription"] for row in shown["rows"]]) == (2, [first])
    assert shown["upcoming"] == [got.body["subscription"], chained]
    for role in ("support", "auditor"):
        then = api.get(role, f"/v1/accounts/acme/subscriptions?as_of={at('2027-03-01')}").body
        assert spans(then["products"][0]["rows"]) == [
            ("active", at("2027-03-01"), at("2028-03-01"))
        ]
        assert spans(then["products"][0]["upcoming"]) == spans([chained])
    api.clock.forward(days=365)
    assert pos(api)["seats"] == 2
    assert spans(pos(api, "?all=true")["rows"]) == [
        ("active", at("2027-03-01"), at("2028-03-01")),
        ("expired", NOON, at("2027-03-01")),
    ]
    assert api.sit("till-1").status == 201
    points = api.get("portal", "/v1/accounts/acme/seat-history?product=cloud_pos").body["points"]
    assert [point["seats"] for point in points] == [2, 2]
    explained = api.post(
        "support", "/v1/accounts/acme/explain", {"product": "cloud_pos", "holder": "till-1"}
    ).body
    assert any("from 1 Mar 2028 on" in fact for fact in explained["facts"])


def test_nothing_runs_that_a_key_could_follow(api: Api) -> None:
    code = api.issue()["code"]
    told = api.try_code(code, what="validate").body
    assert (told["running"], [one["start"] for one in told["choices"]]) == (None, ["now"])
    api.redeem(order=INT)
    other = api.try_code(api.issue({**INT, "tier": "starter"})["code"], what="validate").body
    assert other["running"] is None
    got = api.try_code(code, **LATER).body["subscription"]
    assert spans([got]) == [("active", NOON, at("2027-03-01"))]
    again = api.try_code(api.issue()["code"], start="tomorrow")
    assert (again.status, again.pointers) == (422, ["/start"])
    refused = api.try_code(api.issue()["code"], what="validate", **LATER)
    assert (refused.status, refused.pointers) == (422, ["/start"])


def test_of_several_that_run_the_one_is_told_that_ends_last(api: Api) -> None:
    for months, seats in ((2, 5), (1, 3)):
        api.redeem(months=months, seats=seats)
    told = api.try_code(api.issue(months=1)["code"], what="validate").body
    assert told["running"] == {"seats": 5, "expires_at": at("2026-05-01")}
    assert told["choices"][1]["starts_at"] == at("2026-05-01")


def test_what_follows_moves_with_what_it_follows(api: Api) -> None:
    first, second, third = api.redeem(), redeem_later(api), redeem_later(api, months=1)
    got = change(api, "extend", first, {"days": 10, **REASON})
    assert got.body["subscription"]["expires_at"] == at("2027-03-11")
    assert spans(pos(api)["upcoming"]) == [
        ("scheduled", at("2027-03-11"), at("2028-03-11")),
        ("scheduled", at("2028-03-11"), at("2028-04-11")),
    ]
    change(api, "extend", second, {"until": at("2028-03-20"), **REASON})
    assert spans(pos(api)["upcoming"])[1] == ("scheduled", at("2028-03-20"), at("2028-04-20"))
    change(api, "terminate", second)
    assert spans(pos(api)["upcoming"]) == [("scheduled", at("2027-03-11"), at("2027-04-11"))]
    change(api, "terminate", first)
    shown = pos(api)
    assert shown["upcoming"] == []
    assert [row["subscription"] for row in shown["rows"]] == [third]
    assert spans(shown["rows"]) == [("active", NOON, at("2026-04-01"))]


def test_each_renews_what_nobody_has_renewed_and_begins_when_that_ends(api: Api) -> None:
    def starts() -> list[str]:
        return sorted(row["started_at"] for row in pos(api)["upcoming"])

    short, long = api.redeem(months=1), api.redeem(months=2)
    redeem_later(api, months=1)
    redeem_later(api, months=1)
    assert starts() == [at("2026-04-01"), at("2026-05-01")]
    change(api, "extend", short, {"until": at("2026-09-01"), **REASON})
    assert starts() == [at("2026-05-01"), at("2026-09-01")]
    change(api, "suspend", short)
    assert starts() == [at("2026-05-01"), at("2026-09-01")]
    change(api, "terminate", short)
    assert starts() == [at("2026-05-01")]
    change(api, "terminate", long)
    assert starts() == []
    assert spans(pos(api)["rows"]) == [("active", NOON, at("2026-04-01"))] * 2


def test_who_renews_two_keys_keeps_two_seats(any_api: Api) -> None:
    api = any_api
    for _ in range(2):
        api.redeem(seats=1)
    api.clock.forward(days=300)
    for _ in range(2):
        told = api.try_code(api.issue(seats=1)["code"], what="validate").body
        assert told["running"] == {"seats": 1, "expires_at": at("2027-03-01")}
        assert told["choices"][1]["starts_at"] == at("2027-03-01")
        redeem_later(api, seats=1)
    assert [pos(api, f"?as_of={at(day)}")["seats"] for day in ("2027-02-28", "2027-03-02")] == [
        2,
        2,
    ]
    told = api.try_code(api.issue(seats=1)["code"], what="validate").body
    assert told["running"] == {"seats": 1, "expires_at": at("2027-03-01")}
    assert told["choices"][1]["starts_at"] == at("2028-03-01")


def test_what_is_suspended_is_not_followed_while_something_runs(api: Api) -> None:
    api.redeem(months=1)
    rests = api.redeem(months=12)
    change(api, "suspend", rests)
    redeem_later(api)
    assert spans(pos(api)["upcoming"]) == [("scheduled", at("2026-04-01"), at("2027-04-01"))]


def test_one_key_more_takes_nothing_from_what_is_to_follow(api: Api) -> None:
    api.redeem(seats=5, months=1)
    redeem_later(api, seats=5)
    more = api.redeem(seats=1, months=12)
    renewal = ("scheduled", at("2026-04-01"), at("2027-04-01"))
    assert spans(pos(api)["upcoming"]) == [renewal]
    change(api, "transfer", more, {"to": "beta", **REASON})
    change(api, "transfer", more, {"to": "acme", **REASON}, account="beta")
    assert spans(pos(api)["upcoming"]) == [renewal]
    assert pos(api, "?as_of=2026-04-02T12:00:00Z")["seats"] == 6
    redeem_later(api, months=1)
    change(api, "extend", more, {"until": at("2027-06-01"), **REASON})
    assert [row["started_at"] for row in pos(api)["upcoming"]] == [
        at("2026-04-01"),
        at("2027-06-01"),
    ]


def test_a_chain_is_transferred_one_by_one_from_its_end(api: Api) -> None:
    first, second, third = api.redeem(months=1), redeem_later(api), redeem_later(api)
    before = spans(pos(api)["upcoming"])
    for one in (third, second, first):
        change(api, "transfer", one, {"to": "beta", **REASON})
    assert spans(pos(api, account="beta")["upcoming"]) == before
    change(api, "terminate", first, account="beta")
    # It came before what it had followed, and keeps its date.
    assert spans(pos(api, account="beta")["upcoming"]) == before


def test_what_would_end_after_all_use_is_refused_and_not_offered(api: Api) -> None:
    api.clock.now = datetime(8998, 6, 1, 12, tzinfo=UTC)
    api.redeem()
    api.redeem()
    code = api.issue(months=24)["code"]
    told = api.try_code(code, what="validate")
    assert [one["start"] for one in told.body["choices"]] == ["now"]
    refused = api.try_code(code, **LATER)
    assert (refused.status, refused.pointers) == (422, ["/start"])
    api.clock.now = datetime(9990, 6, 1, 12, tzinfo=UTC)
    code = api.issue(months=120)["code"]
    for what in ("validate", "redeem"):
        refused = api.try_code(code, what=what)
        assert (refused.status, refused.pointers) == (422, ["/code"])
        assert "9000" in refused.body["errors"][0]["detail"]


def test_a_scheduled_one_is_started_for_its_whole_length(api: Api) -> None:
    first, second, third = api.redeem(), redeem_later(api), redeem_later(api)
    change(api, "extend", second, {"days": 5, **REASON})
    api.clock.forward(days=1)
    assert change(api, "start", second, role="portal").status == 403
    started = change(api, "start", second, role="support")
    assert spans([started.body["subscription"]]) == [("active", at("2026-03-02"), at("2027-03-07"))]
    assert pos(api)["seats"] == 4
    assert spans(pos(api)["upcoming"]) == [("scheduled", at("2027-03-07"), at("2028-03-07"))]
    assert change(api, "start", second).body == started.body
    assert change(api, "start", first).status == 200
    for wrong in ("suspend", "resume"):
        refused = change(api, wrong, third)
        assert (refused.status, refused.code) == (409, "subscription_not_started")


def test_one_is_suspended_and_resumed_while_its_time_goes_on(any_api: Api) -> None:
    api = any_api
    id = api.redeem()
    api.sit("till-1")
    paused = change(api, "suspend", id)
    assert paused.body["subscription"]["status"] == "suspended"
    assert pos(api)["over"] == 1
    assert pos(api)["rows"] == [paused.body["subscription"]]
    seat = api.get("portal", "/v1/accounts/acme/seats/cloud_pos/till-1").body
    assert (seat["licensed"], seat["reason"]) == (False, "no_active_subscription")
    assert api.sit("till-2").code == "no_seat_available"
    assert api.get("portal", "/v1/accounts/acme/entitlements").body["entitlements"][0]["seats"] == 0
    why = {"product": "cloud_pos", "holder": "till-1"}
    told = api.post("support", "/v1/accounts/acme/explain", why).body
    assert "gives none of its 2 Cloud POS seats: it was suspended" in told["facts"][0]
    assert change(api, "start", id).code == "subscription_is_suspended"
    assert change(api, "suspend", id).body == paused.body
    api.clock.forward(days=30)
    resumed = change(api, "resume", id, role="support")
    assert spans([resumed.body["subscription"]]) == [("active", NOON, at("2027-03-01"))]
    assert change(api, "resume", id).body == resumed.body
    assert pos(api)["over"] == 0
    points = api.get("portal", "/v1/accounts/acme/seat-history?product=cloud_pos").body["points"]
    assert [point["seats"] for point in points][-2:] == [0, 2]
    change(api, "suspend", id)
    api.clock.forward(days=365)
    assert change(api, "resume", id).code == "subscription_ended"
    assert change(api, "extend", id, {"days": 1, **REASON}).code == "subscription_ended"


def test_what_is_left_is_transferred_and_holders_stay_behind(any_api: Api) -> None:
    api = any_api
    key = api.issue()
    id = api.try_code(key["code"]).body["subscription"]["subscription"]
    follower = redeem_later(api)
    api.sit("till-1")
    api.clock.forward(days=9)
    assert change(api, "transfer", id, {"to": "beta", **REASON}, role="portal").status == 403
    version = api.get("portal", "/v1/accounts/acme/subscriptions").headers["ETag"]
    moved = change(api, "transfer", id, {"to": "beta", **REASON}, role="support")
    assert (moved.status, moved.body["account"], moved.headers["ETag"]) == (200, "beta", '"1"')
    row = moved.body["subscription"]
    assert spans([row]) == [("active", at("2026-03-10"), at("2027-03-01"))]
    assert pos(api, account="beta")["rows"] == [row]
    here = pos(api, "?all=true")
    assert here["used"] == 1
    assert [one["subscription"] for one in here["rows"]] == [follower, id]
    assert spans(here["rows"])[0] == ("active", at("2026-03-10"), at("2027-03-10"))
    assert here["rows"][1]["status"] == "transferred"
    assert api.get("admin", f"/v1/keys/{key['id']}").body["redeemed_by"] == "beta"
    listed = api.get("admin", "/v1/keys?redeemed_by=beta").body["items"]
    assert [one["id"] for one in listed] == [key["id"]]
    assert api.try_code(key["code"], account="beta").code == "key_already_yours"
    assert api.try_code(key["code"], account="acme").code == "key_not_available"
    told = api.post("support", "/v1/accounts/acme/explain", {"code": key["code"]}).body
    assert "what it gives is now account beta's" in told["answer"]
    for account in ("acme", "beta"):
        events = api.get("admin", f"/v1/accounts/{account}/timeline").body["items"]
        assert any("transferred to account beta" in one["summary"] for one in events)
        assert any("taken over from account acme" in one["summary"] for one in events)
    assert version != api.get("portal", "/v1/accounts/acme/subscriptions").headers["ETag"]

    # What is asked for again stays as it is, wherever it has got to since.
    again = change(api, "transfer", id, {"to": "beta", **REASON})
    assert (again.status, again.body, again.position) == (200, moved.body, api.head)
    for body, pointer in (({"to": "acme"}, "/to"), ({"to": "a b"}, "/to"), ({}, "/to")):
        refused = change(api, "transfer", id, {**body, **REASON})
        assert (refused.status, refused.pointers) == (422, [pointer])
    elsewhere = change(api, "suspend", id)
    assert (elsewhere.code, elsewhere.body["account"]) == ("subscription_elsewhere", "beta")
    back = change(api, "transfer", id, {"to": "acme", **REASON}, account="beta")
    assert spans([back.body["subscription"]]) == [("active", at("2026-03-10"), at("2027-03-01"))]
    assert pos(api)["seats"] == 4
    assert pos(api, account="beta")["seats"] == 0


def test_why_it_was_transferred_is_forgotten_with_the_account_that_it_left(any_api: Api) -> None:
    api = any_api
    id, secret = api.redeem(), "So wished Max"

    def told(account: str) -> list[str]:
        events = api.get("admin", f"/v1/accounts/{account}/timeline").body["items"]
        return [one["event"] for one in events if secret in str(one)]

    change(api, "transfer", id, {"to": "beta", "reason": secret})
    known = ["account.subscription_transferred@1"]
    assert told("acme") == told("beta") == known
    context = RequestContext(api.clock.now, "operator", "req_1")
    erase_account(api.services, context, "beta", "Asked for")
    assert told("acme") == told("beta") == known
    erased = erase_account(api.services, context, "acme", "Asked for")
    assert (erased.texts, told("acme"), told("beta")) == (1, [], [])


def test_every_code_that_the_subscription_had_goes_with_it(api: Api) -> None:
    key = api.issue()
    id = api.try_code(key["code"]).body["subscription"]["subscription"]
    new = api.post("support", f"/v1/keys/{key['id']}/reissue", REASON).body
    noon = api.clock.now
    api.clock.forward(days=1)
    change(api, "transfer", id, {"to": "beta", **REASON})
    for code in (key["code"], new["code"]):
        assert api.try_code(code, account="beta").code == "key_already_yours"
        assert api.try_code(code, account="acme").code == "key_not_available"
    assert pos(api, account="beta")["rows"][0]["key"] == new["masked"]
    again = api.post("support", f"/v1/keys/{new['id']}/reissue", REASON)
    assert again.status == 201
    assert pos(api, account="beta")["rows"][0]["key"] == again.body["masked"]
    tables = api.app.extensions[EXTENSION].wiring.tables
    for as_of, account in ((noon, "acme"), (api.clock.now, "beta")):
        moment = Moment(api.clock.now, as_of=as_of)
        listed = list_keys(api.services.book, tables, KeyQuery(), moment, limit=9).keys
        assert {one.redeemed_by for one in listed} == {account}


def test_one_that_rests_or_has_not_begun_is_transferred_as_it_is(api: Api) -> None:
    first, second, third = api.redeem(), redeem_later(api), redeem_later(api)
    change(api, "suspend", first)
    moved = change(api, "transfer", second, {"to": "beta", **REASON}).body["subscription"]
    assert spans([moved]) == [("scheduled", at("2027-03-01"), at("2028-03-01"))]
    assert spans(pos(api)["upcoming"]) == spans([moved])
    rests = change(api, "transfer", first, {"to": "beta", **REASON}).body["subscription"]
    assert rests["status"] == "suspended"
    assert [row["subscription"] for row in pos(api)["rows"]] == [third]
    assert change(api, "start", second, account="beta").body["subscription"]["status"] == "active"


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("extend", {"days": 3, **REASON}),
        ("suspend", REASON),
        ("terminate", REASON),
        ("transfer", {"to": "beta", **REASON}),
    ],
)
def test_a_change_that_is_repeated_is_answered_and_not_carried_out_again(
    api: Api, what: str, body: dict[str, Any]
) -> None:
    id = api.redeem()
    done = change(api, what, id, body, key="k-1")
    head = api.head
    api.clock.forward(days=1)
    again = change(api, what, id, body, key="k-1")
    assert (again.status, again.body) == (200, done.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.head == head
    other = change(api, what, id, {**body, "reason": "Another"}, key="k-1")
    assert (other.status, other.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/days"),
        ({"days": 1, "until": at("2028-01-01")}, "/days"),
        ({"days": 0}, "/days"),
        ({"days": 3661}, "/days"),
        ({"days": "5"}, "/days"),
        ({"until": at("2027-02-28")}, "/until"),
        ({"until": at("2999-01-01")}, "/until"),
        ({"until": "soon"}, "/until"),
        ({"months": 1}, "/months"),
    ],
)
def test_an_extension_that_does_not_fit_names_the_field(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    id = api.redeem()
    head = api.head
    refused = change(api, "extend", id, {**body, **REASON})
    assert (refused.status, refused.pointers) == (422, [pointer])
    assert api.head == head


def test_until_its_own_end_changes_nothing(api: Api) -> None:
    id = api.redeem()
    head = api.head
    same = change(api, "extend", id, {"until": at("2027-03-01"), **REASON})
    assert (same.status, api.head) == (200, head)


def test_renewed_is_not_ending(api: Api) -> None:
    for account in ("acme", "beta"):
        api.redeem(account, months=1)
    redeem_later(api)
    api.clock.forward(days=2)

    def ending() -> list[str]:
        wiring = api.app.extensions[EXTENSION].wiring
        found = overview(api.services.book, wiring.tables, api.clock.now)
        return [one.account for one in found.ending]

    assert ending() == ["beta"]
    api.redeem("beta", seats=1)
    assert ending() == ["beta"]
    api.redeem("beta", seats=1)
    assert ending() == []


def test_a_change_that_changes_nothing_is_answered_again_as_it_was(api: Api) -> None:
    api.redeem()
    later = redeem_later(api)
    api.clock.forward(days=366)
    for what in ("start", "resume"):
        first = change(api, what, later, key=what)
        assert first.body["subscription"]["status"] == "active"
        assert change(api, what, later, key=what).body == first.body


def test_entitlements_last_until_what_follows_ends(api: Api) -> None:
    first = api.redeem()

    def until() -> str:
        view = api.get("portal", "/v1/accounts/acme/entitlements").body["entitlements"]
        return str(view[0]["until"])

    assert until() == at("2027-03-01")
    redeem_later(api)
    assert until() == at("2028-03-01")
    change(api, "extend", first, {"until": "2027-06-01T12:00:00Z", **REASON})
    assert until() == at("2028-06-01")


def test_an_end_is_blamed_on_what_set_it(api: Api) -> None:
    first = api.redeem()
    api.clock.forward(days=1)
    change(api, "extend", first, {"days": 10, **REASON})
    extended = api.head
    change(api, "suspend", first)
    change(api, "resume", first)
    moments = "from=2027-03-05T12:00:00Z&to=2027-03-20T12:00:00Z"
    found = api.get("support", f"/v1/accounts/acme/diff?{moments}").body["items"]
    assert {one["thing"]["kind"]: one["positions"] for one in found} == {
        "subscription": [extended],
        "pool": [extended],
    }


def test_days_of_grace_are_none_for_what_rested_when_it_ended(api: Api) -> None:
    first = api.redeem(months=1)
    api.sit("till-1")
    change(api, "suspend", first)
    api.clock.forward(days=40)
    policy = Policy(grace_days=14)
    found = what_if(api.services.book, policy, api.clock.now)
    assert (found.let_in, found.holders) == ([], [])


def test_an_end_before_its_own_is_told_as_times_are_written(api: Api) -> None:
    refused = change(api, "extend", api.redeem(), {"until": at("2027-02-28"), **REASON})
    (error,) = refused.body["errors"]
    assert error["detail"] == "must not be before its end, 2027-03-01T12:00:00Z"
