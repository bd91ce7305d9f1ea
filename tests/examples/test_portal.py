"""The portal of examples/portal, run as its README says, with a mailbox on this machine."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from aiosmtpd.controller import Controller

from clients.build import build
from tests.cli.program import PATIENCE_S, ROOT, Program, Server, wait_until
from tests.clients.conftest import install

PORTAL = ROOT / "examples" / "portal"
README = (PORTAL / "README.md").read_text()
SEND = ".venv/bin/python reminders.py"
EMAIL, PASSWORD = "ada@acme.example", "correct horse"


class Mailbox:
    """A receiver of mail."""

    def __init__(self) -> None:
        self.received: list[tuple[list[str], Message]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.received.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


@dataclass
class Portal:
    """The portal, and a browser that looks at it."""

    folder: Path
    environ: dict[str, str]
    url: str
    browser: requests.Session

    def command(self, line: str) -> list[str]:
        """Return a line of the README's about the portal, to be run with this Python."""
        program, *arguments = shlex.split(told(line))
        port = str(urlsplit(self.url).port)
        started = {".venv/bin/flask": ["-m", "flask"], ".venv/bin/python": []}[program]
        return [sys.executable, *started, *(port if a == "5000" else a for a in arguments)]

    def run(self, line: str, *more: str) -> None:
        command = [*self.command(line), *more]
        subprocess.run(command, cwd=self.folder, env=self.environ, check=True, timeout=PATIENCE_S)

    @contextmanager
    def served(self) -> Iterator[None]:
        command = self.command(".venv/bin/flask run")
        with (self.folder / "portal.log").open("w") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environ, stderr=log)
        try:
            wait_until(self.answers)
            yield
        finally:
            process.kill()
            process.wait(PATIENCE_S)

    def answers(self) -> bool:
        try:
            return self.get("/login").ok
        except requests.ConnectionError:
            return False

    def get(self, path: str) -> requests.Response:
        return self.browser.get(self.url + path, timeout=PATIENCE_S, allow_redirects=False)

    def post(self, path: str, of: str = "/login", **fields: str) -> requests.Response:
        """Send the form of a page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(of).text)
        fields = {"csrf_token": found[1] if found else "", **fields}
        return self.browser.post(self.url + path, fields, timeout=PATIENCE_S, allow_redirects=False)

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "portal.db")) as database:
            return database.execute(query).fetchall()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, port
    controller.stop()


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    clock = tmp_path / "clock"
    clock.write_text(datetime.now(UTC).isoformat())
    return clock


def move(clock: Path, days: float) -> None:
    at = datetime.fromisoformat(clock.read_text()) + timedelta(days=days)
    clock.write_text(at.isoformat())


@pytest.fixture
def keyfold(tmp_path: Path, clock: Path) -> Program:
    settings = {"KEYFOLD_WEBHOOK_HOSTS": "127.0.0.1", "KEYFOLD_TEST_CLOCK": str(clock)}
    program = Program(tmp_path, settings)
    program.done("db", "upgrade")
    return program


def told(start: str) -> str:
    """Return the README's line that begins so."""
    (line,) = re.findall(f"(?m)^{re.escape(start)}.*$", README)
    return str(line)


def a_portal(keyfold: Program, server: Server, url: str, smtp_port: int) -> Portal:
    def run(line: str) -> Any:
        return keyfold.json(*shlex.split(told(line).replace("http://127.0.0.1:5000", url))[1:])

    token, secret = run("keyfold tokens")["token"], run("keyfold webhooks")["secret"]
    exported = [word for line in re.findall("export (PORTAL_.*)", README) for word in line.split()]
    settings = {name: value for name, _, value in (word.partition("=") for word in exported)}
    settings |= {
        "PORTAL_URL": url,
        "PORTAL_SECRET_KEY": "0123456789abcdef",
        "PORTAL_KEYFOLD_URL": f"http://{server.address}",
        "PORTAL_KEYFOLD_TOKEN": token,
        "PORTAL_WEBHOOK_SECRET": secret,
        "PORTAL_SMTP_PORT": str(smtp_port),
    }
    folder = keyfold.folder / "portal"
    shutil.copytree(PORTAL, folder)
    build(json.loads(server.get("/openapi.json")[1]), folder / "client")
    client = install(folder / "client/python", folder / "installed")
    environ = keyfold.environ(**settings, PYTHONPATH=str(client))
    return Portal(folder, environ, url, requests.Session())


