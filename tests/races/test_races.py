"""Processes that race for the same thing, one of them killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from string import ascii_uppercase
from threading import Barrier
from typing import Any

from commands.issue_keys import Order, issue_keys
from commands.redeem_key import Try, redeem_key
from ledger.refusals import Refusal
from ledger.streams.account.facts import (
    SeatOccupied,
    SubscriptionActivated,
    SubscriptionTakenOver,
    SubscriptionTransferred,
)
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.batch import KeysIssued
from ledger.streams.key import KeyIssued, KeyRedeemed, KeyTransferred
from ledger.streams.session_attempts import TryFailed
from web.app.services import Wiring, wire
from web.app.settings import read_settings

PROCESSES = 8
ROOT = Path(__file__).parents[2]


class Race:
    """Several workers that start at the same moment; the first of them is killed on the way."""

    def __init__(self, environ: dict[str, str], scenario: str, argument: str, workers: int) -> None:
        self.argument = argument
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.races.worker", scenario, str(index)],
                cwd=ROOT,
                env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(workers)
        ]

    def run(self, *, kill_after: int) -> dict[int, list[dict[str, Any]]]:
        """Return what each survivor was answered.

        Args:
            kill_after: how many answers the victim, worker 0, may give before it is killed (-9).
        """
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(self.argument + "\n")
            process.stdin.flush()
        victim, *others = self.processes
        assert victim.stdout is not None
        for _ in range(kill_after):
            victim.stdout.readline()
        victim.kill()
        victim.communicate()
        answers = {}
        for index, process in enumerate(others, start=1):
            output, _ = process.communicate(timeout=60)
            lines = output.splitlines()
            assert process.returncode == 0
            assert lines[-1] == "done"
            answers[index] = [json.loads(line) for line in lines[:-1]]
        return answers


def facts(wiring: Wiring, kind: type) -> list[Any]:
    return [event.fact for event in wiring.services.book.follow(0) if isinstance(event.fact, kind)]


def issued_code(wiring: Wiring, seats: int) -> str:
    wanted = Order(product="cloud_pos", tier=None, seats=seats, months=12, count=1, reseller="n")
    return (
        issue_keys(wiring.services, wiring.request_context("operator", "setup"), wanted)
        .keys[0]
        .code
    )


def test_one_key_redeemed_by_eight_processes_gives_one_subscription(
    environ: dict[str, str], wiring: Wiring
) -> None:
    code = issued_code(wiring, seats=5)
    answers = Race(environ, "redeem", code, PROCESSES).run(kill_after=0)

    activated = facts(wiring, SubscriptionActivated)
    redeemed = facts(wiring, KeyRedeemed)
    winners = [a for lines in answers.values() for a in lines if "subscription" in a]
    losers = Counter(a["refused"] for lines in answers.values() for a in lines if "refused" in a)
    # The one that was killed may have won without saying so, or not have come to try.
    assert len(activated) == len(redeemed) == 1
    assert len(winners) <= 1
    assert losers == {"key_not_available": PROCESSES - 1 - len(winners)}
    owners = [
        index
        for index in range(PROCESSES)
        if wiring.services.book.load(ACCOUNT, f"account-{index}").state.subscriptions
    ]
    assert [f"account-{index}" for index in owners] == [redeemed[0].account]


def test_eighty_holders_of_eight_processes_take_exactly_forty_seats(
    environ: dict[str, str], wiring: Wiring
) -> None:
    context = wiring.request_context("operator", "setup")
    redeem_key(wiring.services, context, Try("acme", "s", issued_code(wiring, seats=40)))
    answers = Race(environ, "occupy", "acme", PROCESSES).run(kill_after=2)

    account = wiring.services.book.load(ACCOUNT, "acme").state
    let_in = {a["holder"] for lines in answers.values() for a in lines if "refused" not in a}
    refused = Counter(a["refused"] for lines in answers.values() for a in lines if "refused" in a)
    seated = {seat.holder for seat in account.seats.values()}
    assert len(facts(wiring, SeatOccupied)) == len(seated) == 40
    assert account.used == {("cloud_pos", None): 40}
    assert let_in <= seated
    assert refused == {"no_seat_available": (PROCESSES - 1) * 10 - len(let_in)}
    assert {holder for holder in seated - let_in if not holder.startswith("till-0-")} == set()


def test_ten_orders_with_one_idempotency_key_are_one_batch(
    environ: dict[str, str], wiring: Wiring
) -> None:
    answers = Race(environ, "order", "order-7", workers=10).run(kill_after=0)

    given = [line for lines in answers.values() for line in lines]
    assert len(given) == 9
    assert all(line == given[0] for line in given)
    assert len(set(given[0]["codes"])) == 50
    assert len(facts(wiring, KeysIssued)) == 1
    assert len(facts(wiring, KeyIssued)) == 50


def test_parallel_guesses_are_looked_at_until_five_have_failed_and_no_further(
    environ: dict[str, str], wiring: Wiring
) -> None:
    codes = " ".join(issued_code(wiring, seats=1) for _ in range(PROCESSES))
    Race(environ, "guess", codes, PROCESSES).run(kill_after=3)

    events = list(wiring.services.book.follow(0))
    failed = [event.position for event in events if isinstance(event.fact, RedemptionRefused)]
    redeemed = [event.position for event in events if isinstance(event.fact, KeyRedeemed)]
    assert len(failed) == 5
    assert all(position < failed[-1] for position in redeemed)
    counted = [event.fact.failures for event in events if isinstance(event.fact, TryFailed)]
    assert counted == [1, 2, 3, 4, 5]


def test_a_right_guess_counts_only_before_the_fifth_wrong_one_wherever_they_are_made(
    environ: dict[str, str],
) -> None:
    """Many threads of two workers guess at once in one session, each on an account of its own."""
    rounds, threads = 12, 24
    workers = [wire(read_settings(environ)) for _ in range(2)]
    codes = [issued_code(workers[0], seats=1) for _ in range(rounds * threads // 2)]
    for turn in range(rounds):
        before = workers[0].services.book.head()
        start = Barrier(threads)

        def guess(number: int, turn: int = turn, start: Barrier = start) -> None:
            worker = workers[number % 2]
            right = codes[turn * threads // 2 + number // 2]
            code = right if number % 4 < 2 else f"POS-AAAA-BBBB-{ascii_uppercase[number]}AAA"
            wanted = Try(f"account-{turn}-{number}", f"kiosk-{turn}", code)
            start.wait()
            with suppress(Refusal):
                redeem_key(
                    worker.services, worker.request_context("operator", f"guess-{number}"), wanted
                )

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(guess, range(threads)))
        events = list(workers[0].services.book.follow(before))
        failed = [event.position for event in events if isinstance(event.fact, TryFailed)]
        redeemed = [event.position for event in events if isinstance(event.fact, KeyRedeemed)]
        assert len(failed) == 5
        assert all(position < failed[-1] for position in redeemed)
    for worker in workers:
        worker.close()


def test_keys_that_are_to_follow_what_there_is_make_one_chain(
    environ: dict[str, str], wiring: Wiring
) -> None:
    codes = [issued_code(wiring, seats=1) for _ in range(2 * PROCESSES)]
    answers = Race(environ, "renew", " ".join(codes), PROCESSES).run(kill_after=1)

    won = {a["subscription"] for lines in answers.values() for a in lines}
    account = wiring.services.book.load(ACCOUNT, "acme").state
    assert won <= set(account.subscriptions)
    chain = sorted(account.subscriptions.values(), key=lambda one: one.started_at)
    assert [one.started_at for one in chain[1:]] == [one.expires_at for one in chain[:-1]]
    assert [one.follows for one in chain] == [None, *(one.id for one in chain[:-1])]


def test_what_is_moved_while_seats_are_taken_lets_in_as_many_as_there_are(
    environ: dict[str, str], wiring: Wiring
) -> None:
    code = issued_code(wiring, seats=5)
    context = wiring.request_context("operator", "setup")
    subscription = redeem_key(wiring.services, context, Try("acme", "s", code)).subscription
    Race(environ, "transfer", subscription, PROCESSES).run(kill_after=2)

    moves = facts(wiring, SubscriptionTransferred)
    assert len(moves) == len(facts(wiring, SubscriptionTakenOver)) > 0
    assert [one.account for one in facts(wiring, KeyTransferred)] == [m.to_account for m in moves]
    states = dict.fromkeys(("acme", "beta"), ACCOUNT.initial)
    for event in wiring.services.book.follow(0):
        kind, _, id = event.stream.partition("-")
        if kind != "account":
            continue
        if isinstance(event.fact, SeatOccupied):
            assert states[id].pool("cloud_pos", None, event.occurred_at).has_room
        states[id] = ACCOUNT.fold(states[id], [event])
    now = context.now
    has_it = [id for id, state in states.items() if list(state.rows(now))]
    assert has_it == [moves[-1].to_account]
