"""The API over a small ledger, with a token of each role and a clock that tests move.

    api = memory_api()
    key = api.issue()
    api.post("portal", "/v1/keys/redeem", {"code": key["code"], "account": "acme", "session": "s"})

Every answer is held to /openapi.json on its way: a status, header or field that is not documented
fails the test that met it; so does a problem that holds a code or a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from commands.arrange_reseller import grant_seats
from commands.gateways.stripe import StripeGateway
from commands.give_access import create_token
from commands.services import Services
from commands.sign_checkpoint import signing_of
from ledger.catalog import Catalog
from ledger.store import schema
from ledger.store.token_uses import NotedUses
from ledger.streams.token import ROLES
from projections.lists.reseller_names import first_spelling
from projections.lists.stores import open_tables
from projections.lists.stripe_holders import stripe_holders
from tests.worlds import NOON, SECRET, context, services
from web.app.brand import Logo
from web.app.context import EXTENSION
from web.app.csv_responses import CSV_TYPE
from web.app.oidc_settings import OidcSettings
from web.app.services import Wiring, oidc_of, wire
from web.app.settings import Settings, StripeSettings
from web.create_app import build_app_state, create_app

PROBLEM = "application/problem+json"
NO_STRIPE = StripeSettings()
RESELLER = "Northwind"
OTHER_RESELLER = "Southgate"
PUBLIC_URL = "http://127.0.0.1:8000"

POS = {"product": "cloud_pos", "seats": 2, "months": 12, "reseller": RESELLER}
INT = {**POS, "product": "integrations", "tier": "growth"}

_SECRET_SHAPES = re.compile(r"(POS|INT)(-[A-Z2-9]{4}){3}|kf_[a-z2-7]{8,}", re.IGNORECASE)


@dataclass
class TestClock:
    """A clock that stands still until it is moved."""

    __test__ = False

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class Got(NamedTuple):
    """An answer; `body` is its JSON, None when it has none."""

    status: int
    body: Any
    headers: Headers
    raw: bytes

    @property
    def code(self) -> Any:
        return self.body["code"]

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.body.get("errors", [])]

    @property
    def position(self) -> int:
        return int(self.headers["Keyfold-Position"])


@dataclass
class Api:
    """One application, asked through its WSGI interface."""

    app: Flask = field(repr=False)
    document: dict[str, Any] = field(repr=False)
    services: Services = field(repr=False)
    clock: TestClock
    tokens: dict[str, str] = field(repr=False)
    validator: Callable[[str], Any] = field(repr=False)
    numbers: Iterator[int] = field(default_factory=count, repr=False)

    @cached_property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    @property
    def head(self) -> int:
        return self.services.book.head()

    # Asking

    def ask(
        self,
        role: str | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Got:
        """Ask with the token of a role, or with none, and hold the answer to the document."""
        sent = dict(headers or {})
        if role is not None:
            sent["Authorization"] = f"Bearer {self.tokens[role]}"
        if body is not None:
            options |= {"data": json.dumps(body), "content_type": "application/json"}
        response = self.client.open(path, method=method, headers=sent, **options)
        got = _got(response.status_code, response.headers, response.data)
        response.close()
        self._hold_to_document(method, path, got)
        return got

    def get(self, role: str | None, path: str, **options: Any) -> Got:
        return self.ask(role, "GET", path, **options)

    def post(self, role: str | None, path: str, body: Any = None, **options: Any) -> Got:
        return self.ask(role, "POST", path, body, **options)

    def put(self, role: str | None, path: str, body: Any = None, **options: Any) -> Got:
        return self.ask(role, "PUT", path, body, **options)

    def delete(self, role: str | None, path: str, **options: Any) -> Got:
        return self.ask(role, "DELETE", path, **options)

    # Small worlds

    def issue(self, order: Mapping[str, Any] = POS, **changes: Any) -> dict[str, str]:
        """Issue keys as admin, and answer the first, with its batch."""
        got = self.post("admin", "/v1/keys", {**order, **changes})
        assert got.status == 201, got.body
        return {**got.body["keys"][0], "batch": got.body["batch"]}

    def allow(self, reseller: str = RESELLER, seats: int = 1_000_000) -> None:
        """Grant a reseller seats of everything."""
        for product, tier in (("cloud_pos", None), ("integrations", "growth")):
            grant_seats(
                self.services, context(self.clock.now), reseller, product, tier, seats, "Contract"
            )

    def redeem(self, account: str = "acme", order: Mapping[str, Any] = POS, **changes: Any) -> str:
        """Redeem a new key on an account, and answer the subscription's id."""
        got = self.try_code(self.issue(order, **changes)["code"], account=account)
        assert got.status == 201, got.body
        return str(got.body["subscription"]["subscription"])

    def try_code(self, code: str, *, what: str = "redeem", **others: Any) -> Got:
        """Try a code in a session of its own, unless one is named."""
        body = {"code": code, "account": "acme", "session": f"s-{next(self.numbers)}", **others}
        return self.post("portal", f"/v1/keys/{what}", body)

    def sit(
        self, holder: str, account: str = "acme", product: str = "cloud_pos", **body: Any
    ) -> Got:
        return self.put("portal", f"/v1/accounts/{account}/seats/{product}/{holder}", body)

    # Holding answers to the document

    def _hold_to_document(self, method: str, path: str, got: Got) -> None:
        assert got.headers["X-Request-Id"]
        if got.headers.get("Content-Type") == PROBLEM and method != "HEAD":
            self._hold_to(got.body, {"$ref": "#/components/schemas/ProblemDetails"})
            assert got.body["status"] == got.status
            assert got.body["request_id"] == got.headers["X-Request-Id"]
            assert not _SECRET_SHAPES.search(got.raw.decode() + str(got.headers)), got.raw
        operation = self._operation(method, path)
        if operation is None:
            return
        answers = operation["responses"]
        assert str(got.status) in answers, (method, path, got.status, got.body)
        answer = answers[str(got.status)]
        for name in answer.get("headers", {}):
            header = self.document["components"]["headers"][name]
            assert name in got.headers or not header.get("required"), (method, path, name)
        if content := answer.get("content"):
            media_type = got.headers["Content-Type"]
            assert media_type in content
            if media_type == CSV_TYPE:
                return
            self._hold_to(got.body, content[media_type]["schema"])
            if media_type == "application/json":
                self._hold_to_fields(got.body, content[media_type]["schema"])

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        routes = self.app.url_map.bind("localhost")
        try:
            rule, _ = routes.match(path.partition("?")[0], method, return_rule=True)
        except HTTPException:
            return None
        template = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        operation: dict[str, Any] | None = (
            self.document["paths"].get(template, {}).get(method.lower())
        )
        return operation

    def _hold_to(self, body: Any, schema: Mapping[str, Any]) -> None:
        self.validator(json.dumps(schema, sort_keys=True)).validate(body)

    def _hold_to_fields(self, body: Any, schema: Mapping[str, Any]) -> None:
        """Hold an answer to have no field that is not documented."""
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if isinstance(body, list):
            for one in body:
                self._hold_to_fields(one, schema["items"])
        elif isinstance(body, dict) and "properties" in schema:
            assert set(body) == set(schema["properties"])
            for name, inner in body.items():
                self._hold_to_fields(inner, schema["properties"][name])


