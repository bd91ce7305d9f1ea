"""Seat-days given are seat-days sold, whatever becomes of the subscriptions that keys gave.

Random histories over a few accounts: keys redeemed now and when what there is ends, subscriptions
started, extended, suspended, resumed, transferred and terminated. What each then gave, over all
accounts and all time, is held against what it was sold for: its months and what it was extended by,
less what was suspended or cut off on record. And what is scheduled begins, at every moment, when
the last of what was there before it ends, one behind another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise, product
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
        before = subscriptions.current(self.accounts[name], key.product, key.tier, self.now)
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
            taken = subscriptions.take_over(self.accounts[to], moved, name, self.now)
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
    """Hold what is scheduled against what runs."""
    for account, place in product(accounts.values(), PLACES):
        there = [
            one
            for one in account.subscriptions.values()
            if "/".join(filter(None, (one.product, one.tier))) == place
        ]
        waiting = [one for one in there if one.status(now) == "scheduled"]
        waiting.sort(key=lambda one: one.started_at)
        previous: list[datetime] = []
        for one in waiting:
            # What came later is not waited for, but for what was followed on another account.
            earlier = there[: there.index(one)] + [e for e in there if e.id == one.follows]
            running = [e for e in earlier if e.status(now) in ("active", "suspended")]
            ends = previous + [other.expires_at for other in running]
            if ends:
                assert one.started_at == max(ends)
            else:  # it came from another account, and keeps its date where nothing ran since
                assert one.follows is None
            previous = [one.expires_at]


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
    history = History(Random(1))
    for _ in range(5):
        history.redeem("acme", "when_current_ends")
        history.pass_time(history.now + timedelta(days=3))
    of_pos = [one for one in history.accounts["acme"].subscriptions.values() if not one.tier]
    for one, following in pairwise(of_pos):
        assert one.expires_at == following.started_at
