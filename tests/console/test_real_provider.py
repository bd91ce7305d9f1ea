"""Signing in at a provider that somebody else wrote, and that is certified: panva's oidc-provider.

What a provider may get wrong, or be made to, is in test_provider_sign_in.py.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import expect

from tests.cli.program import Program, Server
from tests.portal.conftest import NewPage
from tests.portal.test_accessibility import hold_to_axe

SOURCE = Path(__file__).with_name("oidc_provider")
PEOPLE = {
    "ada": {"keyfold_role": "admin", "realm_access": {"roles": ["offline", "licensing-admins"]}},
    "bob": {"realm_access": {"roles": ["offline"]}},
}

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no Node.js here"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the provider is installed."""
    folder = tmp_path_factory.mktemp("provider") / "oidc_provider"
    shutil.copytree(SOURCE, folder)
    installed = subprocess.run(
        ["npm", "--silent", "ci"], cwd=folder, capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"the provider cannot be had here: npm ci exited with {installed.returncode}")
    return folder


class Office(NamedTuple):
    """A provider, and Keyfold beside it, on another site."""

    program: Program
    server: Server
    issuer: str
    url: str


@contextmanager
def office(folder: Path, tmp_path: Path, in_token: bool, **settings: str) -> Iterator[Office]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    asked = {
        "redirect_uri": f"{url}/console/sign-in/callback",
        "people": PEOPLE,
        "in_token": in_token,
    }
    command = ["node", "provider.mjs", json.dumps(asked)]
    provider = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert provider.stdout
        issuer = provider.stdout.readline().strip()
        assert issuer.startswith("http://localhost:")
        oidc = {
            "KEYFOLD_OIDC_ISSUER": issuer,
            "KEYFOLD_OIDC_CLIENT_ID": "keyfold",
            "KEYFOLD_OIDC_CLIENT_SECRET": "a-secret-of-the-tests",
            **settings,
        }
        program = Program(tmp_path, oidc)
        program.done("db", "upgrade")
        with program.served("--port", str(port)) as server:
            yield Office(program, server, issuer, url)
    finally:
        provider.kill()
        provider.communicate(timeout=30)


def walk(begun: str, person: str) -> tuple[requests.Session, requests.Response]:
    """Sign in as a browser does that follows every redirection; return it and the last page."""
    browser = requests.Session()
    page = browser.get(begun, timeout=30)
    for form in ({"prompt": "login", "login": person, "password": "any"}, {"prompt": "consent"}):
        found = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert found, page.text
        page = browser.post(urljoin(page.url, unescape(found[1])), data=form, timeout=30)
    return browser, page


def test_a_person_is_let_in_by_what_user_info_says(folder: Path, tmp_path: Path) -> None:
    roles = {
        "KEYFOLD_OIDC_ROLE_CLAIM": "realm_access.roles",
        "KEYFOLD_OIDC_ROLES": "admin=licensing-admins",
    }
    with office(folder, tmp_path, in_token=False, **roles) as found:
        browser, page = walk(f"{found.url}/console/sign-in/provider", "ada")
        assert page.status_code == 200, page.text
        assert browser.get(f"{found.url}/console/people", timeout=30).status_code == 200
        (person,) = found.program.json("people", "list")["items"]
        assert person["role"] == "admin"
        known = found.program.run("people", "id", found.issuer, "ada")
        assert known.out.strip() == person["id"]
        _, page = walk(f"{found.url}/console/sign-in/provider", "bob")
        assert (page.status_code, "is no role here" in page.text) == (403, True)
        found.program.done("people", "lock-out", person["id"], "--reason", "Has left")
        assert browser.get(f"{found.url}/console/people", timeout=30).status_code == 403
        _, page = walk(f"{found.url}/console/sign-in/provider", "ada")
        assert (page.status_code, "You were locked out" in page.text) == (403, True)
        # The answer that was taken once, taken again.
        replayed = browser.get(page.url, timeout=30)
        assert (replayed.status_code, "not begun here" in replayed.text) == (403, True)
        checks: Any = json.loads(found.program.run("doctor", "--json").out)["items"]
        (check,) = [one for one in checks if one["name"] == "sign-in"]
        assert check["status"] == "ok", check
        log = (tmp_path / "stderr.log").read_text()
        for told in ("Ada", "ada", "code=", "state="):
            assert told not in log


def test_the_browser_goes_on_signed_in_where_it_was_asked_for(
    folder: Path, tmp_path: Path, new_page: NewPage
) -> None:
    """The console's cookie is Strict, and the provider another site: a redirect would lose it."""
    with office(folder, tmp_path, in_token=True) as found:
        page = new_page()
        page.goto(f"{found.url}/console/timeline?ref=acme")
        hold_to_axe(page)
        page.get_by_role("link", name="Sign in with localhost").click()
        page.wait_for_url(f"{found.issuer}/**")
        page.locator("input[name=login]").fill("ada")
        page.locator("input[name=password]").fill("any")
        page.locator("button[type=submit]").click()
        page.wait_for_url(f"{found.issuer}/**")
        page.locator("button[type=submit]").filter(has_text="Continue").click()
        page.wait_for_url(f"{found.url}/console/timeline?ref=acme")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.get_by_role("link", name="People").click()
        expect(page.locator("main table")).to_contain_text("kfu_")
        hold_to_axe(page)
        page.locator("summary", has_text="Lock out").click()
        page.get_by_label("Reason to lock out").fill("I leave")
        page.get_by_role("button", name="Lock yourself out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