def _validators_of(document: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return what makes a validator of a schema of the document's, once for each."""
    components = closed(document["components"])

    @cache
    def made(schema: str) -> Any:
        whole = {**json.loads(schema), "components": components}
        return jsonschema_rs.validator_for(whole, validate_formats=True)

    return made


def closed(document: Any) -> Any:
    """Return a document whose objects have no fields but those that it names.

    An answer may gain fields some day, and then the document names them.
    """
    if isinstance(document, list):
        return [closed(one) for one in document]
    if not isinstance(document, dict):
        return document
    made = {name: closed(inner) for name, inner in document.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def _got(status: int, headers: Headers, raw: bytes) -> Got:
    is_json = headers.get("Content-Type", "").endswith("json")
    return Got(status, json.loads(raw) if is_json and raw else None, headers, raw)


def memory_api(
    *,
    position_wait_s: float = 0.05,
    catalog: Catalog | None = None,
    test_clock: Path | None = None,
    stripe: StripeSettings = NO_STRIPE,
    public_url: str = PUBLIC_URL,
    logo: Logo | None = None,
    oidc: OidcSettings | None = None,
) -> Api:
    """Return the API over an empty ledger in memory."""
    gateway = StripeGateway(stripe.api_key, stripe.api_base) if stripe.api_key else None
    world, clock = services(catalog=catalog)._replace(stripe=gateway), TestClock()
    settings = Settings("memory:", SECRET, world.catalog, public_url, test_clock, 100)
    settings = settings._replace(stripe=stripe, logo=logo, oidc=oidc)
    signing = signing_of(SECRET, (), world.book.store.signed_checkpoints)
    tables = open_tables("memory:")
    world = world._replace(
        stripe_holders=partial(stripe_holders, world.book, tables),
        first_spelling=partial(first_spelling, world.book, tables),
    )
    wiring = Wiring(
        settings,
        clock,
        world,
        tables,
        signing,
        link_key=SECRET.derive("portal links"),
        cookie_key=SECRET.derive("page cookies"),
        token_uses=NotedUses(world.book.store.token_uses),
        oidc=oidc_of(settings),
    )
    return _api(wiring, clock, position_wait_s)


@contextmanager
def stored_api(database_url: str, stripe: StripeSettings = NO_STRIPE) -> Iterator[Api]:
    """Return the API over an empty ledger in a database, whose tables are made here."""
    clock = TestClock()
    schema.upgrade(database_url)
    settings = Settings(database_url, SECRET, services().catalog, PUBLIC_URL, None, 100)
    settings = settings._replace(stripe=stripe)
    wiring = wire(settings)._replace(clock=clock)
    yield _api(wiring, clock, position_wait_s=0.05)
    wiring.close()


def _api(wiring: Wiring, clock: TestClock, position_wait_s: float) -> Api:
    app, document, validator = app_over(wiring, position_wait_s)
    tokens = tokens_of_all_roles(wiring.services)
    return Api(app, document, wiring.services, clock, tokens, validator)


def api_over(wiring: Wiring, other: Api) -> Api:
    """Return the API over other connections to a ledger, whose tokens `other` knows."""
    app, document, validator = app_over(wiring, position_wait_s=0.05)
    return Api(app, document, wiring.services, other.clock, other.tokens, validator)


_apps: dict[bytes, tuple[Flask, dict[str, Any], Callable[[str], Any]]] = {}


def app_over(
    wiring: Wiring, position_wait_s: float
) -> tuple[Flask, dict[str, Any], Callable[[str], Any]]:
    """Return an application with parts of its own, its /openapi.json, and validators of that.

    To register all routes takes longer than most tests, and makes the same for each: so they are
    registered once, and each application is a copy with other parts.
    """
    settings = wiring.settings
    is_test = settings.test_clock is not None
    alike = msgspec.json.encode((wiring.services.catalog, settings.public_url, is_test))
    if alike not in _apps:
        made = create_app(wiring)
        document = json.loads(made.test_client().get("/openapi.json").data)
        _apps[alike] = made, document, _validators_of(document)
    made, document, validator = _apps[alike]
    app = copy(made)
    app.view_functions = dict(made.view_functions)
    app_state = build_app_state(wiring, position_wait_s, attention_age_s=0)
    app.extensions = {**made.extensions, EXTENSION: app_state}
    return app, document, validator


def tokens_of_all_roles(world: Services) -> dict[str, str]:
    """Give access to one of each role, and to another reseller (`other`)."""
    tokens: dict[str, str] = {
        role: create_token(
            world, context(), role, reseller=RESELLER if role == "reseller" else None
        ).secret
        for role in ROLES
    }
    other = create_token(world, context(), "reseller", reseller=OTHER_RESELLER)
    return {**tokens, "other": other.secret}
