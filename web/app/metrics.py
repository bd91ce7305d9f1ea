"""Figures for Prometheus.

They are each process's own. Workers of `keyfold serve` tell each other theirs
(`web.server.worker_board`), so that any of them shows those of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from commands.gateways.stripe_responses import CALLS
from commands.retry import ROUNDS
from ledger.durations import APPENDS, BOUNDS_S, COUNTS, READS, TABLE_READS, Durations
from projections.lists.overview import Attention
from projections.lists.webhook_deliveries import Backlog

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Never files that are mapped into memory, whatever the environment says: on a full disk they kill.
values.ValueClass = values.MutexValue

# All that is told to whoever asks while no token can be looked at.
DOWN = (
    b"# HELP keyfold_ledger_up Whether the database answers.\n"
    b"# TYPE keyfold_ledger_up gauge\nkeyfold_ledger_up 0.0\n"
)
_CREATED = "_created"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"})
_COUNTS = {
    "appends": "Appends that went to the database.",
    "commits": "Commits that they were put into, several into one where they come together.",
    "reads_kept": "Reads of streams that needed none of the database: nothing was new.",
}
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counts requests and refusals of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_CountedElsewhere())
        self._requests = Counter(
            "keyfold_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "keyfold_http_request_seconds",
            "Time from a request to its answer.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._problems = Counter(
            "keyfold_problems",
            "Requests answered with a problem, by its code.",
            ("code",),
            registry=self._registry,
        )
        self._stripe_events = Counter(
            "keyfold_stripe_events",
            "Events taken from Stripe, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        # By method, route and status, all of which are few: looking them up by label takes longer.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._process: ProcessCollector | None = ProcessCollector(registry=self._registry)
        self._of_others: Callable[[], Mapping[str, float]] = dict

    def share(self, of_others: Callable[[], Mapping[str, float]]) -> None:
        """Return for other processes from now on, whose figures are added to ours.

        What is said of this process itself is left out then.
        """
        if self._process is not None:
            self._registry.unregister(self._process)
            self._process = None
        self._of_others = of_others

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; methods that are none of ours count together."""
        method = method if method in METHODS else "other"
        found = self._known.get((method, route, status))
        if found is None:
            found = self._known[method, route, status] = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
        count, took = found
        count.inc()
        took.observe(seconds)

    def count_stripe_event(self, outcome: str) -> None:
        self._stripe_events.labels(outcome).inc()

    def refused(self, code: str) -> None:
        self._problems.labels(code).inc()

    def render(
        self,
        position: int | None,
        attention: Attention | None = None,
        webhooks: Sequence[Backlog] = (),
        tables_behind: Mapping[str, int] = MappingProxyType({}),
        *,
        now: datetime | None = None,
        ledger_up: bool = True,
        clock_ahead_s: float | None = None,
    ) -> bytes:
        """Return all figures in Prometheus' text format.

        Args:
            position: the ledger's head, as far as that is known.
            ledger_up: whether the database responds.
            attention: what needs looking at; None where that is not known.
            webhooks: what waits to be sent, by webhook.
            tables_behind: how many positions each table has to catch up.
            now: by the ledger's clock.
            clock_ahead_s: of the database's clock; None where it has none of its own.
        """
        head = CollectorRegistry()
        head.register(_Head(position, clock_ahead_s, tables_behind, ledger_up=ledger_up))
        if attention is not None:
            head.register(_AtStripe(attention))
        if webhooks and now is not None:
            head.register(_WebhookLag(webhooks, now))
        together = CollectorRegistry()
        together.register(_Together(self._registry, self._of_others()))
        return generate_latest(together) + generate_latest(head)

    def figures(self) -> dict[str, float]:
        """Return what this process has counted, by what it is and its labels."""
        return {
            _key(family.name, sample): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if not sample.name.endswith(_CREATED)
        }


def _key(family: str, sample: Sample) -> str:
    return json.dumps([family, sample.name, sorted(sample.labels.items())])


