"""Messages, sent to one webhook: each a request that is answered within a bounded time.

A connection is made to an address that was looked at (`commands.gateways.webhook_addresses`); the
certificate is held to the host's name. It is kept for the next messages, if its receiver keeps it,
for as long as they come one after the other, and for a minute at most: then its address is looked
up and looked at again. Redirects are answers like others, no proxy of the environment is used, and
of the response's body no more is read than is polite.
"""

from __future__ import annotations

import http.client
import io
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from commands.gateways.webhook_addresses import Target

CONNECT_S: Final = 5.0
# For all of it, however slowly bytes come.
WHOLE_S: Final = 15.0
BODY_BYTES_MAX: Final = 16 * 1024
RETRY_AFTER_S_MAX: Final = 3_600
# Receivers close what they have not heard of for a while, and one that does so while a message is
# on its way has not taken it.
IDLE_S_MAX: Final = 1.0
AGE_S_MAX: Final = 60.0

_SECONDS = re.compile(r"[0-9]{1,6}")


class Response(NamedTuple):
    """What came of a request.

    Attributes:
        status: None when there was no response.
        problem: why the message was not taken, in words without anything that was received; None
            if it was.
        retry_after_s: how long its receiver asks to be left alone.
    """

    status: int | None
    problem: str | None
    retry_after_s: int = 0


class Client:
    """Sends messages to one webhook, one at a time.

    Args:
        whole_s: how long a message may take.
        tls: how servers are held to their certificates; None for as this machine does.
    """

    def __init__(self, whole_s: float = WHOLE_S, tls: ssl.SSLContext | None = None) -> None:
        self._whole_s = whole_s
        self._tls = tls or ssl.create_default_context()
        self._kept: _Connection | None = None

    def post(
        self,
        find: Callable[[], Target],
        headers: Mapping[str, str],
        body: bytes,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Response:
        """Send a message, and return what came of it.

        Args:
            find: returns where to, for a new connection. What it raises is raised.
            meanwhile: what is done while the receiver is at work. It raises nothing.
        """
        until = time.monotonic() + self._whole_s
        if self._kept is not None and not self._kept.can_be_used:
            self.close()
        connection, self._kept = self._kept or _Connection(find(), self._tls), None
        found = connection.post(headers, body, until, meanwhile)
        if connection.is_kept:
            self._kept = connection
        else:
            connection.close()
        return found

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class _Connection:
    """A connection to a webhook's receiver, made with the first message.

    Attributes:
        is_kept: whether it can take another message after the last.
    """

    def __init__(self, target: Target, tls: ssl.SSLContext) -> None:
        self._target = target
        self._tls = tls
        self._socket: _BoundedSocket | None = None
        self._made_at = self._used_at = time.monotonic()
        self.is_kept = False

    @property
    def can_be_used(self) -> bool:
        """Return whether it may be sent the next message."""
        now = time.monotonic()
        return (
            now < self._used_at + IDLE_S_MAX
            and now < self._made_at + AGE_S_MAX
            and self._socket is not None
            and self._socket.is_silent
        )

    def post(
        self,
        headers: Mapping[str, str],
        body: bytes,
        until: float,
        meanwhile: Callable[[], object],
    ) -> Response:
        """Send a message, and return what came of it."""
        self.is_kept = False
        try:
            connected = self._socket or self._connect(until)
            connected.until = until
            connected.sendall(_request(self._target, headers, body))
            sent_at = time.monotonic()
            meanwhile()
            until = connected.until = until + time.monotonic() - sent_at
            response = http.client.HTTPResponse(connected, method="POST")  # type: ignore[arg-type]
            response.begin()
            self._finish(response)
            return _read(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= until:
                return Response(None, "no response in time")
            return Response(None, _why(error))

    def _connect(self, until: float) -> _BoundedSocket:
        connected = self._socket = _BoundedSocket(_connect(self._target, until), until)
        if self._target.scheme == "https":
            connected.secure(self._tls, self._target.host)
        return connected

    def _finish(self, response: http.client.HTTPResponse) -> None:
        """Read what else was sent; the message was taken or not, whatever comes of that."""
        try:
            response.read(BODY_BYTES_MAX)
            self.is_kept = response.isclosed() and not response.will_close
        except (OSError, http.client.HTTPException):
            self.is_kept = False
        self._used_at = time.monotonic()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.end()


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request's bytes, to be sent at once.

    Nothing in it is foreign text: the address was held to visible ASCII, the headers are ours.
    """
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}\r\n\r\n",
    ]
    return "\r\n".join(lines).encode("ascii") + body


class _BoundedSocket:
    """A connected socket as `http.client` uses one, which raises TimeoutError after a moment."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self.until = until

    @property
    def is_silent(self) -> bool:
        """Return whether nothing has come since: neither the end, nor what nobody asked for."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def secure(self, tls: ssl.SSLContext, host: str) -> None:
        """Go on with TLS."""
        self._wait_at_most()
        self._socket = tls.wrap_socket(self._socket, server_hostname=host)

    def sendall(self, content: bytes) -> None:
        self._wait_at_most()
        self._socket.sendall(content)

    def receive(self, buffer: Any) -> int:
        """Put what comes into a buffer, and return how many bytes; none at the end."""
        self._wait_at_most()
        return self._socket.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what comes, as a file."""
        return io.BufferedReader(_Received(self))

    def end(self) -> None:
        self._socket.close()

    def _wait_at_most(self) -> None:
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)


class _Received(io.RawIOBase):
    """What comes from a socket, as a file; the socket stays open when it is closed."""

    def __init__(self, connected: _BoundedSocket) -> None:
        super().__init__()
        self._socket = connected

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Return as `receive` does."""
        return self._socket.receive(buffer)


def _connect(target: Target, until: float) -> socket.socket:
    failed: OSError = TimeoutError()
    for address in target.addresses:
        left_s = min(CONNECT_S, until - time.monotonic())
        if left_s <= 0:
            break
        try:
            connected = socket.create_connection((address, target.port), left_s)
        except OSError as error:
            failed = error
            continue
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    raise failed


def _read(response: http.client.HTTPResponse) -> Response:
    status = response.status
    asked = response.headers.get("Retry-After", "").strip()
    wait_s = min(int(asked), RETRY_AFTER_S_MAX) if _SECONDS.fullmatch(asked) else 0
    if http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
        return Response(status, None)
    if http.HTTPStatus.MULTIPLE_CHOICES <= status < http.HTTPStatus.BAD_REQUEST:
        return Response(status, f"status {status}: redirects are not followed", wait_s)
    return Response(status, f"status {status}", wait_s)


def _why(error: Exception) -> str:
    """Return why there was no response; what errors say may repeat what was received."""
    match error:
        case TimeoutError():
            return "no response in time"
        case ssl.SSLCertVerificationError():
            return "the certificate is not good for this host"
        case ssl.SSLError():
            return "no secure connection"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionError() | http.client.RemoteDisconnected():
            return "the connection was closed before a response"
        case OSError():
            return "no connection"
    return "the response is not HTTP"
