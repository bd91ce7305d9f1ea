"""Billed seats when Stripe, the network or we fail: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path

import pytest

from commands.gateways.stripe import SeatChange, StripeGateway
from commands.gateways.stripe_responses import Retrieved, StripeKeyRefused, StripeUnavailable
from commands.record_stripe_event import record_event
from commands.sync_billed_seats import Synced, sync_seats
from ledger.book import Book
from ledger.store import schema
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.objects import read_event
from ledger.stripe.pending_calls import UNDER_WAY_MAX
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, SeatSyncStarted
from tests.cli.program import KEYFOLD, wait_until
from tests.stripe.billed_team import (
    ACME,
    INCLUDED,
    QUIET,
    SEAT_AMOUNT,
    TEAM,
    BilledTeam,
    billed_team,
    catalog,
    program,
    sold,
)
from tests.stripe_server import StripeServer
from tests.worlds import another_worker, services

# How often it must happen for a call to fail: what breaks off within an answer is not repeated.
TRIES = {"applied_then_cut": 1, "cut": 1, "500": 3, "500_kept": 1}

each_failure = pytest.mark.parametrize("kind", ["applied_then_cut", "cut", "500"])


def rises(team: BilledTeam) -> int:
    """Answer how often a rise was invoiced."""
    return sum(one["billing_reason"] == "subscription_update" for one in team.invoices())


@each_failure
def test_a_call_that_may_be_on_its_way_is_made_again_under_the_same_key(kind: str) -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail(kind, times=TRIES[kind], method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        assert TEAM in team.account().seat_syncs.unanswered
        team.wait(minutes=1)
        synced = team.sync()
        assert (synced.outcome, synced.quantity, team.quantity) == ("in_step", 2, 2)
        assert rises(team) == 1
        assert len({one.idempotency_key for one in team.writes()}) == 1
        (answer,) = team.facts(SeatsSynced)
        assert answer.outcome == ("found" if kind == "applied_then_cut" else "answered")
        assert answer.invoice == team.invoices()[-1]["id"]
        assert answer.invoice_status == "paid"


@pytest.mark.parametrize("kind", TRIES)
@pytest.mark.parametrize("hours", [1 / 20, 3, 24])
def test_a_call_that_was_not_done_is_made_later_under_another_key(kind: str, hours: float) -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail(kind, times=TRIES[kind], method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.wait(hours=hours)
        synced = team.sync()
        assert (synced.outcome, team.quantity, rises(team)) == ("in_step", 2, 1)
        done = kind == "applied_then_cut"
        assert [one.refused for one in synced.steps] == ([None] if done else ["not_done", None])
        keys = {one.idempotency_key for one in team.writes()}
        assert len(keys) == (1 if done else 2)


def test_what_was_not_done_does_not_wait_as_what_stripe_refuses() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.wait(minutes=5)
        assert team.sync(QUIET).outcome == "in_step"
        assert team.quantity == 2


def test_a_call_that_the_library_repeats_is_done_once() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("500", times=2, method="POST")
        assert team.sync().quantity == 2
        assert rises(team) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [("down", StripeUnavailable), ("429", StripeUnavailable), ("wrong_key", StripeKeyRefused)],
)
def test_while_stripe_cannot_be_asked_nothing_is_begun(kind: str, error: type[Exception]) -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail(kind)
        with pytest.raises(error):
            team.sync()
        assert team.facts(SeatSyncStarted) == []
        team.stripe.mend()
        assert team.sync().quantity == 2


@pytest.mark.parametrize("kind", TRIES)
@pytest.mark.parametrize("left", [4, 1])
def test_who_left_before_a_rise_was_done_is_not_billed(kind: str, left: int) -> None:
    with billed_team() as team:
        before = team.paid()
        team.take(INCLUDED + 4)
        team.stripe.fail(kind, times=TRIES[kind], method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        charged, rose = team.paid() - before, rises(team)
        team.give_back(left)
        team.wait(hours=3)
        synced = team.sync()
        assert (synced.outcome, team.quantity) == ("in_step", 4 - left)
        if kind == "applied_then_cut":  # Stripe had done it, while they were there
            assert [(one.step, one.quantity) for one in synced.steps] == [
                ("raise", 4),
                ("lower", 4 - left),
            ]
            assert (team.paid() - before, rises(team)) == (charged, 1)
            return
        assert (charged, rose) == (0, 0)
        assert synced.steps[0].refused == "target_changed"
        assert rises(team) == (1 if left < 4 else 0)
        assert (team.paid() - before) <= (4 - left) * SEAT_AMOUNT
        keys = [one.idempotency_key for one in team.writes()]
        assert len(set(keys)) == (2 if left < 4 else 1)


def test_more_who_came_before_a_rise_was_done_are_billed_with_it() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.take(3)
        team.wait(hours=3)
        steps = team.sync().steps
        assert [(one.step, one.quantity, one.refused) for one in steps] == [
            ("raise", None, "target_changed"),
            ("raise", 5, None),
        ]
        assert rises(team) == 1


def test_while_a_call_that_is_not_right_any_more_may_be_on_its_way_nothing_is_written() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 4)
        team.stripe.fail("cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.give_back(4)
        writes, began = len(team.writes()), team.now
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("waiting", "under_way")
        assert synced.until == began + UNDER_WAY_MAX
        assert len(team.writes()) == writes
        team.wait(minutes=3)
        assert team.sync().outcome == "in_step"
        assert (team.quantity, rises(team), len(team.writes())) == (0, 0, writes)


def test_what_stripe_does_late_to_a_call_that_was_left_is_found_before_anything_is_decided() -> (
    None
):
    with billed_team() as team:
        team.take(INCLUDED + 4)
        team.stripe.fail("applied_then_cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.give_back(2)
        synced = team.sync()
        assert [(one.step, one.quantity) for one in synced.steps] == [("raise", 4), ("lower", 2)]
        assert rises(team) == 1


def test_between_the_two_steps_of_a_rise_nothing_is_billed_twice() -> None:
    with billed_team(seats=5) as team:
        team.take(INCLUDED + 3)
        team.sync()
        team.take(3)
        team.stripe.fail("applied_then_cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        assert team.quantity == 5
        synced = team.sync()
        assert [(one.step, one.quantity) for one in synced.steps] == [("restore", 5), ("raise", 6)]
        assert rises(team) == 1


def test_what_was_begun_in_a_period_that_is_over_is_given_up_and_decided_anew() -> None:
    with billed_team(seats=1) as team:
        team.take(INCLUDED + 3)
        team.wait_until(team.period_end - timedelta(minutes=5))
        team.stripe.fail("cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.wait(minutes=10)
        synced = team.sync()
        assert [one.refused for one in synced.steps] == ["period_over", None]
        assert team.quantity == 3
        assert rises(team) == 1


def test_what_was_begun_on_a_subscription_that_ended_since_is_given_up() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.stripe.delete(f"/v1/subscriptions/{team.subscription}")
        team.hear()
        assert sync_seats(team.world, team.context, ACME, None) == []
        assert [one.code for one in team.facts(SeatSyncFailed)] == ["status_changed"]


def test_a_subscription_that_stripe_does_not_have_is_left_alone() -> None:
    with billed_team() as team, StripeServer() as other:
        team.take(INCLUDED + 2)
        elsewhere = team.world._replace(stripe=StripeGateway(other.api_key, other.url))
        synced = team.sync(world=elsewhere)
        assert (synced.outcome, synced.why) == ("left_alone", "missing")


each_silence = pytest.mark.parametrize("kind", ["refused", "not_allowed", "500", "429"])


def add_ons(team: BilledTeam, count: int) -> None:
    """Add items that mean nothing, so many that Stripe leaves some out."""
    product = team.stripe.post("/v1/products", {"name": "Add-on"})["id"]
    money = {"currency": "eur", "unit_amount": 0, "recurring": {"interval": "month"}}
    for _ in range(count):
        price = team.stripe.post("/v1/prices", {**money, "product": product})["id"]
        added = {"subscription": team.subscription, "price": price}
        team.stripe.post("/v1/subscription_items", added)
    team.hear()


@each_silence
def test_what_stripe_did_is_done_though_it_does_not_list_the_items_afterwards(kind: str) -> None:
    with billed_team(seats=1) as team:
        add_ons(team, 12)
        team.take(INCLUDED + 3)

        class Silent(StripeGateway):
            def set_billed_seats(self, change: SeatChange, idempotency_key: str) -> Retrieved:
                team.stripe.fail(kind, method="GET", path="/v1/subscription_items")
                return super().set_billed_seats(change, idempotency_key)

        silent = Silent(team.stripe.api_key, team.stripe.url)
        with suppress(StripeUnavailable, StripeKeyRefused):  # of the look after it
            sync_seats(team.world._replace(stripe=silent), team.context, ACME, None)
        assert team.facts(SeatSyncFailed) == []
        assert [one.outcome for one in team.facts(SeatsSynced)] == ["answered"]
        team.stripe.mend()
        team.wait(minutes=1)
        synced = team.sync()
        assert (synced.outcome, synced.quantity, rises(team)) == ("in_step", 3, 1)


@pytest.mark.parametrize("kind", ["refused", "not_allowed", "500"])
def test_a_step_without_an_answer_stays_open_while_stripe_does_not_tell(kind: str) -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("applied_then_cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        team.stripe.fail(kind, method="GET", path="/v1/subscriptions")
        if kind == "refused":
            synced = team.sync()
            assert (synced.outcome, synced.why) == ("left_alone", "not_told")
        else:
            with pytest.raises((StripeUnavailable, StripeKeyRefused)):
                team.sync()
        assert team.facts(SeatSyncFailed, SeatsSynced) == []
        team.stripe.mend()
        assert (team.sync().outcome, rises(team)) == ("in_step", 1)
        assert [one.outcome for one in team.facts(SeatsSynced)] == ["found"]


def test_a_subscription_whose_items_were_not_told_is_asked_for_before_seats_are_billed() -> None:
    with billed_team() as team:
        named = {"keyfold_account": ACME}
        items = [{"price": team.seat_price, "quantity": 4}]
        sold_apart = {"customer": team.customer, "items": items, "metadata": named}
        other = team.stripe.post("/v1/subscriptions", sold_apart)
        cut = deepcopy(team.stripe.events[team.heard :])
        team.heard = len(team.stripe.events)
        for one in cut:
            if one["type"].startswith("customer.subscription."):
                one["data"]["object"]["items"] |= {"data": [], "has_more": True}
                away = team.world._replace(stripe=None)
                record_event(away, team.context(), read_event(one), "webhook")
        assert team.account().stripe.subscriptions[other["id"]].lacks_items
        team.take(INCLUDED + 4)
        team.stripe.fail("refused", method="GET", path=f"/v1/subscriptions/{other['id']}")
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("left_alone", "unknown_quantity")
        assert team.writes() == []
        team.stripe.mend()
        team.wait(minutes=1)
        assert (team.sync().outcome, team.writes()) == ("in_step", [])


# Several at once


def test_another_process_carries_on_what_one_began() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)
        team.stripe.fail("applied_then_cut", times=1, method="POST")
        with pytest.raises(StripeUnavailable):
            team.sync()
        other = another_worker(team.world)._replace(stripe=team.world.stripe)
        assert team.sync(world=other).quantity == 2
        assert rises(team) == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_servers_that_sync_at_once_one_bills(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'keyfold.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_ledger_url")
    schema.upgrade(url)
    with StripeServer() as server:
        worlds = [
            services(Book(url), catalog=catalog(), seed=seed)._replace(
                stripe=StripeGateway(server.api_key, server.url)
            )
            for seed in range(4)
        ]
        team = sold(server, worlds[0])
        at_once = threading.Barrier(len(worlds))

        def sync(seed: int) -> list[Synced]:
            at_once.wait()
            return sync_seats(worlds[seed], team.context, ACME, None)

        with ThreadPoolExecutor(len(worlds)) as pool:
            for round in range(1, 6):
                team.take(1 if round > 1 else INCLUDED + 1)
                found = [one for (one,) in pool.map(sync, range(len(worlds)))]
                team.hear()
                assert {(one.outcome, one.quantity) for one in found} == {("in_step", round)}
                assert (team.quantity, rises(team)) == (round, round)
                team.wait(days=1)
        started, synced = team.facts(SeatSyncStarted), team.facts(SeatsSynced)
        assert len(started) == len(synced) == 5
        for world in worlds:
            world.book.close()


# A process that is killed


def test_a_process_that_is_killed_between_what_it_meant_and_the_answer_bills_once(
    tmp_path: Path,
) -> None:
    with StripeServer(now=int(time.time())) as server:
        keyfold = program(tmp_path, server)
        book = Book(keyfold.settings["KEYFOLD_DATABASE_URL"])
        team = sold(server, services(book, catalog=catalog()))
        team.take(INCLUDED + 2)
        slow = server.fail("slow", method="POST", delay_s=1)
        assert slow is not None
        process = subprocess.Popen(
            [*KEYFOLD, "stripe", "sync"], cwd=tmp_path, env=keyfold.environ()
        )
        wait_until(lambda: bool(team.writes()))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert TEAM in book.load(ACCOUNT, ACME).state.seat_syncs.unanswered
        server.mend()
        (told,) = keyfold.json("stripe", "sync")
        assert [(one["step"], one["quantity"]) for one in told["steps"]] == [("raise", 2)]
        assert (told["outcome"], team.quantity, rises(team)) == ("in_step", 2, 1)
        assert len({one.idempotency_key for one in team.writes()}) == 1
        book.close()