class _Together(Collector):
    """A registry, with the figures of others added to those of the same name and labels."""

    def __init__(self, registry: CollectorRegistry, others: Mapping[str, float]) -> None:
        self._registry = registry
        self._others = others

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, with the other workers' samples added to this one's."""
        left = dict(self._others)
        families = list(self._registry.collect())
        for family in families:
            family.samples = [
                sample._replace(value=sample.value + left.pop(_key(family.name, sample), 0.0))
                for sample in family.samples
            ]
        known = {family.name: family for family in families}
        for key, value in left.items():
            name, sample, labels = json.loads(key)
            if name in known:
                known[name].add_sample(sample, dict(labels), value)
        for family in families:
            family.samples.sort(key=lambda sample: _order(sample.labels))
        yield from families


def _order(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(one for one in labels.items() if one[0] != "le")


class _CountedElsewhere(Collector):
    """What the ledger, the commands and their gateway to Stripe count themselves."""

    def collect(self) -> Iterator[Metric]:
        """Yield how long the ledger took, how writers met, and what came of calls to Stripe."""
        yield _histogram(
            "keyfold_ledger_append_seconds",
            "Time of an append, from when it queues for a commit.",
            APPENDS,
        )
        yield _histogram(
            "keyfold_ledger_read_seconds", "Time of a read of streams from the database.", READS
        )
        yield _histogram(
            "keyfold_table_read_seconds",
            "Time of a read of a table, with what it caught up first.",
            TABLE_READS,
        )
        for name, about in _COUNTS.items():
            yield CounterMetricFamily(f"keyfold_ledger_{name}", about, value=COUNTS[name])
        yield CounterMetricFamily(
            "keyfold_ledger_conflicts",
            "Rounds of deciding that were lost to another writer, and begun anew.",
            value=ROUNDS["lost"],
        )
        calls = CounterMetricFamily(
            "keyfold_stripe_calls", "Calls to Stripe, by what came of them.", labels=("outcome",)
        )
        for outcome, count in CALLS.items():
            calls.add_metric((outcome,), count)
        yield calls


def _histogram(name: str, about: str, durations: Durations) -> HistogramMetricFamily:
    bounds = [*map(floatToGoString, BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, durations.up_to(), strict=True))
    return HistogramMetricFamily(name, about, buckets, durations.sum_s)


class _Head(Collector):
    """The ledger's head: known to whoever is asked, and no process's own."""

    def __init__(
        self,
        position: int | None,
        clock_ahead_s: float | None,
        tables_behind: Mapping[str, int],
        *,
        ledger_up: bool,
    ) -> None:
        self._position = position
        self._clock_ahead_s = clock_ahead_s
        self._tables_behind = tables_behind
        self._ledger_up = ledger_up

    def collect(self) -> Iterator[Metric]:
        """Yield whether the database responds, and of the ledger what is known."""
        yield GaugeMetricFamily(
            "keyfold_ledger_up", "Whether the database answers.", value=float(self._ledger_up)
        )
        if self._position is not None:
            yield GaugeMetricFamily(
                "keyfold_ledger_position", "Last position of the ledger.", value=self._position
            )
        if self._clock_ahead_s is not None:
            yield GaugeMetricFamily(
                "keyfold_clock_ahead_seconds",
                "By how much this machine's clock is ahead of the database's.",
                value=self._clock_ahead_s,
            )
        behind = GaugeMetricFamily(
            "keyfold_table_positions_behind",
            "Positions of the ledger that a table catches up when it is read next.",
            labels=("table",),
        )
        for table, positions in self._tables_behind.items():
            behind.add_metric((table,), positions)
        yield behind


class _AtStripe(Collector):
    """What needs looking at among Stripe's subscriptions and invoices, as the ledger has them."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention

    def collect(self) -> Iterator[Metric]:
        """Yield how many of Stripe's objects need looking at."""
        found = self._attention
        subscriptions = GaugeMetricFamily(
            "keyfold_stripe_subscriptions_to_look_at",
            "Stripe subscriptions that need looking at, by why.",
            labels=("why",),
        )
        subscriptions.add_metric(("unmapped",), found.unmapped)
        subscriptions.add_metric(("unconfirmed",), found.unconfirmed)
        subscriptions.add_metric(("items_missing",), found.items_missing)
        subscriptions.add_metric(("doubled",), found.doubled)
        yield subscriptions
        invoices = GaugeMetricFamily(
            "keyfold_stripe_invoices_to_look_at",
            "Stripe invoices that need looking at, by why.",
            labels=("why",),
        )
        invoices.add_metric(("lines_missing",), found.lines_missing)
        yield invoices
        objects = GaugeMetricFamily(
            "keyfold_stripe_objects_to_look_at",
            "Objects of Stripe's that name an account which is not theirs, by why.",
            labels=("why",),
        )
        for why in ("claimed", "held", "unproven"):
            objects.add_metric((why,), found.claims.get(why, 0))
        yield objects
        seats = GaugeMetricFamily(
            "keyfold_seat_sync_left_alone",
            "Accounts' products whose billed seats Stripe is not told of, by why.",
            labels=("why",),
        )
        for why in sorted({"unknown_price", *found.left_alone}):
            seats.add_metric((why,), found.left_alone.get(why, 0))
        yield seats
        yield GaugeMetricFamily(
            "keyfold_seat_sync_waiting",
            "Accounts' products whose billed seats Stripe is still to be told of.",
            value=found.seats_to_sync,
        )


class _WebhookLag(Collector):
    """How far behind the messages to webhooks are."""

    def __init__(self, webhooks: Sequence[Backlog], now: datetime) -> None:
        self._webhooks = webhooks
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield what waits, for how long, and whether anything is sent at all."""
        of = ("webhook",)
        waiting = GaugeMetricFamily(
            "keyfold_webhook_messages_waiting", "Messages queued and not taken yet.", labels=of
        )
        lag = GaugeMetricFamily(
            "keyfold_webhook_lag_seconds", "For how long the oldest of them waits.", labels=of
        )
        behind = GaugeMetricFamily(
            "keyfold_webhook_positions_behind",
            "Positions of the ledger that nobody has queued yet.",
            labels=of,
        )
        disabled = GaugeMetricFamily(
            "keyfold_webhook_disabled", "Whether it was disabled: nothing is sent.", labels=of
        )
        for one in self._webhooks:
            id = (one.webhook.id,)
            waiting.add_metric(id, one.waiting)
            lag.add_metric(id, one.lag(self._now).total_seconds())
            behind.add_metric(id, one.behind)
            disabled.add_metric(id, float(one.webhook.disabled is not None))
        yield from (waiting, lag, behind, disabled)
