"""`keyfold serve`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ledger.store.eventsourcing_adapter import PersistenceError
from web.app.logs import log_all_to_stderr
from web.app.services import wire
from web.app.settings import read_settings, warnings
from web.cli.examples import Exampled

F = TypeVar("F", bound=Callable[..., Any])

PORT_MAX: Final = 65_535
WORKERS_MAX: Final = 64
THREADS_MAX: Final = 256
WORKERS_DEFAULT: Final = 1
THREADS_DEFAULT: Final = 8

_log = logging.getLogger("keyfold.server")


def address_options(command: F) -> F:
    """Return the command with options for where to listen."""
    host = click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="The address to listen on; 0.0.0.0 or :: for all. Put a proxy with TLS before it.",
    )
    port = click.option(
        "--port",
        type=click.IntRange(0, PORT_MAX),
        default=8000,
        show_default=True,
        metavar="PORT",
        help="The port to listen on; 0 for any that is free.",
    )
    return host(port(command))


def worker_options(command: F) -> F:
    """Return the command with options for the number of workers and threads."""
    workers = click.option(
        "--workers",
        type=click.IntRange(1, WORKERS_MAX),
        default=WORKERS_DEFAULT,
        show_default=True,
        metavar="N",
        help="Processes. Threads share commits, so few processes write faster than many.",
    )
    threads = click.option(
        "--threads",
        type=click.IntRange(1, THREADS_MAX),
        default=THREADS_DEFAULT,
        show_default=True,
        metavar="N",
        help="Threads in each process. A few more are kept for /healthz, for reads that wait for"
        " nobody, and for those that wait for events.",
    )
    return workers(threads(command))


@click.command(
    cls=Exampled,
    examples=("keyfold serve", "keyfold serve --host 0.0.0.0 --port 8080 --workers 2"),
)
@address_options
@worker_options
def serve(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the HTTP API.

    Prints `listening on http://HOST:PORT` once it answers. SIGTERM and Ctrl-C let it finish what it
    is answering, for up to 30 seconds. A worker that dies is replaced. Logs are lines of JSON on
    standard error, with no path, query or body in them.
    """
    from ledger.store.sqlite import datastore
    from web.app.private_files import files_open_to_others
    from web.server import processes

    # A wrong setting is told here, in one line, and not by each worker. A database that does not
    # answer is waited for: it may come back sooner than somebody who would start us again.
    settings = read_settings()
    with contextlib.suppress(PersistenceError):
        wire(settings).close()
    log_all_to_stderr()
    for warning in warnings():
        _log.warning("%s", warning)
    for file, mode in files_open_to_others(settings.database_url):
        _log.warning(
            "%s is open to others than its owner (mode %04o): `keyfold db upgrade` mends that",
            file.name,
            mode,
        )
    try:
        processes.serve(host, port, workers=workers, threads=threads, on_ready=say_listening)
    finally:
        # The workers are gone; what they left in the log belongs to the file.
        datastore.settle(settings.database_url)


def say_listening(url: str) -> None:
    # Whoever started us may have stopped listening to us: no reason to stop serving.
    with contextlib.suppress(OSError):
        click.echo(f"listening on {url}")
