"""nginx in front of Keyfold, with deploy/nginx/keyfold.conf as it is but for ports and files."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from tests.portal.vendor import Vendor
from tests.stripe.payloads import WEBHOOK_SECRET, event, item, subscription
from tests.stripe_server.delivery import body_of, signed
from tests.worlds import NOON
from web.app.request_parsing import BODY_BYTES_MAX

CONFIGURATION = Path(__file__).parents[1] / "deploy/nginx/keyfold.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
HOST = "keys.example"
THREADS = 4
MAIN = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/keyfold.conf;
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not here")


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: str


class Front(NamedTuple):
    """nginx, and the Keyfold behind it."""

    vendor: Vendor
    folder: Path
    tls_port: int
    port: int

    def connect(self, *, tls: bool = True) -> socket.socket:
        port = self.tls_port if tls else self.port
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if not tls:
            return plain
        context = ssl.create_default_context(cafile=str(self.folder / "keys.example.pem"))
        return context.wrap_socket(plain, server_hostname=HOST)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        tls: bool = True,
    ) -> Got:
        with closing(http.client.HTTPConnection(HOST, timeout=PATIENCE_S)) as connection:
            connection.sock = self.connect(tls=tls)
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Got(response.status, response.headers, response.read().decode())

    def call(self, method: str, path: str, body: object = None, role: str = "admin") -> Got:
        """Ask the API with a token."""
        self.vendor.ask("GET", "/readyz", role=role)  # which makes one
        headers = {
            "Authorization": f"Bearer {self.vendor.tokens[role]}",
            "Content-Type": "application/json",
        }
        return self.ask(method, path, json.dumps(body or {}).encode(), headers)


def write_certificate(folder: Path) -> None:
    """Write a key, and a certificate for the host that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "keys.example.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "keys.example.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def write_configuration(folder: Path, server: Server, tls_port: int, port: int) -> None:
    text = CONFIGURATION.read_text()
    for there, here in (
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{server.port};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls_port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("/etc/ssl/keys.example.pem", f"{folder}/keys.example.pem"),
        ("/etc/ssl/keys.example.key", f"{folder}/keys.example.key"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert text.count(there) == 1, there
        text = text.replace(there, here)
    (folder / "keyfold.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    program = Program(
        tmp_path_factory.mktemp("behind"),
        {"KEYFOLD_PUBLIC_URL": f"https://{HOST}", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET},
    )
    program.done("db", "upgrade")
    write_certificate(folder)
    with program.served("--threads", str(THREADS)) as server:
        tls_port, port = free_ports(2)
        write_configuration(folder, server, tls_port, port)
        command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
        with (folder / "said").open("w") as said:
            nginx = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_until(lambda: nginx.poll() is not None or _takes(port))
            assert nginx.poll() is None, (folder / "said").read_text()
            yield Front(Vendor(program, server), folder, tls_port, port)
        finally:
            nginx.terminate()
            nginx.wait(PATIENCE_S)


def _takes(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_page_comes_with_the_headers_that_keep_it_safe(front: Front) -> None:
    page = front.ask("GET", "/console/sign-in")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers.get_all("Server") == ["nginx"]  # without a version
    moved = front.ask("GET", "/console")
    assert (moved.status, moved.headers["Location"][:1]) in ((302, "/"), (303, "/"), (308, "/"))


def test_a_customer_comes_in_by_a_link_and_activates_a_key(front: Front) -> None:
    account = front.vendor.account()
    code = front.vendor.issue()
    made = front.call("POST", f"/v1/accounts/{account}/portal-session", {}, "portal")
    assert made.status == 201, made.body
    url = urlsplit(json.loads(made.body)["url"])
    assert (url.scheme, url.netloc) == ("https", HOST)
    landing = front.ask("GET", f"{url.path}?{url.query}")
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', landing.body))
    cookies = {one.partition("=")[0]: one for one in landing.headers.get_all("Set-Cookie") or ()}
    entered = front.ask(
        "POST",
        "/portal/open",
        urlencode(fields).encode(),
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(one.partition(";")[0] for one in cookies.values()),
            "Origin": f"https://{HOST}",
        },
    )
    assert (entered.status, entered.headers["Location"]) == (303, "/portal/subscriptions")
    session = [one for one in entered.headers.get_all("Set-Cookie") or () if "Secure" in one]
    assert session
    cookie = "; ".join(one.partition(";")[0] for one in session)
    page = front.ask("GET", "/portal/subscriptions", headers={"Cookie": cookie})
    assert page.status == 200
    told = {"account": account, "session": "s", "code": code}
    assert front.call("POST", "/v1/keys/redeem", told, "portal").status == 201
    page = front.ask("GET", "/portal/subscriptions", headers={"Cookie": cookie})
    assert "POS" in page.body
    # A link lets in whoever has it, and a code is worth money: neither is in a file of nginx's.
    written = [one for one in front.folder.rglob("*") if one.is_file()]
    for secret in (url.query.partition("=")[2][:40], code, account):
        assert [one for one in written if secret.encode() in one.read_bytes()] == []


def test_what_stripe_delivers_comes_as_it_was_signed(front: Front) -> None:
    sold = subscription("sub_1", items=[item("cloud_pos_month", 3)])
    body = body_of(event("customer.subscription.updated", sold, at=NOON))
    headers = signed(body, WEBHOOK_SECRET, int(time.time()))
    taken = front.ask("POST", "/webhooks/stripe", body.encode(), headers)
    assert taken.status == 200, taken.body
    altered = front.ask("POST", "/webhooks/stripe", body.encode() + b" ", headers)
    assert (altered.status, json.loads(altered.body)["code"]) == (400, "webhook_refused")


def test_nothing_of_worth_is_sent_in_the_clear(front: Front) -> None:
    moved = front.ask("GET", "/portal/?x=1", tls=False)
    assert (moved.status, moved.headers["Location"]) == (301, f"https://{HOST}/portal/?x=1")
    for path in ("/v1/keys", "/webhooks/stripe"):
        assert front.ask("POST", path, b"{}", tls=False).status == 403


def test_figures_are_for_the_machine_itself(front: Front) -> None:
    assert front.ask("GET", "/metrics").status == 404
    assert front.vendor.server.get("/metrics")[0] == 200


def test_a_body_may_be_as_large_as_keyfold_takes(front: Front) -> None:
    def sent(length: int) -> Got:
        empty = json.dumps({"note": ""})
        return front.ask(
            "POST", "/v1/keys", json.dumps({"note": "x" * (length - len(empty))}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip

    assert json.loads(sent(BODY_BYTES_MAX).body)["code"] == "unauthenticated"
    assert sent(BODY_BYTES_MAX + 1).status == 413


def test_those_who_send_slowly_wait_at_nginx(front: Front) -> None:
    head = (
        f"POST /webhooks/stripe HTTP/1.1\r\nHost: {HOST}\r\nStripe-Signature: x\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    before = _connections_to(front.vendor.server.port)
    slow = [front.connect() for _ in range(3 * THREADS)]
    try:
        for one in slow:
            one.sendall(head.encode())
        assert front.ask("GET", "/readyz").status == 200
        assert _connections_to(front.vendor.server.port) <= before + 1
    finally:
        for one in slow:
            one.close()


def _connections_to(port: int) -> int:
    """Return how many connections to a port of this machine are open."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split()[1:4] for line in lines]
    return sum(there == f"0100007F:{port:04X}" and state == "01" for _, there, state in ends)
