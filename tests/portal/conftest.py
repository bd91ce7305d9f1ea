"""What the tests of the pages stand on: a page in the one browser, and one served program."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.cli.program import Program
from tests.portal.selling import Seller, selling
from tests.portal.vendor import Vendor

NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def other_site() -> Iterator[str]:
    """Return the address of another site, whose page is whatever its path says."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = base64.urlsafe_b64decode(self.path.removeprefix("/").encode() or b"")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory, other_site: str) -> Iterator[Vendor]:
    """Return a program served on SQLite, shared by the tests of this process.

    The other site is where its customers may be sent back to.
    """
    settings = {"KEYFOLD_RETURN_URLS": other_site}
    program = Program(tmp_path_factory.mktemp("vendor"), settings)
    program.done("db", "upgrade")
    with program.served() as server:
        yield Vendor(program, server)


@pytest.fixture(scope="session")
def seller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seller]:
    """Return a program that sells by Stripe, shared by the tests of this process."""
    with selling(tmp_path_factory.mktemp("seller")) as found:
        yield found


@pytest.fixture(scope="session")
def team_seller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seller]:
    """Return a program that sells a product whose seats are billed."""
    with selling(tmp_path_factory.mktemp("team"), billed=True) as found:
        yield found


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Return what opens a page in a browser of its own, with no cookies yet.

    What the browser complains of (a script that fails, a policy that is broken) fails the test.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(*, complaints_expected: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(8_000)
        contexts.append(context)
        page = context.new_page()
        if complaints_expected:
            return page
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
