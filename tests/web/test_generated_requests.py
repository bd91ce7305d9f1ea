"""Requests made up by schemathesis from /openapi.json: whatever is sent, the answers keep to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import settings
from schemathesis import Case, HookContext
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode

from ledger.limits import unreadable
from tests.web.api import INT, closed, memory_api
from web.api.request_fields import IS_A_CODE

# What no schema can say: these depend on what is in the ledger, or on another field.
NOT_IN_THE_SCHEMA = {"wrong_product", "idempotency_key_reused", "code_in_url"}
NOT_IN_THE_FIELD = {
    "/cursor", "/tier", "/redeem_by", "/from", "/to", "/size", "/position", "/product", "/holder",
    "/session", "/return_url", "/success_url", "/cancel_url", "/url", "/after",
    "/reseller",
}  # fmt: skip
# Because of what is set up, or of what the ledger has not come to; no fault.
UNAVAILABLE = {"position_not_reached", "stripe_not_configured"}

CONFIG = SchemathesisConfig.from_dict(
    {
        # Every request brings its own token; who may do what is told in test_access.py.
        "generation": {"with-security-parameters": False},
        "checks": {
            # Of 503 only some, see UNAVAILABLE.
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", "404", "409", "412", "422", "429", "503"]
            },
        },
    }
)

API = memory_api(position_wait_s=0)
API.redeem()
API.redeem(order=INT)
API.sit("till-1")


@schemathesis.hook
def before_load_schema(_context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Have a field noticed that an answer has and the document does not name.

    And have products asked for that there are: of others only the refusal would be seen.
    """
    schemas = raw_schema["components"]["schemas"].values()
    for asked in (shape for shape in schemas if shape.get("additionalProperties") is False):
        for field in asked["properties"].values():
            if examples := field.pop("examples", None):
                field["enum"] = [*examples, *([None] * ("null" in field["type"]))]
    raw_schema["components"] = closed(raw_schema["components"])


schema = schemathesis.openapi.from_wsgi("/openapi.json", API.app, config=CONFIG)


@schemathesis.check
def refused_for_what_a_schema_cannot_say(
    _context: CheckContext, response: Response, case: Case
) -> None:
    """Hold refusals of requests that fit the schema to reasons that it could not have."""
    if response.status_code == 503:
        assert response.json()["code"] in UNAVAILABLE
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code == 422 and fits_its_schema(case):
        problem = response.json()
        pointers = {
            error["pointer"] for error in problem.get("errors", []) if error["detail"] != IS_A_CODE
        }
        known = problem["code"] in NOT_IN_THE_SCHEMA or pointers <= NOT_IN_THE_FIELD
        assert known, problem


def fits_its_schema(case: Case) -> bool:
    """Tell whether a request is really what the document asks for.

    Private and unassigned characters are refused in words, since no short pattern says so; and
    schemathesis makes up an If-Match without looking at its pattern.
    """
    body = case.body if isinstance(case.body, dict) else {}
    path = map(unquote, map(str, case.path_parameters.values()))
    texts = (*body.values(), *case.query.values(), *path)
    if any(isinstance(text, str) and unreadable(text) for text in texts):
        return False
    return all(
        jsonschema_rs.validator_for(parameter["schema"]).is_valid(case.headers[parameter["name"]])
        for parameter in case.operation.definition.raw.get("parameters", [])
        if parameter["in"] == "header" and parameter["name"] in case.headers
    )


def _test(operation: str, examples: int) -> Any:
    """Return the test of one operation, under a name of its own."""

    def test(case: Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {API.tokens['admin']}"})

    test.__name__ = test.__qualname__ = f"test_{operation}_{examples}_times"
    wanted = schema.include(operation_id=operation)
    return wanted.parametrize()(settings(max_examples=examples, derandomize=True)(test))


# Not all in one: schemathesis 4 gives each operation the test's own name, pytest 9.2 does not tell
# such tests apart, and then pytest-xdist runs one of them.
for _operation in schema.get_all_operations():
    assert isinstance(_operation, Ok), _operation
    for _examples, _mark in ((5, []), (25, [pytest.mark.long])):
        _made = _test(_operation.ok().definition.raw["operationId"], _examples)
        _made.pytestmark = [*getattr(_made, "pytestmark", []), *_mark]
        globals()[_made.__name__] = _made
