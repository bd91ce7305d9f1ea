"""The two times of a question, over HTTP: what was true then, and what was known of it then."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.web.api import Api, memory_api
from web.app.times import NotATime, iso, parse_time

ACCOUNT = "/v1/accounts/acme"
A_SEAT_TAKEN = "as_of=2026-03-02T12:00:00Z"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module")
def told() -> Api:
    """Return an account: redeemed on 1 March at noon, a seat on the 2nd, given back on the 3rd."""
    api = memory_api()
    api.redeem(months=1)
    api.clock.forward(days=1)
    api.sit("till-1")
    api.clock.forward(days=1)
    api.delete("portal", f"{ACCOUNT}/seats/cloud_pos/till-1")
    return api


@pytest.mark.parametrize(
    ("query", "seats", "used"),
    [
        ("", 2, 0),
        ("as_of=2026-03-01T11:59:59.999999Z", 0, 0),
        ("as_of=2026-03-01T12:00:00Z", 2, 0),
        ("as_of=2026-03-02T12:00:00Z", 2, 1),
        ("as_of=2026-03-02T13:00:00%2B01:00", 2, 1),
        ("as_of=2026-03-02t12:00:00.0z", 2, 1),
        ("as_of=2026-04-01T11:59:59Z", 2, 0),
        ("as_of=2026-04-01T12:00:00Z", 0, 0),
        ("as_of=9999-12-31T23:59:59Z", 0, 0),
        ("as_of=0001-01-01T00:00:00Z", 0, 0),
        ("known_at=2026-03-01T00:00:00Z", 0, 0),
        ("known_at=2026-03-02T12:00:00Z", 2, 1),
        ("known_at=2026-03-02T12:00:00Z&as_of=2026-04-01T12:00:00Z", 0, 1),
        ("known_at=2030-01-01T00:00:00Z", 2, 0),
    ],
)
def test_an_account_is_answered_as_of_a_moment(
    told: Api, query: str, seats: int, used: int
) -> None:
    pos = told.get("portal", f"{ACCOUNT}/subscriptions?{query}").body["products"][0]
    assert (pos["seats"], pos["used"]) == (seats, used)
    total = told.get("portal", f"{ACCOUNT}/seats?{query}").body["totals"][0]
    assert (total["seats"], total["used"]) == (seats, used)


@pytest.mark.parametrize(
    "page", ["subscriptions", "entitlements", "seats", "seat-history", "seats/cloud_pos/till-1"]
)
def test_an_answer_repeats_its_two_times_in_utc(told: Api, page: str) -> None:
    query = "?as_of=2026-03-02T14:00:00%2B02:00&known_at=2026-03-02T12:00:00.5Z"
    body = told.get("portal", f"{ACCOUNT}/{page}{query}").body
    assert body["as_of"] == "2026-03-02T12:00:00.000000Z"
    assert body["known_at"] == "2026-03-02T12:00:00.500000Z"
    assert body["position"] == told.head


def test_both_times_are_now_if_left_out(told: Api) -> None:
    body = told.get("portal", f"{ACCOUNT}/subscriptions").body
    assert body["as_of"] == body["known_at"] == iso(told.clock.now)


def test_a_seat_can_be_asked_about_as_of_a_moment(told: Api) -> None:
    path = f"{ACCOUNT}/seats/cloud_pos/till-1"
    assert told.get("portal", path).body["reason"] == "no_seat"
    then = told.get("portal", f"{path}?as_of=2026-03-02T12:00:00Z").body
    assert (then["licensed"], then["occupied_at"]) == (True, "2026-03-02T12:00:00.000000Z")
    later = told.get("portal", f"{path}?as_of=2027-01-01T00:00:00Z&known_at=2026-03-02T12:00:00Z")
    assert (later.body["licensed"], later.body["reason"]) == (False, "no_active_subscription")


def test_history_is_cut_to_what_is_asked_for(told: Api) -> None:
    path = f"{ACCOUNT}/seat-history?from=2026-03-02T00:00:00Z&to=2026-03-02T18:00:00Z"
    body = told.get("portal", path).body
    assert (body["from"], body["to"]) == (
        "2026-03-02T00:00:00.000000Z",
        "2026-03-02T18:00:00.000000Z",
    )
    assert [(point["at"], point["used"]) for point in body["points"]] == [
        ("2026-03-02T00:00:00.000000Z", 0),
        ("2026-03-02T12:00:00.000000Z", 1),
    ]


def times_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        named = [v for k, v in value.items() if (k.endswith("_at") or k == "as_of") and v]
        return named + [time for inner in value.values() for time in times_in(inner)]
    if isinstance(value, list):
        return [time for inner in value for time in times_in(inner)]
    return []


def test_every_time_is_in_utc_with_six_digits(told: Api) -> None:
    for path in ("subscriptions", "seats", "seat-history"):
        found = times_in(told.get("portal", f"{ACCOUNT}/{path}?{A_SEAT_TAKEN}").body)
        assert len(found) >= 2
        assert all(TIME.fullmatch(time) for time in found)
    assert all(TIME.fullmatch(time) for time in times_in(told.get("admin", "/v1/keys").body))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T14:30:00+02:30", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T00:00:00-12:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2028-02-29T12:00:00.123456789Z", datetime(2028, 2, 29, 12, 0, 0, 123456, UTC)),
        ("2026-03-01t12:00:00.1z", datetime(2026, 3, 1, 12, 0, 0, 100000, UTC)),
    ],
)
def test_a_time_is_read_into_utc(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-03-01", "2026-03-01T12:00Z", "2026-03-01 12:00:00Z", "20260301T120000Z",
        "2026-W09-7T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01T12:00:00+0100",
        "2026-03-01T12:00:00+01", "2026-03-01T12:00:00 01:00", "2026-02-29T12:00:00Z",
        "2026-03-01T24:00:01Z", "2026-03-01T12:60:00Z", "2026-03-01T12:00:00,5Z",
        "2026-03-01T12:00:00Z\n", " 2026-03-01T12:00:00Z", "2026-03-01T12:00:00.Z",
        "\u0662026-03-01T12:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01", "2026-03-01T12:00:00+24:00", "1772366400",
    ],
)  # fmt: skip
def test_what_is_no_time_or_no_moment_is_refused(text: str) -> None:
    with pytest.raises(NotATime):
        parse_time(text)
