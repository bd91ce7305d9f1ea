"""One message, sent: bounded in time and size, to the address that was looked at."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from commands.gateways.webhook_addresses import Target
from tests.webhooks.receiver import Receiver
from web.server.webhook_client import IDLE_S_MAX, WHOLE_S, Client, Response

IN_TIME = Response(None, "no response in time")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def serving(serve: Callable[[socket.socket], object]) -> Iterator[Target]:
    """Yield where connections are handed to a function, each in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError, ssl.SSLError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        port: int = listener.getsockname()[1]
        yield Target("http", "hooks.example", port, "/hook", ("127.0.0.1",))
        listener.shutdown(socket.SHUT_RDWR)


def post(
    target: Target, headers: Mapping[str, str] | None = None, whole_s: float = WHOLE_S
) -> Response:
    """Send one message, on a connection of its own."""
    with contextlib.closing(Client(whole_s)) as client:
        return client.post(lambda: target, headers or {}, b"{}")


def read(connection: socket.socket) -> None:
    """Read a request, whose body is `{}`."""
    got = b""
    while not got.endswith(b"{}"):
        got += connection.recv(65536) or b"{}"


def drip(connection: socket.socket) -> None:
    read(connection)
    for byte in OK:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.2)


def drip_without_end(connection: socket.socket) -> None:
    read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")
        threading.Event().wait(0.05)


def say_nothing(connection: socket.socket) -> None:
    read(connection)
    threading.Event().wait(5)


def test_the_whole_of_it_is_bounded_however_slowly_bytes_come() -> None:
    for serve in (say_nothing, drip, drip_without_end):
        with serving(serve) as target:
            found = post(target, whole_s=0.5)
            assert found.status is None
            assert found.problem in {IN_TIME.problem, "the response is not HTTP"}, serve


def test_a_body_without_end_is_not_read() -> None:
    def pour(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with serving(pour) as target:
        assert post(target) == Response(200, None)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "the connection was closed before a response"),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.1 20", "the response is not HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", "the response is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000, "the response is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000, "the response is not HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
         "status 302: redirects are not followed"),
        (b"HTTP/1.1 500 Oh\r\n\r\n", "status 500"),
    ],
)  # fmt: skip
def test_what_is_no_good_response_is_a_problem(answer: bytes, problem: str | None) -> None:
    def respond(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(answer)

    with serving(respond) as target:
        assert post(target).problem == problem


def test_a_receiver_may_ask_to_be_left_alone() -> None:
    def respond(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n\r\n")

    with serving(respond) as target:
        assert post(target) == Response(429, "status 429", 120)


def test_no_name_is_looked_up_and_no_proxy_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        assert host == "127.0.0.1"
        return real(host, *_, **__)  # type: ignore[arg-type, return-value]

    real = socket.getaddrinfo
    with Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        target = Target("http", "hooks.example", receiver.port, "/a?b=c", ("127.0.0.1",))
        assert post(target, {"X-One": "1"}) == Response(200, None)
        (received,) = receiver.received
        assert received.headers["host"] == f"hooks.example:{receiver.port}"
        assert (received.headers["x-one"], received.body) == ("1", b"{}")


def test_the_next_address_is_tried_when_one_cannot_be_reached() -> None:
    with Receiver() as receiver:
        target = Target("http", "h.example", receiver.port, "/", ("127.0.0.2", "127.0.0.1"))
        assert post(target).status == 200
    nowhere = Target("http", "h.example", receiver.port, "/", ("127.0.0.1",))
    assert post(nowhere).problem == "the connection was refused"


def test_a_connection_is_kept_while_messages_follow_and_its_receiver_keeps_it() -> None:
    def keep(connection: socket.socket) -> None:
        connections.append(connection)
        for _ in range(2):
            read(connection)
            connection.sendall(OK)
        read(connection)
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    connections: list[socket.socket] = []
    with serving(keep) as target, contextlib.closing(Client()) as client:
        for made in (1, 1, 1, 2, 2):
            assert client.post(lambda: target, {}, b"{}").status == 200
            assert len(connections) == made
        threading.Event().wait(IDLE_S_MAX)
        assert client.post(lambda: target, {}, b"{}").status == 200
        assert len(connections) == 3


@pytest.mark.parametrize(
    "unasked", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 408 Slow"]
)
def test_what_was_said_or_closed_unasked_answers_no_later_message(unasked: bytes) -> None:
    def respond(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(OK)
        asked.wait(5)
        connection.sendall(unasked)
        said.set()

    asked, said = threading.Event(), threading.Event()
    with serving(respond) as target, contextlib.closing(Client()) as client:
        assert client.post(lambda: target, {}, b"{}").status == 200
        asked.set()
        assert said.wait(5)
        threading.Event().wait(0.1)
        found = client.post(lambda: target._replace(path="/new"), {}, b"{}")
        assert found == Response(200, None)


def test_a_body_that_does_not_end_is_not_waited_for_by_the_next_message() -> None:
    def respond(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 20_000)
        threading.Event().wait(2)

    with serving(respond) as target, contextlib.closing(Client()) as client:
        for _ in range(2):
            assert client.post(lambda: target, {}, b"{}") == Response(200, None)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Return a file with a certificate, and its key, of `hooks.example`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("hooks.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


def test_a_certificate_is_held_to_the_host(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)

    def respond(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            read(secure)
            secure.sendall(OK)

    with serving(respond) as target:
        bad = "the certificate is not good for this host"
        assert post(target._replace(scheme="https")).problem == bad
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert post(target._replace(scheme="https")).status == 200
        other = target._replace(scheme="https", host="others.example")
        assert post(other).problem == bad
    with serving(say_nothing) as target:
        silent = target._replace(scheme="https")
        assert post(silent, whole_s=0.5) == IN_TIME
