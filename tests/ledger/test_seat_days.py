"""Seat-days given are seat-days sold, whatever becomes of the subscriptions that keys gave.

Random histories over a few accounts: keys redeemed now and when what there is ends, subscriptions
started, extended, suspended, resumed, transferred and terminated. What each then gave, over all
accounts and all time, is held against what it was sold for: its months and what it was extended by,
less what was suspended or cut off on record. And what is scheduled begins, at every moment, when
what it follows ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count, pairwise
from random import Random
from typing import get_args

import pytest

from ledger.events import Fact
from ledger.months import add_months
from ledger.refusals import Refusal
from ledger.streams.account import subscriptions
from ledger.streams.account.facts import SubscriptionExtended, SubscriptionTerminated
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from tests.projections.telling import issued
from tests.worlds import NOON, event

ACCOUNTS = ("acme", "beta", "gamma")
PLACES = ("cloud_pos", "integrations/growth")
IN_EVERY_RUN = 200
LONG = 10_000
FOR_EVER = NOON.replace(year=2999)
NONE = timedelta(0)


class History:
    """Some accounts, and what their subscriptions have given so far."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = NOON
        self.accounts = dict.fromkeys(ACCOUNTS, ACCOUNT.initial)
        self.months: dict[str, int] = {}
        self.spans: dict[str, defaultdict[str, timedelta]] = {}
        self.began: dict[str, datetime] = {}
        self.extended: defaultdict[str, timedelta] = defaultdict(timedelta)
        self.terminated: dict[str, datetime] = {}
        self.chained = 0

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            hours = self.random.choice((0, 0, 1, 24, 24 * 20, 24 * 31, 24 * 100))
            self.pass_time(self.now + timedelta(hours=hours))
            with suppress(Refusal):
                self.do_something()
        self.pass_time(FOR_EVER)

    def pass_time(self, until: datetime) -> None:
        """Note what each subscription is until then; between two moments nothing changes."""
        steps = {step for account in self.accounts.values() for step in account.steps()}
        between = sorted(step for step in steps if self.now < step < until)
        for start, end in pairwise([self.now, *between, until]):
            check_chains(self.accounts, start)
            self.note(start, end)
        self.now = until

    def note(self, start: datetime, end: datetime) -> None:
        if start == end:
            return
        gives: set[str] = set()
        for account in self.accounts.values():
            provided = {row.subscription for row in account.rows(start)}
            assert not provided & gives, "two accounts have the same seats"
            gives |= provided
            for one in account.subscriptions.values():
                status = one.status(start)
                assert (status == "active") == (one.id in provided)
                self.spans[one.id][status] += end - start
                if status in ("active", "suspended"):
                    self.began.setdefault(one.id, start)

    def do_something(self) -> None:
        name = self.random.choice(ACCOUNTS)
        account = self.accounts[name]
        do = self.random.choice(
            (
                *("now", "when_current_ends", "when_current_ends", "start", "extend", "suspend"),
                *("resume", "resume", "transfer", "terminate"),
            )
        )
        for start in get_args(subscriptions.Start):
            if do == start:
                self.redeem(name, start)
                return
        id = self.random.choice([*account.subscriptions, "kfsub_none"])
        match do:
            case "extend":
                length = timedelta(hours=self.random.randint(1, 2000))
                self.tell(name, subscriptions.extend(account, id, length, None, self.now))
            case "transfer":
                self.transfer(name, id)
            case _:
                decide = getattr(subscriptions, do)
                self.tell(name, decide(account, id, None, self.now))

    def redeem(self, name: str, start: subscriptions.Start) -> None:
        id = f"kfsub_{len(self.months)}"
        seats, months = self.random.randint(1, 5), self.random.choice((1, 1, 2, 12))
        key = issued(str(len(self.months)), self.random.choice(PLACES), seats, months)
        before = subscriptions.current(self.accounts[name], key, self.now)
        self.months[id] = months
        self.spans[id] = defaultdict(timedelta)
        self.tell(name, subscriptions.activate(self.accounts[name], key, id, start, self.now))
        made = self.accounts[name].subscriptions[id]
        if start == "when_current_ends" and before is not None:
            assert (made.started_at, made.status(self.now)) == (before.expires_at, "scheduled")
            self.chained += 1
        else:
            assert (made.started_at, made.status(self.now)) == (self.now, "active")

    def transfer(self, name: str, id: str) -> None:
        to = self.random.choice([one for one in ACCOUNTS if one != name])
        left = subscriptions.leave(self.accounts[name], id, to, None, self.now)
        if left:
            moved = self.accounts[name].subscriptions[id]
            taken = subscriptions.take_over(moved, name, self.now)
            self.tell(name, left)
            self.tell(to, taken)

    def tell(self, name: str, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.accounts[name] = ACCOUNT.fold(self.accounts[name], [event(fact, self.now)])
            match fact:
                case SubscriptionExtended(subscription=id):
                    self.extended[id] += fact.expires_at - fact.previous_expires_at
                case SubscriptionTerminated(subscription=id):
                    self.terminated[id] = self.now
        check_chains(self.accounts, self.now)


def check_chains(accounts: Mapping[str, Account], now: datetime) -> None:
    """Hold what is scheduled against what it follows; what came from elsewhere follows nothing."""
    for account in accounts.values():
        there = account.subscriptions
        for one in there.values():
            if one.status(now) != "scheduled" or one.follows is None:
                continue
            ahead = there[one.follows]
            assert ahead.status(now) in ("active", "suspended", "scheduled")
            assert (ahead.product, ahead.tier) == (one.product, one.tier)
            assert one.started_at == ahead.expires_at


def check(history: History) -> None:
    for id, months in history.months.items():
        spans = history.spans[id]
        recorded = spans["active"] + spans["suspended"]
        cut_off = history.terminated.get(id)
        began = history.began.get(id)
        if began is None:
            assert cut_off is not None, f"{id} never gave a seat"
            assert recorded == NONE
            continue
        sold_until = add_months(began, months) + history.extended[id]
        assert recorded == (cut_off or sold_until) - began, id
        assert cut_off is None or cut_off <= sold_until


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= IN_EVERY_RUN else [])
        for first in range(0, LONG, IN_EVERY_RUN)
    ],
)
def test_seat_days_given_are_seat_days_sold(first: int) -> None:
    chained = 0
    for seed in range(first, first + IN_EVERY_RUN):
        history = History(Random(seed))
        history.go_on(30)
        check(history)
        chained += history.chained
    assert chained > IN_EVERY_RUN / 2


