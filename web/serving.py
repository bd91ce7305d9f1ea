"""Serving with granian: one worker process or several, each with several threads.

What this adds to granian, and why:

* The port is held from before the workers start until after they have stopped. Granian's workers
  share a port among themselves by SO_REUSEPORT, which would also let a second server of the same
  user in, silently, and would give each worker another port where 0 was asked for.
* Workers are spawned, never forked, so nothing that was opened before reaches into them: no
  connection, no lock, no thread.
* Only the first process hears of Ctrl-C and of a closed terminal; it tells the workers, and they
  finish what they are answering. A worker whose parent was killed leaves, too. And a worker takes
  being told once: granian 2.8 hangs when a signal of the whole group (Ctrl-C, systemd) comes on top
  of its parent's.
* The workers' figures are put together, so that `/metrics` says the same whoever answers.
* Where seats are billed, the first process keeps Stripe in step with them (`web.seat_sync_loop`).
* Nothing of a request is logged: no path, no query, no header.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from granian.server.mp import MPServer
    from granian.server.mt import MTServer

STOP_TIMEOUT_S = 30
POLL_S = 0.05
INSIST_S = 1.0
FIGURES_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
POLL_TIMEOUT_S = 5

Application = Callable[..., Any]

# Standard output belongs to the line that says where we listen, and to whatever the caller prints.
_LOGGING = {
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "stream": "ext://sys.stderr",
        }
    },
    "loggers": {"_granian": {"handlers": ["stderr"], "propagate": False}},
}


class CannotServe(Exception):
    """The server cannot start, or its workers keep dying; the message is one line."""


def serve(
    host: str,
    port: int,
    *,
    workers: int = 1,
    threads: int = 4,
    on_ready: Callable[[str], object] = lambda _url: None,
) -> None:
    """Serve `web.wsgi:app` until SIGTERM or SIGINT, then finish what is being answered.

    Args:
        host: a name or address of this machine.
        port: 0 for any that is free.
        on_ready: called once with the address, as soon as it answers.

    Raises:
        CannotServe: the port cannot be had, or the workers keep dying.
    """
    from web import seat_sync_loop

    with _held(host, port) as (address, held_port), _figures_together(workers):
        multiprocessing.set_start_method("spawn", force=True)
        server = server_of("web.wsgi:app", address, held_port, workers, threads)
        _hear_interrupts()
        _in_background(lambda: _announce(host, address, held_port, on_ready))
        _in_background(lambda: _insist_on_stopping(server))
        try:
            # Here and not in a worker, so that there is one however many workers there are; and
            # after interrupts were blocked, since its threads must not hear them either.
            with seat_sync_loop.running():
                server.serve(target_loader=_application, wrap_loader=False)
        except SystemExit:
            # Also when a worker left on the very signal that we were sent: that is no failure.
            if not server.interrupt_signal:
                raise CannotServe("the workers keep dying: see the errors above") from None
        finally:
            # It is leaving: to be told so once more must not make it look as if it had been killed.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def server_of(
    target: str, address: str, port: int, workers: int, threads: int
) -> MPServer | MTServer:
    """Answer a server of a WSGI application as we run it; it has not been started."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    return Granian(
        target,
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=workers,
        blocking_threads=threads,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT_S,
        # Below errors granian has advice on the numbers that were given, and not much else.
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
    )


def url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# The port


@contextlib.contextmanager
def _held(host: str, port: int) -> Iterator[tuple[str, int]]:
    """Hold the port without listening on it, so that only our own workers can."""
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, where = found[0]
            holder = stack.enter_context(socket.socket(family, kind, protocol))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(where)
        except OSError as error:
            mend = ": name another with --port" if port else ""
            raise CannotServe(
                f"cannot listen on {host} port {port}: {error.strerror}{mend}"
            ) from None
        address, held_port = holder.getsockname()[:2]
        if sys.platform == "linux":
            # Only once it is bound: had it been shared before, another server's would do.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            # Elsewhere granian binds once, in the first process, and hands the socket down.
            holder.close()
        yield address, held_port


@contextlib.contextmanager
def _figures_together(workers: int) -> Iterator[None]:
    """Let any of several workers answer `/metrics` for all of them (`web.metrics`)."""
    if workers == 1 or FIGURES_FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="keyfold-metrics-") as folder:
        os.environ[FIGURES_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FIGURES_FOLDER]


def _announce(host: str, address: str, port: int, on_ready: Callable[[str], object]) -> None:
    while not _answers(_reachable(address), port):
        time.sleep(POLL_S)
    on_ready(url_of(host, port))


def _answers(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=POLL_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable(address: str) -> str:
    """Answer where we ourselves reach a server that listens on an address, or on all of them."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if not parsed.is_unspecified:
        return address
    return "127.0.0.1" if isinstance(parsed, ipaddress.IPv4Address) else "::1"


# Signals


def _hear_interrupts() -> None:
    """Let Ctrl-C and a closed terminal stop the server as SIGTERM does.

    Both go to every process of the terminal's group. They are blocked here, which the workers
    inherit, and waited for in a thread. What was ignored from the start (`nohup`) stays so.
    """
    # Before Python 3.12 its start unblocks SIGINT, so it must not be the workers that start it.
    resource_tracker.ensure_running()
    interrupts = [signal.SIGINT, signal.SIGHUP]
    heard = [one for one in interrupts if signal.getsignal(one) != signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupts)
    main = threading.main_thread().ident
    assert main is not None

    def hear() -> NoReturn:
        while True:
            signal.sigwait(heard)
            signal.pthread_kill(main, signal.SIGTERM)

    if heard:
        _in_background(hear)


def _insist_on_stopping(server: MPServer | MTServer) -> NoReturn:
    """Wake granian again when it has been told to stop and has not heard it.

    It forgets a signal that comes while it is about to replace a worker that has just ended, as one
    has that the same signal reached first; and then it would wait for ever.
    """
    while True:
        time.sleep(INSIST_S)
        if server.interrupt_signal:
            server.main_loop_interrupt.set()


def _in_background(work: Callable[[], object]) -> None:
    threading.Thread(target=work, daemon=True).start()


# In a worker


def _application() -> Application:
    """Make the application; granian calls this in each worker."""
    from web.settings import SettingError

    _hear_stop_once()
    _in_background(_follow_parent)
    try:
        from web.wsgi import app
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    return app


def _hear_stop_once() -> None:
    """Pass the first SIGTERM on to granian's handler, whenever it comes, and no other."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])

    def hear() -> None:
        signal.sigwait([signal.SIGTERM])
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler):
            # It has not been set yet: nothing has been served, so there is nothing to finish.
            os._exit(0)
        handler(signal.SIGTERM, None)

    _in_background(hear)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
