"""One message, sent to a webhook: one connection, one request, within a bounded time.

The connection is made to an address that was looked at (`commands.gateways.webhook_addresses`); the
certificate is held to the host's name. Redirects are answers like others, no proxy of the
environment is used, and of the response's body no more is read than is polite.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from commands.gateways.webhook_addresses import Target

CONNECT_S: Final = 5.0
# For all of it, however slowly bytes come.
WHOLE_S: Final = 15.0
BODY_BYTES_MAX: Final = 16 * 1024
RETRY_AFTER_S_MAX: Final = 3_600

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
    """Sends messages; threads may share one."""

    def __init__(self, whole_s: float = WHOLE_S) -> None:
        self._whole_s = whole_s
        self._tls = ssl.create_default_context()

    def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Response:
        """Send a message, and return what came of it."""
        until = time.monotonic() + self._whole_s
        try:
            with self._connected(target, until) as connection:
                connection.putrequest(
                    "POST", target.path, skip_host=True, skip_accept_encoding=True
                )
                connection.putheader("Host", target.authority)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.putheader("Content-Length", str(len(body)))
                connection.putheader("Connection", "close")
                connection.endheaders(body)
                response = connection.getresponse()
                if time.monotonic() >= until:
                    # What was cut off looks like its end.
                    return Response(None, "no response in time")
                with contextlib.suppress(OSError, http.client.HTTPException):
                    response.read(BODY_BYTES_MAX)
                return _read(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= until:
                return Response(None, "no response in time")
            return Response(None, _why(error))

    @contextlib.contextmanager
    def _connected(self, target: Target, until: float) -> Iterator[http.client.HTTPConnection]:
        raw = _connect(target, until)
        # Another handle of the same connection, since TLS takes the first one over.
        handle = socket.socket(fileno=os.dup(raw.fileno()))
        watch = threading.Timer(max(0.0, until - time.monotonic()), _shut_down, (handle,))
        watch.daemon = True
        watch.start()
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.auto_open = 0
        connection.sock = raw
        try:
            if target.scheme == "https":
                connection.sock = self._tls.wrap_socket(raw, server_hostname=target.host)
            yield connection
        finally:
            watch.cancel()
            connection.close()
            raw.close()
            handle.close()


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
        connected.settimeout(max(0.1, until - time.monotonic()))
        return connected
    raise failed


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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
