"""/openapi.json: the API as it is enforced, with the products of this ledger's catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import flask_smorest  # type: ignore[import-untyped]
from flask import Flask

from ledger.catalog import Catalog, Product
from web.api.schemas.requests import OF_CATALOG
from web.api.schemas.responses import Problem
from web.app.errors import CONTENT_TYPE, KINDS, Kind
from web.app.version import version

DESCRIPTION: Final = """\
Keyfold is a ledger of licences: activation keys are issued and redeemed, seats are taken and given
back, and every answer is folded from the events that were recorded.

**Tokens.** Send `Authorization: Bearer kf_…`. Each operation names the roles that it is for
(`x-roles`). A token of role `reseller` is bound to one reseller: other resellers' keys and batches
do not exist for it.

**Times** are RFC 3339, and must have a zone; answers are in UTC with six digits of a second. Reads
of an account take `as_of` (what was true then) and `known_at` (using only what had been recorded by
then), and answer with both and with the ledger's `position`.

**Lists** answer `items` and `next`; send `next` as `cursor`, with the same other parameters, for
the next page.

**Writes** answer with `Keyfold-Position`; a read with that `min_position` never answers from before
it. Those on an account take `If-Match` with the `ETag` of a read: it is the version of the account,
not of the answer, which also changes with time. Issuing, redeeming and buying take
`Idempotency-Key`.

**Problems** are RFC 9457, with a stable `code`; unknown fields and parameters are refused. An
activation code is never sent in a URL.
"""

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "The request's own id, as it was sent or made; stored with the events.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Keyfold-Position": {
        "description": "Where the ledger stands after this write, or what a list is of.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {
        "description": "The account's version, for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": r'^"[0-9]+"$'},
    },
    "Content-Disposition": {
        "description": "The file to put it into.",
        "required": True,
        "schema": {"type": "string", "pattern": '^attachment; filename="[A-Za-z0-9._-]+"$'},
    },
    "Idempotency-Replayed": {
        "description": "The same request had been answered before, and this is that answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Try again after so many seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "What to send.",
        "required": True,
        "schema": {"type": "string"},
    },
}

_OF_STATUS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


class Api(flask_smorest.Api):  # type: ignore[misc]
    """Documents; problems are answered by web/app/errors.py."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave them as they are."""

    def _register_responses(self) -> None:
        """Put in what our own declarations refer to, instead of a response for every status."""
        components = self.spec.components
        components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
        components.schema("Problem", schema=Problem)
        for name, header in HEADERS.items():
            components.header(name, header)
        for kind in KINDS.values():
            components.example(kind.code, {"value": _example(kind)})


def make_api(app: Flask) -> Api:
    app.config |= {
        "API_TITLE": "Keyfold",
        "API_VERSION": version(),
        "OPENAPI_VERSION": "3.1.0",
    }
    info = {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}}
    return Api(app, spec_kwargs={"info": info})


def document(api: Api, catalog: Catalog, public_url: str) -> dict[str, Any]:
    """Answer the whole document, once every page is declared."""
    spec: dict[str, Any] = api.spec.to_dict()
    spec["servers"] = [{"url": public_url}]
    known = _of_catalog(catalog)
    for schema in list(_dictionaries(spec)):
        if schema.get("default", ...) is None:
            # Left out and null are the same, and the shorter is the one to know.
            del schema["default"]
        if OF_CATALOG in schema:
            schema.update(known[schema.pop(OF_CATALOG)])
            if "enum" in schema and "null" in schema["type"]:
                schema["enum"] = [*schema["enum"], None]
    order = spec["components"]["schemas"]["IssueKeys"]
    order["allOf"] = [_tiers_of(product) for product in catalog.products]
    return spec


def _of_catalog(catalog: Catalog) -> dict[str, dict[str, Any]]:
    tiers = [tier.id for product in catalog.products for tier in product.tiers]
    return {
        "products": {"enum": [product.id for product in catalog.products]},
        "tiers": {"enum": list(dict.fromkeys(tiers))},
        "pages": {
            "enum": [
                "subscriptions",
                "billing",
                *(
                    f"{page}/{product.id}"
                    for page in ("manage", "buy", "activate")
                    for product in catalog.products
                ),
            ]
        },
    }


def _tiers_of(product: Product) -> dict[str, Any]:
    """Say which tiers go with a product."""
    tiers = [tier.id for tier in product.tiers]
    then: dict[str, Any] = {"properties": {"tier": {"type": "null"}}}
    if tiers:
        then = {"properties": {"tier": {"enum": tiers}}, "required": ["tier"]}
    return {"if": {"properties": {"product": {"const": product.id}}}, "then": then}


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _dictionaries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dictionaries(inner)


def path_parameter(
    name: str, schema: dict[str, Any], description: str, example: str
) -> dict[str, Any]:
    return {
        "in": "path",
        "name": name,
        "required": True,
        "description": description,
        "schema": {**schema, "examples": [example]},
    }


def described_problems(kinds: Iterable[Kind]) -> dict[int, dict[str, Any]]:
    """Answer the responses for some problems: one a status, with all of its codes."""
    by_status: dict[int, list[Kind]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {status: _described(status, found) for status, found in sorted(by_status.items())}


def _described(status: int, kinds: list[Kind]) -> dict[str, Any]:
    return {
        "description": "\n".join(f"- `{kind.code}`: {kind.title}." for kind in kinds),
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in ("X-Request-Id", *_OF_STATUS.get(status, ()))
        },
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in kinds
                },
            }
        },
    }


def _example(kind: Kind) -> dict[str, Any]:
    return {
        "type": f"/docs#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": f"{kind.title}.",
        "instance": "/v1/keys",
        "code": kind.code,
        "request_id": "req_c5nfx2ynqk7tq3bd5xw4a6bl7m",
    }
