"""What has been renewed is not ending: overview, banner, notices and resellers agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import ending
from projections.lists.overview import overview
from tests.projections.test_notices import FAR, ask
from tests.web.api import INT, POS, RESELLER, Api, memory_api
from tests.worlds import NOON
from web.app.context import EXTENSION

DAY = timedelta(days=1)
ENDS = NOON.replace(month=NOON.month + 2)
ALL_DAYS = [30, 7, 1]


@pytest.fixture
def api() -> Api:
    """Return a ledger in which 2 seats of acme's end in twenty days."""
    api = memory_api()
    api.first = renew(api, months=2)  # type: ignore[attr-defined]
    api.clock.now = ENDS - 20 * DAY
    return api


def first(api: Api) -> str:
    return str(api.first)  # type: ignore[attr-defined]


def renew(api: Api, start: str = "now", order: dict[str, Any] = POS, **terms: Any) -> str:
    """Redeem another key for acme; return its subscription."""
    code = api.issue({**order, "reseller": RESELLER}, **terms)["code"]
    got = api.try_code(code, start=start)
    assert got.status == 201, got.body
    return str(got.body["subscription"]["subscription"])


def change(api: Api, subscription: str, what: str, **body: Any) -> None:
    path = f"/v1/accounts/acme/subscriptions/{subscription}/{what}"
    got = api.post("admin", path, {"reason": "Asked for", **body})
    assert got.status in (200, 201), got.body


def is_ending(api: Api, subscription: str) -> bool:
    """Return whether it is, as all who tell of it say."""
    wiring, now = api.app.extensions[EXTENSION].wiring, api.clock.now
    book = api.services.book
    in_overview = {one.subscription for one in overview(book, wiring.tables, now).ending}
    in_banner = {one.id for one in ending(book.load(ACCOUNT, "acme").state, now + 30 * DAY, now)}
    rows = api.get("admin", f"/v1/resellers/{RESELLER}").body["ending"]
    (of_reseller,) = [one for one in rows if one["subscription"] == subscription]
    to_come = {one["subject"] for one in ending_notices(api, start=now)}
    said = [
        subscription in in_overview,
        subscription in in_banner,
        not of_reseller["renewed"],
        subscription in to_come,
    ]
    assert len(set(said)) == 1, said
    return said[0]


def ending_notices(api: Api, **query: Any) -> list[dict[str, Any]]:
    return ask(api, end=FAR, kind="subscription.ending", account="acme", **query)


def days_told(api: Api, subscription: str, **query: datetime) -> list[int]:
    found = ending_notices(api, **query)
    return [one["facts"]["days"] for one in found if one["subject"] == subscription]


@pytest.mark.parametrize("start", ["now", "when_current_ends"])
def test_what_was_renewed_is_not_ending_whenever_the_renewal_begins(api: Api, start: str) -> None:
    assert is_ending(api, first(api))
    renew(api, start)
    assert not is_ending(api, first(api))
    assert days_told(api, first(api)) == [30]  # what was told before stays told
    (ended,) = [
        one for one in ask(api, end=FAR, kind="subscription.ended") if one["subject"] == first(api)
    ]
    assert ended["facts"]["renewed"] is True


@pytest.mark.parametrize(
    "redeem",
    [
        lambda api: renew(api, seats=1),
        lambda api: renew(api, "when_current_ends", seats=1),
        lambda api: renew(api, order=INT),
    ],
    ids=["fewer seats now", "fewer seats later", "another tier"],
)
def test_what_gives_less_or_something_else_renews_nothing(
    api: Api, redeem: Callable[[Api], str]
) -> None:
    redeem(api)
    assert is_ending(api, first(api))
    assert days_told(api, first(api)) == ALL_DAYS


def test_two_keys_may_renew_one(api: Api) -> None:
    renew(api, seats=1)
    assert is_ending(api, first(api))
    renew(api, seats=1)
    assert not is_ending(api, first(api))


def test_one_key_renews_one_also_when_that_has_ended() -> None:
    api = memory_api()
    one = renew(api, months=2)
    api.clock.forward(days=5)
    other = renew(api, months=2)
    api.clock.now = ENDS - 3 * DAY
    renew(api)
    assert (is_ending(api, one), is_ending(api, other)) == (False, True)
    api.clock.now = ENDS + DAY
    assert is_ending(api, other)
    assert days_told(api, other) == ALL_DAYS


def test_seats_that_are_added_within_days_renew_none_of_each_other() -> None:
    api = memory_api()
    tills = []
    for _ in range(4):
        tills.append(renew(api, months=2))
        api.clock.forward(days=1)
    api.clock.now = ENDS - 8 * DAY
    assert all(is_ending(api, till) for till in tills)
    assert all(days_told(api, till) == ALL_DAYS for till in tills)


@pytest.mark.parametrize("start", ["now", "when_current_ends"])
@pytest.mark.parametrize("what", ["terminate", "transfer"])
def test_a_renewal_that_was_taken_away_renews_nothing(api: Api, start: str, what: str) -> None:
    later = renew(api, start)
    api.clock.now = ENDS - 5 * DAY
    change(api, later, what, **({"to": "beta"} if what == "transfer" else {}))
    assert is_ending(api, first(api))
    # Of what had passed unsaid, the last is told when it is known.
    assert days_told(api, first(api)) == [30, 7, 1]
    told = ending_notices(api, start=ENDS - 6 * DAY)
    assert told[0]["at"] == api.clock.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_renewal_renews_nothing_while_it_is_suspended(api: Api) -> None:
    later = renew(api)
    api.clock.now = ENDS - 5 * DAY
    change(api, later, "suspend")
    assert is_ending(api, first(api))
    # Of what had passed unsaid, the last is told when it is known.
    assert days_told(api, first(api)) == ALL_DAYS
    api.clock.now = ENDS - 4 * DAY
    change(api, later, "resume")
    assert not is_ending(api, first(api))
    assert days_told(api, first(api)) == [30, 7]  # what was told before stays told


def test_what_is_suspended_may_have_been_renewed(api: Api) -> None:
    change(api, first(api), "suspend")
    assert is_ending(api, first(api))
    renew(api)
    assert not is_ending(api, first(api))


def test_what_is_redeemed_after_the_end_renews_nothing(api: Api) -> None:
    before = ask(api, end=ENDS + DAY, account="acme")
    api.clock.now = ENDS + DAY
    again = renew(api, months=1)
    assert ask(api, end=ENDS + DAY - timedelta(microseconds=1), account="acme") == before
    api.clock.forward(days=5)
    assert is_ending(api, again)
    assert days_told(api, first(api)) == ALL_DAYS
