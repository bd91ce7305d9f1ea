"""Notices: each thing once, at the moment when it is true and known, however time is cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.streams.reseller import RESELLER as RESELLER_STREAM
from ledger.streams.reseller import stream_id
from projections.lists.notices_table import fill
from tests.web.api import INT, OTHER_RESELLER, POS, RESELLER, Api, api_over, memory_api, stored_api
from tests.worlds import NOON
from web.api.notices import SETTLING_S
from web.app.clock import system_clock
from web.app.context import EXTENSION

DAY = timedelta(days=1)
FAR = NOON + 800 * DAY


@pytest.fixture
def api() -> Api:
    return memory_api()


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ask(api: Api, role: str = "admin", **query: Any) -> list[dict[str, Any]]:
    """Return all notices that fit, page by page."""
    named = {"start": "from", "end": "to"}
    parts = [
        f"{named.get(name, name)}={iso(value) if isinstance(value, datetime) else value}"
        for name, value in query.items()
    ]
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        extra = [f"cursor={cursor}"] if cursor else []
        got = api.get(role, "/v1/notices?" + "&".join(["limit=3", *parts, *extra]))
        assert got.status == 200, got.body
        found += got.body["items"]
        cursor = got.body["next"]
        if cursor is None:
            return found


def told(notices: Sequence[dict[str, Any]], *kinds: str) -> list[tuple[str, str]]:
    """Return kinds and days of notices; all but tokens', which every ledger here has."""
    return [
        (
            one["kind"] + (f" {one['facts']['days']}" if "days" in one["facts"] else ""),
            one["at"][:10],
        )
        for one in notices
        if not kinds or one["kind"] in kinds
    ]


def test_a_subscription_is_told_of_from_its_start_to_its_end(api: Api) -> None:
    api.redeem("acme", months=2)
    ends = NOON.replace(month=NOON.month + 2)
    assert told(ask(api, end=FAR)) == [
        ("subscription.started", iso(NOON)[:10]),
        ("subscription.ending 30", iso(ends - 30 * DAY)[:10]),
        ("subscription.ending 7", iso(ends - 7 * DAY)[:10]),
        ("subscription.ending 1", iso(ends - DAY)[:10]),
        ("subscription.ended", iso(ends)[:10]),
    ]
    (first, *_) = ask(api)
    assert (first["account"], first["reseller"]) == ("acme", RESELLER)
    assert first["summary"] == "2 Cloud POS seats of acme began"
    assert ask(api, end=FAR)[2]["summary"].startswith(
        "2 Cloud POS seats of acme end in 7 days, on "
    )


def test_what_begins_shorter_than_the_notice_is_not_told_of_by_it(api: Api) -> None:
    api.redeem("acme", months=1)
    kinds = [kind for kind, _ in told(ask(api, end=FAR), "subscription.ending")]
    assert kinds[-2:] == ["subscription.ending 7", "subscription.ending 1"]


def test_a_terminated_subscription_ended_then_and_is_not_ending(api: Api) -> None:
    subscription = api.redeem("acme", months=2)
    api.clock.forward(days=3)
    path = f"/v1/accounts/acme/subscriptions/{subscription}/terminate"
    assert api.post("admin", path, {"reason": "Ended"}).status == 200
    assert told(ask(api, end=FAR)) == [
        ("subscription.started", iso(NOON)[:10]),
        ("subscription.ended", iso(NOON + 3 * DAY)[:10]),
    ]