def redeem(keyfold: Program, server: Server) -> None:
    order = ("--product", "cloud_pos", "--seats", "2", "--months", "12", "--reseller", "Northwind")
    code = keyfold.json("keys", "issue", *order)["keys"][0]["code"]
    token = keyfold.json("tokens", "create", "--role", "portal")["token"]
    body = {"code": code, "account": "acme", "session": "s"}
    assert server.post("/v1/keys/redeem", body, token)[0] == 201


def test_a_portal_from_the_login_to_the_reminder(
    keyfold: Program, clock: Path, mailbox: tuple[Mailbox, int]
) -> None:
    box, smtp_port = mailbox
    url = f"http://127.0.0.1:{free_port()}"
    keyfold.settings["KEYFOLD_RETURN_URLS"] = url
    with keyfold.served() as server:
        redeem(keyfold, server)
        portal = a_portal(keyfold, server, url, smtp_port)
        portal.run(".venv/bin/flask add-user", "--password", PASSWORD)
        with portal.served():
            sign_in(portal)
            wait_until(lambda: "Cloud POS: 0 of 2 seats in use" in portal.get("/").text)
            keyfold.done("seats", "occupy", "acme", "cloud_pos", "till-1")
            wait_until(lambda: "Cloud POS: 1 of 2 seats in use" in portal.get("/").text)
            ask_who_may_work(portal)
            lead_to_the_pages(portal, server)
            refuse_what_is_forged(portal)

            move(clock, 340)
            wait_until(lambda: bool(portal.rows("SELECT 1 FROM reminders")))
            send_while_no_mail_is_taken(portal)
            portal.run(SEND)
            portal.run(SEND)
            ((to, mail),) = box.received
            assert (to, mail["From"], mail["Bcc"]) == ([EMAIL], "licences@portal.example", None)
            assert "2 Cloud POS seats of acme end in 30 days" in str(mail.get_payload())
            replay_all(keyfold, portal)
            portal.run(SEND)
            assert len(box.received) == 1

            move(clock, 20)  # 5 days to go: the warning of 7 days is due, and two want to send it
            wait_until(lambda: len(portal.rows("SELECT 1 FROM reminders")) == 2)
            command = portal.command(SEND)
            both = [
                subprocess.Popen(command, cwd=portal.folder, env=portal.environ) for _ in range(2)
            ]
            assert [one.wait(PATIENCE_S) for one in both] == [0, 0]
            assert len(box.received) == 2

            die_before_it_is_written_down(portal, box)


def let_ten_minutes_pass(portal: Portal) -> None:
    with closing(sqlite3.connect(portal.folder / "portal.db")) as database, database:
        database.execute("UPDATE reminders SET taken_until = datetime('now', '-1 second')")


def send_while_no_mail_is_taken(portal: Portal) -> None:
    environ = {**portal.environ, "PORTAL_SMTP_PORT": str(free_port())}
    command = portal.command(SEND)
    ran = subprocess.run(command, cwd=portal.folder, env=environ, check=False, stderr=PIPE)
    assert ran.returncode != 0
    assert portal.rows("SELECT sent_at FROM reminders") == [(None,)]
    let_ten_minutes_pass(portal)


