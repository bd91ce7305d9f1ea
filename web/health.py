"""Is it up, is it ready, and how is it doing: for whatever looks after the process."""

from __future__ import annotations

from eventsourcing.persistence import PersistenceError
from flask import Response

from ledger.store import schema
from projections.overview import attention
from web import metrics, proving
from web.auth import ADMIN, AUDITOR, EVERYBODY, Access, from_loopback
from web.context import parts, ports, stamp
from web.errors import ALTERED, unavailable
from web.operations import Answered, Operations
from web.replies import reply
from web.schemas import answered

blp = Operations("service", __name__, description="For whatever looks after the process.")

_FIGURES = Access(frozenset({ADMIN, AUDITOR}), without_token=from_loopback)


@blp.operation(
    "GET",
    "/healthz",
    access=EVERYBODY,
    answers={200: Answered(answered.Healthy, "The process answers.")},
)
def get_health() -> Response:
    """Tell whether the process answers."""
    return reply({"status": "ok"})


@blp.operation(
    "GET",
    "/readyz",
    access=EVERYBODY,
    answers={200: Answered(answered.Ready, "The ledger can be used.")},
    problems=(ALTERED,),
)
def get_readiness() -> Response:
    """Tell whether the ledger can be used.

    It can when the database answers, its tables are those of this version, and the ledger does not
    contradict a checkpoint that it once signed.
    """
    try:
        schema.check(parts().wiring.settings.database_url)
        position = ports().book.head()
        proving.hold_to_signed(parts().wiring)
        return reply({"status": "ready", "position": position})
    except schema.SchemaUnfit:
        return unavailable("the tables are not those of this Keyfold: see `keyfold db check`")
    except PersistenceError:
        return unavailable("the database does not answer")


@blp.operation(
    "GET",
    "/metrics",
    access=_FIGURES,
    answers={200: Answered(None, "Figures in Prometheus' text format.")},
)
def get_metrics() -> Response:
    """Show figures for Prometheus.

    From this machine itself no token is needed, unless a proxy passed the request on.
    """
    wiring, now = parts().wiring, stamp().now
    found = attention(ports().book, wiring.tables, ports().catalog, now)
    page = parts().metrics.page(ports().book.head(), found)
    return Response(page, content_type=metrics.CONTENT_TYPE)
