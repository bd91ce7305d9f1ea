"""Billed seats by the program itself: `keyfold stripe sync`, and what a server does by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.book import Book
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, SeatSyncStarted
from tests.cli.program import Program, wait_until
from tests.stripe.billed_team import (
    ACME,
    INCLUDED,
    TEAM,
    BilledTeam,
    catalog,
    program,
    sold,
)
from tests.stripe_server import StripeServer
from tests.worlds import services


@pytest.fixture
def server() -> Iterator[StripeServer]:
    """Answer a Stripe whose clock stands where ours does."""
    with StripeServer(now=int(time.time())) as server:
        yield server


def team_on(keyfold: Program, server: StripeServer) -> BilledTeam:
    book = Book(keyfold.settings["KEYFOLD_DATABASE_URL"])
    return sold(server, services(book, catalog=catalog()))


# By hand


def test_sync_tells_stripe_at_once_and_says_what_it_did(
    tmp_path: Path, server: StripeServer
) -> None:
    keyfold = program(tmp_path, server)
    team = team_on(keyfold, server)
    team.take(INCLUDED + 2)
    (told,) = keyfold.json("stripe", "sync")
    invoice = team.invoices()[-1]["id"]
    assert told == {
        "account": ACME,
        "product": TEAM,
        "stripe_subscription": team.subscription,
        "holders": 5,
        "quantity": 2,
        "target": 2,
        "outcome": "in_step",
        "why": None,
        "until": None,
        "steps": [
            {
                "step": "raise",
                "wanted": 2,
                "quantity": 2,
                "invoice": invoice,
                "invoice_status": "paid",
                "refused": None,
            }
        ],
    }
    out = keyfold.done("stripe", "sync").out
    assert out.splitlines()[0].split() == (
        ["ACCOUNT", "PRODUCT", "HOLDERS", "BILLED", "FOR", "TARGET", "STATE", "UNTIL", "DONE"]
    )
    assert out.splitlines()[1].split() == [ACME, TEAM, "5", "2", "2", "in_step", "-", "-"]
    assert len(team.writes()) == 1


def test_a_dry_run_writes_nothing_anywhere(tmp_path: Path, server: StripeServer) -> None:
    keyfold = program(tmp_path, server)
    team = team_on(keyfold, server)
    team.take(INCLUDED + 2)
    head = team.world.book.head()
    (told,) = keyfold.json("stripe", "sync", "--dry-run")
    assert (told["outcome"], told["quantity"], told["target"]) == ("due", 0, 2)
    assert [(one["step"], one["wanted"]) for one in told["steps"]] == [("raise", 2)]
    (waiting,) = keyfold.json("stripe", "sync", "--dry-run", "--debounced")
    assert (waiting["outcome"], waiting["why"]) == ("waiting", "quiet")
    assert server.requests == []
    assert team.world.book.head() == head


def test_one_account_is_synced_by_its_name(tmp_path: Path, server: StripeServer) -> None:
    keyfold = program(tmp_path, server)
    team = team_on(keyfold, server)
    team.take(INCLUDED + 1)
    assert keyfold.json("stripe", "sync", "--account", "globex") == []
    assert team.quantity == 0
    assert len(keyfold.json("stripe", "sync", "--account", ACME)) == 1
    assert team.quantity == 1


def test_what_stripe_refuses_exits_with_1(tmp_path: Path, server: StripeServer) -> None:
    keyfold = program(tmp_path, server)
    team = team_on(keyfold, server)
    team.take(INCLUDED + 1)
    server.fail_payments(team.customer)
    ran = keyfold.run("stripe", "sync")
    assert ran.code == 1
    assert "raise to 1 refused: card_declined" in ran.out


def test_without_a_key_for_stripe_it_says_so(tmp_path: Path, server: StripeServer) -> None:
    ran = program(tmp_path, server).run("stripe", "sync", STRIPE_API_KEY="")
    assert ran.code == 1
    assert ran.err.startswith("stripe_not_configured")


@pytest.mark.parametrize("wrong", ["-1", "601", "soon", "1.5"])
def test_a_quiet_time_that_is_none_stops_the_start(
    wrong: str, tmp_path: Path, server: StripeServer
) -> None:
    ran = program(tmp_path, server).run("stripe", "sync", KEYFOLD_SEAT_SYNC_QUIET_S=wrong)
    assert ran.code == 2
    assert ran.err.splitlines() == [
        f"KEYFOLD_SEAT_SYNC_QUIET_S must be a whole number of seconds up to 600, not {wrong!r}"
    ]


# By a server


def test_a_server_tells_stripe_by_itself_and_once(tmp_path: Path, server: StripeServer) -> None:
    keyfold = program(tmp_path, server, KEYFOLD_SEAT_SYNC_QUIET_S="1")
    team = team_on(keyfold, server)
    with keyfold.served("--workers", "2") as running:
        keyfold.done("seats", "occupy", ACME, TEAM, "user-a")
        for name in ("user-b", "user-c", "user-d", "user-e"):
            keyfold.done("seats", "occupy", ACME, TEAM, name)
        wait_until(lambda: team.quantity == 2)
        keyfold.done("seats", "release", ACME, TEAM, "user-e")
        wait_until(lambda: team.quantity == 1)
        wait_until(lambda: not team.account().seat_syncs.unanswered)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0
    assert all("seats could not be synced" not in line for line in _log(running.log))
    assert [one.params["items"] for one in team.writes()]
    events = team.world.book.history(ACCOUNT, ACME)[1]
    actors = {event.actor for event in events if event.name.startswith("stripe.seat")}
    assert actors == {"seat_sync"}


def test_two_servers_on_one_database_bill_every_rise_once(
    tmp_path: Path, server: StripeServer, postgres_url: str
) -> None:
    keyfold = program(
        tmp_path, server, KEYFOLD_DATABASE_URL=postgres_url, KEYFOLD_SEAT_SYNC_QUIET_S="0"
    )
    team = team_on(keyfold, server)
    team.take(INCLUDED)
    with keyfold.served(), keyfold.served():
        for seats in range(1, 6):
            team.take(1)
            wait_until(lambda seats=seats: team.quantity == seats)  # type: ignore[misc]
        wait_until(lambda: not team.account().seat_syncs.unanswered)
    invoiced = [one for one in team.invoices() if one["billing_reason"] == "subscription_update"]
    assert len(invoiced) == len(team.facts(SeatsSynced)) == 5
    # A step that one began may be given up by the other, which begins another: each has one end.
    ends = [*team.facts(SeatsSynced), *team.facts(SeatSyncFailed)]
    assert len(team.facts(SeatSyncStarted)) == len(ends)
    team.world.book.close()


def test_a_server_outlasts_stripe_being_down(tmp_path: Path, server: StripeServer) -> None:
    keyfold = program(tmp_path, server, KEYFOLD_SEAT_SYNC_QUIET_S="0")
    team = team_on(keyfold, server)
    team.take(INCLUDED + 1)
    server.fail("down")
    with keyfold.served() as running:
        said = "StripeUnavailable: Connection refused"
        wait_until(lambda: any(said in line for line in _log(running.log)))
        assert "/v1/" not in running.log.read_text()
        assert running.get("/healthz")[0] == 200
        server.mend()
        wait_until(lambda: team.quantity == 1)


def test_a_server_without_billed_products_asks_stripe_nothing(
    tmp_path: Path, server: StripeServer
) -> None:
    keyfold = program(tmp_path, server, KEYFOLD_SEAT_SYNC_QUIET_S="0")
    team = team_on(keyfold, server)
    team.take(INCLUDED + 1)
    keyfold.settings["KEYFOLD_CATALOG"] = ""
    with keyfold.served() as running:
        assert running.get("/healthz")[0] == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0
    assert server.requests == []


def _log(file: Path) -> list[str]:
    return file.read_text().splitlines()