def test_what_has_been_renewed_is_not_ending_until_that_is_taken_back(api: Api) -> None:
    first = api.redeem("acme", months=2)
    code = api.issue(months=2)["code"]
    got = api.try_code(code, start="when_current_ends")
    assert got.status == 201, got.body
    second = got.body["subscription"]["subscription"]
    ends = NOON.replace(month=NOON.month + 2)
    seen = [(one["subject"], *told([one])[0]) for one in ask(api, end=FAR)]
    assert (first, "subscription.ended", iso(ends)[:10]) in seen
    assert (second, "subscription.started", iso(ends)[:10]) in seen
    assert {id for id, kind, _ in seen if kind.startswith("subscription.ending")} == {second}
    api.clock.now = ends - 5 * DAY
    path = f"/v1/accounts/acme/subscriptions/{second}/terminate"
    assert api.post("admin", path, {"reason": "A mistake"}).status == 200
    seen = [(one["subject"], *told([one])[0]) for one in ask(api, end=FAR)]
    assert [one for one in seen if one[1].startswith("subscription.ending")] == [
        (first, "subscription.ending 7", iso(ends - 5 * DAY)[:10]),
        (first, "subscription.ending 1", iso(ends - DAY)[:10]),
    ]
    assert not any(id == second and kind == "subscription.started" for id, kind, _ in seen)


def test_what_lasts_longer_ends_later(api: Api) -> None:
    id = api.redeem("acme", months=2)
    ends = NOON.replace(month=NOON.month + 2)
    api.clock.now = ends - 3 * DAY
    path = f"/v1/accounts/acme/subscriptions/{id}/extend"
    assert api.post("admin", path, {"days": 60, "reason": "Goodwill"}).status == 200
    later = ends + 60 * DAY
    assert told(ask(api, end=FAR), "subscription.ending", "subscription.ended") == [
        ("subscription.ending 30", iso(ends - 30 * DAY)[:10]),
        ("subscription.ending 7", iso(ends - 7 * DAY)[:10]),
        ("subscription.ending 30", iso(later - 30 * DAY)[:10]),
        ("subscription.ending 7", iso(later - 7 * DAY)[:10]),
        ("subscription.ending 1", iso(later - DAY)[:10]),
        ("subscription.ended", iso(later)[:10]),
    ]


def test_seats_are_told_of_when_they_are_full_and_when_too_few_are_left(api: Api) -> None:
    api.redeem("acme", months=1)
    api.clock.forward(days=1)
    api.redeem("acme", months=2)
    for holder in ("a", "b", "c", "d"):
        api.clock.forward(hours=1)
        api.sit(holder)
    seen = told(ask(api, end=FAR), "seats.full", "seats.over")
    first_end = NOON.replace(month=NOON.month + 1)
    assert seen == [
        ("seats.full", iso(NOON + DAY)[:10]),
        ("seats.over", iso(first_end)[:10]),
    ]
    api.delete("portal", "/v1/accounts/acme/seats/cloud_pos/a")
    api.delete("portal", "/v1/accounts/acme/seats/cloud_pos/b")
    assert told(ask(api, end=first_end, start=NOON + 2 * DAY), "seats.over") == []


def test_a_key_is_told_of_until_somebody_redeems_or_amends_it(api: Api) -> None:
    by = NOON + 40 * DAY
    key = api.issue(redeem_by=iso(by))
    other = api.issue(redeem_by=iso(by))
    assert (
        told(ask(api, end=FAR), "key.lapsing", "key.lapsed").count(("key.lapsed", iso(by)[:10]))
        == 2
    )
    api.try_code(other["code"])
    seen = ask(api, end=FAR)
    assert {one["subject"] for one in seen if one["kind"].startswith("key.")} == {key["id"]}
    assert [kind for kind, _ in told(seen, "key.lapsing")] == [
        "key.lapsing 30", "key.lapsing 7", "key.lapsing 1",
    ]  # fmt: skip
    api.clock.now = by - 5 * DAY
    api.post("admin", f"/v1/keys/{key['id']}/revoke", {"reason": "Lost"})
    assert [kind for kind, _ in told(ask(api, end=FAR), "key.lapsing", "key.lapsed")] == [
        "key.lapsing 30", "key.lapsing 7",
    ]  # fmt: skip


