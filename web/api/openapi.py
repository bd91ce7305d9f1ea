"""/openapi.json: the API as it is enforced, with this ledger's products as examples."""

from __future__ import annotations

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from werkzeug.routing import Rule

from ledger.catalog import Catalog
from ledger.refusals import InvalidRequest
from web.api.field_descriptions import describe
from web.api.operations import PATH_PARAMETERS, Operation, Returns
from web.api.requests import OF_CATALOG, PRODUCT_ID
from web.app.auth import Access, never
from web.app.csv_responses import CSV_TYPE
from web.app.errors import (
    BUSY,
    CODE_IN_URL,
    CONTENT_TYPE,
    FORBIDDEN,
    INTERNAL_ERROR,
    MALFORMED,
    NOT_FOUND,
    OVERLOADED,
    POSITION_NOT_REACHED,
    PROBLEM_TYPES,
    QUOTA_EXCEEDED,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNSUPPORTED,
    ProblemDetails,
    ProblemType,
    problem_type,
)
from web.app.version import version

SCHEMAS: Final = "#/components/schemas/"
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

**Tables.** Lists of keys, batches and resellers, and statements, come as CSV (UTF-8 with a byte
order mark) for `Accept: text/csv`: all fields, a row each. A text that a spreadsheet would take for
a formula has an apostrophe before it.

**Writes** answer with `Keyfold-Position`; a read with that `min_position` never answers from before
it. Those on an account take `If-Match` with the `ETag` of a read: it is the version of the account,
not of the answer, which also changes with time. Issuing, redeeming, buying, changing a
subscription, amending a key, giving a batch new codes, and arranging something with a reseller take
`Idempotency-Key`.

**Limits.** How often a token may ask is limited by its role, where the deployment says so: then
each answer tells it in `RateLimit-Policy` and `RateLimit`, and 429 `quota_exceeded` says in
`Retry-After` when to go on.

**Problems** are RFC 9457, with a stable `code`; unknown fields and parameters are refused. Answers
may gain fields at any time: pass over what you do not know. An activation code is never sent in a
URL.
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
        "description": "The account's version, for `If-Match`; a feed's, for `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": r'^"[0-9a-f]+"$'},
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
    "RateLimit-Policy": {
        "description": "How often tokens of this role may ask: `q` times in `w` seconds."
        " Only where that is limited.",
        "schema": {"type": "string", "examples": ['"reseller";q=3000;w=60']},
    },
    "RateLimit": {
        "description": "How often this token may still ask, `r`, within the next `t` seconds.",
        "schema": {"type": "string", "examples": ['"reseller";r=2998;t=41']},
    },
    "WWW-Authenticate": {
        "description": "What to send.",
        "required": True,
        "schema": {"type": "string"},
    },
}

_QUOTA: Final = ("RateLimit-Policy", "RateLimit")
_OF_STATUS: Final = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", *_QUOTA),
    503: ("Retry-After",),
}


def document(app: Flask, catalog: Catalog, public_url: str) -> dict[str, Any]:
    """Return the document of an application, once all of its endpoints are registered."""
    views: Mapping[str, Any] = app.view_functions
    endpoints: list[tuple[Rule, Operation]] = [
        (rule, views[rule.endpoint].operation)
        for rule in app.url_map.iter_rules()
        if hasattr(views[rule.endpoint], "operation")
    ]
    spec = APISpec(
        title="Keyfold",
        version=version(),
        openapi_version="3.1.0",
        plugins=[MarshmallowPlugin()],
        info={
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
            "contact": {"name": "The Keyfold authors"},
        },
        servers=[{"url": public_url}],
        tags=[_tag(app, name) for name in dict.fromkeys(_blueprint(rule) for rule, _ in endpoints)],
    )
    _add_components(spec, [operation for _, operation in endpoints])
    for rule, operation in endpoints:
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        spec.path(
            re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule),
            operations={method.lower(): _described(rule, method, views[rule.endpoint], operation)},
        )
    found = spec.to_dict()
    for body in (operation.body for _, operation in endpoints if operation.body):
        found["components"]["schemas"][body.__name__].update(body.together)
    _fill_in(found, catalog)
    schemas = found["components"]["schemas"]
    schemas["ProblemDetails"]["properties"]["code"]["enum"] = sorted(PROBLEM_TYPES)
    describe(schemas)
    _leave_out_unused(found)
    return found


def _leave_out_unused(found: dict[str, Any]) -> None:
    """Leave out examples of problems that no operation has."""
    used = {
        kind
        for path in found["paths"].values()
        for operation in path.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
        for kind in content.get("examples", ())
    }
    examples = found["components"]["examples"]
    for kind in examples.keys() - used:
        del examples[kind]


def _blueprint(rule: Rule) -> str:
    endpoint: str = rule.endpoint
    return endpoint.partition(".")[0]


def _tag(app: Flask, blueprint: str) -> dict[str, str]:
    """Return a blueprint's tag, described by the docstring of its module."""
    module = sys.modules[app.blueprints[blueprint].import_name]
    return {"name": blueprint, "description": (module.__doc__ or "").partition("\n")[0]}


def _add_components(spec: APISpec, operations: Sequence[Operation]) -> None:
    components = spec.components
    components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    for name, header in HEADERS.items():
        components.header(name, header)
    for kind in PROBLEM_TYPES.values():
        components.example(kind.code, {"value": _example(kind)})
    bodies = {answer.body for one in operations for answer in one.responses.values()} - {None}
    _, schemas = msgspec.json.schema_components(
        [*bodies, ProblemDetails], ref_template=SCHEMAS + "{name}"
    )
    for name, schema in sorted(schemas.items()):
        components.schema(name, schema)


