"""Traces by OpenTelemetry: a span a request, and in it one for each piece of work.

    PUT /v1/accounts/<account>/seats/<product>/<holder>      201, or 409 with keyfold.problem
      read streams                                           what the database was asked for
      append                                                 from when it queued until it was in
      Stripe SubscriptionService.update                      of a call its name alone

Requests are named by their routes. No path, query, header or body is in a span, and of who asked
and for whom nothing: OpenTelemetry's own instrumentation of Flask and of requests records whole
addresses, in which accounts, holders and tokens of pages are, so it is not used.

Probes are not traced. A read is, where there is a request that it is for.

This module is loaded where traces are asked for, and nowhere else (`web.app.tracing`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Flask, Response, g, request
from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from werkzeug.wsgi import ClosingIterator

from ledger.durations import Work
from web.app.metrics import METHODS
from web.app.version import version

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SERVICE: Final = "keyfold"
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
QUIET_S: Final = 60.0
# Their lines are about a request.
LOGGERS: Final = ("keyfold.access", "keyfold.errors")


class Spans:
    """What the spans of one process are made and sent by.

    Args:
        database_url: its scheme is all that is told of it.

    Raises:
        ValueError: a variable of OpenTelemetry's will not do.
    """

    def __init__(self, database_url: str) -> None:
        is_sqlite = database_url.startswith("sqlite:")
        self._database = {"db.system.name": "sqlite" if is_sqlite else "postgresql"}
        ours = Resource({"service.name": SERVICE, "service.version": version()})
        resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, version())
        for name in LOGGERS:
            logging.getLogger(name).addFilter(_with_trace_id)
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_COMPLAINTS)

    def close(self) -> None:
        """Send what is left, and no more."""
        self._provider.shutdown()

    def trace_requests(self, app: Flask) -> None:
        """Have an application's requests traced; it has answered none yet."""
        app.after_request(_describe)
        app.wsgi_app = self._traced(app.wsgi_app)  # type: ignore[assignment, method-assign]

    def _traced(self, inner: WSGIApplication) -> WSGIApplication:
        def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] in PROBES:
                return inner(environ, start_response)
            method = environ["REQUEST_METHOD"]
            method = method if method in METHODS else "_OTHER"
            parent = propagate.extract(_headers(environ))
            span = self._tracer.start_span(
                method, parent, SpanKind.SERVER, {"http.request.method": method}
            )
            token = context.attach(trace.set_span_in_context(span, parent))
            try:
                body = inner(environ, start_response)
            except BaseException:
                span.end()
                raise
            finally:
                context.detach(token)
            return ClosingIterator(body, span.end)

        return respond

    def work_done(self, work: Work) -> None:
        """Record a piece of work of this thread, which is over now."""
        if not (work.is_call or trace.get_current_span().is_recording()):
            return
        end = time.time_ns()
        span = self._tracer.start_span(
            work.name,
            kind=SpanKind.CLIENT,
            attributes=work.about if work.is_call else self._database,
            start_time=end - int(work.seconds * 1e9),
        )
        if work.error is not None:
            span.set_attribute("error.type", work.error)
            span.set_status(StatusCode.ERROR)
        span.end(end)


def _describe(response: Response) -> Response:
    span = trace.get_current_span()
    if span.is_recording():
        status = response.status_code
        span.set_attribute("http.response.status_code", status)
        if request.url_rule is not None:
            span.update_name(f"{request.method} {request.url_rule.rule}")
            span.set_attribute("http.route", request.url_rule.rule)
        problem: str | None = g.get("problem")
        if problem is not None:
            span.set_attribute("keyfold.problem", problem)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_attribute("error.type", problem or str(status))
            span.set_status(StatusCode.ERROR)
    return response


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    """Return a request's headers as OpenTelemetry looks them up: in lower case."""
    return {
        name.removeprefix("HTTP_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


class _OnceAMinute:
    """Lets one line of the log through, and the next after a minute."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def filter(self, _record: logging.LogRecord) -> bool:
        """Return whether a line may be written now."""
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + QUIET_S
        return True


# Of a collector that is down, for as long as it is, each try would be told.
_COMPLAINTS: Final = _OnceAMinute()


def _with_trace_id(record: logging.LogRecord) -> bool:
    """Let a line of the log name the trace that tells of the same request."""
    found = trace.get_current_span().get_span_context()
    if found.is_valid:
        record.trace_id = trace.format_trace_id(found.trace_id)
    return True