def die_before_it_is_written_down(portal: Portal, box: Mailbox) -> None:
    """A reminder that nobody knows to be sent comes once more, as the same mail."""
    with closing(sqlite3.connect(portal.folder / "portal.db")) as database, database:
        database.execute("UPDATE reminders SET sent_at = NULL")
    portal.run(SEND)
    assert len(box.received) == 2, "it is another process's for ten minutes"
    let_ten_minutes_pass(portal)
    portal.run(SEND)
    sent = [str(mail["Message-ID"]) for _, mail in box.received]
    assert sorted(sent[:2]) == sorted(sent[2:])
    assert len(set(sent)) == 2


def test_it_is_short() -> None:
    lines = {file.name: lines_of_code(file) for file in PORTAL.glob("*.py")}
    assert lines["app.py"] <= 80
    assert sum(lines.values()) <= 100


def lines_of_code(file: Path) -> int:
    """Return how many lines a file has, without imports, comments, docstrings and empty ones."""
    source = file.read_text()
    passed_over: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                passed_over |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        n not in passed_over and bool(line.strip()) and not line.lstrip().startswith("#")
        for n, line in enumerate(source.splitlines(), 1)
    )


def sign_in(portal: Portal) -> None:
    for path in ("/", "/may-work/cloud_pos/till-1"):
        got = portal.get(path)
        assert (got.status_code, got.headers["Location"]) == (303, "/login")
    assert portal.post("/login", email=EMAIL, password="wrong").status_code == 401
    assert portal.post("/login", email="eve@evil.example", password=PASSWORD).status_code == 401
    right = {"email": EMAIL, "password": PASSWORD}
    for forged in ("", "x", "ä"):
        assert portal.post("/login", **right, csrf_token=forged).status_code == 400
    got = portal.post("/login", **right)
    assert (got.status_code, got.headers["Location"]) == (303, "/")
    assert "HttpOnly" in got.headers["Set-Cookie"]
    assert "SameSite=Lax" in got.headers["Set-Cookie"]
    assert "Your licences" in portal.get("/").text


def ask_who_may_work(portal: Portal) -> None:
    assert portal.get("/may-work/cloud_pos/till-1").json() == {"licensed": True, "reason": None}
    got = portal.get("/may-work/cloud_pos/till-2").json()
    assert got == {"licensed": False, "reason": "no_seat"}
    for path in ("/may-work/teapots/till-1", "/may-work/%2e%2e/billing", "/may-work/cloud_pos/a b"):
        assert portal.get(path).status_code == 404


def lead_to_the_pages(portal: Portal, server: Server) -> None:
    got = portal.post("/manage", of="/")
    assert got.status_code == 303
    link = urlsplit(got.headers["Location"])
    status, page = server.get(f"{link.path}?{link.query}")
    assert (link.path, status) == ("/portal/open", 200)
    assert "<form" in page
    assert portal.browser.post(portal.url + "/manage", timeout=PATIENCE_S).status_code == 400


def refuse_what_is_forged(portal: Portal) -> None:
    before = portal.rows("SELECT * FROM accounts")
    signed = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    for headers in ({}, signed):
        for body in (b'{"account": "acme"}', b"\xff"):
            got = requests.post(
                portal.url + "/hooks/keyfold", body, headers=headers, timeout=PATIENCE_S
            )
            assert got.status_code == 401
    assert portal.rows("SELECT * FROM accounts") == before


def replay_all(keyfold: Program, portal: Portal) -> None:
    """Have everything sent once more, and see that it changes nothing."""
    (webhook,) = keyfold.json("webhooks", "list")["items"]
    kept = portal.rows("SELECT * FROM accounts"), portal.rows("SELECT * FROM reminders")

    def taken() -> int:
        found = keyfold.json("webhooks", "deliveries", webhook["id"])["items"]
        return sum(one["status"] == 204 for one in found)

    once = taken()
    keyfold.done("webhooks", "replay", webhook["id"], "--after", "0")
    wait_until(lambda: taken() == 2 * once)
    keyfold.done("webhooks", "test", webhook["id"])
    wait_until(lambda: taken() == 2 * once + 1)
    assert kept == (portal.rows("SELECT * FROM accounts"), portal.rows("SELECT * FROM reminders"))
