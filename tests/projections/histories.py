"""Random histories of one account, late facts among them, that could all have happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from ledger.book import Book, Change, Dated
from ledger.catalog import builtin
from ledger.events import Fact, RequestContext
from ledger.refusals import Refusal
from ledger.streams.account import decisions as rules
from ledger.streams.account import subscriptions as owned
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from projections.views.account_at import AccountAt, Moment, account_at
from tests.projections.telling import ACCOUNT_ID, at, issued

CATALOG = builtin()
START = at("2026-01-30 12:00")
POOLS = [("cloud_pos", None), ("integrations", "growth")]
HOLDERS = ["h1", "h2", "h3", "h4"]

# Gaps that meet one another: month ends, and the microseconds around them.
GAPS = [
    *[timedelta(0)] * 3,
    *[timedelta(microseconds=1)] * 2,
    *[timedelta(hours=5)] * 3,
    *[timedelta(days=1)] * 3,
    timedelta(days=28),
    timedelta(days=31),
]
CHANGES = ["start", "extend", "suspend", "resume", "transfer"]
DOINGS = [
    *(["redeem"] * 2 + ["renew"] * 2 + ["sit"] * 5 + ["leave"] * 2),
    *("replace", "terminate", "reissue", "take in"),
    *CHANGES,
]
DELAYS = [timedelta(0), timedelta(0), timedelta(0), timedelta(hours=5), timedelta(days=4)]
JUMPS = [*DELAYS, timedelta(days=-1), timedelta(days=-40)]


class Told(NamedTuple):
    """What was recorded, when, and when it had occurred."""

    recorded_at: datetime
    occurred_at: datetime
    facts: Sequence[Fact]


class Step(NamedTuple):
    """Something that somebody tries, some time after the step before."""

    gap: timedelta
    delay: timedelta
    do: str
    pool: tuple[str, str | None]
    holder: str
    number: int


def _steps(delays: Sequence[timedelta]) -> st.SearchStrategy[list[Step]]:
    step = st.builds(
        Step,
        gap=st.sampled_from(GAPS),
        delay=st.sampled_from(delays),
        do=st.sampled_from(DOINGS),
        pool=st.sampled_from(POOLS),
        holder=st.sampled_from(HOLDERS),
        number=st.integers(0, 2),
    )
    return st.lists(step, min_size=16, max_size=30)


STEPS = _steps(DELAYS)
JUMPING_STEPS = _steps(JUMPS)


def happened(steps: Iterable[Step], *, jumping: bool = False) -> list[Told]:
    """Return what comes of the steps; what the rules refuse does not happen.

    Args:
        jumping: by clocks that were behind and ahead. Else a late fact never comes before the last
            one about the same holder or subscription: nobody leaves before sitting down.
    """
    account = ACCOUNT.initial
    touched: dict[object, datetime] = {}
    told: list[Told] = []
    now = START
    book = Book("memory:")
    for step in steps:
        now += step.gap
        thing: object = step.number if step.do in ("terminate", "reissue") else step[3:5]
        occurred = max(START, now - step.delay)
        if step.do in ("redeem", "renew", "take in"):
            thing = len(account.subscriptions)
        things = [thing]
        if step.do == "replace":
            things.append((step.pool, _predecessor(step)))
        # What moves one subscription may move those that follow it: nobody learns of it late.
        is_change = step.do in CHANGES or step.do == "terminate"
        is_late = not jumping and occurred < max(touched.get(one, START) for one in things)
        if is_change or is_late:
            occurred = now
        try:
            facts = _decided(account, step, occurred)
        except Refusal:
            continue
        if facts:
            touched |= dict.fromkeys(things, occurred)
            told.append(Told(now, occurred, facts))
            account = record(book, told[-1:])
    return told


def record(book: Book, told: Iterable[Told]) -> Account:
    """Record a history; answer the account after it."""
    for one in told:
        loaded = book.load(ACCOUNT, ACCOUNT_ID)
        context = RequestContext(one.recorded_at, "operator", "req_1")
        dated = [Dated(fact, one.occurred_at) for fact in one.facts]
        book.append(context, Change(loaded, dated))
    return book.load(ACCOUNT, ACCOUNT_ID).state


def recorded(told: Iterable[Told]) -> Book:
    book = Book("memory:")
    record(book, told)
    return book


def asked_at(book: Book, moment: Moment) -> AccountAt:
    return account_at(book, ACCOUNT_ID, moment)


def moments(told: Sequence[Told], account: Account) -> list[datetime]:
    """Return the moments at which anything changes, and those a microsecond beside them."""
    ends = list(account.steps())
    steps = {START, *(t.occurred_at for t in told), *(t.recorded_at for t in told), *ends}
    beside = timedelta(microseconds=1)
    return sorted({near for step in steps for near in (step - beside, step, step + beside)})


def _decided(account: Account, step: Step, now: datetime) -> list[Fact]:
    product, tier = step.pool
    subscription = f"kfsub_{step.number}"
    decide: dict[str, Callable[[], list[Fact]]] = {
        "redeem": lambda: _redeemed(account, step, "now", now),
        "renew": lambda: _redeemed(account, step, "when_current_ends", now),
        "take in": lambda: _taken_in(account, step, now),
        "start": lambda: owned.start(account, subscription, None, now),
        "extend": lambda: owned.extend(account, subscription, timedelta(days=9), None, now),
        "suspend": lambda: owned.suspend(account, subscription, None, now),
        "resume": lambda: owned.resume(account, subscription, None, now),
        "transfer": lambda: owned.leave(account, subscription, "beta", None, now),
        "sit": lambda: rules.occupy(account, product, tier, step.holder, None, now),
        "replace": lambda: rules.pass_on(
            account, product, tier, _predecessor(step), step.holder, None
        ),
        "leave": lambda: rules.release(account, product, step.holder),
        "terminate": lambda: owned.terminate(account, subscription, None, now),
        "reissue": lambda: _reissued(account, subscription, step),
    }
    return decide[step.do]()


def _predecessor(step: Step) -> str:
    return HOLDERS[(HOLDERS.index(step.holder) + 1 + step.number) % len(HOLDERS)]


def _taken_in(account: Account, step: Step, now: datetime) -> list[Fact]:
    """Return that a key was redeemed elsewhere 20 days ago; of one month, or ended by now."""
    number = len(account.subscriptions)
    key = issued(str(number), "/".join(filter(None, step.pool)), seats=1 + step.number, months=1)
    began_at = now - timedelta(days=20)
    ends_at = now + timedelta(days=10 * step.number)
    return owned.take_in(key, f"kfsub_{number}", began_at, ends_at)


def _redeemed(account: Account, step: Step, start: owned.Start, now: datetime) -> list[Fact]:
    place = "/".join(filter(None, step.pool))
    number = len(account.subscriptions)
    key = issued(str(number), place, seats=1 + step.number, months=1 + step.number)
    return owned.activate(account, key, f"kfsub_{number}", start, now)


def _reissued(account: Account, subscription: str, step: Step) -> list[Fact]:
    if subscription not in account.subscriptions:
        return []
    key = issued(str(step.number), "cloud_pos", 1, 1, f"POS-••••-••••-{step.holder.upper()}YY")
    return owned.rename_key(subscription, key)