def test_each_role_sees_what_it_may(api: Api) -> None:
    api.redeem("acme")
    api.issue({**INT, "reseller": OTHER_RESELLER}, redeem_by=iso(NOON + 9 * DAY))
    assert {one["account"] for one in ask(api, "portal", end=FAR)} == {"acme"}
    assert {one["reseller"] for one in ask(api, "reseller", end=FAR)} == {RESELLER}
    assert {one["reseller"] for one in ask(api, "other", end=FAR)} == {OTHER_RESELLER}
    assert ask(api, "reseller", end=FAR, reseller=OTHER_RESELLER) == []
    assert len(ask(api, "auditor", end=FAR)) == len(ask(api, end=FAR)) > 3
    assert {one["kind"] for one in ask(api, end=FAR, kind="key.lapsed")} == {"key.lapsed"}


def test_a_reseller_is_told_when_little_is_left_to_order(api: Api) -> None:
    path = f"/v1/resellers/{RESELLER}/grants"
    grant = {"product": "cloud_pos", "seats": 100, "reason": "Spring"}
    assert api.post("admin", path, grant).status == 201
    assert told(ask(api), "allowance.low") == []
    for seats in (89, 1, 1):
        assert api.post("reseller", "/v1/keys", {**POS, "seats": seats}).status == 201
        api.clock.forward(hours=1)
    (low,) = ask(api, "reseller", kind="allowance.low")
    assert (low["facts"]["left"], low["reseller"]) == (10, RESELLER)
    assert low["summary"] == "10 of 100 Cloud POS seats are left to order"
    assert api.post("admin", path, grant).status == 201
    assert len(ask(api, kind="allowance.low")) == 1


def test_what_is_left_is_told_alike_whenever_it_is_looked_for(api: Api) -> None:
    """Each event of a reseller is read once, and folded on from what is known."""
    grants = f"/v1/resellers/{RESELLER}/grants"
    grant = {"product": "cloud_pos", "seats": 100, "reason": "Spring"}
    assert api.post("admin", grants, grant).status == 201
    wiring = api.app.extensions[EXTENSION].wiring
    book = api.services.book
    read: list[int] = []
    plain = book.store.read_stream

    def counted(stream: str, *limits: Any, **others: Any) -> Any:
        head, rows = plain(stream, *limits, **others)
        if stream.startswith("reseller-"):
            read.append(len(rows))
        return head, rows

    book.store.read_stream = counted  # type: ignore[method-assign]
    folded = 0
    for seats in (85, 1, 1, 1, 1, 1):
        assert api.post("reseller", "/v1/keys", {**POS, "seats": seats}).status == 201
        read.clear()
        fill(book, wiring.tables, wiring.services.catalog.notices)
        folded += sum(read)
    head = book.load(RESELLER_STREAM, stream_id(RESELLER)).version
    assert folded == head
    (low,) = ask(api, "reseller", kind="allowance.low")
    assert low["facts"]["left"] == 10


def test_a_stretch_is_told_without_its_beginning_and_with_its_end(api: Api) -> None:
    api.redeem("acme", months=2)
    ends = NOON.replace(month=NOON.month + 2)
    assert told(ask(api, start=ends - DAY, end=ends)) == [("subscription.ended", iso(ends)[:10])]
    assert told(ask(api, start=ends, end=FAR)) == []


def test_a_stretch_that_ends_before_it_begins_is_refused(api: Api) -> None:
    got = api.get("admin", f"/v1/notices?from={iso(FAR)}")
    assert (got.status, got.pointers) == (422, ["/from"])


CHANGES: dict[str, dict[str, Any]] = {
    "terminate": {}, "extend": {"days": 20}, "start": {}, "transfer": {"to": "blue"},
}  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["redeem", "renew", "sit", "leave", "issue", *CHANGES]),
        st.integers(0, 40),
    ),
    min_size=3,
    max_size=14,
)


