"""HTTP for one process: waitress, with bounds on what clients and slow requests can take.

waitress reads a request with its body on one thread and hands it to another only when it is whole,
so a client that is slow holds a connection and no thread. What this adds:

* A request has to be whole within `REQUEST_S`, plus a second for each `BYTES_PER_S` that came;
  else the response is 408. A response has to be read as quickly.
* A body over 1 MiB is read to its end, up to `DISCARDED_MAX`, and thrown away: then the application
  answers 413, as it does everywhere else. Of a larger one no more is read.
* Connections, and what is buffered for all of them, are bounded; the idlest make room. Nothing
  goes into temporary files.
* Each kind of request has a share of the threads (`web.app.thread_shares`, `Threads`), so that none
  can hold all of them; what has waited too long for one is refused with 503.

Nothing of a request is logged.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from waitress import utilities, wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from web.app.errors import OVERLOADED, REFUSED_BY_SERVER, TOO_LARGE
from web.app.request_parsing import BODY_BYTES_MAX
from web.app.thread_shares import Share, share_of
from web.server.process_limits import BACKLOG
from web.server.request_threads import Threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

REQUEST_S: Final = 10.0
BYTES_PER_S: Final = 8 * 1024
ANSWER_S: Final = 30.0
IDLE_S: Final = 60
HEADERS_MAX: Final = 32 * 1024
DISCARDED_MAX: Final = 16 * 1024 * 1024
BUFFERED_MAX: Final = 128 * 1024 * 1024
CONNECTIONS_MAX: Final = 2_000
TICK_S: Final = 1.0  # waitress takes whole seconds
LATE_S: Final = 0.1
ACCEPTED_AT_ONCE: Final = 64
LOOK_S: Final = 0.000_005


class RequestTimeout(utilities.Error):  # type: ignore[misc]
    """A request that is not whole yet."""

    code = 408
    reason = "Request Timeout"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request on its way in.

    Attributes:
        began: when its first bytes came.
        refused: the code that the application is to refuse it with.
    """

    error: Any
    completed: bool
    expect_continue: bool
    connection_close: bool
    content_length: int
    header_bytes_received: int
    body_bytes_received: int
    headers: dict[str, str]
    path: str
    query: str
    command: str

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began = time.monotonic()
        self.refused = ""

    def received(self, data: bytes) -> int:
        """Take in bytes of a request and return how many; a body that is too large is not kept."""
        consumed = int(super().received(data))
        if isinstance(self.error, utilities.RequestEntityTooLarge):
            self._discard()
        return consumed

    def _discard(self) -> None:
        """Read a body on without keeping it, as far as that is worth it."""
        self.error = None
        self.refused = TOO_LARGE.code
        body: Any = self.body_rcv
        body.buf = _Nothing()
        read_on = (
            self.content_length <= DISCARDED_MAX
            and self.body_bytes_received <= DISCARDED_MAX
            and not self.expect_continue
        )
        self.expect_continue = False
        self.completed = not read_on or body.completed or body.error is not None
        if not read_on or body.error is not None:
            self.connection_close = True
            self.headers["CONNECTION"] = "close"

    @property
    def is_late(self) -> bool:
        """Return whether the client sends its request more slowly than it may."""
        came = self.header_bytes_received + self.body_bytes_received
        return time.monotonic() - self.began > REQUEST_S + came / BYTES_PER_S

    @property
    def share(self) -> Share:
        """Return which threads it is for."""
        if self.refused == OVERLOADED.code or self.error:
            return "refusal"
        return share_of(self.command, self.path, self.query)


class _Nothing:
    """Takes a body and keeps nothing of it."""

    def append(self, data: bytes) -> None:
        """Forget it."""

    def __len__(self) -> int:
        return 0

    def getfile(self) -> Any:
        """Return an empty body."""
        import io

        return io.BytesIO()

    def close(self) -> None:
        """Do nothing."""


