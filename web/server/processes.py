"""Serving: one process that looks after workers, each of which serves with several threads.

* The port is taken by the first process before anything else, and the workers take connections
  from that one socket. So a port that is in use is told at once, and connections wait, and are not
  refused, while a worker is replaced.
* Workers are spawned, never forked, so nothing that was opened before reaches into them: no
  connection, no lock, no thread.
* A worker that ends is replaced, at once if it lived for a while, else after a pause that doubles.
  One that says nothing for `HUNG_S` is killed. The server never gives up (`web.server.worker`).
* Only the first process hears of Ctrl-C and of a closed terminal; it tells the workers, and they
  finish what they are answering. A worker whose parent was killed leaves, too.
* Where seats are billed, the first process keeps Stripe in step with them
  (`web.server.seat_sync_loop`); and it sends messages to webhooks (`web.server.webhook_sender`).
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Final

from web.app import tracing
from web.app.logs import log_all_to_stderr
from web.app.settings import let_links_lead_to, read_settings
from web.server.process_limits import BACKLOG, INTERRUPTS, STOP_S
from web.server.worker_board import Board

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

POLL_S: Final = 0.05
POLL_TIMEOUT_S: Final = 5
CHECK_S: Final = 1.0
START_S: Final = 60.0
HUNG_S: Final = 30.0
GOOD_LIFE_S: Final = 10.0
PAUSE_S: Final = 0.25
PAUSE_S_MAX: Final = 15.0

_log = logging.getLogger("keyfold.server")


class CannotServe(Exception):
    """The server cannot start; the message is one line."""


def serve(
    host: str,
    port: int,
    *,
    workers: int = 1,
    threads: int = 4,
    on_ready: Callable[[str], object] = lambda _url: None,
) -> None:
    """Serve Keyfold until SIGTERM, SIGINT or SIGHUP, then finish what is being answered.

    Args:
        host: a name or address of this machine.
        port: 0 for any that is free.
        on_ready: called once with the address, as soon as it responds.

    Raises:
        CannotServe: the port cannot be had.
    """
    from web.server import seat_sync_loop, webhook_sender

    log_all_to_stderr()
    with _listening(host, port) as listener, _stop_signals() as stop_signal:
        address, held_port = listener.getsockname()[:2]
        _lead_links(address, held_port)
        _in_background(lambda: _announce(host, address, held_port, on_ready))
        # Here and not in a worker, so that there is one however many workers there are.
        with _traced(), seat_sync_loop.running(), webhook_sender.running():
            _supervise(listener, workers, threads, _keyfold, stop_signal)


@contextlib.contextmanager
def _traced() -> Iterator[None]:
    """Return a context in which calls of this process are traced, where that is asked for."""
    tracing.start(read_settings().database_url)
    try:
        yield
    finally:
        tracing.stop()


def serve_application(
    make: Callable[[], WSGIApplication], host: str, port: int, *, workers: int, threads: int
) -> None:
    """Serve another WSGI application in the same way; `make` is called in each worker."""
    log_all_to_stderr()
    with _listening(host, port) as listener, _stop_signals() as stop_signal:
        _supervise(listener, workers, threads, make, stop_signal)


def url_of(host: str, port: int) -> str:
    """Return the address to open in a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _keyfold() -> WSGIApplication:
    from web import wsgi

    return wsgi.application()


# The workers