def test_while_nothing_else_happens_a_chain_has_neither_gap_nor_overlap() -> None:
    account, now = ACCOUNT.initial, NOON
    for number in range(5):
        key = issued(str(number), "cloud_pos", 3, 1)
        facts = subscriptions.activate(account, key, f"kfsub_{number}", "when_current_ends", now)
        account = ACCOUNT.fold(account, [event(fact, now) for fact in facts])
        now += timedelta(days=3)
    for one, following in pairwise(account.subscriptions.values()):
        assert one.expires_at == following.started_at


def sizes_of(random: Random, seats: int) -> list[int]:
    """Return the sizes of keys that give so many seats in all, in any order."""
    sizes = []
    while seats:
        sizes.append(random.randint(1, seats))
        seats -= sizes[-1]
    random.shuffle(sizes)
    return sizes


@pytest.mark.parametrize("seed", range(100))
def test_who_renews_every_seat_never_has_fewer(seed: int) -> None:
    """Keys of any sizes that end at whatever times, renewed by others of as many seats in all.

    That is done up to three times, at once or after a while: one by one, by keys of the same sizes
    in another order, by one key, or by any others.
    """
    random = Random(seed)
    account, now, ids = ACCOUNT.initial, NOON, count()

    def tell(facts: Iterable[Fact]) -> None:
        nonlocal account
        for fact in facts:
            account = ACCOUNT.fold(account, [event(fact, now)])

    def redeem(seats: int, months: int, start: subscriptions.Start, place: str = PLACES[0]) -> None:
        id = str(next(ids))
        key = issued(id, place, seats, months)
        offered = {one[0]: one[1:] for one in subscriptions.choices(account, key, now)}
        tell(subscriptions.activate(account, key, f"kfsub_{id}", start, now))
        made = account.subscriptions[f"kfsub_{id}"]
        assert (made.started_at, made.expires_at) == offered.get(start, offered["now"])

    def given(at: datetime) -> int:
        return sum(row.seats for row in account.rows(at) if row.product == "cloud_pos")

    sizes = [random.choice((1, 1, 2, 5, 20)) for _ in range(random.randint(1, 6))]
    for size in sizes:
        redeem(size, random.randint(3, 12), "now")
        redeem(random.randint(1, 20), 1, "when_current_ends", PLACES[1])
        now += timedelta(days=random.choice((0, 3, 17)))
    changed = random.choice(list(account.subscriptions))
    with suppress(Refusal):
        decide = random.choice((subscriptions.suspend, subscriptions.terminate))
        tell(
            subscriptions.extend(account, changed, timedelta(days=40), None, now)
            if random.random() < 0.7
            else decide(account, changed, None, now)
        )
    renewals: set[str] = set()
    for _ in range(1 + seed % 3):
        now += timedelta(days=30) * random.choice((0, 0, 3, 13, 25)) if renewals else NONE
        had, before = given(now), set(account.subscriptions)
        same = random.sample(sizes, len(sizes))
        again = random.choice(([1] * had, [had], sizes_of(random, had), same))
        for size in again if sum(again) >= had > 0 else sizes_of(random, had):
            redeem(size, random.choice((1, 3, 12, 24)), "when_current_ends")
        renewals = account.subscriptions.keys() - before
    first_end = min((account.subscriptions[one].expires_at for one in renewals), default=now)
    for step in sorted(account.steps()):
        if now <= step < first_end:
            assert given(step) >= had
