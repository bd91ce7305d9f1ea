"""The timeline: every event is found by all that it names, and told as its reader may see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from commands.change_subscription import terminate_subscription
from commands.erase_account import erase_account
from commands.give_access import create_token
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from examples.demonstration.story import tell
from ledger.book import Book
from ledger.refusals import KeyNotAvailable
from projections.audit.table_differences import RowDifference, differences
from projections.lists import catch_up
from projections.lists.references import references
from projections.lists.stores import Tables, open_tables
from projections.lists.stores.tables import Row
from projections.lists.timeline import DescribedEvent, TimelineQuery, Visibility, timeline
from projections.lists.timeline_table import TIMELINE
from tests.projections.telling import tell as line
from tests.projections.test_key_list_plans import Explaining
from tests.worlds import DAY, NOON, context, issue, recorded, services

LIMIT = 500
LATER = NOON + 300 * DAY


@pytest.fixture
def world(book: Book) -> Services:
    return services(book)


def asked(
    world: Services,
    tables: Tables,
    query: TimelineQuery | str,
    visibility: Visibility | None = None,
) -> list[DescribedEvent]:
    query = TimelineQuery(ref=query) if isinstance(query, str) else query
    visibility = visibility or Visibility(world.texts)
    return timeline(world.book, tables, world.catalog, query, visibility, limit=LIMIT).entries


def told(
    world: Services,
    tables: Tables,
    query: TimelineQuery | str,
    visibility: Visibility | None = None,
) -> list[str]:
    """Return the sentences, oldest first."""
    return [entry.summary for entry in reversed(asked(world, tables, query, visibility))]


def test_the_life_of_a_till_reads_as_a_story(world: Services, tables: Tables) -> None:
    portal = create_token(world, context(), "portal").token.id
    by_portal = context(actor=portal, request_id="req_2")
    key = issue(world)
    subscription = redeem_key(world, by_portal, Try("acme", "s-1", key.code)).subscription
    occupy_seat(world, by_portal, Sitting("acme", "cloud_pos", None, "till-1", "Front desk"))
    occupy_seat(world, by_portal, Sitting("acme", "cloud_pos", None, "till-1", "Back door"))
    release_seat(world, by_portal, "acme", "cloud_pos", "till-1")
    terminate_subscription(world, context(), "acme", subscription, "Paid back")
    masked = key.masked
    assert told(world, tables, TimelineQuery(account="acme")) == [
        f"Key {masked} redeemed on account acme: 3 Cloud POS seats for 12 months, by portal",
        f"Key {masked} redeemed: 3 Cloud POS seats until 1 Mar 2027, by portal",
        "Holder till-1 (“Front desk”) took a Cloud POS seat, by portal",
        "Holder till-1 is now known as “Back door”, by portal",
        "Holder till-1 gave its Cloud POS seat back, by portal",
        (
            f"Subscription of key {masked} terminated before its time: 3 Cloud POS seats ended,"
            " by the operator: “Paid back”"
        ),
    ]
    first = asked(world, tables, TimelineQuery(account="acme"))[-1]
    assert (first.event.actor, first.actor_role) == (portal, "portal")
    assert first.refs == [key.id, "acme", subscription, "req_2", portal]


def test_the_life_of_a_key_reads_as_a_story(world: Services, tables: Tables) -> None:
    first, second = issue_keys(world, context(), _ORDER).keys
    revoke_key(world, context(), first.id, "One too many")
    new = reissue_key(world, context(), second.id, "It was on a photo")
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), Try("acme", "s-1", first.code))
    assert told(world, tables, first.id) == [
        (
            f"Key {first.masked} issued to Northwind: 2 Integrations Growth seats for 12 months,"
            " to be redeemed before 10 Mar 2026, 12:00 UTC, by the operator"
        ),
        f"Key {first.masked} revoked, by the operator: “One too many”",
        (
            f"Key {first.masked} could not be redeemed: This activation key is not available"
            " (it was revoked); session s-1, by the operator"
        ),
    ]
    assert told(world, tables, second.id)[1:] == [
        (
            f"Key {second.masked} replaced by {new.masked}: the old code works no more,"
            " by the operator: “It was on a photo”"
        ),
        (
            f"Key {new.masked} given in place of {second.masked}: 2 Integrations Growth seats for"
            " 12 months, by the operator"
        ),
    ]
    assert told(world, tables, first.masked) == told(world, tables, first.id)
    assert told(world, tables, f" {first.masked.lower().replace('•', '*')} ") == told(
        world, tables, first.id
    )


_ORDER = Order(
    "integrations", "growth", 2, 12, 2, "Northwind", redeem_by=NOON + 9 * DAY, note="Spring"
)


def test_every_event_is_found_by_everything_that_it_names(world: Services, tables: Tables) -> None:
    tell(world, LATER, test_clock=False)
    events = recorded(world)
    found = {
        ref.id: {entry.event.position for entry in asked(world, tables, ref.id)}
        for event in events
        for ref in references(event)
        if ref.kind != "seat"
    }
    for event in events:
        for ref in references(event):
            if ref.kind != "seat":
                assert event.position in found[ref.id], (event.name, ref)
    everything = asked(world, tables, TimelineQuery())
    assert [entry.event for entry in everything] == events[::-1]
    for entry in everything:
        for id in entry.refs:
            assert entry.event.position in found[id], (entry.summary, id)


def test_a_holder_of_one_account_is_not_that_of_another(world: Services, tables: Tables) -> None:
    for account in ("acme", "till-1", "other"):
        code = issue_keys(world, context(), _ORDER).keys[0].code
        redeem_key(world, context(), Try(account, "s-1", code))
        occupy_seat(world, context(), Sitting(account, "integrations", "growth", "till-1"))
    named = {entry.event.stream for entry in asked(world, tables, "till-1")}
    assert {"account-acme", "account-till-1", "account-other"} < named
    for account in ("acme", "other"):
        (entry,) = asked(world, tables, TimelineQuery(ref="till-1", account=account))
        assert entry.event.stream == f"account-{account}"
    whole = {entry.event.stream for entry in asked(world, tables, TimelineQuery(account="till-1"))}
    assert {stream for stream in whole if stream.startswith("account-")} == {"account-till-1"}


def test_it_is_narrowed_down_by_what_happened_who_asked_and_when(
    world: Services, tables: Tables
) -> None:
    portal = create_token(world, context(), "portal").token.id
    for day in range(4):
        actor = portal if day % 2 else "operator"
        issue_keys(world, context(NOON + day * DAY, actor=actor), _ORDER)

    def found(**filters: object) -> list[tuple[str, int]]:
        entries = asked(world, tables, TimelineQuery(**filters))  # type: ignore[arg-type]
        return [
            (entry.event.actor, (entry.event.recorded_at - NOON) // DAY)
            for entry in entries
            if entry.event.name == "batch.keys_issued@1"
        ]

    every = [(portal, 3), ("operator", 2), (portal, 1), ("operator", 0)]
    assert found() == found(event="batch.keys_issued@1") == every
    assert found(event="batch.keys_issued") == every
    assert found(event="key.issued") == []
    assert found(actor=portal) == found(ref=portal) == [every[0], every[2]]
    assert found(start=NOON + DAY, end=NOON + 3 * DAY) == every[1:3]
    assert found(as_of=NOON + DAY) == found(known_at=NOON + DAY) == every[2:]


def test_all_that_somebody_asked_for_is_found_and_no_more(world: Services, tables: Tables) -> None:
    portal = create_token(world, context(), "portal").token.id
    actors = [portal, "kfp_visit", "operator", "stripe"]
    for actor in (*actors, *actors):
        issue_keys(world, context(actor=actor), _ORDER)
    create_token(world, context(actor=portal), "support")
    events = recorded(world)[::-1]
    for actor in (*actors, "kft_nobody", f" {portal}"):
        found = asked(world, tables, TimelineQuery(actor=actor))
        assert [entry.event for entry in found] == [one for one in events if one.actor == actor]
        visibility = Visibility(None, reseller=_ORDER.reseller)
        theirs = [entry.event for entry in asked(world, tables, TimelineQuery(), visibility)]
        found = asked(world, tables, TimelineQuery(actor=actor), visibility)
        assert [entry.event for entry in found] == [one for one in theirs if one.actor == actor]


def test_pages_follow_one_another_whatever_comes_meanwhile(world: Services, tables: Tables) -> None:
    issue_keys(world, context(), replace(_ORDER, count=9))
    whole = [entry.event.position for entry in asked(world, tables, "req_1")]
    for limit in (1, 2, 3, 10, 11):
        turned, after = [], None
        while True:
            page = timeline(
                world.book, tables, world.catalog, TimelineQuery(ref="req_1"),
                Visibility(None), after=after, limit=limit,
            )  # fmt: skip
            turned += [entry.event.position for entry in page.entries]
            after = page.next
            issue_keys(world, context(request_id="req_other"), _ORDER)
            if after is None:
                break
        assert turned == whole


def test_a_page_is_read_in_as_many_goes_whatever_is_on_it(
    world: Services, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        token = create_token(world, context(), "portal").token.id
        issue_keys(world, context(actor=token, request_id=f"req_n{number % 3}"), _ORDER)
    asked(world, tables, "req_n1")
    goes: list[str] = []
    store = world.book.store
    for name in ("read_from", "read_positions", "read_stream", "read_streams"):
        method = getattr(store, name)

        def noted(
            *args: object, name: str = name, method: Callable[..., object] = method, **more: object
        ) -> object:
            goes.append(name)
            return method(*args, **more)

        monkeypatch.setattr(store, name, noted)
    entries = asked(world, tables, "req_n1")
    assert len(entries) == 30
    assert len({entry.event.actor for entry in entries}) == 10
    assert sorted(goes) == ["read_positions", "read_streams", "read_streams"]


# What a reader may see


def _with_texts(world: Services) -> None:
    code = issue_keys(world, context(), _ORDER).keys[0].code
    subscription = redeem_key(world, context(), Try("acme", "s-1", code)).subscription
    occupy_seat(world, context(), Sitting("acme", "integrations", "growth", "shop", "Web shop"))
    terminate_subscription(world, context(), "acme", subscription, "Paid back")


def test_free_text_shows_to_those_who_may_see_it(world: Services, tables: Tables) -> None:
    _with_texts(world)
    sat = TimelineQuery(event="account.seat_occupied")
    (open_,) = asked(world, tables, sat)
    assert "“Web shop”" in open_.summary
    assert open_.data["label"] == "Web shop"
    (closed,) = asked(world, tables, sat, Visibility(None))
    assert closed.summary == "Holder shop took an Integrations Growth seat, by the operator"
    assert closed.data["label"] == "(not shown)"
    for entry in asked(world, tables, TimelineQuery(), Visibility(None)):
        assert not {"Web shop", "Paid back", "Spring"} & {str(v) for v in entry.data.values()}
        assert "“" not in entry.summary


def test_erased_text_says_so(world: Services, tables: Tables) -> None:
    _with_texts(world)
    erase_account(world, context(), "acme", "Asked to")
    erased, ended, sat = asked(world, tables, TimelineQuery(account="acme"))[:3]
    assert sat.data["label"] == ended.data["reason"] == "(erased)"
    assert sat.summary == "Holder shop (erased) took an Integrations Growth seat, by the operator"
    assert ended.summary.endswith("by the operator: (erased)")
    assert erased.summary.endswith("erased, for ever: 2 texts, by the operator: “Asked to”")


def test_no_sealed_text_and_no_code_is_in_the_table(world: Services, tables: Tables) -> None:
    codes = [key.code for key in issue_keys(world, context(), _ORDER).keys]
    redeem_key(world, context(), Try("acme", "s-1", codes[0]))
    occupy_seat(world, context(), Sitting("acme", "integrations", "growth", "shop", "Web shop"))
    asked(world, tables, TimelineQuery())
    rows = str(tables.read("SELECT * FROM keyfold_timeline_2", {}))
    assert "shop" in rows
    boxes = [getattr(event.fact, "label", None) for event in recorded(world)]
    for secret in (*codes, "Web shop", "Spring", *(box.box for box in boxes if box)):
        assert secret not in rows


def test_the_portal_does_not_learn_why_a_code_was_not_available(
    world: Services, tables: Tables
) -> None:
    key = issue(world)
    revoke_key(world, context(), key.id, "Lost")
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), Try("acme", "s-1", key.code))
    with pytest.raises(KeyNotAvailable):
        redeem_key(world, context(), Try("acme", "s-1", "POS-AAAA-BBBB-CCCC"))
    revoked, unknown = told(world, tables, TimelineQuery(account="acme"))
    assert "it was revoked" in revoked
    assert "there is no such key" in unknown
    visibility = Visibility(world.texts, found=False)
    entries = asked(world, tables, TimelineQuery(account="acme"), visibility)
    assert {entry.data["found"] for entry in entries} == {"(not shown)"}
    assert {entry.data["key_version"] for entry in entries} == {None}
    assert [entry.summary.split(": ")[1] for entry in entries] == [
        "This activation key is not available; session s-1, by the operator"
    ] * 2


def test_a_reseller_sees_its_own_keys_and_batches_only(world: Services, tables: Tables) -> None:
    mine = issue_keys(world, context(), _ORDER).keys
    theirs = issue_keys(world, context(), replace(_ORDER, reseller="Southgate")).keys
    redeem_key(world, context(), Try("acme", "s-1", mine[0].code))
    revoke_key(world, context(), theirs[1].id, "Lost")
    new = reissue_key(world, context(), mine[1].id, "Lost")
    visibility = Visibility(None, reseller="Northwind")

    def seen(ref: str | None) -> set[str]:
        return {e.event.stream for e in asked(world, tables, TimelineQuery(ref=ref), visibility)}

    streams = {f"key-{id.removeprefix('key_')}" for id in (mine[0].id, mine[1].id, new.id)}
    assert seen(mine[0].id) == seen(mine[0].masked) == {f"key-{mine[0].id.removeprefix('key_')}"}
    assert seen(mine[1].id) <= streams
    for ref in (theirs[0].id, theirs[1].id, theirs[1].masked, "acme", "req_1", "operator"):
        assert seen(ref) == set()
    assert {one for one in seen(None) if one.startswith("key-")} == streams
    names = {entry.event.name for entry in asked(world, tables, TimelineQuery(), visibility)}
    assert names == {
        "batch.keys_issued@1", "key.issued@1", "key.redeemed@1", "key.reissued@1"
    }  # fmt: skip


def test_what_was_learnt_late_says_so(tables: Tables, book: Book) -> None:
    line(book, "2026-03-01 09:00 redeem a cloud_pos 5 seats 12 months")
    line(book, "2026-03-01 10:00 recorded 2026-03-04 10:00 sit till-1 cloud_pos")
    world = services(book)
    assert told(world, tables, "till-1") == [
        (
            "Holder till-1 took a Cloud POS seat, by the operator;"
            " true since 1 Mar 2026, 10:00 UTC, learnt 3 days later"
        )
    ]


# The table


def test_rebuilt_from_zero_it_is_the_same(world: Services, tables: Tables) -> None:
    tell(world, LATER, test_clock=False)
    for _ in range(3):
        asked(world, tables, TimelineQuery())
        issue(world)
    assert list(differences(world.book, tables, TIMELINE)) == []


def test_a_row_that_is_wrong_missing_or_too_many_is_found(world: Services, tables: Tables) -> None:
    issue(world)
    asked(world, tables, TimelineQuery())
    with tables.transaction() as work:
        work.execute("UPDATE keyfold_timeline_2 SET reseller = 'x' WHERE ref LIKE 'masked%'", {})
        work.execute(
            "DELETE FROM keyfold_timeline_2 WHERE ref = :all AND position = 2", {"all": "all:*"}
        )
        work.execute(
            (
                "INSERT INTO keyfold_timeline_2 SELECT 'account', position, event, actor, reseller,"
                " recorded_at, occurred_at FROM keyfold_timeline_2 WHERE ref = :all"
            ),
            {"all": "all:*"},
        )
    found = [(one.key[0].partition(":")[0], one.position) for one in _wrong(world, tables)]
    assert found == [("account", 1), ("all", 2), ("masked", 2)]


def _wrong(world: Services, tables: Tables) -> list[RowDifference]:
    return list(differences(world.book, tables, TIMELINE))


def test_rebuilding_while_four_write_loses_and_doubles_nothing(
    shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 13)
    with closing(Book(shared_url)) as book, closing(open_tables(shared_url)) as tables:
        world = services(book)

        def write(number: int) -> None:
            code = issue_keys(world, context(), _ORDER).keys[0].code
            redeem_key(world, context(), Try(f"account-{number}", "s-1", code))
            for turn in range(25):
                sitting = Sitting(f"account-{number}", "integrations", "growth", f"h{turn % 2}")
                occupy_seat(world, context(), sitting)
                release_seat(world, context(), sitting.account, "integrations", sitting.holder)

        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, number) for number in range(4)]
            rebuilt = 0
            while rebuilt < 2 or not all(writer.done() for writer in writers):
                assert _wrong(world, tables) == []
                rebuilt += 1
            for writer in writers:
                writer.result()
        assert _wrong(world, tables) == []
        events = recorded(world)
        # Each is there once for everything that it names, and nothing else is.
        expected = sorted(
            (str(ref), event.position) for event in events for ref in [*references(event), "all:*"]
        )
        found = tables.read("SELECT ref, position FROM keyfold_timeline_2", {})
        assert sorted(found) == expected


# Its plans

FILL = """
    INSERT INTO keyfold_timeline_2 (ref, position, event, actor, recorded_at, occurred_at)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
    SELECT :holder || (n % 7), n, 'account.seat_occupied', 'operator', n, n FROM numbers
