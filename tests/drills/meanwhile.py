"""What a drill asks of a server while something is short or wrong, and what it looks at."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.cli.program import PATIENCE_S, Server
from tests.drills.places import Place

HAMPERED: Final = (sys.executable, "-m", "tests.drills.hampered")
ORDER: Final = {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "Northwind"}
SEAT: Final = "/v1/accounts/acme/seats/cloud_pos/till"
MIB: Final = 1024 * 1024


@dataclass
class Seen:
    """What one case saw.

    Attributes:
        figures: by name; one that could not be tried says why.
        faults: what did not hold.
    """

    figures: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def hold(self, holds: bool, otherwise: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults.append(otherwise)


class CannotTry(Exception):
    """Something cannot be tried on this machine, or by this user; the text says why."""


class Answer(NamedTuple):
    """An answer; the status is 0 where there was none."""

    status: int
    page: Any
    retry_after: str | None

    @property
    def detail(self) -> str:
        """Return what a problem says."""
        return str(self.page.get("detail", "")) if isinstance(self.page, dict) else ""

    def __str__(self) -> str:
        return f"{self.status or 'none'} {self.detail}".strip()


def asked(
    server: Server,
    token: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    key: str = "",
) -> Answer:
    """Ask once; a connection that breaks is no answer."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2 * PATIENCE_S)
    with contextlib.closing(connection):
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            page = response.read()
            read = json.loads(page) if page.startswith(b"{") else None
            return Answer(response.status, read, response.getheader("Retry-After"))
        except (OSError, http.client.HTTPException):
            return Answer(0, None, None)


def ordered(server: Server, token: str, key: str, count: int = 1) -> Answer:
    """Order keys, under an idempotency key."""
    return asked(server, token, "POST", "/v1/keys", {**ORDER, "count": count}, key)


def keys_of(answer: Answer) -> list[str]:
    """Return the ids of the keys that an order was answered with."""
    return [one["id"] for one in answer.page["keys"]]


def admin_of(at: Place) -> str:
    """Return the token of an administrator."""
    return str(at.program.json("tokens", "create", "--role", "admin")["token"])


def seat_a_till(server: Server, token: str) -> None:
    """Give an account a seat, and a till that has it."""
    code = ordered(server, token, "for-the-till").page["keys"][0]["code"]
    sent = {"account": "acme", "session": "s", "code": code}
    redeemed = asked(server, token, "POST", "/v1/keys/redeem", sent)
    seated = asked(server, token, "PUT", SEAT, {})
    assert (redeemed.status, seated.status) == (201, 201), (redeemed, seated)


class Watch:
    """What is answered to who asks the same again and again."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.slowest_s: Counter[str] = Counter()

    def other_than(self, wanted: int) -> list[str]:
        """Return what was answered otherwise."""
        return [
            f"{path} was answered {status or 'not at all'}, {count} times"
            for (path, status), count in self.answers.items()
            if status != wanted
        ]

    def __str__(self) -> str:
        total = sum(self.answers.values())
        return f"{total} answers, the slowest after {max(self.slowest_s.values()):.2f} s"


@contextlib.contextmanager
def watched(server: Server, token: str, *paths: str) -> Iterator[Watch]:
    """Ask for each of these paths ten times a second meanwhile."""
    watch = Watch()
    over = threading.Event()

    def watch_one(path: str) -> None:
        while True:
            began = time.monotonic()
            answer = asked(server, token, "GET", path)
            took = time.monotonic() - began
            watch.answers[path, answer.status] += 1
            watch.slowest_s[path] = max(watch.slowest_s[path], took)  # type: ignore[assignment]
            if over.wait(0.1):
                return

    threads = [threading.Thread(target=watch_one, args=(path,)) for path in paths]
    for one in threads:
        one.start()
    try:
        yield watch
    finally:
        over.set()
        for one in threads:
            one.join()


@contextlib.contextmanager
def mounted(folder: Path, size_mib: int) -> Iterator[None]:
    """Have a small file system of its own under a folder meanwhile.

    Raises:
        CannotTry: none can be mounted.
    """
    if os.geteuid() != 0:
        raise CannotTry("only root can mount a file system to fill")
    options = f"size={size_mib}m,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotTry(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room in a file system meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 64 * 1024, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        ballast.unlink()
