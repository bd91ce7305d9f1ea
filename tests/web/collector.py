"""A collector of traces on this machine: OTLP over HTTP, decoded by OpenTelemetry's own messages.

with Collector() as collector:
    program.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    …
    collector.wait_for("GET /v1/keys")
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.cli.program import wait_until


class Seen(NamedTuple):
    """A span as it came, ids in hex; `parent` is empty where there is none."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    began: int
    ended: int
    about: Mapping[str, Any]
    failed: bool
    resource: Mapping[str, Any]


class Collector:
    """Takes what is sent to it, and keeps it both as it came and decoded."""

    def __init__(self, port: int = 0) -> None:
        self.raw = b""
        self.spans: list[Seen] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(body)
        self.raw += body
        for of_resource in sent.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_seen(span, resource) for span in of_scope.spans]

    def named(self, name: str) -> list[Seen]:
        return [one for one in self.spans if one.name == name]

    def wait_for(self, name: str) -> Seen:
        """Return the first span of a name, once it is there."""
        wait_until(lambda: bool(self.named(name)))
        return self.named(name)[0]

    def below(self, span: Seen) -> list[Seen]:
        return [one for one in self.spans if one.parent == span.id]


def _seen(span: Span, resource: Mapping[str, Any]) -> Seen:
    return Seen(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _plain(span.attributes),
        span.status.code == Status.STATUS_CODE_ERROR,
        resource,
    )


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
