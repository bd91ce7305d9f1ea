"""Whatever is done in whatever order: the ledger says what a few lines of plain Python say.

The same machine drives the ledger in memory, on SQLite and on PostgreSQL, through two workers that
know nothing of each other. The clock is moved forwards and, a little, backwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from commands.change_subscription import terminate_subscription
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key, validate_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Book
from ledger.loaded import Loaded
from ledger.months import add_months
from ledger.refusals import Refusal
from ledger.store import schema
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, stream_id
from projections.views.account_at import Moment, account_at
from projections.views.seats import seats
from projections.views.subscriptions import subscriptions
from tests.worlds import DAY, NOON, another_book, context, services

Pool = tuple[str, str | None]
POOLS: list[Pool] = [("cloud_pos", None), ("integrations", "starter"), ("integrations", "scale")]
ACCOUNTS = ["acme", "beta"]
HOLDERS = ["h-1", "h-2", "h-3"]
NAME, POOL, HOLDER = (st.sampled_from(few) for few in (ACCOUNTS, POOLS, HOLDERS))


# The model


@dataclass
class ModelKey:
    code: str
    pool: Pool
    seats: int
    months: int
    redeem_by: datetime | None
    state: str = "issued"
    subscription: str | None = None

    def status(self, at: datetime) -> str:
        lapsed = self.state == "issued" and self.redeem_by is not None and at >= self.redeem_by
        return "lapsed" if lapsed else self.state


@dataclass
class ModelSubscription:
    pool: Pool
    seats: int
    end: datetime
    terminated: bool = False


@dataclass
class ModelAccount:
    subscriptions: dict[str, ModelSubscription] = field(default_factory=dict)
    holders: list[tuple[Pool, str]] = field(default_factory=list)  # who came first first
    sat: dict[tuple[Pool, str], datetime] = field(default_factory=dict)
    failures: list[datetime] = field(default_factory=list)

    def seats(self, pool: Pool, at: datetime) -> int:
        given = (s for s in self.subscriptions.values() if s.pool == pool and not s.terminated)
        return sum(s.seats for s in given if at < s.end)

    def blocked(self, at: datetime) -> bool:
        return sum(abs(at - failed) < DAY for failed in self.failures[-20:]) >= 20

    def used(self, pool: Pool) -> int:
        return sum(where == pool for where, _ in self.holders)

    def licensed(self, pool: Pool, at: datetime) -> list[str]:
        sitting = [holder for where, holder in self.holders if where == pool]
        sitting.sort(key=lambda holder: self.sat[pool, holder])
        return sitting[: self.seats(pool, at)]


# The machine


class Machine(RuleBasedStateMachine):
    """One history of keys and seats, told to the ledger and to the model."""

    run = itertools.count()

    def __init__(self, open_world: Callable[[], tuple[Services, Services]]) -> None:
        super().__init__()
        self.workers = itertools.cycle(open_world())
        self.id = next(self.run)
        self.clock = NOON
        self.keys: dict[str, ModelKey] = {}
        self.accounts = {f"{name}-{self.id}": ModelAccount() for name in ACCOUNTS}
        self.sessions = itertools.count()

    def ask(self, command: Callable[..., Any], *args: Any) -> Any:
        """Answer what a worker answers, or the code of its refusal."""
        try:
            return command(next(self.workers), context(self.clock), *args)
        except Refusal as refusal:
            return refusal.code

    def account(self, name: str) -> tuple[str, ModelAccount]:
        id = f"{name}-{self.id}"
        return id, self.accounts[id]

    def a_key(self, data: st.DataObject) -> str:
        """Any key, but half the time one that can still be redeemed."""
        known = list(self.keys)
        issued = [id for id in known if self.keys[id].state == "issued"]
        return data.draw(st.sampled_from(known) | st.sampled_from(issued or known))

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Begin with seats, so that there is something to sit on."""
        for name in ACCOUNTS:
            self.issue(data.draw(st.sampled_from(POOLS)), data.draw(st.integers(1, 3)), 1, None)
            self.redeem(data, name)

    @rule(
        pool=POOL,
        count=st.integers(1, 3),
        months=st.sampled_from([1, 2, 12]),
        days=st.one_of(st.none(), st.integers(1, 40)),
    )
    def issue(self, pool: Pool, count: int, months: int, days: int | None) -> None:
        redeem_by = None if days is None else self.clock + days * DAY
        order = Order(*pool, count, months, 1, "Northwind", redeem_by=redeem_by)
        (key,) = self.ask(issue_keys, order).keys
        self.keys[key.id] = ModelKey(key.code, pool, count, months, redeem_by)

    @rule(data=st.data(), name=NAME)
    def redeem(self, data: st.DataObject, name: str) -> None:
        self.try_code(self.a_key(data), name, consuming=True)

    @rule(data=st.data(), name=NAME)
    def validate(self, data: st.DataObject, name: str) -> None:
        self.try_code(self.a_key(data), name, consuming=False)

    def try_code(self, id: str, name: str, *, consuming: bool) -> None:
        key = self.keys[id]
        account_id, account = self.account(name)
        at = self.clock
        wanted = Try(account_id, f"s-{self.id}-{next(self.sessions)}", key.code, key.pool[0])
        answer = self.ask(redeem_key if consuming else validate_key, wanted)
        if account.blocked(self.clock):
            assert answer == "too_many_attempts"
        elif key.subscription in account.subscriptions:
            assert answer == "key_already_yours"
        elif key.status(at) != "issued":
            assert answer == "key_not_available"
            account.failures.append(self.clock)
        elif consuming:
            assert not isinstance(answer, str), answer
            key.state, key.subscription = "redeemed", answer.subscription
            account.subscriptions[answer.subscription] = ModelSubscription(
                key.pool, key.seats, add_months(at, key.months)
            )
        else:
            assert answer.expires_if_activated_now == add_months(at, key.months)

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        id = self.a_key(data)
        key = self.keys[id]
        answer = self.ask(revoke_key, id, "lost")
        if key.state == "redeemed":
            assert answer == "key_already_redeemed"
        else:
            assert answer.loaded.state.status(self.clock) == "revoked"
            key.state = "revoked"

    @rule(data=st.data())
    def reissue(self, data: st.DataObject) -> None:
        id = self.a_key(data)
        key = self.keys[id]
        status = key.status(self.clock)
        answer = self.ask(reissue_key, id, "lost")
        if status in ("revoked", "lapsed"):
            assert answer == ("key_already_revoked" if status == "revoked" else "key_lapsed")
            return
        if key.subscription is not None and not self.gives_seats(key.subscription):
            assert answer == "subscription_ended"
            return
        self.keys[answer.id] = ModelKey(
            answer.code, key.pool, key.seats, key.months, key.redeem_by, key.state, key.subscription
        )
        key.state = "revoked"

    def gives_seats(self, id: str) -> bool:
        for account in self.accounts.values():
            if found := account.subscriptions.get(id):
                return not found.terminated and self.clock < found.end
        return False

    @rule(name=NAME, pool=POOL, holder=HOLDER)
    def occupy_any(self, name: str, pool: Pool, holder: str) -> None:
        self.occupy(name, pool, holder)

    @rule(data=st.data(), name=NAME, holder=HOLDER)
    def occupy_where_there_is_room(self, data: st.DataObject, name: str, holder: str) -> None:
        _, account = self.account(name)
        at = self.clock
        room = [pool for pool in POOLS if account.seats(pool, at) > account.used(pool)]
        self.occupy(name, data.draw(st.sampled_from(room or POOLS)), holder)

    def occupy(self, name: str, pool: Pool, holder: str) -> None:
        account_id, account = self.account(name)
        at = self.clock
        answer = self.ask(occupy_seat, Sitting(account_id, *pool, holder))
        taken = [where for where, who in account.holders if (where[0], who) == (pool[0], holder)]
        if taken == [pool]:
            assert answer.created is False
        elif taken:
            assert answer == "holder_in_other_tier"
        elif account.used(pool) >= account.seats(pool, at):
            assert answer == "no_seat_available"
        else:
            assert answer.created is True
            account.holders.append((pool, holder))
            # By the clock, or by a later one that was right to the minute, too.
            state = next(self.workers).book.load(ACCOUNT, account_id).state
            account.sat[pool, holder] = state.seats[pool[0], holder].occupied_at
            assert at <= account.sat[pool, holder] <= at + timedelta(minutes=2)

    @rule(name=NAME, pool=POOL, holder=HOLDER)
    def release_any(self, name: str, pool: Pool, holder: str) -> None:
        self.release(name, pool, holder)

    @precondition(lambda self: any(account.holders for account in self.accounts.values()))
    @rule(data=st.data())
    def release_where_somebody_sits(self, data: st.DataObject) -> None:
        sitting = [name for name in ACCOUNTS if self.account(name)[1].holders]
        name = data.draw(st.sampled_from(sitting))
        self.release(name, *data.draw(st.sampled_from(self.account(name)[1].holders)))

    def release(self, name: str, pool: Pool, holder: str) -> None:
        account_id, account = self.account(name)
        answer = self.ask(release_seat, account_id, pool[0], holder)
        left = [(w, who) for w, who in account.holders if (w[0], who) != (pool[0], holder)]
        if left == account.holders:
            assert answer == "seat_not_occupied"
        else:
            assert answer.account.version
            account.holders = left

    @precondition(lambda self: any(account.subscriptions for account in self.accounts.values()))
    @rule(data=st.data(), really=st.sampled_from([False, False, True]))
    def terminate(self, data: st.DataObject, really: bool) -> None:
        if not really:  # or else there are hardly any seats to sit on
            return
        having = sorted((a, s) for a, its in self.accounts.items() for s in its.subscriptions)
        account_id, id = data.draw(st.sampled_from(having))
        subscription = self.accounts[account_id].subscriptions[id]
        at = self.clock
        answer = self.ask(terminate_subscription, account_id, id, "never paid")
        if not subscription.terminated and at >= subscription.end:
            assert answer == "subscription_ended"
        else:
            assert answer.loaded.state.subscriptions[id].status(at) == "terminated"
            subscription.terminated = True

    @rule(days=st.sampled_from([0, 0, 1, 10, 31]), seconds=st.integers(0, 3_600))
    def time_passes(self, days: int, seconds: int) -> None:
        self.clock += timedelta(days=days, seconds=seconds)

    @rule(hours=st.integers(1, 48))
    def the_clock_is_set_back(self, hours: int) -> None:
        self.clock -= timedelta(hours=hours)

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        world = next(self.workers)
        for id, key in self.keys.items():
            state = world.book.load(KEY, stream_id(id)).state
            assert state is not None
            assert state.status(self.clock) == key.status(self.clock)
            assert state.subscription == key.subscription or key.state == "revoked"
        for account_id, account in self.accounts.items():
            at = self.clock
            asked = account_at(world.book, account_id, Moment(self.clock))
            expected = {pool: (account.seats(pool, at), account.used(pool)) for pool in POOLS}
            seen = seats(asked, world.catalog)
            totals = {(t.product, t.tier): (t.seats, t.used) for t in seen.totals}
            assert {pool: totals[pool] for pool in POOLS} == expected
            assert {(s.product, s.tier, s.holder) for s in seen.items if s.licensed} == {
                (*pool, holder) for pool in POOLS for holder in account.licensed(pool, at)
            }
            for product in subscriptions(asked, world.catalog).products:
                pools = [pool for pool in POOLS if pool[0] == product.product]
                assert product.seats == sum(expected[pool][0] for pool in pools)
                assert product.used == sum(expected[pool][1] for pool in pools)
                licensed = sum(len(account.licensed(pool, at)) for pool in pools)
                assert sum(row.used for row in product.rows) == licensed
                assert product.over == product.used - licensed

    def teardown(self) -> None:
        """Fold everything once more from the first event: what was remembered was right."""
        world = next(self.workers)
        fresh = another_book(world.book)
        for id in self.accounts:
            assert is_same(fresh.load(ACCOUNT, id), world.book.load(ACCOUNT, id))
        for id in self.keys:
            assert is_same(fresh.load(KEY, stream_id(id)), world.book.load(KEY, stream_id(id)))


def is_same(one: Loaded, other: Loaded) -> bool:
    """Compare all but what readers have worked out."""
    return one._replace(derived={}) == other._replace(derived={})


def drive(open_world: Callable[[], tuple[Services, Services]], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(open_world),  # type: ignore[arg-type]  # any maker of machines will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("examples", [30, pytest.param(150, marks=pytest.mark.long)])
def test_the_ledger_in_memory_does_what_the_model_does(examples: int) -> None:
    def open_world() -> tuple[Services, Services]:
        book = Book("memory:")
        return services(book, seed=1), services(another_book(book), seed=2)

    drive(open_world, examples, steps=50)


@pytest.fixture(params=["sqlite", "postgresql"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Services, Services]]:
    """Two workers on one database, each with connections of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.db"
    else:
        url = request.getfixturevalue("postgres_ledger_url")
    schema.upgrade(url)
    books = Book(url), Book(url)
    yield services(books[0], seed=1), services(books[1], seed=2)
    for book in books:
        book.close()


def test_the_ledger_on_a_database_does_what_the_model_does(
    workers: tuple[Services, Services],
) -> None:
    drive(lambda: workers, examples=12, steps=25)
