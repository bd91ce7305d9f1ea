"""The Subscriptions view, as of a moment and as known at another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ledger.proof.verifier.exports import ExportedEvent
from ledger.proof.verifier.formats import Wrong, parse_time, write_time
from ledger.proof.verifier.lines import KeySubscription, ViewLine
from ledger.proof.verifier.stripe_reports import LONG_AGO, Mappings, Report, ReportedSubscription


class AccountHistory:
    """An account, as its events make it."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, KeySubscription] = {}
        self.reports: dict[str, list[Report]] = {}
        self.mappings = Mappings({}, {})
        self.seats: dict[tuple[str, str], str | None] = {}

    def lines(self, at: datetime) -> list[ViewLine]:
        """Return everything that it ever had."""
        of_keys = [subscription.line(at) for subscription in self.subscriptions.values()]
        of_stripe = [ReportedSubscription(id, reports) for id, reports in self.reports.items()]
        return of_keys + [line for one in of_stripe for line in one.lines(self.mappings, at)]

    def apply(self, event: ExportedEvent) -> None:
        state = json.loads(event.state)
        fact, occurred = state["fact"], parse_time(state["occurred_at"])
        match event.name:
            case name if name.startswith("account.subscription_"):
                self._apply_to_subscription(event, fact, occurred)
            case name if name in OF_SEATS:
                self._seat(name, fact)
            case "stripe.subscription_reported@1":
                id, report = fact["stripe_subscription"], Report(fact)
                # Read whole at once, so that what is wrong with it is told of its position.
                list(ReportedSubscription(id, [report]).lines(Mappings({}, {}), occurred))
                self.reports.setdefault(id, []).append(report)
                remapped = report.history.get("remapped") or {}
                self.mappings.of_subscription.setdefault(id, {}).update(remapped)
            case "stripe.subscription_given_up@1":
                self.reports.pop(fact["stripe_subscription"], None)
                self.mappings.of_subscription.pop(fact["stripe_subscription"], None)
            case "stripe.prices_mapped@1":
                self._map(fact["meanings"])
            case name if name in NOT_SHOWN:
                pass
            case _:
                raise unknown(event)

    def _apply_to_subscription(
        self, event: ExportedEvent, fact: dict[str, Any], occurred: datetime
    ) -> None:
        id = fact["subscription"]
        match event.name.removeprefix("account.subscription_"):
            case "activated@1" | "imported@1" | "scheduled@1" | "taken_over@1":
                starts_at = fact.get("starts_at")
                since = starts_at or fact.get("redeemed_at")
                self.subscriptions[id] = KeySubscription(
                    id,
                    fact["masked"],
                    fact["product"],
                    fact["tier"],
                    fact["seats"],
                    parse_time(since) if since else occurred,
                    parse_time(fact["expires_at"]),
                    scheduled=starts_at is not None,
                    suspended=fact.get("suspended", False),
                )
            case "key_reissued@1":
                self._change(id, masked=fact["masked"])
            case "rescheduled@1":
                starts_at, expires_at = map(parse_time, (fact["starts_at"], fact["expires_at"]))
                self._change(id, started_at=starts_at, expires_at=expires_at)
            case "started@1":
                expires_at = parse_time(fact["expires_at"])
                self._change(id, started_at=occurred, expires_at=expires_at, scheduled=False)
            case "extended@1":
                self._change(id, expires_at=parse_time(fact["expires_at"]))
            case "suspended@1":
                self._change(id, suspended=True)
            case "resumed@1":
                self._change(id, suspended=False)
            case "terminated@1":
                self._change(id, terminated_at=occurred)
            case "transferred@1":
                self._change(id, terminated_at=occurred, left=True)
            case _:
                raise unknown(event)

    def _seat(self, name: str, fact: dict[str, Any]) -> None:
        left = fact["predecessor"] if name == "account.seat_passed_on@1" else fact["holder"]
        self.seats.pop((fact["product"], left), None)
        if name != "account.seat_released@1":
            self.seats[fact["product"], fact["holder"]] = fact["tier"]

    def _map(self, meanings: dict[str, Any]) -> None:
        self.mappings.of_account.update(meanings)
        for id, reports in self.reports.items():
            one = ReportedSubscription(id, reports)
            its = {*one.known, *(item["price"] for item in one.items)}
            found = {price: meaning for price, meaning in meanings.items() if price in its}
            self.mappings.of_subscription.setdefault(id, {}).update(found)

    def _change(self, id: str, **changes: Any) -> None:
        if id in self.subscriptions:
            self.subscriptions[id] = self.subscriptions[id]._replace(**changes)


def unknown(event: ExportedEvent) -> Wrong:
    """Return what is said of an event that a later Keyfold has made."""
    return Wrong(
        f"position {event.position} is {event.name}, which this program does not know:"
        " have it written out by the Keyfold that made the export"
    )


OF_SEATS = {"account.seat_occupied@1", "account.seat_passed_on@1", "account.seat_released@1"}

# Of texts, of money, and of who is who at Stripe: nothing of these is in the Subscriptions view.
NOT_SHOWN = {
    "account.seat_relabelled@1",
    "account.erased@1",
    "stripe.invoice_reported@1",
    "stripe.checkout_started@1",
    "stripe.checkout_reported@1",
    "stripe.charge_reported@1",
    "stripe.customer_linked@1",
    "stripe.customer_unlinked@1",
    "stripe.customer_deleted@1",
    "stripe.seat_sync_started@1",
    "stripe.seat_sync_failed@1",
    "stripe.seats_synced@1",
    "stripe.seats_asked@1",
    "stripe.seats_asked@2",
    "stripe.seats_answered@1",
}


