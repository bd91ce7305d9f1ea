"""What is queued for webhooks: all of it, once, whoever had a key and however much is due."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from commands.add_webhook import WantedWebhook, add_webhook
from commands.amend_key import Amendment, amend_key
from commands.change_webhook import ask_for_webhook_test, remove_webhook
from commands.gateways.webhook_addresses import AllowedHosts
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from ledger.book import Book
from ledger.store import schema
from ledger.store.sqlite.datastore import settle
from ledger.streams.webhooks import ID, WEBHOOKS, Webhook
from projections.lists.account_states import AccountsAtPositions
from projections.lists.notices_table import fill
from projections.lists.stores import open_tables
from projections.lists.stores.tables import Tables, to_number
from projections.lists.webhook_deliveries import Attempt, list_deliveries, record_attempt
from projections.lists.webhook_messages import WebhookMessage, messages_of
from projections.lists.webhook_notices import PAGE_NOTICES
from projections.lists.webhook_queue import (
    Clocks,
    DueMessage,
    QueuedMessage,
    due_messages,
    forget_removed,
    queue_messages,
)
from tests.worlds import DAY, NOON, context, issue, services


@pytest.fixture
def file(tmp_path: Path) -> Path:
    schema.upgrade(f"sqlite:///{tmp_path}/keyfold.db")
    return tmp_path / "keyfold.db"


@pytest.fixture
def world(file: Path) -> Iterator[Services]:
    with closing(Book(f"sqlite:///{file}")) as book:
        yield services(book)


@pytest.fixture
def tables(file: Path) -> Iterator[Tables]:
    with closing(open_tables(f"sqlite:///{file}")) as tables:
        yield tables


def add(world: Services, *kinds: str, reseller: str | None = None) -> Webhook:
    wanted = WantedWebhook("http://127.0.0.1:9/hook", list(kinds), reseller)
    added = add_webhook(world, context(NOON), wanted, AllowedHosts.parse("127.0.0.1"))
    return webhooks(world)[added.webhook.id]


def webhooks(world: Services) -> dict[str, Webhook]:
    return dict(world.book.load(WEBHOOKS, ID).state)


def queue(world: Services, tables: Tables, at: datetime) -> None:
    every = webhooks(world).values()
    queue_messages(world.book, tables, world.catalog.notices, every, Clocks(at, at))


def queued(world: Services, tables: Tables, webhook: Webhook) -> list[WebhookMessage]:
    """Return what is sent to a webhook, in the order of its lanes."""
    select = """
        SELECT webhook, lane, sequence, kind, position, notice, at
        FROM keyfold_webhook_messages_1 WHERE webhook = :webhook ORDER BY lane, sequence
    """
    accounts = AccountsAtPositions(world.book)
    rows = [QueuedMessage(*row) for row in tables.read(select, {"webhook": webhook.id})]
    return list(messages_of(world.book, world.catalog, accounts, webhook, rows))


def told(messages: Sequence[WebhookMessage]) -> list[tuple[str, str]]:
    """Return the notices among them: kind and day."""
    return [
        (one.type.removeprefix("notice."), f"{one.at:%Y-%m-%d}")
        for one in messages
        if one.type.startswith("notice.")
    ]


def test_who_had_a_key_hears_that_it_was_given_away_and_nothing_after(
    world: Services, tables: Tables
) -> None:
    before, after, every = (
        add(world, "key.changed", reseller=name) for name in ("Northwind", "Beta", None)
    )
    key = issue(world)
    amend_key(world, context(NOON + DAY), key.id, Amendment(seats=7, reseller="Beta", reason="X"))
    redeem_key(world, context(NOON + 2 * DAY), Try("acme", "s-1", key.code))
    queue(world, tables, NOON + 3 * DAY)

    def heard(webhook: Webhook) -> list[tuple[Any, ...]]:
        found = sorted(queued(world, tables, webhook), key=lambda one: one.position)
        return [
            (
                one.data["event"].partition("@")[0].partition(".")[2],
                one.data["key"].reseller,
                one.data["key"].seats,
                one.data.get("given_away"),
            )
            for one in found
        ]

    assert heard(before) == [("issued", "Northwind", 3, None), ("amended", "Northwind", 3, True)]
    assert heard(after) == [("amended", "Beta", 7, None), ("redeemed", "Beta", 7, None)]
    assert heard(every) == [
        ("issued", "Northwind", 3, None),
        ("amended", "Beta", 7, None),
        ("redeemed", "Beta", 7, None),
    ]


def test_however_many_notices_are_due_at_one_moment_each_is_queued_once(
    world: Services, tables: Tables, file: Path
) -> None:
    webhook = add(world, "notice.*")
    issue(world)
    fill(world.book, tables, world.catalog.notices)
    count, known, at = 2 * PAGE_NOTICES + 1, to_number(NOON), to_number(NOON) + 1
    facts = {"product": "cloud_pos", "tier": None, "seats": 1}
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            "INSERT INTO keyfold_notices_2 VALUES"
            " ('30,7,1', ?, 'subscription.ended', ?, ?, 'N', 'n', ?, 1, ?, ?)",
            (
                (f"kfn_{n}", f"kfsub_{n}", f"acme-{n % 700}", at, known, json.dumps(facts))
                for n in range(count)
            ),
        )
    for _ in range(3):
        queue(world, tables, NOON + DAY)
    messages = queued(world, tables, webhook)
    assert len({one.id for one in messages}) == len(messages) == count
    assert {one.sequence for one in messages if one.account == "acme-1"} == {1, 2}


def test_a_clock_ahead_changes_no_state_and_brings_no_notice_forward(
    world: Services, tables: Tables
) -> None:
    webhook = add(world, "account.changed", "notice.*")
    years = NOON + 800 * DAY

    def redeem(at: datetime) -> None:
        redeem_key(world, context(at), Try("acme", "s-1", issue(world, at=at).code))

    redeem(NOON)
    redeem(years)
    redeem(NOON + 2 * DAY)
    queue(world, tables, NOON + 2 * DAY)
    messages = queued(world, tables, webhook)
    seats = [one.state.products[0].seats for one in messages if one.state]
    assert seats == [3, 3, 6, 6, 9, 9]
    assert told(messages) == [
        ("subscription.started", day) for day in ("2026-03-01", "2028-05-09", "2026-03-03")
    ]


def test_a_clock_of_the_sender_that_was_ahead_goes_back_and_tells_nothing_twice(
    world: Services, tables: Tables
) -> None:
    webhook = add(world, "notice.*")
    redeem_key(world, context(NOON), Try("acme", "s-1", issue(world).code))
    queue(world, tables, NOON + 800 * DAY)
    early = told(queued(world, tables, webhook))
    assert early[-1] == ("subscription.ended", "2027-03-01")
    later = NOON + 2 * DAY
    for at in (later, later, NOON + 366 * DAY, NOON + 367 * DAY, NOON + 801 * DAY):
        if at == later:
            redeem_key(world, context(at), Try("blue", "s-1", issue(world, at=at).code))
        queue(world, tables, at)
        found = queued(world, tables, webhook)
        assert told([one for one in found if one.account == "acme"]) == early
        of_blue = told([one for one in found if one.account == "blue"])
        started = [day for kind, day in of_blue if kind == "subscription.started"]
        ended = [day for kind, day in of_blue if kind == "subscription.ended"]
        assert set(started) == {"2026-03-03"}
        assert set(ended) == ({"2027-03-03"} if at >= NOON + 367 * DAY else set())
    assert len(of_blue) == 10


def test_a_timed_notice_outlives_the_events_that_it_was_queued_after(
    world: Services, tables: Tables, file: Path
) -> None:
    webhook = add(world, "notice.*")
    redeem_key(world, context(NOON), Try("acme", "s-1", issue(world).code))
    head = world.book.head()
    issue(world, at=NOON + DAY)
    queue(world, tables, NOON + 340 * DAY)
    assert len(told(queued(world, tables, webhook))) == 2
    with closing(sqlite3.connect(file)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM keyfold_events WHERE rowid > ?", (head,))
    with closing(Book(f"sqlite:///{file}")) as book:
        for _ in range(2):
            queue(services(book), tables, NOON + 340 * DAY)
        assert told(queued(services(book), tables, webhook)) == [
            ("subscription.started", "2026-03-01"),
            ("subscription.ending", "2027-01-30"),
        ]


def test_nothing_is_kept_of_a_removed_webhook_that_never_had_a_message(
    world: Services, tables: Tables
) -> None:
    stays, goes = add(world, "key.changed", "notice.*"), add(world, "notice.*")
    queue(world, tables, NOON + DAY)
    remove_webhook(world, context(NOON + 2 * DAY), goes.id)
    forget_removed(tables, world.book.load(WEBHOOKS, ID).state)
    kept = """
        SELECT projection FROM keyfold_projections WHERE projection LIKE 'webhook%'
        UNION ALL SELECT webhook FROM keyfold_webhook_notices_1
    """
    assert sorted(name for (name,) in tables.read(kept, {})) == [
        stays.id, f"webhook@1:{stays.id}"
    ]  # fmt: skip


def test_what_takes_the_place_of_a_lost_event_has_an_id_of_its_own(
    world: Services, tables: Tables, file: Path, tmp_path: Path
) -> None:
    """A copy from before the loss goes on: positions and sequences come again, and no id."""
    webhook = add(world, "account.changed")
    redeem_key(world, context(NOON), Try("acme", "s-1", issue(world).code))
    queue(world, tables, NOON)
    settle(f"sqlite:///{file}")
    shutil.copy(file, tmp_path / "copy.db")
    url = f"sqlite:///{tmp_path}/copy.db"

    def occupy(world: Services, tables: Tables, holder: str, at: datetime) -> list[WebhookMessage]:
        occupy_seat(world, context(at), Sitting("acme", "cloud_pos", None, holder))
        ask_for_webhook_test(world, context(at), webhook.id)
        queue(world, tables, at)
        assert [one.id for one in queued(world, tables, webhook)] == [
            one.id for one in queued(world, tables, webhook)
        ]
        return queued(world, tables, webhook)

    lost = occupy(world, tables, "till-1", NOON + DAY)
    with closing(Book(url)) as book, closing(open_tables(url)) as others:
        new = occupy(services(book, seed=1), others, "till-2", NOON + 2 * DAY)
    places = [[(one.account, one.sequence, one.position) for one in each] for each in (lost, new)]
    assert places[0] == places[1]
    assert {one.id for one in lost} & {one.id for one in new} == {
        one.id for one in lost if one.position <= world.book.head() - 2
    }


def attempted(due: DueMessage, problem: str | None = None) -> Attempt:
    retry_at = None if problem is None else NOON
    return Attempt(due.message, "msg_of_it", 1, NOON, 5, None, problem, retry_at)


@pytest.mark.parametrize("problem", [None, "no response in time"])
def test_what_came_of_a_lost_message_is_not_taken_for_that_of_the_one_in_its_place(
    world: Services, tables: Tables, file: Path, problem: str | None
) -> None:
    webhook = add(world, "account.changed")
    redeem_key(world, context(NOON), Try("acme", "s-1", issue(world).code))
    head = world.book.head()
    occupy_seat(world, context(NOON + DAY), Sitting("acme", "cloud_pos", None, "till-1"))
    queue(world, tables, NOON + DAY)
    (first, under_way) = due_messages(tables, webhook.id, NOON + DAY, 1, 2)
    assert record_attempt(tables, attempted(first), NOON + DAY)
    # The ledger goes back while the second is being sent, and other events take their places.
    with closing(sqlite3.connect(file)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM keyfold_events WHERE rowid > ?", (head,))
    with closing(Book(f"sqlite:///{file}")) as book:
        again = services(book, seed=1)
        queue(again, tables, NOON + DAY)
        assert not record_attempt(tables, attempted(under_way, problem), NOON + DAY)
        sitting = Sitting("acme", "cloud_pos", None, "till-2")
        occupy_seat(again, context(NOON + 2 * DAY), sitting)
        queue(again, tables, NOON + 2 * DAY)
        assert not record_attempt(tables, attempted(under_way, problem), NOON + 2 * DAY)
        (due,) = due_messages(tables, webhook.id, NOON + 2 * DAY, 1, 2)
    assert (due.message.sequence, due.attempts) == (under_way.message.sequence, 0)
    assert due.message.position == under_way.message.position
    assert due.message.at != under_way.message.at
    assert len(list_deliveries(tables, webhook.id, limit=9).deliveries) == 1


def test_what_comes_of_a_message_after_its_webhook_was_removed_is_not_kept(
    world: Services, tables: Tables
) -> None:
    webhook = add(world, "account.changed")
    redeem_key(world, context(NOON), Try("acme", "s-1", issue(world).code))
    queue(world, tables, NOON)
    (under_way,) = due_messages(tables, webhook.id, NOON, 1)
    remove_webhook(world, context(NOON), webhook.id)
    forget_removed(tables, world.book.load(WEBHOOKS, ID).state)
    assert not record_attempt(tables, attempted(under_way), NOON)
    assert list_deliveries(tables, webhook.id, limit=9).deliveries == []
