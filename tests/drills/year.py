"""A year in a minute: a vendor, its resellers, its customers and Stripe, by a seed.

Several workers, whose clocks are apart, do what people ask for, day by day; now and then one dies
before or after it has recorded something, and another does it again. Stripe's events come late,
doubled, in disorder, or never, until it is asked. Beside the ledger stands a plain reckoning of who
was promised what. After every day the two are compared.

A year is lived again by its seed: `./dev drill --quick --seed 7 year`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Final, NamedTuple, NoReturn

from commands.arrange_reseller import grant_seats
from commands.change_subscription import (
    extend_subscription,
    resume_subscription,
    suspend_subscription,
    terminate_subscription,
    transfer_subscription,
)
from commands.gateways.stripe import StripeGateway
from commands.issue_keys import Issued, Order
from commands.occupy_seat import Sitting, occupy_seat
from commands.order_keys import order_keys
from commands.reconcile_stripe import reconcile_stripe
from commands.record_stripe_event import record_event
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Book, Change
from ledger.events import AnyEvent, RequestContext
from ledger.months import add_months
from ledger.refusals import Refusal
from ledger.streams.account.facts import SeatOccupied, SubscriptionTerminated
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, KeyRedeemed
from ledger.streams.reseller import RESELLER
from ledger.stripe.objects import read_event
from projections.audit import integrity, tree
from projections.lists.stores import open_tables
from projections.views.account_at import Moment, account_at
from projections.views.explain import explain_holder
from projections.views.seats import seats
from tests.drills.faulty_store import FaultyStore, Insert
from tests.drills.report import Report
from tests.stripe.histories import ACCOUNT as AT_STRIPE
from tests.stripe.histories import STEPS_OF_LIFE, Life, Step
from tests.stripe_server import StripeServer, in_disorder
from tests.worlds import another_worker, services

DAYS: Final = 365
WORKERS: Final = 3
CLOCKS_APART: Final = (timedelta(0), timedelta(minutes=-50), timedelta(minutes=40))
OPENING, CHECKED_AT = timedelta(hours=8), timedelta(hours=23)
RESELLERS: Final = ("northwind", "contoso")
POOLS: Final = (("cloud_pos", None), ("integrations", "growth"))
GRANTED_AN_ACCOUNT: Final = 50
RECONCILED_EVERY: Final = 15
VERIFIED_EVERY: Final = 60


class Size(NamedTuple):
    accounts: int
    actions: int  # a day


SHORT: Final = Size(accounts=8, actions=3)
LONG: Final = Size(accounts=2_000, actions=60)
SEEDS_LONG: Final = 5


class Died(Exception):
    """The worker is no more; whoever asked it heard nothing."""


def _dies_before(_: Insert) -> NoReturn:
    raise Died


def _dies_after(insert: Insert) -> NoReturn:
    insert()
    raise Died


@dataclass
class Promised:
    """What somebody was promised by a key, as it was answered."""

    account: str
    product: str
    tier: str | None
    seats: int
    starts_at: datetime
    ends_at: datetime
    suspended: bool = False
    in_chain: bool = False

    def gives(self, now: datetime) -> int:
        is_on = self.starts_at <= now < self.ends_at and not self.suspended
        return self.seats if is_on else 0


@dataclass
class Key:
    """A key that somebody holds."""

    id: str
    code: str
    order: Order
    open: bool = True


@dataclass
class Reckoning:
    """What there should be, written down plainly beside the ledger."""

    promised: dict[str, Promised] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    sitting: dict[tuple[str, str, str], str | None] = field(default_factory=dict)  # holder: tier
    spent: Counter[str] = field(default_factory=Counter)

    def seats(self, now: datetime) -> Counter[tuple[str, str, str | None]]:
        """Return the seats that there should be, by account, product and tier."""
        promised: Counter[tuple[str, str, str | None]] = Counter()
        for one in self.promised.values():
            promised[one.account, one.product, one.tier] += one.gives(now)
        return promised

    def holders(self) -> defaultdict[str, set[tuple[str, str]]]:
        """Return who should sit where, by account."""
        found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for account, product, holder in self.sitting:
            found[account].add((product, holder))
        return found


class Year:
    """The year of a vendor."""

    def __init__(self, seed: int, size: Size, stripe: StripeServer) -> None:
        self.random = Random(f"year-{seed}")
        self.accounts = [AT_STRIPE, *(f"account-{n}" for n in range(1, size.accounts))]
        self.reckoning = Reckoning()
        self.faults: list[str] = []
        self.counted: Counter[str] = Counter()
        self._actions = size.actions
        self._seed = seed
        self._stripe = stripe
        self._life = Life(stripe)
        self._heard = 0
        self._late: list[Any] = []
        self._names = count()
        self._began = datetime.fromtimestamp(stripe.clock, UTC)
        self.day = 0
        gateway = StripeGateway(stripe.api_key, stripe.url)
        self._first = services(seed=seed)._replace(stripe=gateway)
        self._store = self._first.book.store
        self.workers = [self._worker() for _ in range(WORKERS)]
        self.tables = open_tables("memory:")
        self._root = (0, b"")
        self._redeemed: set[str] = set()
        self._read = 0
        self._touched: set[str] = set()
        self._wanted = ("", "", "")

    # Days

    def live(self, days: int) -> None:
        granted = GRANTED_AN_ACCOUNT * len(self.accounts)
        for reseller in RESELLERS:
            for product, tier in POOLS:
                self._do(lambda world, at, r=reseller, p=product, t=tier: grant_seats(  # type: ignore[misc]
                    world, at, r, p, t, granted, "The contract"
                ))  # fmt: skip
        for self.day in range(days):
            for _ in range(self.random.randint(0, 2 * self._actions)):
                self._act()
            self._live_at_stripe()
            self.check(self.midnight)

    @property
    def midnight(self) -> datetime:
        return self._began + timedelta(days=self.day) + CHECKED_AT

    def _now(self) -> datetime:
        return self._began + timedelta(days=self.day) + OPENING

    def _worker(self) -> Services:
        world = another_worker(self._first, seed=next(self._names) + 1000 * self._seed)
        world.book.store = FaultyStore(self._store)
        return world._replace(stripe=self._first.stripe)

    def _do(self, ask: Callable[[Services, RequestContext], Any]) -> Any:
        """Ask one of the workers; if it dies, ask another one. None if it is refused."""
        number = self.random.randrange(WORKERS)
        store: Any = self.workers[number].book.store
        store.plan = self.random.choice((*[None] * 30, _dies_before, _dies_after))
        hours = timedelta(minutes=self.random.randint(0, 12 * 60))
        for tried in range(3):
            now = self._now() + hours + CLOCKS_APART[(number + tried) % len(CLOCKS_APART)]
            context = RequestContext(now, "operator", f"req_{next(self._names)}")
            try:
                answer = ask(self.workers[(number + tried) % WORKERS], context)
            except Died:
                self.counted["workers that died"] += 1
                self.workers[number] = self._worker()
            except Refusal as refusal:
                store.plan = None
                self.counted["refusals"] += 1
                if not refusal.title or not refusal.code:
                    self._wrong(f"{type(refusal).__name__} says nothing")
                self._refused(refusal, context)
                return None
            else:
                store.plan = None
                return answer
        raise AssertionError("only one of them dies")

    def _refused(self, refusal: Refusal, context: RequestContext) -> None:
        if refusal.code != "no_seat_available":
            return
        account, product, holder = self._wanted
        moment = Moment(context.now)
        told = explain_holder(
            self._first.book, account, moment, self._first.catalog, product, holder
        )
        if told.code != refusal.code:
            self._wrong(f"{holder} was refused by {refusal.code}, explained as {told.code}")

    def _wrong(self, what: str) -> None:
        self.faults.append(f"day {self.day}: {what}")

    # What people do

    def _act(self) -> None:
        acts = (
            *(self._sit,) * 6, *(self._leave,) * 3, *(self._order,) * 2, *(self._redeem,) * 3,
            self._guess, self._renew, self._extend, self._suspend, self._resume, self._terminate,
            self._transfer, self._reissue, self._revoke,
        )  # fmt: skip
        self.counted["actions"] += 1
        self.random.choice(acts)()

    def _account(self) -> str:
        account = self.random.choice(self.accounts)
        self._touched.add(account)
        return account

    def _name(self) -> str:
        return f"{self._seed}-{next(self._names)}"

    def _sit(self) -> None:
        account, (product, tier) = self._account(), self.random.choice(POOLS)
        holder = f"till-{self.random.randrange(12)}"
        self._wanted = (account, product, holder)
        sitting = Sitting(account, product, tier, holder)
        place = account, product, holder
        was_there = place in self.reckoning.sitting
        done = self._do(lambda world, at: occupy_seat(world, at, sitting))
        if done is not None:
            self.reckoning.sitting[place] = tier
        elif was_there:
            self._wrong(f"{place} sat there, and was refused")

    def _leave(self) -> None:
        if not self.reckoning.sitting:
            return
        place = self.random.choice(sorted(self.reckoning.sitting))
        self._touched.add(place[0])
        # Who asks again after a death may hear that nobody sits there any more.
        self._do(lambda world, at: release_seat(world, at, *place))
        del self.reckoning.sitting[place]

    def _order(self) -> None:
        reseller, (product, tier) = self.random.choice(RESELLERS), self.random.choice(POOLS)
        order = Order(
            product, tier, self.random.randint(1, 4), self.random.choice((1, 2, 12)),
            self.random.randint(1, 3), reseller,
        )  # fmt: skip
        key = self._name()
        issued = self._do(
            lambda world, at: order_keys(world, at, order, reseller, idempotency_key=key)
        )
        if isinstance(issued, Issued):
            self.reckoning.keys += [Key(one.id, one.code, order) for one in issued.keys]
            self.reckoning.spent[f"{reseller} {product}"] += order.seats * order.count

    def _open_key(self) -> Key | None:
        keys = [key for key in self.reckoning.keys if key.open]
        return self.random.choice(keys) if keys else None

    def _redeem(self, start: Any = "now") -> None:
        if (key := self._open_key()) is None:
            return
        name = self._name()
        wanted = Try(self._account(), f"s-{name}", key.code, start=start)
        done = self._do(lambda world, at: redeem_key(world, at, wanted, idempotency_key=name))
        if done is None:
            return
        key.open = False
        order, made = key.order, done.account.state.subscriptions[done.subscription]
        if made.expires_at != add_months(made.started_at, order.months):
            self._wrong(f"{key.id}: {order.months} months end at {made.expires_at}")
        self.reckoning.promised[done.subscription] = Promised(
            wanted.account, order.product, order.tier, order.seats, made.started_at,
            made.expires_at, in_chain=made.follows is not None,
        )  # fmt: skip
        if made.follows is not None:
            self.reckoning.promised[made.follows].in_chain = True

    def _renew(self) -> None:
        self._redeem("when_current_ends")

    def _guess(self) -> None:
        wanted = Try(self._account(), f"s-{self._name()}", "POS-AAAA-BBBB-CCCC")
        if self._do(lambda world, at: redeem_key(world, at, wanted)) is not None:
            self._wrong("a code that nobody issued was redeemed")

    def _on_a_subscription(self, change: Callable[..., Any], **more: Any) -> Promised | None:
        """Change one that stands alone and is not over; return what was promised with it."""
        now = self._now() - timedelta(days=1)
        candidates = [
            (id, one)
            for id, one in sorted(self.reckoning.promised.items())
            if not one.in_chain and one.starts_at < now and one.ends_at > now + timedelta(days=3)
        ]
        if not candidates:
            return None
        id, promised = self.random.choice(candidates)
        if more.get("to") == promised.account:
            return None
        self._touched |= {promised.account, *more.values()} & {*self.accounts}
        name = self._name()
        done = self._do(
            lambda world, at: change(
                world, at, promised.account, id, "By the year", idempotency_key=name, **more
            )
        )
        if done is None:
            return None
        promised.ends_at = min(promised.ends_at, done.loaded.state.subscriptions[id].expires_at)
        return promised

    def _extend(self) -> None:
        if (promised := self._on_a_subscription(extend_subscription, days=10)) is not None:
            promised.ends_at += timedelta(days=10)

    def _suspend(self) -> None:
        if (promised := self._on_a_subscription(suspend_subscription)) is not None:
            promised.suspended = True

    def _resume(self) -> None:
        if (promised := self._on_a_subscription(resume_subscription)) is not None:
            promised.suspended = False

    def _terminate(self) -> None:
        if (promised := self._on_a_subscription(terminate_subscription)) is not None:
            promised.ends_at = self._now() - timedelta(days=1)

    def _transfer(self) -> None:
        to = self._account()
        if (promised := self._on_a_subscription(transfer_subscription, to=to)) is not None:
            promised.account = to

    def _reissue(self) -> None:
        if (key := self._open_key()) is not None:
            done = self._do(lambda world, at: reissue_key(world, at, key.id, "Lost"))
            if done is None:  # it had been done before the worker died: nobody heard the new code
                key.open = False
            else:
                key.id, key.code = done.id, done.code

    def _revoke(self) -> None:
        if (key := self._open_key()) is not None:
            self._do(lambda world, at: revoke_key(world, at, key.id, "Not needed"))
            key.open = False
            self.reckoning.spent[f"{key.order.reseller} {key.order.product}"] -= key.order.seats

    # Stripe

    def _live_at_stripe(self) -> None:
        if self.random.random() < 0.1:
            do = self.random.choice(STEPS_OF_LIFE)
            step = Step(do, self.random.randint(0, 1), self.random.randint(1, 6))
            self._life.live([step])
            self._touched.add(AT_STRIPE)
        self._stripe.advance(days=1)
        made, self._heard = self._stripe.events[self._heard :], len(self._stripe.events)
        come = in_disorder(
            [*self._late, *made], seed=self.day, shuffle=True, duplicate=0.3, drop=0.05
        )
        held_back = self.random.randint(0, len(come))
        self._late, come = come[held_back:][:5], [*come[:held_back], *come[held_back:][5:]]
        for event in come:
            self.counted["events of Stripe's"] += 1
            self._do(lambda world, at, e=event: record_event(world, at, read_event(e), "webhook"))  # type: ignore[misc]
        if self.day % RECONCILED_EVERY == RECONCILED_EVERY - 1:
            self.reconcile()

    def reconcile(self) -> None:
        context = RequestContext(self.midnight, "stripe", "req_reconcile")
        list(reconcile_stripe(self._first, lambda: context, [], dry_run=False))
        self.check_stripe()

    def check_stripe(self) -> None:
        """Hold the seats that Stripe sells to what Stripe says."""
        at_stripe: Counter[str] = Counter()
        for id in self._life.subscriptions:
            found = self._stripe.get(f"/v1/subscriptions/{id}")
            if found["status"] in ("active", "trialing", "past_due"):
                for item in found["items"]["data"]:
                    pool = item["price"]["lookup_key"].rpartition("_")[0]
                    at_stripe[pool] += item["quantity"]
        told = self._seats_of_stripe()
        if +at_stripe != +told:
            self._wrong(f"Stripe sells {dict(at_stripe)}, and the ledger says {dict(told)}")

    def _seats_of_stripe(self) -> Counter[str]:
        account = self._first.book.load(ACCOUNT, AT_STRIPE).state
        told: Counter[str] = Counter()
        for row in account.rows(self.midnight):
            if row.subscription not in self.reckoning.promised:
                told["_".join(filter(None, (row.product, row.tier)))] += row.seats
        return told

    # What must hold

    def check(self, now: datetime) -> None:
        """Hold what the ledger says to the reckoning, and the ledger to itself."""
        book = self._first.book
        for event in list(book.follow(self._read)):
            self._read = event.position
            self._check_event(event)
        some = self.random.sample(self.accounts, min(8, len(self.accounts)))
        promised, holders = self.reckoning.seats(now), self.reckoning.holders()
        for account in sorted({*some, *self._touched}):
            self._check_account(account, now, promised, holders[account])
        self._touched = set()
        self._check_resellers(book)
        self._check_history(book)

    def _check_event(self, event: AnyEvent) -> None:
        self.counted["events"] += 1
        if isinstance(event.fact, KeyRedeemed):
            if event.stream in self._redeemed:
                self._wrong(f"{event.stream} was redeemed twice")
            self._redeemed.add(event.stream)

    def _check_account(
        self,
        account: str,
        now: datetime,
        promised: Counter[tuple[str, str, str | None]],
        holders: set[tuple[str, str]],
    ) -> None:
        view = seats(account_at(self._first.book, account, Moment(now)), self._first.catalog)
        of_stripe = self._seats_of_stripe() if account == AT_STRIPE else Counter[str]()
        held = {(one.product, one.holder) for one in view.items}
        if odd := sorted(held ^ holders):
            self._wrong(f"{account}: who sits there is not who was told so: {odd[:3]}")
        for total in view.totals:
            pool = total.product, total.tier
            licensed = sum(one.licensed for one in view.items if (one.product, one.tier) == pool)
            if licensed > total.seats:
                self._wrong(f"{account}: {licensed} licensed on {total.seats} seats of {pool}")
            right = promised[account, *pool] + of_stripe["_".join(filter(None, pool))]
            if total.seats != right:
                self._wrong(f"{account}: {total.seats} seats of {pool}, promised: {right}")

    def _check_resellers(self, book: Book) -> None:
        for name in RESELLERS:
            state = book.load(RESELLER, name).state
            for product, tier in POOLS:
                found = state.allowance(product, tier)
                spent = self.reckoning.spent[f"{name} {product}"]
                if found.spent != spent or not 0 <= spent <= found.granted:
                    self._wrong(f"{name} spent {found.spent} of {found.granted}, and {spent}")

    def _check_history(self, book: Book) -> None:
        head = book.head()
        old, root = self._root
        if head < old or (old and tree.root(book, self.tables, old) != root):
            self._wrong(f"the first {old} events are not those of yesterday")
        elif 0 < old < head:
            tree.consistency(book, self.tables, old, head)
        self._root = head, tree.root(book, self.tables, head) if head else b""
        if self.day % VERIFIED_EVERY == VERIFIED_EVERY - 1:
            self.verify()

    def verify(self) -> None:
        found = integrity.verify(self._first.book, self.tables, [])
        for one in found.findings:
            self._wrong(one.sentence)

    # Faults that are planted

    def planted(self) -> dict[str, list[str]]:
        """Plant a fault at a time at the year's end; return what is then said of each."""
        context = RequestContext(self.midnight, "operator", "req_planted")
        book = self._first.book
        account = self.accounts[1]
        key = min(self._redeemed)
        id = next(id for id, one in self.reckoning.promised.items() if one.gives(self.midnight))
        whose = self.reckoning.promised[id].account

        def append(stream: Any, name: str, fact: Any) -> None:
            book.append(context, Change(book.load(stream, name), [fact]))

        def change_a_byte() -> None:
            rows = self._store._rows  # type: ignore[attr-defined]  # noqa: SLF001
            row = rows[len(rows) // 2]
            rows[len(rows) // 2] = row._replace(state=row.state.replace(b"20", b"21", 1))
            self.verify()

        plants: dict[str, Callable[[], object]] = {
            "somebody sits whom nobody let in": lambda: append(
                ACCOUNT, account, SeatOccupied(product="cloud_pos", tier=None, holder="till-99")
            ),
            "a key is redeemed twice": lambda: append(
                KEY, key.removeprefix("key-"), KeyRedeemed(account="beta", subscription="kfsub_2")
            ),
            "a subscription ends that nobody ended": lambda: append(
                ACCOUNT, whose, SubscriptionTerminated(subscription=id)
            ),
            "seats are spent that nobody ordered": lambda: self.reckoning.spent.update(
                {"northwind cloud_pos": 1}
            ),
            "a past byte is changed": change_a_byte,
        }
        found = {}
        for name, plant in plants.items():
            before = len(self.faults)
            known = set(self.faults)
            plant()
            self._touched = {account, whose}
            self.check(self.midnight)
            found[name] = [one for one in self.faults[before:] if one not in known]
        return found


@contextmanager
def lived(seed: int, size: Size, days: int = DAYS) -> Iterator[Year]:
    with StripeServer(seed=seed) as stripe:
        year = Year(seed, size, stripe)
        year.live(days)
        year.reconcile()
        year.verify()
        yield year


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    for number in range(seed, seed + (1 if quick else SEEDS_LONG)):
        with lived(number, SHORT if quick else LONG) as year:
            counted = ", ".join(f"{times} {what}" for what, times in sorted(year.counted.items()))
            figures[f"seed {number}, {len(year.accounts)} accounts"] = counted
            faults += [f"seed {number}: {one}" for one in year.faults]
            if planted:
                found = year.planted()
    return Report(figures, faults, found)
