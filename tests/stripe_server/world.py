"""What a Stripe account holds: objects by kind, the time, what falls due, and the events so far.

Objects are plain dictionaries as the API answers them, with ids where the API has ids. They are
changed in place within a request and copied whenever they leave.
"""

from __future__ import annotations

import heapq
import marshal
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, cast

from tests.stripe_server.errors import Json, no_such
from tests.stripe_server.shapes import ShapeDeviation, deviation

CURRENT_VERSION = "2026-10-28.endive"
DAY = 86400
HOUR = 3600
CHECKED_FIRST = 100


def copied(value: Any) -> Any:
    """Return a deep copy of a JSON value."""
    return marshal.loads(marshal.dumps(value))  # noqa: S302 (our own bytes)


@dataclass
class Settings:
    """How this Stripe account is set up.

    Attributes:
        retry_days: days after a failed renewal at which the payment is tried again
        after_retries: what becomes of the subscription when the last try fails: "cancel", "unpaid"
            or "past_due"
        check_every: of the events, every how many-th is held against the SDK's annotations; the
            first hundred always are, and every answer
        draft_s: seconds a renewal's invoice stays a draft
        flexible_credit: what flexible billing gives back for a lowered quantity; Stripe's pages
            leave it open: "current_quantity" or "debited_quantity"

    """

    retry_days: tuple[int, ...] = (3, 5, 7)
    after_retries: str = "cancel"
    draft_s: int = HOUR
    flexible_credit: str = "current_quantity"
    billing_mode: str = "flexible"
    livemode: bool = False
    api_version: str = CURRENT_VERSION
    check_every: int = 1


@dataclass
class World:
    """One account of Stripe."""

    clock: int
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    tables: dict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    events: list[Json] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    tiers: dict[str, list[Json]] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    without_card: set[str] = field(default_factory=set)
    with_card: set[str] = field(default_factory=set)
    debits: dict[str, Json] = field(default_factory=dict)
    pending_updates: dict[str, Json] = field(default_factory=dict)
    pending_lines: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    plans: dict[str, Json] = field(default_factory=dict)
    payments: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    owners: dict[str, str] = field(default_factory=dict)
    checks: int = 0
    lines: dict[str, list[Json]] = field(default_factory=dict)
    undelivered: set[str] = field(default_factory=set)
    request: Json = field(default_factory=lambda: {"id": None, "idempotency_key": None})
    _due: list[tuple[int, bool, int, str, str]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def new_id(self, prefix: str) -> str:
        """Return an id no object has."""
        self._count += 1
        return f"{prefix}_1{self._count:05x}{self.rng.getrandbits(72):018x}"

    def add(self, obj: Json) -> Json:
        """Keep a new object."""
        self.tables[obj["object"]][obj["id"]] = obj
        return obj

    def get(self, kind: str, name: Any, param: str = "id", status: int = 404) -> Json:
        """Return an object; refuse an id that there is not.

        Raises:
            ApiError: resource_missing

        """
        found = self.tables[kind].get(name)
        if found is None or found.get("deleted"):
            raise no_such(kind.replace("_", " "), str(name), param, status)
        return found

    def all(self, kind: str) -> list[Json]:
        """Return the objects of a kind, oldest first."""
        return list(self.tables[kind].values())

    def find(self, name: str) -> Json | None:
        """Return the object of an id, whatever its kind."""
        for table in self.tables.values():
            if name in table:
                return table[name]
        return None

    def due(self, at: int | None, kind: str, name: str) -> None:
        """Have something looked at when its time has come."""
        if at is not None:
            self._count += 1
            # A schedule's next phase begins before the renewal of the same moment is billed.
            heapq.heappush(self._due, (at, kind != "schedule", self._count, kind, name))

    def next_due(self, until: int) -> tuple[int, str, str] | None:
        """Take out what is due next, not after a time."""
        if self._due and self._due[0][0] <= until:
            at, _, _, kind, name = heapq.heappop(self._due)
            return at, kind, name
        return None

    def emit(self, kind: str, obj: Json, previous: Json | None = None) -> Json:
        """Record an event about an object as it now is."""
        data: Json = {"object": copied(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.clock,
            "data": data,
            "livemode": self.settings.livemode,
            "pending_webhooks": len(self.tables["webhook_endpoint"]),
            "request": dict(self.request),
            "type": kind,
        }
        self.checks += 1
        if self.checks <= CHECKED_FIRST or self.checks % self.settings.check_every == 0:
            self.check(event)
        self.events.append(event)
        self.tables["event"][str(event["id"])] = event
        return event

    def check(self, value: Json) -> None:
        """Hold what is sent against Stripe's own description.

        Raises:
            ShapeDeviation: it is not what Stripe sends

        """
        wrong = deviation(value)
        if wrong is not None:
            self.deviations.append(wrong)
            raise ShapeDeviation(wrong)


def page(data: list[Json], url: str) -> Json:
    """Return a list within an object."""
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "total_count": len(data),
        "url": url,
    }


def differences(before: Json, after: Json) -> Json:
    """Return `previous_attributes`: what changed, as it was. Of items the whole old list."""
    previous: Json = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name == "items":
            previous[name] = {"data": cast(Json, old)["data"]}
        elif isinstance(old, dict) and isinstance(new, dict):
            previous[name] = differences(old, new)
        else:
            previous[name] = old
    return previous
