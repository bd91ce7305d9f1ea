"""`/`: whoever has only the address finds everything from there."""

from __future__ import annotations

import re

import pytest

from tests.web.api import Api

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_it_leads_to_the_pages_the_console_the_api_and_its_documentation(shared: Api) -> None:
    got = shared.get(None, "/", headers={"Accept": BROWSER})
    assert got.status == 200
    assert got.headers["Content-Type"].startswith("text/html")
    links = re.findall(r'<a href="([^"]+)"', got.raw.decode())
    assert {"/portal/", "/console/", "/docs", "/openapi.json", "/healthz"} <= set(links)
    for link in links:
        # The pages ask for a link or a sign-in, and say so.
        assert shared.get(None, link).status in (200, 403), link


def test_it_is_json_for_who_asks_for_json(shared: Api) -> None:
    got = shared.get(None, "/", headers={"Accept": "application/json"})
    assert got.body["documentation"] == "/docs"
    for name in ("documentation", "openapi", "console", "portal", "health", "readiness"):
        assert shared.get(None, got.body[name]).status in (200, 403), name


@pytest.mark.parametrize("accept", ["*/*", "", "image/png"])
def test_it_is_a_page_for_everybody_else(shared: Api, accept: str) -> None:
    got = shared.get(None, "/", headers={"Accept": accept})
    assert b"<h1>" in got.raw
