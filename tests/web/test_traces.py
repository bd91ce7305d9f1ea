"""Traces: what a collector is told of requests, and what nobody is told."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from tests.portal.selling import selling
from tests.web.collector import Collector
from tests.webhooks.receiver import Receiver
from web.app.tracing import is_wanted

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
REDEEM = "/v1/keys/redeem"
SEAT = "/v1/accounts/<account>/seats/<product>/<holder>"
SECRET = "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw=="
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def to(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **AT_ONCE}


class Desk(NamedTuple):
    """An administrator of a served ledger."""

    server: Server
    token: str

    def ask(
        self, method: str, path: str, body: Any = None, given: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body)
        status, text = self.server.request(method, path, self.token, sent, given)
        return status, json.loads(text) if text else None

    def issue(self) -> str:
        order = {"product": "cloud_pos", "seats": 1, "months": 12, "reseller": "Jane Roe"}
        status, told = self.ask("POST", "/v1/keys", order)
        assert status == 201
        return str(told["keys"][0]["code"])

    def logged(self, route: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.server.log.read_text().splitlines())
        return [line for line in lines if line.get("route") == route]


def ready(folder: Path, **settings: str) -> tuple[Program, str]:
    program = Program(folder, settings)
    program.done("db", "upgrade")
    return program, str(program.json("tokens", "create", "--role", "admin")["token"])


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_request_is_one_trace_below_its_callers_and_holds_nothing_of_anybodys(
    tmp_path: Path, store: str, collector: Collector, request: pytest.FixtureRequest
) -> None:
    settings = to(collector.url) | {"OTEL_SERVICE_NAME": "licences"}
    if store == "postgres":
        settings["KEYFOLD_DATABASE_URL"] = request.getfixturevalue("postgres_ledger_url")
        settings["KEYFOLD_SECRET"] = SECRET
    program, token = ready(tmp_path, **settings)
    with program.served("--workers", "2") as server:
        desk = Desk(server, token)
        code = desk.issue()
        redeemed = {"code": code, "account": "jane.doe", "session": "laptop-of-jane"}
        assert desk.ask("POST", REDEEM, redeemed, TRACED)[0] == 201
        seat = "/v1/accounts/jane.doe/seats/cloud_pos"
        assert desk.ask("PUT", f"{seat}/till-of-jane", {})[0] == 201
        assert desk.ask("PUT", f"{seat}/till-of-jim", {})[0] == 409
        assert desk.ask("GET", f"/nowhere/jane.doe?secret={code}")[0] == 422
        assert desk.ask("GET", "/nowhere/jane.doe?code=none")[0] == 404
        assert desk.ask("GET", "/v1/keys?reseller=Jane+Roe")[0] == 200
        lines = desk.logged(REDEEM)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0  # what was left has been sent
    (span,) = collector.named(f"POST {REDEEM}")
    refused = max(collector.named(f"PUT {SEAT}"), key=lambda one: one.began)
    assert refused.about["keyfold.problem"] == "no_seat_available"
    assert (span.trace, span.parent, span.kind, span.failed) == (TRACE, PARENT, "server", False)
    assert span.about == {
        "http.request.method": "POST", "http.route": REDEEM, "http.response.status_code": 201,
    }  # fmt: skip
    assert span.resource["service.name"] == "licences"
    assert [line["trace_id"] for line in lines] == [TRACE]
    below = collector.below(span)
    system = {"sqlite": "sqlite", "postgres": "postgresql"}[store]
    assert {"read streams", "append"} == {one.name for one in below}
    for one in below:
        assert (one.trace, one.kind, one.about) == (TRACE, "client", {"db.system.name": system})
        assert span.began <= one.began <= one.ended <= span.ended
    assert (refused.about["http.response.status_code"], refused.failed) == (409, False)
    assert refused.trace != TRACE
    assert not refused.parent
    assert "read table" in {one.name for one in collector.below(collector.named("GET /v1/keys")[0])}
    unmatched = sorted(collector.named("GET"), key=lambda one: one.began)
    assert [one.about for one in unmatched] == [
        {"http.request.method": "GET", "http.response.status_code": status, "keyfold.problem": kind}
        for status, kind in ((422, "code_in_url"), (404, "not_found"))
    ]
    # Nothing else, that nobody waits for: no probes, no reads of what runs beside requests.
    roots = [one.name for one in collector.spans if one.kind != "server" and not one.parent]
    assert roots == []
    assert not [one for one in collector.spans if "readyz" in one.name or "healthz" in one.name]
    for secret in (code, token, "jane", "Jane", "laptop", "till-of", "127.0.0.1", "nowhere"):
        assert secret.encode() not in collector.raw, secret


def test_a_call_to_stripe_is_told_of_by_its_name(tmp_path: Path, collector: Collector) -> None:
    with selling(tmp_path, settings=to(collector.url)) as seller:
        seller.checkout("jane.doe")
        asked = collector.wait_for("POST /v1/accounts/<account>/checkout")
        (call,) = collector.named("Stripe SessionService.create")
        assert (call.parent, call.kind, call.about) == (asked.id, "client", {})
        assert not call.failed
    assert b"jane" not in collector.raw
    assert b"cus_" not in collector.raw
    assert seller.stripe.api_key.encode() not in collector.raw


def test_a_message_to_a_webhook_is_a_trace_of_its_own(tmp_path: Path, collector: Collector) -> None:
    program, token = ready(tmp_path, KEYFOLD_WEBHOOK_HOSTS="127.0.0.1", **to(collector.url))
    with Receiver() as receiver, program.served() as server:
        receiver.respond([503, 200])
        desk = Desk(server, token)
        hook = {"url": f"{receiver.url}/jane.doe", "kinds": ["key.changed"]}
        id = desk.ask("POST", "/v1/webhooks", hook)[1]["id"]
        desk.issue()
        receiver.wait_for(1)
        wait_until(lambda: len(collector.named("deliver to webhook")) > 1)
        first, second = collector.named("deliver to webhook")
        assert (first.parent, first.kind, first.failed) == ("", "client", True)
        assert first.about == {
            "http.request.method": "POST", "http.request.resend_count": 0,
            "http.response.status_code": 503, "keyfold.webhook": id, "error.type": "503",
        }  # fmt: skip
        assert (second.about["http.request.resend_count"], second.failed) == (1, False)
        assert second.trace != first.trace
    assert b"jane" not in collector.raw


def run(program: Program, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=program.folder,
        env=program.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
import os, sys
from werkzeug.test import Client
from web.wsgi import app

def get(path, headers=None):
    with Client(app).get(path, headers=headers) as response:
        return response.status_code

assert get("/") == 200
"""
COUNT = 'print(sum(name.startswith("opentelemetry") for name in sys.modules))'


