"""`./dev python -m tests.mutation [--sample N] [--seed N] [--within S]`: do the tests notice?

mutmut makes mutants of the rules: a comparison turned round, a number one larger, an argument left
out. A sample of them, drawn by the seed, is put in the place of the rules in a copy of the
checkout, one after the other, and the tests of those rules run. Prints the mutants that no test
noticed, with what was changed, and the score. Exits 1 when there are any.

mutmut is no dependency: `.venv/bin/uv pip install --python .venv/bin/python mutmut==3.8.1`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("ledger", "commands", "projections", "web", "examples", "keyfold", "tests")
AT_ONCE: Final = 2
TEST_S: Final = 240


class Rules(NamedTuple):
    """Modules that rules are in, and the tests that hold them; the quick ones come first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


RULES: Final[dict[str, Rules]] = {
    "pool": Rules(
        ("ledger/pool.py",),
        ("ledger/test_pool.py", "ledger/test_account_rules.py", "ledger/test_seat_days.py"),
    ),
    "codes": Rules(("ledger/codes.py",), ("ledger/test_codes.py",)),
    "months": Rules(
        ("ledger/months.py",), ("ledger/test_months.py", "ledger/test_account_rules.py")
    ),
    "proof": Rules(
        ("ledger/proof/merkle.py", "ledger/proof/notes.py"),
        ("proof/test_merkle.py", "proof/test_notes.py"),
    ),
    "streams": Rules(
        (
            "ledger/streams/key.py",
            "ledger/streams/batch.py",
            "ledger/streams/attempts.py",
            "ledger/streams/order.py",
            "ledger/streams/account/decisions.py",
            "ledger/streams/account/subscriptions.py",
            "ledger/streams/account/stream.py",
        ),
        (
            "ledger/test_account_rules.py",
            "ledger/test_attempts_rules.py",
            "ledger/test_batch_rules.py",
            "ledger/test_key_rules.py",
            "ledger/test_order_rules.py",
            "ledger/test_renewals.py",
            "ledger/test_streams.py",
            "ledger/test_refusals.py",
            "ledger/test_seat_days.py",
            "commands/test_lockout.py",
            "commands/test_seats.py",
            "web/test_renewing.py",
        ),
    ),
    "Stripe fold": Rules(
        (
            "ledger/stripe/subscriptions.py",
            "ledger/stripe/invoices.py",
            "ledger/stripe/report_comparison.py",
            "ledger/stripe/price_meanings.py",
        ),
        (
            "stripe/test_reports.py",
            "stripe/test_periods.py",
            "stripe/test_price_meaning.py",
            "stripe/test_bills.py",
            "stripe/test_money_cases.py",
            "stripe/test_disputes.py",
            "stripe/test_overtaken.py",
            "stripe/test_ownership.py",
        ),
    ),
}


class Mutant(NamedTuple):
    """A mutant, by the name that mutmut gives it."""

    rules: str
    module: str
    name: str


def main() -> int:
    args = _arguments()
    until = time.monotonic() + args.within
    with tempfile.TemporaryDirectory(prefix="keyfold-mutants-") as name:
        copy = Path(name)
        for folder in FOLDERS:
            shutil.copytree(CHECKOUT / folder, copy / folder, symlinks=True)
        shutil.copy(CHECKOUT / "pyproject.toml", copy)
        mutants = _mutants(copy)
        drawn = _drawn(mutants, args.sample, args.seed)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            noticed = list(pool.map(lambda one: _is_noticed(copy, one, until), drawn))
    told = list(zip(drawn, noticed, strict=True))
    for rules in RULES:
        its = [found for one, found in told if one.rules == rules and found is not None]
        of = sum(one.rules == rules for one in mutants)
        print(f"{rules}: {sum(its)} of {len(its)} noticed, drawn of {of}")
    left = [one for one, found in told if found is False]
    for one in left:
        print(f"\nnot noticed: {one.module} {one.name}")
    tried = sum(found is not None for _, found in told)
    print(f"\n{tried - len(left)} of {tried} noticed; seed {args.seed}")
    return 1 if left else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=16, help="of each kind of rules; 16")
    parser.add_argument("--seed", type=int, default=17, help="17 if left out")
    parser.add_argument("--within", type=float, default=900.0, help="begin none after so many s")
    return parser.parse_args()


def _mutants(copy: Path) -> list[Mutant]:
    """Put all mutants into the modules of a copy, each asleep until it is named; return them."""
    try:
        mutmut: Any = importlib.import_module("mutmut.mutation.file_mutation")
    except ImportError:
        sys.exit("mutmut is not installed: see the first lines of tests/mutation.py")
    with (copy / "pyproject.toml").open("a") as settings:
        settings.write('\n[tool.mutmut]\nsource_paths = ["ledger"]\n')
    os.chdir(copy)  # it reads its settings there
    made = []
    for rules, (modules, _) in RULES.items():
        for module in modules:
            file = copy / module
            mutated = mutmut.mutate_file_contents(module, file.read_text())
            file.write_text(mutated.code)
            made += [Mutant(rules, module, name) for name in mutated.mutant_names]
    return made


def _drawn(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return so many of each kind of rules, in turn, so that who stops early has some of each."""
    draw = random.Random(seed)
    drawn = []
    for rules in RULES:
        its = sorted(one for one in mutants if one.rules == rules)
        drawn.append(draw.sample(its, min(count, len(its))))
    longest = max(map(len, drawn))
    return [its[turn] for turn in range(longest) for its in drawn if turn < len(its)]


def _is_noticed(copy: Path, mutant: Mutant, until: float) -> bool | None:
    """Return whether a test fails with a mutant in place; None if there was no time to try."""
    if time.monotonic() > until:
        return None
    prefix = mutant.module.removesuffix(".py").replace("/", ".")
    environ = {**os.environ, "PYTHONPATH": str(copy)}
    environ |= {"MUTANT_UNDER_TEST": f"{prefix}.{mutant.name}"}
    tests = [f"tests/{name}" for name in RULES[mutant.rules].tests]
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environ, capture_output=True, timeout=TEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return True  # it goes round for ever
    found = done.returncode != 0
    print(f"{'noticed' if found else 'NOT NOTICED'}: {prefix}.{mutant.name}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
