"""Somebody at the console, over a small ledger, asked through its WSGI interface.

    desk = signed_in(api, "support")
    desk.get("accounts/acme").texts("h1")
    desk.send("accounts/acme/release", product="cloud_pos", holder="till-1")

What a browser makes of the pages is in test_in_a_browser.py.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from tests.web.api import Api

SECRETS = re.compile(r"(POS|INT)(-[A-Z2-9]{4}){3}|kf_[a-z2-7]{8,}", re.IGNORECASE)
_TOKEN = re.compile(r'name="form_token" value="(\w+)"')
_TAGS = re.compile(r"<[^>]+>")


class Route(NamedTuple):
    """A page of the console, and whom it says it is for; None when everybody sees it."""

    method: str
    rule: str
    roles: frozenset[str] | None


def routes(api: Api) -> list[Route]:
    """Return every page of the console."""
    found = []
    for rule in api.app.url_map.iter_rules():
        if rule.endpoint.startswith("console."):
            view: Any = api.app.view_functions[rule.endpoint]
            roles = None if view.is_public else view.roles
            (method,) = (rule.methods or set()) & {"GET", "POST"}
            found.append(Route(method, rule.rule.removeprefix("/console"), roles))
    return found


class Seen(NamedTuple):
    """A page."""

    status: int
    page: str
    headers: Headers

    @property
    def text(self) -> str:
        """The page as it reads, on one line."""
        return " ".join(html.unescape(_TAGS.sub(" ", self.page)).split())

    @property
    def title(self) -> str:
        (found,) = re.findall(r"<h1>(.*?)</h1>", self.page, re.DOTALL)
        return " ".join(html.unescape(_TAGS.sub("", found)).split())

    @property
    def said(self) -> str:
        """What came of the form that was sent."""
        found = re.search(r'<div class="said.*?</div>', self.page, re.DOTALL)
        return " ".join(html.unescape(_TAGS.sub(" ", found[0])).split()) if found else ""

    @property
    def links(self) -> list[str]:
        return [html.unescape(one) for one in re.findall(r'(?:href|action)="([^"]*)"', self.page)]

    def field(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        assert found, name
        return html.unescape(found[1])


@dataclass
class Desk:
    """A browser that is signed in, or not yet."""

    api: Api
    client: FlaskClient

    def get(self, path: str) -> Seen:
        return _seen(self.client.get(f"/console/{path}"))

    def send(self, path: str, **fields: object) -> Seen:
        """Send a form of this session, and follow where it leads."""
        token = fields.pop("form_token", None) or self.form_token()
        sent = {"form_token": token, **fields}
        answer = self.client.post(f"/console/{path}", data=sent)
        if answer.status_code == 303:
            return _seen(self.client.get(answer.headers["Location"]))
        return _seen(answer)

    def form_token(self) -> str:
        found = _TOKEN.search(self.get("").page)
        assert found
        return found[1]


def stranger(api: Api) -> Desk:
    """Return a browser in which nobody is signed in."""
    return Desk(api, api.app.test_client())


def signed_in(api: Api, role: str) -> Desk:
    """Sign in with the token of a role, `other` being another reseller's."""
    desk = stranger(api)
    found = desk.get("sign-in")
    fields = {"form_token": found.field("form_token"), "token": api.tokens[role]}
    answer = desk.client.post("/console/sign-in", data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    return desk


def _seen(answer: TestResponse) -> Seen:
    return Seen(answer.status_code, answer.text, answer.headers)