def _described(rule: Rule, method: str, view: Any, operation: Operation) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(view) or "").partition("\n")
    parameters: list[dict[str, Any]] = [_path_parameter(name) for name in _path_names(rule)]
    for location, schema in (("query", operation.query), ("header", operation.headers)):
        if schema is not None:
            parameters.append({"in": location, "schema": schema})
    described: dict[str, Any] = {
        "operationId": view.__name__,
        "tags": [_blueprint(rule)],
        "summary": summary.removesuffix("."),
        "parameters": parameters,
        "responses": {
            **{
                status: _success(one, limited=bool(operation.access.roles))
                for status, one in operation.responses.items()
            },
            **_problems([*operation.problems, *_common(rule, method, operation)]),
        },
        **_security(operation.access),
    }
    described["description"] = description.strip() or summary
    if operation.body is not None:
        content = {"schema": operation.body, "example": operation.body.example}
        described["requestBody"] = {
            "content": {"application/json": content},
            "required": operation.body_required,
        }
    return described


def _path_names(rule: Rule) -> list[str]:
    return re.findall(r"<(?:\w+:)?(\w+)>", rule.rule)


def _path_parameter(name: str) -> dict[str, Any]:
    parameter = PATH_PARAMETERS[name]
    schema = {
        "type": "string",
        "pattern": f"^{parameter.pattern}$",
        "examples": [parameter.example],
        **parameter.document,
    }
    if parameter.of_catalog:
        schema[OF_CATALOG] = parameter.of_catalog
    return {
        "in": "path",
        "name": name,
        "required": True,
        "description": parameter.description,
        "schema": schema,
    }


def _success(answer: Returns, *, limited: bool) -> dict[str, Any]:
    names = [*answer.headers, *(_QUOTA if limited else ())]
    described = {"description": answer.description, "headers": _headers(*names)}
    if answer.body is not None:
        schema = {"$ref": SCHEMAS + answer.body.__name__}
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if answer.csv:
            content[CSV_TYPE] = {"schema": {"type": "string"}}
        described["content"] = content
    return described


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _common(rule: Rule, method: str, operation: Operation) -> list[ProblemType]:
    """Return the problems that an endpoint has because of what it is."""
    kinds = [problem_type(InvalidRequest), CODE_IN_URL, INTERNAL_ERROR, UNAVAILABLE, OVERLOADED]
    if operation.access.roles:
        kinds += [UNAUTHENTICATED, FORBIDDEN, QUOTA_EXCEEDED]
    if rule.arguments:
        kinds.append(NOT_FOUND)
    if operation.body is not None:
        kinds += [MALFORMED, TOO_LARGE, UNSUPPORTED]
    if method != "GET":
        kinds.append(BUSY)
    if "min_position" in operation.query().fields:
        kinds.append(POSITION_NOT_REACHED)
    return kinds


def _security(access: Access) -> dict[str, Any]:
    if not access.roles:
        return {"security": []}
    free: list[dict[str, Any]] = [] if access.without_token is never else [{}]
    return {"security": [*free, {"bearer": []}], "x-roles": sorted(access.roles)}


def _problems(kinds: Iterable[ProblemType]) -> dict[int, dict[str, Any]]:
    """Return the responses for some problems: one a status, with all of its codes."""
    by_status: dict[int, list[ProblemType]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {status: _problem(status, found) for status, found in sorted(by_status.items())}


def _problem(status: int, kinds: list[ProblemType]) -> dict[str, Any]:
    return {
        "description": "\n".join(f"- `{kind.code}`: {kind.title}." for kind in kinds),
        "headers": _headers(*_OF_STATUS.get(status, ())),
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": SCHEMAS + "ProblemDetails"},
                "examples": {
                    kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in kinds
                },
            }
        },
    }


def _fill_in(spec: dict[str, Any], catalog: Catalog) -> None:
    """Fill in what only the catalog knows, and leave out defaults that say nothing."""
    known = _of_catalog(catalog)
    for schema in list(_dictionaries(spec)):
        if schema.get("default", ...) is None:
            # Left out and null are the same, and the shorter is the one to know.
            del schema["default"]
        if OF_CATALOG in schema:
            schema["pattern"], schema["examples"] = known[schema.pop(OF_CATALOG)]


def _of_catalog(catalog: Catalog) -> dict[str, tuple[str, list[str]]]:
    """Return how products, tiers and pages are written, and which this catalog has."""
    products = [product.id for product in catalog.products]
    tiers = [tier.id for product in catalog.products for tier in product.tiers]
    kinds = ("manage", "buy", "activate")
    pages = [f"{kind}/{product}" for kind in kinds for product in products]
    of_product = f"({'|'.join(kinds)})/{PRODUCT_ID}"
    return {
        "products": (f"^{PRODUCT_ID}$", products),
        "tiers": (f"^{PRODUCT_ID}$", list(dict.fromkeys(tiers))),
        "pages": (f"^(subscriptions|billing|{of_product})$", ["subscriptions", "billing", *pages]),
    }


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _dictionaries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dictionaries(inner)


def _example(kind: ProblemType) -> dict[str, Any]:
    return {
        "type": f"/docs#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": f"{kind.title}.",
        "instance": "/v1/keys",
        "code": kind.code,
        "request_id": "req_c5nfx2ynqk7tq3bd5xw4a6bl7m",
    }
