"""One worker process: it makes the application, serves it, and says that it is well.

While the application cannot be made, since the database does not respond or a setting will not do,
`/healthz` is answered 200 and all else 503, and it is tried again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from web.app import tracing, waiting
from web.app.causes import cause_of
from web.app.early_refusals import may_be_refused, refuse_overloaded, refuse_starting
from web.app.logs import crash_line, log_all_to_stderr
from web.app.thread_shares import half_of
from web.server.http_server import Server
from web.server.process_limits import INTERRUPTS, STOP_S
from web.server.worker_board import Board

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from web.app.context import AppState
    from web.app.token_limits import TokenTally

STUCK_S: Final = 120.0
# Until it is made this worker answers 503 to what another could answer: so it is tried soon.
TRY_AGAIN_S: Final = 0.5
TRY_AGAIN_S_MAX: Final = 2.0
FIGURES_S: Final = 0.5
SWITCH_S: Final = 0.001

_log = logging.getLogger("keyfold.server")


class Duty(NamedTuple):
    """What a worker is told.

    Attributes:
        listener: the socket that all workers take connections from.
        board: with a slot for each worker.
        number: which of them is this one's.
        make: makes the application.
        tally: of the requests of each token, to all workers.
    """

    listener: socket.socket
    threads: int
    board: Board
    number: int
    make: Callable[[], WSGIApplication]
    tally: TokenTally


def work(duty: Duty) -> None:
    """Serve until SIGTERM, or until the first process is gone; then finish what is under way."""
    log_all_to_stderr()
    try:
        _work(duty)
    except Exception as error:
        # multiprocessing would print a traceback.
        _log.error("a worker fails: %s", crash_line(error))
        os._exit(1)


def _work(duty: Duty) -> None:
    slot = duty.board.slots[duty.number]
    waiting.allow(half_of(duty.threads))
    application = _Application(duty)

    def tick() -> None:
        # A process whose threads all hang is not well, however well its loop may be.
        if server.threads.oldest_s < STUCK_S:
            slot.beat()

    server = Server(application, duty.listener, duty.threads, tick)

    def stop(*_: object) -> None:
        # It may come again while this runs, so no lock is taken here.
        if not server.is_draining:
            signal.alarm(int(STOP_S))  # it ends the process
            server.drain()

    slot.beat()
    # Among threads that are busy, each look at the lock of a short request waits for this long.
    sys.setswitchinterval(SWITCH_S)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    threading.Thread(target=_follow_parent, daemon=True).start()
    application.try_to_make()
    threading.Thread(target=application.go_on, daemon=True).start()
    server.run()
    application.publish_figures()
    tracing.stop()
    # Threads that wait for what will not come must not hold the process up.
    os._exit(0)


class _Application:
    """The application, and what is answered until there is one."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._made: WSGIApplication | None = None
        self._state: AppState | None = None
        self._publish: Callable[[], object] = lambda: None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._made is not None and (self._state is None or not may_be_refused(environ)):
            return self._made(environ, start_response)
        body = self._answer(environ, start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._made is not None and self._state is not None:
            return refuse_overloaded(self._state, environ, start_response)
        if environ["PATH_INFO"] == "/healthz":
            return _respond(start_response, "application/json", b'{"status": "ok"}')
        if environ["PATH_INFO"] == "/metrics":
            from web.app.metrics import CONTENT_TYPE

            return _respond(start_response, CONTENT_TYPE, self._figures(environ))
        return refuse_starting(start_response)

    def _figures(self, environ: WSGIEnvironment) -> bytes:
        """Return what is known without the ledger; without a token that is little elsewhere."""
        # Not by the first process, which only imports this module.
        from flask import Request

        from web.app.auth import from_loopback
        from web.app.metrics import DOWN, Metrics

        if not from_loopback(Request(environ)):
            return DOWN
        metrics = Metrics()
        metrics.share(lambda: self._duty.board.of_others(self._duty.number))
        return metrics.render(None, ledger_up=False)

    def try_to_make(self) -> None:
        """Make it, if that can be done now."""
        try:
            made = self._duty.make()
        except Exception as error:  # whatever it is may be mended meanwhile
            _log.warning("cannot serve yet: %s", _why(error))
            return
        self._share_counts(made)
        self._made = made

    def go_on(self) -> NoReturn:
        """Try again until it is made, and from then on tell its figures."""
        pause_s = TRY_AGAIN_S
        while self._made is None:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, TRY_AGAIN_S_MAX)
            self.try_to_make()
        while True:
            time.sleep(FIGURES_S)
            try:
                self.publish_figures()
            except Exception as error:  # a thread that ends would be missing for ever
                _log.error("figures are not told: %s", type(error).__name__)

    def _share_counts(self, made: Any) -> None:
        duty = self._duty
        self._state = state = getattr(made, "state", None)
        if state is None:
            return
        state.token_limits.share(duty.tally)
        if duty.board.is_shared:
            state.metrics.share(lambda: duty.board.of_others(duty.number))
        self._publish = lambda: duty.board.slots[duty.number].write(state.metrics.figures())

    def publish_figures(self) -> None:
        """Write down what was counted, for the other workers."""
        self._publish()


def _respond(start_response: StartResponse, type_: str, body: bytes) -> Iterable[bytes]:
    headers = [("Content-Type", type_), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*headers, ("Cache-Control", "no-store")])
    return [body]


def _why(error: Exception) -> str:
    from web.app.settings import SettingError

    # What other errors say may hold an address with a password.
    return str(error) if isinstance(error, SettingError) else cause_of(error)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
