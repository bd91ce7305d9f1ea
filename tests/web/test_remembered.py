"""What a process remembers between requests, and what must be as it was without."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import flask
import pytest
from marshmallow import fields

from tests.cli.program import PATIENCE_S, ROOT
from tests.web.api import Api
from web.api.request_fields import Shape
from web.app.auth import TokenIds
from web.app.flask_app import KeyfoldFlask
from web.app.logs import RequestLine, Stderr
from web.app.request_parsing import of_query


def test_a_session_cannot_be_used_unnoticed() -> None:
    app = KeyfoldFlask("web")
    with app.test_request_context("/"), pytest.raises(RuntimeError, match="secret key"):
        flask.session["cart"] = 1


def test_what_is_made_of_an_empty_query_is_nobody_elses() -> None:
    class Query(Shape):
        limit = fields.Integer(load_default=50)

    read = of_query(Query())
    with KeyfoldFlask("web").test_request_context("/") as context:
        assert read(context.request).pop("limit") == 50
        assert read(context.request) == {"limit": 50}


def test_the_ids_of_only_so_many_tokens_are_remembered() -> None:
    ids, key = TokenIds(3), b"k" * 32
    known = {secret: ids.of(key, secret) for secret in ("kf_a", "kf_b", "kf_c", "kf_d", "kf_e")}
    assert len(set(known.values())) == len(known)
    assert len(ids.known) <= 3
    assert {secret: ids.of(key, secret) for secret in known} == known
    assert ids.of(b"l" * 32, "kf_a") != known["kf_a"]


def test_the_tokens_themselves_are_not_remembered() -> None:
    ids = TokenIds(3)
    ids.of(b"k" * 32, "kf_abcdefghijkl")
    assert "abcdefghijkl" not in repr(ids.known)


def test_a_view_that_is_kept_ends_when_a_subscription_does(api: Api) -> None:
    api.redeem(months=1)
    path = "/v1/accounts/acme/subscriptions?all=true"

    def statuses() -> list[str]:
        body = api.get("portal", path).body
        return [row["status"] for shown in body["products"] for row in shown["rows"]]

    assert statuses() == statuses() == ["active"]
    api.clock.forward(days=40)
    assert statuses() == ["expired"]


def test_a_view_that_is_kept_is_of_its_own_question(api: Api) -> None:
    api.redeem(months=1)
    api.clock.forward(days=40)
    path = "/v1/accounts/acme/subscriptions"
    for asked, rows in (("?all=true", 1), ("", 0), ("?all=true", 1)):
        body = api.get("portal", path + asked).body
        assert sum(len(shown["rows"]) for shown in body["products"]) == rows, asked


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_does_not_give_out_its_parents_request_ids() -> None:
    script = """
import os, sys
from web.app.request_hooks import new_request_id
child = os.fork()
print(new_request_id(), flush=True)
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert len(set(done.stdout.split())) == 2


def test_what_cannot_be_logged_is_reported_and_breaks_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Stderr().handle(RequestLine("keyfold", "half of a pair: \ud800", {}))
    Stderr().handle(RequestLine("keyfold", "request", {"status": 200, "other": "not shown"}))
    shown = capfd.readouterr().err.splitlines()
    assert shown[0].startswith("--- Logging error ---")
    assert '"level":"info","message":"request","status":200' in shown[-1]
    assert "not shown" not in shown[-1]


def test_standard_error_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    script = """
import logging, os
from web.app.logs import log_to_stderr
log_to_stderr()
os.close(2)
logging.getLogger("keyfold.access").info("request")
print("still here")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout == "still here\n"


def test_a_line_has_what_other_handlers_look_for() -> None:
    line = RequestLine("keyfold.access", "request", {"status": 200})
    assert logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s").format(line)