class Question(NamedTuple):
    """A question about an account; None for no limit."""

    account: str
    as_of: datetime | None
    known_at: datetime | None
    position: int | None
    ended: bool


def view(
    question: Question, events: Iterable[ExportedEvent], head: int, catalog: list[dict[str, Any]]
) -> Any:
    """Return what the API responds with."""
    account, now = AccountHistory(), datetime.now(UTC)
    for event in events:
        if question.position is not None and event.position > question.position:
            break
        with readable(event):
            state = json.loads(event.state)
            recorded, occurred = parse_time(state["recorded_at"]), parse_time(state["occurred_at"])
            is_known = question.known_at is None or recorded <= question.known_at
            if is_known and (question.as_of is None or occurred <= question.as_of):
                account.apply(event)
    at = question.as_of or now
    lines = account.lines(at)
    known = [product["id"] for product in catalog]
    used = {product for product, _ in account.seats}
    left = (used | {line.product for line in lines}) - set(known)
    extra = [{"id": id, "name": id} for id in sorted(left)]
    shown = [view_product(account, lines, product, question.ended) for product in catalog]
    more = [view_product(account, lines, product, question.ended) for product in extra]
    return {
        "account": question.account,
        "as_of": write_time(at),
        "known_at": write_time(question.known_at or now),
        "position": head if question.position is None else question.position,
        "products": shown + [one for one in more if one["rows"] or one["upcoming"] or one["used"]],
    }


@contextmanager
def readable(event: ExportedEvent) -> Iterator[None]:
    """Return a context that says of an event that cannot be read which one it is."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        raise Wrong(f"position {event.position} has a state that is none of Keyfold's") from None


def view_product(
    account: AccountHistory, lines: list[ViewLine], product: dict[str, Any], ended: bool
) -> Any:
    """Return a product's rows: those that give seats, then those that rest, then those that ended,
    the latest end first. What has not begun is listed by itself.
    """
    id, names = product["id"], {tier["id"]: tier["name"] for tier in product.get("tiers", [])}
    mine = [line for line in lines if line.product == id]
    holders = [tier for (of, _), tier in account.seats.items() if of == id]
    others = {line.tier for line in mine} | set(holders)
    tiers: list[str | None] = [*(names or [None])]
    rows: list[Any] = []
    resting: list[ViewLine] = []
    upcoming: list[ViewLine] = []
    gone: list[ViewLine] = []
    seats, over = 0, 0
    for tier in [*tiers, *sorted(others.difference(tiers), key=str)]:
        waiting = holders.count(tier)
        here = [line for line in mine if line.tier == tier]
        for line in sorted((line for line in here if line.gives), key=ViewLine.order):
            used = waiting if line.open else min(line.seats, waiting)
            rows += [view_row(line, names, used)] if line.seats or line.open else []
            seats, waiting = seats + line.seats, waiting - used
        over += waiting
        idle = [line for line in here if not line.gives and (line.seats or line.open)]
        idle.sort(key=lambda line: (line.started_at, line.id))
        upcoming += [line for line in idle if line.status == "scheduled"]
        resting += [line for line in idle if line.ended_at is None and line.status != "scheduled"]
        gone += [line for line in idle if line.ended_at is not None]
    upcoming.sort(key=lambda line: (line.started_at, line.id))
    gone.sort(key=lambda line: (line.ended_at or LONG_AGO, line.id), reverse=True)
    return {
        "product": id,
        "name": product["name"],
        "seats": seats,
        "used": len(holders),
        "over": over,
        "rows": rows + [view_row(line, names, 0) for line in resting + (gone if ended else [])],
        "upcoming": [view_row(line, names, 0) for line in upcoming],
    }


def view_row(line: ViewLine, names: dict[str, str], used: int) -> Any:
    """Return a row of the view as the API's JSON has it."""
    return {
        "subscription": line.id,
        "tier": line.tier,
        "tier_name": names.get(line.tier, line.tier) if line.tier else None,
        "seats": line.seats,
        "used": used,
        "source": "stripe" if line.stripe_subscription else "activation_key",
        "key": line.key,
        "stripe_subscription": line.stripe_subscription,
        "status": line.status,
        "started_at": write_time(line.started_at),
        "expires_at": write_time(line.expires_at) if line.expires_at else None,
        "renews": line.renews,
        "can_manage": line.can_manage,
    }


def unlike(path: str, saved: Any, derived: Any) -> Iterator[str]:
    """Return where a saved answer is not the derived one."""
    if isinstance(saved, dict) and isinstance(derived, dict):
        # An answer that was saved before there were lists of a kind says nothing of them.
        known = (name for name in derived if name in saved or derived[name] != [])
        for name in [*known, *(name for name in saved if name not in derived)]:
            yield from unlike(f"{path}/{name}", saved.get(name), derived.get(name))
    elif isinstance(saved, list) and isinstance(derived, list) and len(saved) == len(derived):
        for place, (one, other) in enumerate(zip(saved, derived, strict=True)):
            yield from unlike(f"{path}/{place}", one, other)
    elif saved != derived:
        yield f"the answer differs: {path} was {json.dumps(saved)}, and is {json.dumps(derived)}"
