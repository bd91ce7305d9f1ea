"""Tell Stripe how many seats of an account to bill (`ledger.streams.account.seat_sync`).

A step is one call of `commands.stripe_calls`. Whoever comes upon one without an answer, this
process or another, now or after a crash, carries it on. Of two who decide at once, one records its
step, and the other finds it recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from commands import stripe_calls, validation
from commands.gateways.stripe import SeatChange, StripeGateway
from commands.gateways.stripe_responses import Retrieved, StripeNotConfigured, StripeRefused
from commands.services import Services
from commands.stripe_calls import CallOutcome, Now, StripeCall, fetch_subscription
from ledger.book import Change
from ledger.events import Fact
from ledger.loaded import Loaded
from ledger.store.contract import VersionConflict
from ledger.streams.account import seat_sync
from ledger.streams.account.seat_sync import Outcome, SyncStatus, Verdict, Why
from ledger.streams.account.seat_sync_state import Unanswered
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import RETRIEVED, StripeSubscriptionReported
from ledger.stripe.objects import read_subscription
from ledger.stripe.pending_calls import UNDER_WAY_MAX
from ledger.stripe.reader import Origin, StripeObjectReader
from ledger.stripe.report_comparison import differing
from ledger.stripe.requests import SeatsSynced, SeatStep, SeatSyncFailed, SeatSyncStarted

# A rise takes two steps, and others may come between; whoever is left is met again.
ROUNDS_MAX: Final = 8
KEY_CHANCE_BYTES: Final = 4


class SyncStep(NamedTuple):
    """What Stripe was told, and what came of it.

    Attributes:
        quantity: that it has now; None when it was not done.
        refused: why not, as Stripe's code or ours.
    """

    step: SeatStep
    wanted: int
    quantity: int | None = None
    invoice: str | None = None
    invoice_status: str | None = None
    refused: str | None = None


class Synced(NamedTuple):
    """How the billed seats of a product stand after all that could be done.

    Attributes:
        outcome, why: what is left: nothing (`in_step`), what waits, or what is left alone.
        until: for what waits.
        steps: what was done now; of a dry run, what would be done first.
    """

    account: str
    product: str
    stripe_subscription: str
    holders: int
    quantity: int
    target: int
    outcome: Outcome
    why: Why
    until: datetime | None
    steps: list[SyncStep]


def sync_seats(services: Services, now: Now, account: str, quiet: timedelta | None) -> list[Synced]:
    """Bring what Stripe bills an account into step with its holders.

    Args:
        quiet: for how long its seats must not have moved; None to wait for nothing.

    Returns:
        One for each product whose seats are billed to the account.

    Raises:
        InvalidRequest: that is no account's id.
        StripeNotConfigured: there is no key for Stripe.
        StripeUnavailable, StripeKeyRefused: Stripe did not answer; the next call carries on.
    """
    validation.refuse_if(validation.account(account))
    if services.stripe is None:
        raise StripeNotConfigured
    found = []
    for product in _billed(services, now, account):
        synced = _sync(_ProductSync(services, services.stripe, now, account, product, quiet))
        found += [synced] if synced else []
    return found


def seats_to_sync(
    services: Services, now: Now, account: str, quiet: timedelta | None
) -> list[Synced]:
    """Return what there is to do for an account by what the ledger knows; nothing is done."""
    validation.refuse_if(validation.account(account))
    loaded = services.book.load(ACCOUNT, account)
    at = now().now
    found = []
    for one in seat_sync.standings(loaded.state, services.catalog, at):
        left = seat_sync.verdict(one, loaded.state.seat_syncs, at, quiet)
        steps = [SyncStep(left.step, left.wanted)] if left.outcome == "due" and left.step else []
        found.append(_synced(account, one, left, steps))
    return found


def _billed(services: Services, now: Now, account: str) -> list[str]:
    loaded = services.book.load(ACCOUNT, account)
    at = now().now
    standing = [one.product for one in seat_sync.standings(loaded.state, services.catalog, at)]
    # What was begun is brought to its end even when its subscription has ended since.
    return list(dict.fromkeys([*standing, *sorted(loaded.state.seat_syncs.unanswered)]))


def _synced(account: str, standing: SyncStatus, left: Verdict, steps: list[SyncStep]) -> Synced:
    return Synced(
        account=account,
        product=standing.product,
        stripe_subscription=standing.subscription.id,
        holders=standing.holders,
        quantity=standing.quantity,
        target=standing.target,
        outcome=left.outcome,
        why=left.why,
        until=left.until,
        steps=steps,
    )


# One product


class _ProductSync(NamedTuple):
    services: Services
    stripe: StripeGateway
    now: Now
    account: str
    product: str
    quiet: timedelta | None


class _Stands(NamedTuple):
    """The account, and how the product stands on it."""

    loaded: Loaded[Account]
    at: datetime
    standing: SyncStatus | None


def _load(work: _ProductSync) -> _Stands:
    loaded = work.services.book.load(ACCOUNT, work.account)
    at = work.now().now
    product = work.services.catalog.product(work.product)
    standing = seat_sync.standing(loaded.state, product, at) if product else None
    return _Stands(loaded, at, standing)


def _sync(work: _ProductSync) -> Synced | None:
    """Take one step after the other until none is due."""
    steps: list[SyncStep] = []
    fetched = False
    _count(work)
    left = Verdict("waiting", why="unsettled")
    for _ in range(ROUNDS_MAX):
        stands = _load(work)
        syncs = stands.loaded.state.seat_syncs
        unanswered = syncs.unanswered.get(work.product)
        if unanswered is not None:
            step = _recover(work, unanswered)
            if isinstance(step, Verdict):
                left = step
                break
            steps += [step] if step else []
            fetched = False
            continue
        if stands.standing is None:
            return None
        due = seat_sync.verdict(stands.standing, syncs, stands.at, work.quiet, fetched=fetched)
        if due.outcome != "due":
            left = due
            break
        if not fetched:
            found = _fetch(work, stands.standing.subscription.id)
            if found in {"missing", "not_told"}:
                left = due._replace(outcome="left_alone", why=found)
                break
            fetched = found == "agrees"
            continue
        # What Stripe answers is recorded, and then the same question is asked of it again: so
        # nothing is written to what already is as it should be.
        fetched = False
        started = _start(work, stands, due)
        if started == "no_price":
            left = due._replace(outcome="left_alone", why="no_price")
            break
        if started is not None:
            steps.append(_carry_out(work, started))
    return _synced(work.account, stands.standing, left, steps) if stands.standing else None


def _count(work: _ProductSync) -> None:
    """Ask Stripe for the subscriptions of which it is not known how many seats they provide."""
    stands = _load(work)
    if stands.standing is not None and not stands.loaded.state.seat_syncs.unanswered:
        for id in stands.standing.uncounted:
            _fetch(work, id)


def _fetch(
    work: _ProductSync, subscription: str
) -> Literal["agrees", "differs", "missing", "not_told"]:
    """Fetch the subscription, and record it; tell whether the ledger has it as Stripe does now."""
    try:
        found = fetch_subscription(work.services, work.now, work.stripe, work.account, subscription)
    except StripeRefused as refused:
        return "missing" if refused.is_missing else "not_told"
    # It may have been changed since we asked; then what we were told is no ground to write on.
    return "agrees" if _agrees(work, subscription, found) else "differs"


def _agrees(work: _ProductSync, subscription: str, found: Retrieved) -> bool:
    known = _load(work).loaded.state.stripe.subscriptions.get(subscription)
    report = _report(work, found)
    return known is not None and report is not None and differing(known, report) == []


def _start(
    work: _ProductSync, stands: _Stands, due: Verdict
) -> SeatSyncStarted | Literal["no_price"] | None:
    """Record that a step is taken; None when another was recorded meanwhile."""
    standing = stands.standing
    assert standing is not None
    price = None
    if standing.item is None:
        assert standing.price is not None
        price = work.stripe.price_of(standing.price)
        if price is None:
            return "no_price"
    chance = work.services.random_bytes(KEY_CHANCE_BYTES).hex()
    started = seat_sync.start(standing, due, price, stands.loaded.version + 1, chance)
    try:
        work.services.book.append(work.now(), Change(stands.loaded, [started]))
    except VersionConflict:
        return None
    return started


# One step


def _carry_out(work: _ProductSync, started: SeatSyncStarted) -> SyncStep:
    """Make the call, and record the answer."""
    outcome, _ = stripe_calls.carry_out(work.services, work.now, _call(work, started))
    return _step(work, started, outcome)


def _recover(work: _ProductSync, unanswered: Unanswered) -> SyncStep | Verdict | None:
    """Bring a step to its end that was begun, by whomever; None to read once more.

    While Stripe does not tell how the subscription is, the step may have been done: it stays open.
    So does one that is not right any more, as long as its call may be under way. Either is told.
    """
    started = unanswered.started
    try:
        found = fetch_subscription(
            work.services,
            work.now,
            work.stripe,
            work.account,
            started.stripe_subscription,
            expand=("latest_invoice",),
        )
    except StripeRefused as refused:
        if refused.is_missing:
            return _close(work, started, CallOutcome("refused", refused))
        return Verdict("left_alone", why="not_told")
    report = _report(work, found)
    if report is not None and _quantity(report, started) == started.wanted:
        return _close(work, started, CallOutcome("found", found=found))
    if started.stripe_subscription not in _load(work).loaded.state.stripe.subscriptions:
        return _close(work, started, CallOutcome("given_up", code="subscription_moved"))
    if not _agrees(work, started.stripe_subscription, found):
        return None  # done by another since we asked, it may be
    stands = _load(work)
    syncs = stands.loaded.state.seat_syncs
    if syncs.unanswered.get(work.product) != unanswered:
        return None  # answered meanwhile
    what = seat_sync.carry_on(unanswered, stands.standing, syncs, stands.at)
    if what == "under_way":
        until = unanswered.at + UNDER_WAY_MAX
        return Verdict("waiting", started.step, started.wanted, until, what)
    if what == "again":
        return _carry_out(work, started)
    return _close(work, started, CallOutcome("given_up", code=what))


def _close(work: _ProductSync, started: SeatSyncStarted, outcome: CallOutcome) -> SyncStep:
    """Record what came of a step that was found without an answer."""
    stripe_calls.record_outcome(work.services, work.now, _call(work, started), outcome)
    return _step(work, started, outcome)


def _call(work: _ProductSync, started: SeatSyncStarted) -> StripeCall:
    change = SeatChange(
        started.stripe_subscription,
        started.item,
        started.price,
        started.wanted,
        invoiced=started.step == "raise",
    )

    def facts_of(account: Account, outcome: CallOutcome) -> list[Fact]:
        unanswered = account.seat_syncs.unanswered.get(started.product)
        key = unanswered.started.idempotency_key if unanswered else None
        return [_answer(work, started, outcome)] if key == started.idempotency_key else []

    return StripeCall(
        work.account,
        lambda: work.stripe.set_billed_seats(change, started.idempotency_key),
        facts_of,
    )


def _answer(work: _ProductSync, started: SeatSyncStarted, outcome: CallOutcome) -> Fact:
    """Return what is recorded of an outcome."""
    if outcome.found is None:
        return SeatSyncFailed(
            product=started.product,
            stripe_subscription=started.stripe_subscription,
            code=outcome.reason or outcome.result,
            card=outcome.refused is not None and outcome.refused.card,
            idempotency_key=started.idempotency_key,
        )
    report = _report(work, outcome.found)
    invoice, invoice_status = _invoice(started, outcome.found)
    return SeatsSynced(
        product=started.product,
        stripe_subscription=started.stripe_subscription,
        item=_item(report, started),
        quantity=_quantity(report, started) if report else None,
        invoice=invoice,
        invoice_status=invoice_status,
        outcome="found" if outcome.result == "found" else "answered",
        idempotency_key=started.idempotency_key,
    )


def _step(work: _ProductSync, started: SeatSyncStarted, outcome: CallOutcome) -> SyncStep:
    match _answer(work, started, outcome):
        case SeatsSynced() as done:
            return SyncStep(
                started.step, started.wanted, done.quantity, done.invoice, done.invoice_status
            )
    return SyncStep(started.step, started.wanted, refused=outcome.reason)


# What Stripe answered


def _report(work: _ProductSync, found: Retrieved) -> StripeSubscriptionReported | None:
    """Return the subscription as a report."""
    origin = Origin(RETRIEVED, found.at, retrieved_at=work.now().now)
    report = read_subscription(found.object, origin, work.services.catalog).report
    return report if isinstance(report, StripeSubscriptionReported) else None


def _item(report: StripeSubscriptionReported | None, started: SeatSyncStarted) -> str | None:
    """Return the id of the item that was meant, also of one that was added."""
    for item in (report.items if report else None) or ():
        if item.id == started.item or (started.item is None and item.price == started.price):
            return item.id
    return started.item


def _quantity(report: StripeSubscriptionReported, started: SeatSyncStarted) -> int | None:
    id = _item(report, started)
    return next((item.quantity for item in report.items or () if item.id == id), None)


def _invoice(started: SeatSyncStarted, found: Retrieved) -> tuple[str | None, str | None]:
    if started.step != "raise":
        return None, None
    subscription = StripeObjectReader(found.object)
    invoice = subscription.part_if_object("latest_invoice")
    return subscription.id("latest_invoice"), invoice.word("status")