class _Workers:
    """The processes that serve, one for each slot on the board."""

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        threads: int,
        make: Callable[[], WSGIApplication],
    ) -> None:
        from web.app.token_limits import TokenTally
        from web.server.worker import Duty, work

        board, tally = Board.for_workers(count), TokenTally.new()
        self._work = work
        self._duties = [
            Duty(listener, threads, board, number, make, tally) for number in range(count)
        ]
        self._board = board
        self.alive: dict[int, SpawnProcess] = {}
        self._began = [0.0] * count
        self._start_at = [0.0] * count
        self._pause_s = [PAUSE_S] * count

    def start_due(self) -> None:
        """Start those that are missing and have paused for long enough."""
        for number, duty in enumerate(self._duties):
            if number in self.alive or time.monotonic() < self._start_at[number]:
                continue
            process = multiprocessing.get_context("spawn").Process(target=self._work, args=(duty,))
            try:
                # It must not hear of these before it can do as they say; it lets them in itself.
                signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
                process.start()
            except OSError as error:
                _log.error("a worker cannot be started: %s", error.strerror)
                self._began[number] = time.monotonic()  # it is no merit of the one before
                self._postpone(number)
                continue
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
            self.alive[number] = process
            self._began[number] = time.monotonic()

    def reap(self, *, quietly: bool = False) -> None:
        """Take note of those that have ended."""
        for number, process in list(self.alive.items()):
            if process.exitcode is None:
                continue
            del self.alive[number]
            process.join()
            self._board.take_leave(number)
            if not quietly:
                _log.warning("a worker ended (%s) and is replaced", _ending(process.exitcode))
                self._postpone(number)

    def _postpone(self, number: int) -> None:
        now = time.monotonic()
        if now - self._began[number] > GOOD_LIFE_S:
            self._pause_s[number] = PAUSE_S
            self._start_at[number] = now
            return
        self._start_at[number] = now + self._pause_s[number]
        self._pause_s[number] = min(self._pause_s[number] * 2, PAUSE_S_MAX)

    def kill_hung(self) -> None:
        """Kill those that have said nothing for too long."""
        now = time.monotonic()
        for number, process in self.alive.items():
            beat = self._board.slots[number].last_beat()
            silent_s = now - max(beat, self._began[number])
            if silent_s > (HUNG_S if beat else START_S):
                _log.error("a worker hangs and is killed")
                process.kill()

    def stop(self) -> None:
        """Let them finish, and return when they have ended."""
        for process in self.alive.values():
            process.terminate()
        until = time.monotonic() + STOP_S + CHECK_S
        for process in self.alive.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None or process.exitcode == -signal.SIGALRM:
                _log.warning("some answers were not finished within %d s", STOP_S)
            if process.exitcode is None:
                process.kill()
                process.join()


def _ending(exitcode: int) -> str:
    if exitcode >= 0:
        return f"exit code {exitcode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-exitcode).name
    return f"signal {-exitcode}"


def _supervise(
    listener: socket.socket,
    count: int,
    threads: int,
    make: Callable[[], WSGIApplication],
    stop_signal: socket.socket,
) -> None:
    workers = _Workers(listener, count, threads, make)
    try:
        while True:
            workers.start_due()
            sentinels = [process.sentinel for process in workers.alive.values()]
            if stop_signal in connection.wait([stop_signal, *sentinels], CHECK_S / 4):
                return
            workers.reap()
            workers.kill_hung()
    finally:
        workers.stop()


# The port


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, where = found[0]
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
        except OSError as error:
            remedy = ": name another with --port" if port else ""
            raise CannotServe(
                f"cannot listen on {host} port {port}: {error.strerror}{remedy}"
            ) from None
        yield listener


def _lead_links(address: str, port: int) -> None:
    """Let links lead here, unless a setting says where; workers find that in the environment."""
    reachable = _reachable(address)
    if not let_links_lead_to(url_of(reachable, port)) or reachable == address:
        return
    _log.warning(
        "KEYFOLD_PUBLIC_URL is not set: links lead to %s, which only this machine can open",
        url_of(reachable, port),
    )


def _announce(host: str, address: str, port: int, on_ready: Callable[[str], object]) -> None:
    while not _responds(_reachable(address), port):
        time.sleep(POLL_S)
    on_ready(url_of(host, port))


def _responds(address: str, port: int) -> bool:
    client = http.client.HTTPConnection(address, port, timeout=POLL_TIMEOUT_S)
    try:
        client.request("GET", "/healthz", headers={"Connection": "close"})
        return client.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _reachable(address: str) -> str:
    """Return where we ourselves reach a server that listens on an address, or on all of them."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if not parsed.is_unspecified:
        return address
    return "127.0.0.1" if isinstance(parsed, ipaddress.IPv4Address) else "::1"


# Signals


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """Yield a socket that can be read once somebody has told us to stop.

    What was ignored from the start (`nohup`) stays so.
    """
    # Before Python 3.12 its start unblocks SIGINT, so it must not be a worker that starts it.
    resource_tracker.ensure_running()
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)

        def notify(*_: object) -> None:
            with contextlib.suppress(OSError):
                writer.send(b"x")

        before = {one: signal.getsignal(one) for one in INTERRUPTS}
        for one, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(one, notify)
        try:
            yield reader
        finally:
            # It is leaving: to be told so once more must not make it look as if it had been killed.
            for one in before:
                signal.signal(one, signal.SIG_IGN)


def _in_background(task: Callable[[], object]) -> None:
    threading.Thread(target=task, daemon=True).start()