def test_nothing_of_opentelemetry_is_loaded_unless_it_is_asked_for(tmp_path: Path) -> None:
    program, _ = ready(tmp_path)
    assert run(program, ASK + COUNT) == "0\n"
    program.settings |= to("http://127.0.0.1:9") | {"OTEL_SDK_DISABLED": "true"}
    assert run(program, ASK + COUNT) == "0\n"


def test_a_process_that_was_forked_sends_its_own(tmp_path: Path, collector: Collector) -> None:
    program, _ = ready(tmp_path, **to(collector.url))
    forked = """
child = os.fork()
assert get("/portal/") == 403
from web.app import tracing
tracing.stop()
if not child:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(program, ASK + forked) == "0\n"
    assert len(collector.named("GET /")) == 1
    assert len(collector.named("GET /portal/")) == 2
    assert len({one.id for one in collector.spans}) == len(collector.spans)


def test_variables_of_the_file_of_settings_count(tmp_path: Path, collector: Collector) -> None:
    lines = [f"{name}={value}" for name, value in to(collector.url).items()]
    (tmp_path / "settings.env").write_text("\n".join([*lines, "OTEL_SERVICE_NAME=by-file"]))
    program, _ = ready(tmp_path, KEYFOLD_ENV_FILE="settings.env")
    run(program, ASK + "from web.app import tracing; tracing.stop()")
    assert collector.named("GET /")[0].resource["service.name"] == "by-file"


@pytest.mark.parametrize(
    ("sampler", "flags", "seen"),
    [("always_off", "01", 0), ("parentbased_always_on", "00", 0), ("always_on", "00", 1)],
)
def test_whether_a_request_is_traced_the_sampler_says(
    tmp_path: Path, collector: Collector, sampler: str, flags: str, seen: int
) -> None:
    program, _ = ready(tmp_path, OTEL_TRACES_SAMPLER=sampler, **to(collector.url))
    header = f'{{"traceparent": "00-{TRACE}-{PARENT}-{flags}"}}'
    asked = ASK.replace('get("/")', f'get("/", headers={header})')
    run(program, asked + "from web.app import tracing; tracing.stop()")
    assert len(collector.named("GET /")) == seen


@pytest.mark.parametrize("collector_is", ["down", "silent"])
def test_without_a_collector_all_is_answered_and_the_server_stops(
    tmp_path: Path, collector_is: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if collector_is == "down":
            listener.shutdown(socket.SHUT_RDWR)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = to(url) | {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
        program, token = ready(tmp_path, **settings)
        with program.served() as server:
            desk = Desk(server, token)
            for number in range(20):
                body = {"code": desk.issue(), "account": f"a{number}", "session": "s"}
                assert desk.ask("POST", REDEEM, body)[0] == 201
            if collector_is == "down":
                wait_until(lambda: "otlp" in server.log.read_text())
                time.sleep(2.5)  # meanwhile it is tried again, and again
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE_S) == 0
        log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    complaints = [line for line in lines if "exporter.otlp" in line["message"]]
    assert len(complaints) <= (collector_is == "down")
    assert len([line for line in lines if line.get("route") == REDEEM]) == 20
    assert not [line for line in lines if line["level"] == "error" and "keyfold" in line["message"]]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER must be otlp, not 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not 'grpc'",
        ),
    ],
)
def test_what_cannot_be_had_is_said_and_not_done(
    environ: dict[str, str], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert not is_wanted(environ)
    assert [line.message for line in caplog.records] == (
        [f"nothing is traced: {said}"] if said else []
    )


@pytest.mark.parametrize(
    ("first", "setting", "says"),
    [
        ("import sys; sys.modules['opentelemetry'] = None\n", {}, "pip install 'keyfold[otel]'"),
        ("", {"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "must be a positive integer"),
    ],
)
def test_what_is_wrong_with_tracing_keeps_nobody_from_being_answered(
    tmp_path: Path, first: str, setting: dict[str, str], says: str
) -> None:
    program, _ = ready(tmp_path, **to("http://127.0.0.1:9"), **setting)
    done = subprocess.run(
        [sys.executable, "-c", first + ASK],
        cwd=tmp_path, env=program.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (warning, _) = map(json.loads, done.stderr.splitlines())
    assert warning["level"] == "warning"
    assert says in warning["message"]
