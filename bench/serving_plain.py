"""A plain Flask application on the server that Keyfold runs on: what its HTTP is measured beside.

Its GET looks the bearer token up in a dictionary and answers bytes that it holds ready; another one
reads a row of the ledger by its primary key before. Its PUT parses the JSON that was sent, and
inserts one row and commits. Each thread has a connection of its own. They answer the body and the
headers that Keyfold answered to the same request. It validates nothing, asks no database who may
come in, counts nothing and logs nothing.

    python -m bench.serving_plain '{"database_url": …, "threads": 8, …}'
"""

from __future__ import annotations

import json
import os
import sys
from typing import Final, NamedTuple

from flask import Flask, Response, abort, request

from bench.ledgers import open_raw
from web.server.processes import serve_application

VARIABLE: Final = "KEYFOLD_BENCH_PLAIN"
LOOKED_UP: Final = "/looked-up"
_BY_KEY: Final = "SELECT * FROM keyfold_events WHERE originator_id = ? AND originator_version = ?"


class Answer(NamedTuple):
    """What is answered to every request of one kind."""

    status: int
    headers: list[tuple[str, str]]
    body: str


class Plain(NamedTuple):
    """What the application is told: where to listen and insert, who may come in, what to answer."""

    database_url: str
    port: int
    workers: int
    threads: int
    token: str
    shown: Answer
    taken: Answer


def application() -> Flask:
    """Make the application; the server calls this in each of its workers."""
    config = json.loads(os.environ[VARIABLE])
    plain = Plain(
        **{**config, "shown": Answer(*config["shown"]), "taken": Answer(*config["taken"])}
    )
    raw = open_raw(plain.database_url)
    tokens = {plain.token: "admin"}
    shown, taken = plain.shown.body.encode(), plain.taken.body.encode()
    app = Flask("plain")

    def hold_to_token() -> None:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in tokens:
            abort(401)

    @app.get("/v1/accounts/<account>/subscriptions")
    def show(account: str) -> Response:
        hold_to_token()
        return Response(shown, plain.shown.status, plain.shown.headers)

    @app.get(f"/v1/accounts/<account>{LOOKED_UP}")
    def look_up(account: str) -> Response:
        hold_to_token()
        raw.fetch(_BY_KEY, (f"account-{account}", 1))
        return Response(shown, plain.shown.status, plain.shown.headers)

    @app.put("/v1/accounts/<account>/seats/<product>/<holder>")
    def take(account: str, product: str, holder: str) -> Response:
        hold_to_token()
        request.get_json()
        raw.insert(f"{account}/{product}/{holder}", 1)
        return Response(taken, plain.taken.status, plain.taken.headers)

    return app


def main() -> None:
    os.environ[VARIABLE] = sys.argv[1]
    config = json.loads(sys.argv[1])
    serve_application(
        application,
        "127.0.0.1",
        config["port"],
        workers=config["workers"],
        threads=config["threads"],
    )


if __name__ == "__main__":
    main()
