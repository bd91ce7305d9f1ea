"""A ledger of mixed facts, as a vendor's looks after a while: what replaying it is measured on.

Many customers live at once, their events among each other. Each orders a few keys and redeems some,
has holders who come and go, is refused at times, and half of them have something at Stripe, which
reports. Of a hundred events 70 are of seats, 13 of Stripe, 12 of keys and subscriptions, and 5 are
refusals.

Facts are encoded as the book does it, and appended many at once. Nothing is decided.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from random import Random
from typing import Final, NamedTuple

from eventsourcing.persistence import StoredEvent

from ledger import codec
from ledger.book import Book
from ledger.events import Envelope, Fact
from ledger.months import add_months
from ledger.streams.account.facts import (
    SeatOccupied,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionTerminated,
)
from ledger.streams.attempts import RedemptionRefused, SeatRefused
from ledger.streams.batch import KeysIssued
from ledger.streams.key import KeyIssued, KeyRedeemed, KeyReissued, KeyRevoked
from ledger.streams.request import RedemptionAnswered
from ledger.streams.stripe_event import StripeEventReceived
from ledger.streams.token import TokenCreated
from ledger.stripe.facts import (
    Meaning,
    StripeCustomerLinked,
    StripeInvoiceReported,
    StripeItem,
    StripeSubscriptionReported,
)

BEGAN: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
APPEND: Final = 1_000
ALIVE: Final = 200  # customers at a time
APART: Final = 10  # moments between the first of them
HOLDERS: Final = 40
STEPS: Final = 150
KEYS: Final = 36
SEATS: Final = 50
MONTHS: Final = 12
POS: Final = "cloud_pos"
PORTAL: Final = "kft_abcdefghijklmnopqrstuvwxyz"
RESELLERS: Final = ("north", "south", "east", "west")
MASKED: Final = "POS-••••-••••-{}"
ERRAND: Final = "req_{}"


class RecordedFact(NamedTuple):
    """A fact on its way into a stream."""

    stream: str
    fact: Fact


Moment = list[RecordedFact]  # what is recorded in one append


def fill(book: Book, events: int) -> None:
    """Append until the ledger has so many events; the same ones each time."""
    head = book.head()
    stored = islice(_stored(head), max(events - head, 0))
    while page := list(islice(stored, APPEND)):
        book.store.insert_events(page)


def _stored(head: int) -> Iterator[StoredEvent]:
    """Return events without end, of other streams than what a ledger with that head holds."""
    chance = Random(head)
    versions: Counter[str] = Counter()
    at = BEGAN + timedelta(seconds=head)
    second = timedelta(seconds=1)
    for moment in _moments(chance, head):
        at += second
        request = ERRAND.format(_letters(chance))
        for stream, fact in moment:
            versions[stream] += 1
            envelope: Envelope[Fact] = Envelope(
                fact=fact, recorded_at=at, occurred_at=at, actor=PORTAL, request_id=request
            )
            state = codec.encode(envelope)
            yield StoredEvent(stream, versions[stream], codec.name_of(fact), state)


def _moments(chance: Random, head: int) -> Iterator[Moment]:
    """Let accounts live at once, a moment of each in turn."""
    if not head:
        yield [
            RecordedFact(
                f"token-{PORTAL.removeprefix('kft_')}", TokenCreated(token=PORTAL, role="portal")
            )
        ]
    alive: deque[Iterator[Moment]] = deque()
    for number in count():
        # They come one after the other, so that not all of them are of one age.
        if not alive or (number % APART == 0 and len(alive) < ALIVE):
            alive.append(_life(chance, f"{head}-{number}"))
        life = alive.popleft()
        if (moment := next(life, None)) is not None:
            yield moment
            alive.append(life)


def _life(chance: Random, name: str) -> Iterator[Moment]:
    account = f"acct-{name}"
    reseller = chance.choice(RESELLERS)
    keys = [_letters(chance) for _ in range(KEYS)]
    yield list(_ordered(chance, keys, reseller))
    yield list(_redeemed(chance, keys[0], account))
    stripe = _stripe(chance, account) if chance.getrandbits(1) else iter(())
    yield from _sitting(chance, account, stripe)
    yield [RecordedFact(f"key-{keys[2]}", KeyRevoked())]
    new = _letters(chance)
    yield [
        RecordedFact(f"key-{keys[3]}", KeyReissued(replaced_by=f"key_{new}")),
        RecordedFact(f"key-{new}", _issued(new, "again", 0, reseller, replaces=f"key_{keys[3]}")),
    ]
    yield list(_redeemed(chance, keys[1], f"{account}-b"))
    yield from _sitting(chance, f"{account}-b", stripe)
    yield [
        RecordedFact(
            f"account-{account}-b", SubscriptionTerminated(subscription=f"kfsub_{keys[1]}")
        )
    ]


def _letters(chance: Random) -> str:
    return f"{chance.getrandbits(104):026x}"


# Keys


def _ordered(chance: Random, keys: list[str], reseller: str) -> Iterator[RecordedFact]:
    batch = _letters(chance)
    yield RecordedFact(
        f"batch-{batch}",
        KeysIssued(
            batch=f"bat_{batch}",
            prefix="POS",
            product=POS,
            tier=None,
            seats=SEATS,
            months=MONTHS,
            count=len(keys),
            reseller=reseller,
            redeem_by=None,
            note=None,
            fingerprint=_letters(chance),
        ),
    )
    for index, key in enumerate(keys):
        yield RecordedFact(f"key-{key}", _issued(key, f"bat_{batch}", index, reseller))


def _issued(
    key: str, batch: str, index: int, reseller: str, replaces: str | None = None
) -> KeyIssued:
    return KeyIssued(
        key=f"key_{key}",
        masked=_masked(key),
        batch=batch,
        index=index,
        generation=0,
        derived=True,
        product=POS,
        tier=None,
        seats=SEATS,
        months=MONTHS,
        reseller=reseller,
        replaces=replaces,
    )


def _masked(key: str) -> str:
    return MASKED.format(key[-4:].upper())


def _redeemed(chance: Random, key: str, account: str) -> Iterator[RecordedFact]:
    subscription = f"kfsub_{key}"
    yield RecordedFact(f"key-{key}", KeyRedeemed(account=account, subscription=subscription))
    yield RecordedFact(
        f"account-{account}",
        SubscriptionActivated(
            subscription=subscription,
            key=f"key_{key}",
            masked=_masked(key),
            product=POS,
            tier=None,
            seats=SEATS,
            months=MONTHS,
            expires_at=add_months(BEGAN, MONTHS),
        ),
    )
    yield RecordedFact(
        f"request-{_letters(chance)}",
        RedemptionAnswered(
            fingerprint=_letters(chance),
            account=account,
            subscription=subscription,
            account_version=1,
            refusal=None,
        ),
    )


# Seats


def _sitting(chance: Random, account: str, stripe: Iterator[Moment]) -> Iterator[Moment]:
    """Let holders come and go."""
    seated: set[str] = set()
    for step in range(STEPS):
        holder = f"till-{chance.randrange(HOLDERS)}"
        taking = holder not in seated
        seated ^= {holder}
        kind = SeatOccupied if taking else SeatReleased
        yield [RecordedFact(f"account-{account}", kind(product=POS, tier=None, holder=holder))]
        if step % 16 == 0:
            yield [RecordedFact(f"attempts-{account}", _refused(chance, step, holder))]
        if step % 5 == 0 and (reported := next(stripe, None)):
            yield reported


def _refused(chance: Random, step: int, holder: str) -> Fact:
    if step % 32 == 0:
        return SeatRefused(
            refusal="no_seat_available",
            product=POS,
            tier=None,
            holder=holder,
            seats=SEATS,
            used=SEATS,
            sits_in=None,
            account_version=step + 1,
        )
    tried = _letters(chance)
    return RedemptionRefused(
        session=_letters(chance),
        refusal="key_not_available",
        key=f"key_{tried}",
        masked=_masked(tried),
        product=POS,
        found="unknown",
        key_version=0,
        consuming=True,
    )


# Stripe


def _stripe(chance: Random, account: str) -> Iterator[Moment]:
    """Let Stripe report on a subscription, and on an invoice of it in turn."""
    name = _letters(chance)[:14]
    customer, subscription, price = f"cus_{name}", f"sub_{name}", f"price_{name}"
    linked = StripeCustomerLinked(customer=customer, account=account, by="call")
    yield [
        RecordedFact(f"stripe_customer-{customer}", linked),
        RecordedFact(f"account-{account}", linked),
    ]
    number = 0
    while True:
        number += 1
        event = f"evt_{_letters(chance)}"
        created = BEGAN + timedelta(minutes=number)
        fact: Fact = (
            _subscription(subscription, customer, price, event, created, number)
            if number % 2
            else _invoice(f"in_{name}{number}", subscription, customer, event, created)
        )
        received = StripeEventReceived(
            stripe_event=event,
            type="customer.subscription.updated" if number % 2 else "invoice.paid",
            created=created,
            livemode=True,
            api_version="2026-06-24.dahlia",
            object=subscription,
            object_kind="subscription" if number % 2 else "invoice",
            found_by="webhook",
            outcome="reported",
            account=account,
        )
        yield [
            RecordedFact(f"stripe_event-{event}", received),
            RecordedFact(f"account-{account}", fact),
        ]


def _subscription(
    id: str, customer: str, price: str, event: str, created: datetime, quantity: int
) -> StripeSubscriptionReported:
    return StripeSubscriptionReported(
        stripe_subscription=id,
        customer=customer,
        source="customer.subscription.updated",
        created=created,
        stripe_event=event,
        retrieved_at=None,
        status="active",
        items=(
            StripeItem(
                id=f"si_{id[4:]}",
                price=price,
                lookup_key="integrations_growth_month",
                stripe_product=f"prod_{id[4:]}",
                quantity=quantity,
                currency="eur",
                unit_amount="1900",
                interval="month",
                interval_count=1,
                usage_type="licensed",
                period_start=BEGAN,
                period_end=add_months(BEGAN, 1),
                meaning=Meaning("integrations", "growth", 1),
            ),
        ),
        started_at=BEGAN,
        trial_end=None,
        cancel_at=None,
        cancel_at_period_end=False,
        canceled_at=None,
        ended_at=None,
        cancellation_reason=None,
        currency="eur",
        collection_method="charge_automatically",
        billing_mode="flexible",
        pause_behavior=None,
        pause_resumes_at=None,
        schedule=None,
        latest_invoice=None,
    )


def _invoice(
    id: str, subscription: str, customer: str, event: str, created: datetime
) -> StripeInvoiceReported:
    return StripeInvoiceReported(
        invoice=id,
        number=None,
        customer=customer,
        stripe_subscription=subscription,
        source="invoice.paid",
        created=created,
        stripe_event=event,
        retrieved_at=None,
        status="paid",
        billing_reason="subscription_update",
        currency="eur",
        subtotal=1900,
        total=1900,
        tax=0,
        amount_due=1900,
        amount_paid=1900,
        amount_remaining=0,
        invoiced_at=created,
        period_start=BEGAN,
        period_end=add_months(BEGAN, 1),
        due_date=None,
        attempt_count=1,
        next_payment_attempt=None,
    )