def happen(api: Api, subscriptions: list[str], step: str, days: int, number: int) -> None:
    """Let one thing happen to acme, if it can; add to its subscriptions what it adds."""
    match step:
        case "redeem":
            subscriptions.append(api.redeem("acme", months=1 + days % 3))
        case "renew" if subscriptions:
            got = api.try_code(api.issue(months=2)["code"], start="when_current_ends")
            subscriptions.append(got.body["subscription"]["subscription"])
        case "sit":
            api.sit(f"h{days % 5}")
        case "leave":
            api.delete("portal", f"/v1/accounts/acme/seats/cloud_pos/h{days % 5}")
        case "issue":
            api.issue(POS, redeem_by=iso(api.clock.now + (days + 1) * DAY))
        case _ if subscriptions:
            id = subscriptions[number % len(subscriptions)]
            path = f"/v1/accounts/acme/subscriptions/{id}/{step}"
            api.post("admin", path, {**CHANGES.get(step, {}), "reason": "Asked for"})


CUTS = st.lists(st.integers(0, 500), max_size=4)


@settings(max_examples=25)
@given(STEPS, CUTS)
def test_any_cut_of_time_gives_the_same_list_and_what_was_told_stays_told(
    steps: list[tuple[str, int]], cuts: list[int]
) -> None:
    hold_to_any_cut(steps, cuts)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=1_000, deadline=None)
@given(STEPS, CUTS)
def test_any_cut_of_a_thousand_histories_gives_the_same_list(
    steps: list[tuple[str, int]], cuts: list[int]
) -> None:
    hold_to_any_cut(steps, cuts)


def hold_to_any_cut(steps: list[tuple[str, int]], cuts: list[int]) -> None:
    """Live a history, and ask for its notices as it goes on, as a whole, and in parts."""
    api = memory_api()
    subscriptions: list[str] = []
    seen: list[dict[str, Any]] = []
    before: datetime | None = None
    for number, (step, days) in enumerate(steps):
        api.clock.forward(days=days, hours=1)
        happen(api, subscriptions, step, days, number)
        seen += ask(api, start=before or NOON - DAY, end=api.clock.now)
        before = api.clock.now
    assert before is not None
    assert seen == ask(api, end=before)
    whole = ask(api, end=FAR)
    assert whole[: len(seen)] == seen
    parts: list[dict[str, Any]] = []
    moments = [NOON - DAY, *sorted(NOON + cut * DAY for cut in cuts), FAR]
    for start, end in pairwise(moments):
        parts += ask(api, start=start, end=end)
    assert parts == whole
    assert len({one["id"] for one in whole}) == len(whole)


def lived_in(api: Api) -> list[list[dict[str, Any]]]:
    """Let things happen, and return what is told of them to several questions."""
    for account in ("acme", "blue"):
        api.clock.forward(days=1)
        api.redeem(account, months=2)
        for holder in ("a", "b"):
            api.sit(holder, account)
        ask(api, end=FAR)
    api.issue(redeem_by=iso(NOON + 40 * DAY))
    return [
        ask(api, end=FAR, **query)
        for query in (
            {},
            {"account": "acme"},
            {"reseller": RESELLER.upper()},
            {"kind": "seats.full"},
            {"start": NOON + 20 * DAY},
        )
    ]


def test_every_store_tells_the_same(tmp_path: Path, postgres_ledger_url: str) -> None:
    expected = lived_in(memory_api())
    assert all(expected)
    for url in (f"sqlite:///{tmp_path}/keyfold.db", postgres_ledger_url):
        with stored_api(url) as api:
            found = lived_in(api)
        for one, other in zip(found, expected, strict=True):
            assert sorted((n["at"], n["kind"], n["account"] or "") for n in one) == sorted(
                (n["at"], n["kind"], n["account"] or "") for n in other
            )


def test_an_answer_up_to_now_waits_for_what_is_being_stored(tmp_path: Path) -> None:
    with stored_api(f"sqlite:///{tmp_path}/ledger.db") as api:
        wiring = api.app.extensions[EXTENSION].wiring._replace(clock=system_clock)
        end = system_clock()
        told = api_over(wiring, api).get("admin", f"/v1/notices?to={end.isoformat()[:-6]}Z")
        assert told.status == 200
        assert (system_clock() - end).total_seconds() >= SETTLING_S
