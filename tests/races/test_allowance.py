"""Eight processes spend one reseller's allowance, and are killed (-9) and begun again meanwhile.

What they were answered is kept outside of the ledger, as it came. A process that is begun again
goes on with the first step that nobody heard the answer of, with the same idempotency key. After
all of it: never a seat too many, none lost, each order there once with the keys that were answered.

A run is made again by its seed; what the processes do is, when they are killed is up to the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from commands.arrange_reseller import grant_seats
from ledger.events import AnyEvent
from ledger.streams.batch import KeysIssued
from ledger.streams.key import KeyIssued, KeyRedeemed, KeyRevoked
from ledger.streams.reseller import RESELLER, SeatsGivenBack, SeatsGranted, SeatsSpent
from tests.cli.program import Program
from web.app.services import Wiring

PROCESSES = 8
RESELLER_NAME = "Northwind"
ROOT = Path(__file__).parents[2]
STEPS, KILLS = 9, 1
STEPS_LONG, KILLS_LONG = 240, 12
# Of what is ordered on average, a third is revoked in part: this runs out before the end.
SEATS_EACH_STEP = 4


class Buyer:
    """One of the processes, over its lives, and the journal of what it was answered."""

    def __init__(self, environ: dict[str, str], index: int, seed: int, steps: int) -> None:
        self._environ = {**os.environ, **environ, "PYTHONPATH": str(ROOT)}
        self._index = index
        self._seed = seed
        self._steps = steps
        self._random = Random(f"kill-{seed}-{index}")
        self.journal: dict[int, dict[str, Any]] = {}
        self.killed = 0

    def run(self, kills: int) -> None:
        """Let it do all of its steps, and kill it on the way."""
        while len(self.journal) < self._steps:
            self._live(kills_it=self.killed < kills)

    def _live(self, *, kills_it: bool) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.races.worker", "spend", str(self._index)],
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            # Now and then something is done again that was answered: it is to be the same.
            begin_at = max(0, len(self.journal) - self._random.randint(0, 2))
            asked = {
                "seed": self._seed,
                "reseller": RESELLER_NAME,
                "begin_at": begin_at,
                "steps": self._steps,
            }
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            killer = None
            if kills_it:
                killer = threading.Thread(target=self._kill_soon, args=(process,))
                killer.start()
            for line in process.stdout:
                if line.endswith("}\n"):
                    self._note(json.loads(line))
            process.wait()
            if killer is not None:
                killer.join()
            assert process.returncode in (0, -9)

    def _kill_soon(self, process: subprocess.Popen[str]) -> None:
        time.sleep(self._random.uniform(0, 0.3))
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.kill()
            self.killed += 1

    def _note(self, answer: dict[str, Any]) -> None:
        step = int(answer["step"])
        known = self.journal.setdefault(step, answer)
        if "keys" in known:
            assert answer == known, "the same answer to the same idempotency key"


@pytest.mark.parametrize(
    ("steps", "kills", "seed"),
    [
        (STEPS, KILLS, 16),
        pytest.param(
            *(STEPS_LONG, KILLS_LONG, 160), marks=[pytest.mark.long, pytest.mark.timeout(900)]
        ),
    ],
)
def test_an_allowance_is_spent_to_the_seat(
    environ: dict[str, str], wiring: Wiring, tmp_path: Path, steps: int, kills: int, seed: int
) -> None:
    granted = PROCESSES * steps * SEATS_EACH_STEP
    context = wiring.request_context("operator", "setup")
    grant_seats(wiring.services, context, RESELLER_NAME, "cloud_pos", None, granted, "The contract")
    buyers = [Buyer(environ, index, seed, steps) for index in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(lambda buyer: buyer.run(kills), buyers))

    events = list(wiring.services.book.follow(0))
    answers = [answer for buyer in buyers for answer in buyer.journal.values()]
    hold_to_the_allowance(events, granted)
    hold_to_the_journal(events, answers)
    refused = Counter(answer["refused"] for answer in answers if "refused" in answer)
    assert refused.keys() == {"allowance_exceeded"}, "the allowance runs out, and nothing else"
    state = wiring.services.book.load(RESELLER, RESELLER_NAME.lower()).state
    allowance = state.allowance("cloud_pos", None)
    program = Program(tmp_path, environ)
    verified = program.json("audit", "verify")
    assert verified["events"] == len(events)
    program.done("replay", "--verify")
    killed = sum(buyer.killed for buyer in buyers)
    print(
        f"seed {seed}: {len(answers)} steps of {PROCESSES} processes, killed {killed} times;"
        f" {sum('keys' in one for one in answers)} orders, {refused.total()} refused;"
        f" {allowance.granted} seats granted, {allowance.spent} spent, {allowance.left} left;"
        f" {len(events)} events"
    )
    assert killed >= PROCESSES * kills / 2


def hold_to_the_allowance(events: list[AnyEvent], granted: int) -> None:
    """Hold what is spent, at every moment, against what was granted and against the keys."""
    spent = 0
    seats: dict[str, int] = {}
    held = 0
    for event in events:
        match event.fact:
            case SeatsGranted(seats=more):
                assert more == granted
            case SeatsSpent(seats=more):
                spent += more
            case SeatsGivenBack(seats=back):
                spent -= back
            case KeyIssued(key=key, seats=more):
                seats[key] = more
                held += more
            case KeyRevoked():
                held -= seats[event.stream.replace("key-", "key_", 1)]
        assert 0 <= spent <= granted
    assert spent == held, "what is spent is what the keys say that are open or redeemed"


def hold_to_the_journal(events: list[AnyEvent], answers: list[dict[str, Any]]) -> None:
    """Hold the ledger to what was answered: nothing else, nothing twice, nothing missing."""
    issued: dict[str, list[str]] = {}
    revoked, redeemed = Counter[str](), Counter[str]()
    batches = Counter[str]()
    for event in events:
        match event.fact:
            case KeysIssued(batch=batch):
                batches[batch] += 1
            case KeyIssued(batch=batch, key=key):
                issued.setdefault(batch, []).append(key)
            case KeyRevoked():
                revoked[event.stream.replace("key-", "key_", 1)] += 1
            case KeyRedeemed():
                redeemed[event.stream.replace("key-", "key_", 1)] += 1
    assert set(batches.values()) == {1}
    assert batches.keys() == issued.keys()
    told = Counter(tuple(sorted(one["keys"])) for one in answers if "keys" in one)
    assert told == Counter(tuple(sorted(keys)) for keys in issued.values())
    assert revoked == Counter(one["revoked"] for one in answers if "revoked" in one)
    assert redeemed == Counter(one["redeemed"] for one in answers if "redeemed" in one)