"""


QUESTIONS = [
    TimelineQuery(ref="h1"),
    TimelineQuery(ref="h1", account="acme", event="account.seat_occupied"),
    TimelineQuery(actor="operator", start=NOON, end=NOON + DAY),
]


@pytest.mark.parametrize("query", QUESTIONS)
def test_a_page_is_read_by_the_primary_key_alone(shared_url: str, query: TimelineQuery) -> None:
    sqlite_ = shared_url.startswith("sqlite")
    with closing(Book(shared_url)) as book, closing(open_tables(shared_url)) as tables:
        with tables.transaction() as work:
            work.execute(FILL, {"rows": 20_000, "holder": "holder:h"})
            if not sqlite_:
                work.execute("ANALYZE keyfold_timeline_2", {})
        explaining = Explaining(tables, "EXPLAIN QUERY PLAN " if sqlite_ else "EXPLAIN ")
        world = services(book)
        timeline(book, explaining, world.catalog, query, Visibility(None), after=9_000, limit=50)
    steps = [str(step[-1]) for step in explaining.plan]
    mine = [step for step in steps if "timeline" in step and ("SEARCH" in step or "Scan" in step)]
    assert mine
    assert all("PRIMARY KEY" in step or "keyfold_timeline_2_pkey" in step for step in mine), steps
    assert not any(
        "SCAN timeline" in step or "TEMP B-TREE" in step or "Sort" in step for step in steps
    )


def test_what_others_did_since_is_not_passed_over(postgres_ledger_url: str) -> None:
    portal, others = "kft_portal", 5_000

    def row(ref: str, position: int, actor: str) -> Row:
        return (ref, position, "account.seat_occupied", actor, None, position, position)

    rows = [row(ref, n, portal) for ref in ("all:*", f"token:{portal}") for n in range(60)]
    rows += [row("all:*", n, "operator") for n in range(60, 60 + others)]
    with (
        closing(Book(postgres_ledger_url)) as book,
        closing(open_tables(postgres_ledger_url)) as tables,
    ):
        with tables.transaction() as work:
            work.insert(TIMELINE.table, TIMELINE.columns, rows)
            work.execute(
                "INSERT INTO keyfold_projections (projection, position) VALUES (:name, 0)",
                {"name": TIMELINE.name},
            )
        explaining = Explaining(tables, "EXPLAIN (ANALYZE, FORMAT JSON) ")
        query = TimelineQuery(actor=portal)
        timeline(book, explaining, services(book).catalog, query, Visibility(None), limit=50)
    (((plan,),),) = explaining.plan
    steps = list(nodes(plan["Plan"]))
    assert [
        step["Actual Rows"] for step in steps if step.get("Index Name") == "keyfold_timeline_2_pkey"
    ] == [51]
    assert not any(step.get("Rows Removed by Filter") for step in steps), steps


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan that PostgreSQL tells as JSON."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
