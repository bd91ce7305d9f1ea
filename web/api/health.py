"""For whatever looks after the process."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request

from ledger.book import CLOCK_TOLERANCE_S, LedgerUnavailable
from ledger.store import schema
from ledger.store.eventsourcing_adapter import PersistenceError
from ledger.streams import webhooks
from ledger.streams.webhooks import WEBHOOKS
from projections.audit.rebuild import NAMES
from projections.audit.tree import TreeDamaged
from projections.lists.catch_up import behind
from projections.lists.overview import Attention, attention
from projections.lists.webhook_deliveries import Backlog, backlogs
from web.api.answers import Health, Readiness
from web.api.operations import Returns, operation
from web.app import checkpoints, metrics
from web.app.auth import ADMIN, AUDITOR, EVERYBODY, Access, from_loopback
from web.app.causes import hint_of
from web.app.clock import system_clock
from web.app.context import app_state, services
from web.app.disk import GONE, disk_fault
from web.app.errors import ALTERED, ledger_unavailable, unavailable
from web.app.last_known import LastKnown
from web.app.responses import reply
from web.app.services import Wiring

blueprint = Blueprint("service", __name__)

# A scrape usually has ten seconds.
FIGURES_S: Final = 2.0

_FIGURES = Access(frozenset({ADMIN, AUDITOR}), without_token=from_loopback)


@blueprint.get("/healthz")
@operation(
    access=EVERYBODY,
    responses={200: Returns(Health, "The process answers.")},
)
def get_health() -> Response:
    """Tell whether the process answers."""
    return reply(Health("ok"))


@blueprint.get("/readyz")
@operation(
    access=EVERYBODY,
    responses={200: Returns(Readiness, "The ledger can be used.")},
    problems=(ALTERED,),
)
def get_readiness() -> Response:
    """Tell whether the ledger can be used.

    It can when the database answers, its tables are those of this version, its clock and this
    machine's are less than a minute apart, and the ledger does not contradict a checkpoint that it
    once signed, nor what was hashed of it: all of it is hashed again within an hour, a share
    whenever this is asked. `notices` tell what does not keep it from being used, and wants to be
    looked at.
    """
    wiring, book = app_state().wiring, services().book
    try:
        schema.check(wiring.settings.database_url)
        position = book.head()
        checkpoints.hold_to_signed(wiring)
        hold_to_hashed(app_state().past)
        if wrong := clock_fault(wiring):
            return unavailable(wrong)
        disk = disk_fault(wiring.settings.database_url)
        notices = [book.store.lineage.notice, book.ahead_of(wiring.clock()), disk]
        told = [notice for notice in notices if notice]
        return reply(Readiness("ready", position, told))
    except schema.SchemaUnfit:
        if disk_fault(wiring.settings.database_url) == GONE:
            return unavailable(GONE)
        return unavailable("the tables are not those of this Keyfold: see `keyfold db check`")
    except PersistenceError as error:
        said = [hint_of(error) or "it does not answer", book.store.lineage.notice]
        return unavailable(f"the database: {'; '.join(filter(None, said))}")


def hold_to_hashed(past: LastKnown[str | None]) -> None:
    """Have more of the past hashed again, meanwhile, and hold to what was found by now.

    Raises:
        TreeDamaged: something is not what was hashed of it.
    """
    past.is_fresh(timeout_s=0)
    if past.known:
        raise TreeDamaged(past.known)


def clock_fault(wiring: Wiring) -> str | None:
    """Return what is wrong with this machine's clock, by the database's own; None if nothing."""
    found = clock_ahead_s(wiring)
    if found is None or abs(ahead := round(found)) <= CLOCK_TOLERANCE_S:
        return None
    how = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {abs(ahead)} s {how} the database's: nothing is recorded"


def clock_ahead_s(wiring: Wiring) -> float | None:
    """Return by how much our clock is ahead of the database's; None where it has none."""
    theirs = wiring.services.book.store.clock() if wiring.clock is system_clock else None
    return None if theirs is None else wiring.clock().timestamp() - theirs


@blueprint.get("/metrics")
@operation(
    access=_FIGURES,
    responses={200: Returns(None, "Figures in Prometheus' text format.")},
)
def get_metrics() -> Response:
    """Show figures for Prometheus.

    From this machine itself no token is needed, unless a proxy passed the request on. While the
    database does not answer, `keyfold_ledger_up` is 0, and of the ledger is told what was known;
    from elsewhere that is all, since no token can be looked at.
    """
    known = app_state()
    up = known.head.is_fresh(FIGURES_S)
    known.attention.is_fresh(FIGURES_S if up else 0)
    known.webhooks.is_fresh(FIGURES_S if up else 0)
    known.tables_behind.is_fresh(FIGURES_S if up else 0)
    known.clock_ahead.is_fresh(FIGURES_S if up else 0)
    page = known.metrics.render(
        known.head.known,
        known.attention.known,
        known.webhooks.known or [],
        known.tables_behind.known or {},
        now=known.wiring.clock(),
        ledger_up=up,
        clock_ahead_s=known.clock_ahead.known if up else None,
    )
    return Response(page, content_type=metrics.CONTENT_TYPE)


def _tell_that_it_is_down(error: Exception) -> Response:
    """Return the one figure that needs no token, since no token can be looked at now."""
    if request.endpoint != f"{blueprint.name}.{get_metrics.__name__}":
        return ledger_unavailable(error)
    return Response(metrics.DOWN, content_type=metrics.CONTENT_TYPE)


for _fault in (PersistenceError, LedgerUnavailable):
    blueprint.register_error_handler(_fault, _tell_that_it_is_down)


def attention_now(wiring: Wiring) -> Attention:
    """Return what needs looking at, all accounts taken together."""
    return attention(wiring.services.book, wiring.tables, wiring.services.catalog, wiring.clock())


def tables_behind(wiring: Wiring) -> dict[str, int]:
    """Return how many positions each table has to catch up when it is read next."""
    return behind(wiring.services.book, wiring.tables, NAMES)


def webhook_backlogs(wiring: Wiring) -> list[Backlog]:
    """Return what waits to be sent to each webhook."""
    book = wiring.services.book
    return backlogs(book, wiring.tables, book.load(WEBHOOKS, webhooks.ID).state)
