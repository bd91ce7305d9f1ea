"""What Stripe reported of a subscription, ranked.

It comes in any order, and more than once. So reports are ranked, and the one that ranks highest is
how the subscription is; ledger/stripe/subscriptions.py says why.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ledger.proof.verifier.formats import parse_time
from ledger.proof.verifier.lines import ViewLine

QUANTITY_MAX = 10**9  # of an item at Stripe; more was recorded before there was a greatest one
GIVING = {"active", "trialing", "past_due"}
ENDED = {"canceled", "incomplete_expired"}
SILENCE_MAX = timedelta(days=3)  # for so long Stripe tries again to tell of a renewal
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Report(NamedTuple):
    """A report of Stripe's, as it was recorded."""

    fact: dict[str, Any]

    def time(self, name: str) -> datetime | None:
        """Return a time that the report has, None where it has none."""
        return parse_time(self.fact[name]) if self.fact[name] else None

    @property
    def created(self) -> datetime:
        """Return when Stripe made the report."""
        return parse_time(self.fact["created"])

    @property
    def history(self) -> dict[str, Any]:
        """Return what followed from earlier reports, in the account that the subscription left."""
        return self.fact.get("history") or {}

    @property
    def is_end(self) -> bool:
        """Return whether it reports that the subscription has ended."""
        return self.fact["status"] in ENDED or self.fact["source"].endswith(".deleted")

    @property
    def has_status(self) -> bool:
        """Return whether it says the subscription's status."""
        return self.fact["status"] is not None

    def order(self) -> tuple[bool, datetime, bool, datetime, str]:
        """Return what ranks reports: of two, the greater one is the later state at Stripe."""
        return (
            not self.fact["source"].endswith("subscription.created"),
            self.created,
            self.fact["source"] == "retrieved",
            self.time("retrieved_at") or LONG_AGO,
            self.fact["stripe_event"] or "",
        )


class Mappings(NamedTuple):
    """What prices were said to mean on record: by price; and by subscription and price."""

    of_account: dict[str, Any]
    of_subscription: dict[str, dict[str, Any]]


def first_meanings(reports: list[Report]) -> dict[str, Any]:
    """Return what each price means that ever meant something: what the first report said."""
    found: dict[str, tuple[Any, Any]] = {}
    for report in reports:
        for price, known in (report.history.get("prices") or {}).items():
            (first, created, is_retrieved, retrieved_at, event), meaning, *rest = known
            order = (first, parse_time(created), is_retrieved, parse_time(retrieved_at), event)
            rank = meaning_rank(order, meaning, *rest)
            if price not in found or rank < found[price][0]:
                found[price] = rank, meaning
        for item in report.fact["items"] or []:
            meaning, price = item.get("meaning"), item["price"]
            if meaning is None or price is None:
                continue
            its = item["id"], item["lookup_key"], item["stripe_product"]
            rank = meaning_rank(report.order(), meaning, *its)
            if price not in found or rank < found[price][0]:
                found[price] = rank, meaning
    return {price: meaning for price, (_, meaning) in found.items()}


def meaning_rank(
    order: Any, meaning: dict[str, Any], item: str | None, key: str | None, product: str | None
) -> tuple[Any, ...]:
    """Return what the first of several meanings of a price is told by."""
    values = (meaning["product"], meaning["tier"] or "", meaning["per_unit"])
    more = (meaning.get("included", 0), meaning.get("billed", False), item or "")
    return order, values, more, (key or "", product or "")


class ReportedSubscription:
    """A subscription at Stripe, as its reports make it.

    An end is final, whenever it was said; a report with a status counts more than one without; then
    the later one. Its items are those of the last that tells any.
    """

    def __init__(self, id: str, reports: list[Report]) -> None:
        self.id = id
        telling = [report for report in reports if report.fact["items"] is not None]
        self.known = first_meanings(reports)
        last = max(telling, key=lambda one: (one.is_end, one.order()), default=None)
        self.latest = max(reports, key=lambda one: (one.is_end, one.has_status, one.order()))
        self.items = last.fact["items"] if last else []
        self.started_at = self.latest.time("started_at") or self.latest.created
        self.period_end = first_end(self.items)
        self.ends_at = self._ends_at()

    def _ends_at(self) -> datetime | None:
        latest = self.latest
        if latest.is_end:
            return latest.time("ended_at") or latest.time("canceled_at") or latest.created
        if latest.fact["cancel_at"]:
            return latest.time("cancel_at")
        return self.period_end if latest.fact["cancel_at_period_end"] else None

    def status(self, at: datetime, period_end: datetime | None) -> str:
        """Return Stripe's status at a moment; `unconfirmed` when it has been silent for long."""
        if self.ends_at is not None and at >= self.ends_at:
            return "canceled"
        status: str = self.latest.fact["status"] or "unknown"
        is_silent = period_end is not None and at - period_end > SILENCE_MAX
        return "unconfirmed" if status in GIVING and is_silent else status

    def meaning_of(self, item: dict[str, Any], mappings: Mappings) -> Any:
        """Return what an item's price means in this subscription; None if nothing is known of it.

        What somebody said on record of a price that the subscription had; else what its first
        report said that gave the price a meaning; else what was said of it for the account.
        """
        price = item["price"]
        if price is None:
            return item.get("meaning")
        remapped = mappings.of_subscription.get(self.id, {}).get(price)
        return remapped or self.known.get(price) or mappings.of_account.get(price)

    def lines(self, mappings: Mappings, at: datetime) -> Iterator[ViewLine]:
        """Return what it has, by product and tier; nothing of a price that means nothing."""
        parts: dict[tuple[str, str | None], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        for item in self.items:
            meaning = self.meaning_of(item, mappings)
            if meaning is not None:
                parts.setdefault((meaning["product"], meaning["tier"]), []).append((item, meaning))
        for (product, tier), its in parts.items():
            yield self._line(product, tier, its, at)

    def _line(
        self,
        product: str,
        tier: str | None,
        its: list[tuple[dict[str, Any], dict[str, Any]]],
        at: datetime,
    ) -> ViewLine:
        period_end, end = first_end([item for item, _ in its]), self.ends_at
        status = self.status(at, period_end)
        has_ended = end is not None and at >= end
        digest = hashlib.sha256(b"keyfold stripe subscription\0" + self.id.encode()).digest()
        return ViewLine(
            "kfsub_" + base64.b32encode(digest[:17]).decode().lower()[:26],
            product,
            tier,
            sum(
                meaning.get("included", 0) + meaning["per_unit"] * counted(item["quantity"])
                for item, meaning in its
            ),
            open=any(meaning.get("billed", False) for _, meaning in its),
            gives=status in GIVING and at >= self.started_at,
            ended_at=end if has_ended else None,
            key=None,
            stripe_subscription=self.id,
            status=status,
            started_at=self.started_at,
            expires_at=period_end if end is None else end,
            renews=end is None and not self.latest.is_end,
            can_manage=self.latest.fact["customer"] is not None and not has_ended,
        )


def counted(quantity: int | None) -> int:
    """Return how many of an item there are; none where that is not known."""
    return quantity if quantity is not None and quantity <= QUANTITY_MAX else 0


def first_end(items: list[dict[str, Any]]) -> datetime | None:
    """Return when the first of some items' periods ends."""
    ends = [parse_time(item["period_end"]) for item in items if item["period_end"]]
    return min(ends, default=None)