class Task(WSGITask):  # type: ignore[misc]
    """One request and its response."""

    request: Parser
    response_headers: list[tuple[str, str]]

    def get_environment(self) -> WSGIEnvironment:
        """Return the WSGI environment; of a request that the server refuses, it says so."""
        environ: WSGIEnvironment = super().get_environment()
        environ["PATH_INFO"] = self.request.path  # `//v1` is another page than `/v1`
        if self.request.refused:
            environ[REFUSED_BY_SERVER] = self.request.refused
            environ["CONTENT_LENGTH"] = "0"
        return environ

    def build_response_header(self) -> bytes:
        """Return the status line and headers as bytes; a draining server closes the connection."""
        # waitress names the server itself, and would add itself as a proxy to another's name.
        self.response_headers = [one for one in self.response_headers if one[0] != "Server"]
        if self.request.connection_close or self.channel.server.is_draining:
            self.request.headers["CONNECTION"] = "close"
        built: bytes = super().build_response_header()
        return built


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection."""

    task_class = Task
    error_task_class = ErrorTask
    parser_class = Parser

    requests: list[Parser]
    request: Parser | None
    requests_lock: threading.Lock
    total_outbufs_len: int
    last_activity: float
    will_close: bool
    answering_since = 0.0

    @property
    def buffered(self) -> int:
        """Return how many bytes are kept for it."""
        requests = [*self.requests, *([self.request] if self.request else [])]
        return int(self.total_outbufs_len) + sum(one.body_bytes_received for one in requests)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is being received, handled or sent."""
        return not (self.requests or self.request or self.total_outbufs_len)

    def refuse_late(self) -> None:
        """Return 408 to a request that is not whole in time; close on who reads no response."""
        if self.total_outbufs_len and not self.requests:
            now = time.monotonic()
            self.answering_since = self.answering_since or now
            if now - self.answering_since > ANSWER_S + self.total_outbufs_len / BYTES_PER_S:
                self.will_close = True
            return
        self.answering_since = 0.0
        with self.requests_lock:
            late = self.request
            if late is None or not late.is_late:
                return
            late.error = RequestTimeout("send the whole request sooner")
            late.completed, late.expect_continue = True, False
            self.request = None
            self.requests.append(late)
            if len(self.requests) == 1:
                self.server.add_task(self)

    def overload(self) -> None:
        """Have the request that is first refused, since it has waited for too long."""
        if self.requests:
            self.requests[0].refused = OVERLOADED.code


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Serves one application at a socket that listens already.

    Args:
        tick: called once in a while by the thread that reads requests.
    """

    channel_class = Channel

    def __init__(
        self,
        application: WSGIApplication,
        listener: socket.socket,
        threads: int,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        adjustments = Adjustments(
            ident="keyfold",
            sockets=[listener],
            backlog=BACKLOG,
            connection_limit=_connections_max(),
            cleanup_interval=TICK_S,
            channel_timeout=IDLE_S,
            asyncore_use_poll=True,
            max_request_header_size=HEADERS_MAX,
            max_request_body_size=BODY_BYTES_MAX + 1,
            # Beyond these it would use temporary files.
            inbuf_overflow=2 * DISCARDED_MAX,
            outbuf_overflow=2 * BUFFERED_MAX,
            outbuf_high_watermark=BUFFERED_MAX,
            log_socket_errors=False,
            # Nobody may believe them; but that there are any tells that a proxy passed it on.
            clear_untrusted_proxy_headers=False,
        )
        # What it has to say names paths.
        utilities.logger.disabled = utilities.queue_logger.disabled = True
        self.is_draining = False
        self.threads = Threads(threads)
        self._tick = tick
        super().__init__(
            application,
            {},
            _sock=listener,
            dispatcher=self.threads,
            adj=adjustments,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            bind_socket=False,
        )

    def maintenance(self, now: float) -> None:
        """Look after connections; the loop calls this every `TICK_S`."""
        super().maintenance(now)
        channels = list(self.active_channels.values())
        for channel in channels:
            channel.refuse_late()
        over = sum(one.buffered for one in channels) - BUFFERED_MAX
        for channel in sorted(channels, key=lambda one: -one.buffered) if over > 0 else ():
            if over > 0 and not channel.requests:
                over -= channel.buffered
                channel.will_close = True
        self._tick()

    def readable(self) -> bool:
        """Return whether new connections are accepted; if there are too many, have some closed."""
        if len(self._map) >= self.adj.connection_limit:
            self._make_room()
        accepts = super().readable()
        return bool(accepts) and not self.is_draining

    def _make_room(self) -> None:
        """Have the idlest tenth of the connections closed, unless some are being closed."""
        channels = list(self.active_channels.values())
        if any(one.will_close for one in channels):
            return
        idle = [one for one in channels if one.is_idle or one.request]
        idle.sort(key=lambda one: one.last_activity)
        for channel in idle[: max(1, len(channels) // 10)]:
            channel.will_close = True

    def handle_accept(self) -> None:
        """Take all connections that wait, up to a number: each look at all of them costs."""
        before = -1
        for _ in range(ACCEPTED_AT_ONCE):
            if len(self._map) == before or not self.readable():
                return
            before = len(self._map)
            super().handle_accept()

    def handle_error(self) -> None:
        """Go on after a fault of one connection's."""

    def run(self) -> None:
        """Serve until `drain` was called and all is answered."""
        while not (self.is_draining and self._is_drained()):
            wasyncore.poll2(LATE_S, self._map)
            self.threads.refuse_late()
            # It looks at every connection in turn: with many, let there be something to see.
            time.sleep(len(self._map) * LOOK_S)
        self.threads.stop()

    def drain(self) -> None:
        """Take no more connections, and have `run` return once all is answered.

        A signal handler may call this.
        """
        self.is_draining = True
        self.accepting = False
        self.pull_trigger()

    def _is_drained(self) -> bool:
        for channel in list(self.active_channels.values()):
            if channel.is_idle:
                channel.handle_close()
        return not self.active_channels and self.threads.is_idle


def _connections_max() -> int:
    """Return how many connections may be open; files are for the database as well."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX * 2
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(CONNECTIONS_MAX, soft // 2)
