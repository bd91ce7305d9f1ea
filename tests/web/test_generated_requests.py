"""Requests made up by schemathesis from /openapi.json: whatever is sent, the answers keep to it."""

from __future__ import annotations

import jsonschema_rs
import schemathesis
from hypothesis import settings
from schemathesis import Case
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode

from ledger.limits import unreadable
from tests.web.api import INT, memory_api
from web.schemas.fields import IS_A_CODE

# What no schema can say: these depend on what is in the ledger, or on another field.
NOT_IN_THE_SCHEMA = {"wrong_product", "idempotency_key_reused", "code_in_url"}
NOT_IN_THE_FIELD = {
    "/cursor", "/tier", "/redeem_by", "/from", "/to", "/size", "/position", "/product",
}  # fmt: skip

CONFIG = SchemathesisConfig.from_dict(
    {
        # Every request brings its own token; who may do what is told in test_access.py.
        "generation": {"with-security-parameters": False},
        "checks": {
            # A position that is not reached; every other 5xx is told apart below.
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

schema = schemathesis.openapi.from_wsgi("/openapi.json", API.app, config=CONFIG)


@schemathesis.check
def refused_for_what_a_schema_cannot_say(
    _context: CheckContext, response: Response, case: Case
) -> None:
    """Hold refusals of requests that fit the schema to reasons that it could not have."""
    if response.status_code == 503:
        assert response.json()["code"] == "position_not_reached"
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
    texts = case.body.values() if isinstance(case.body, dict) else ()
    if any(isinstance(text, str) and unreadable(text) for text in texts):
        return False
    return all(
        jsonschema_rs.validator_for(parameter["schema"]).is_valid(case.headers[parameter["name"]])
        for parameter in case.operation.definition.raw.get("parameters", [])
        if parameter["in"] == "header" and parameter["name"] in case.headers
    )


@schema.parametrize()
@settings(max_examples=25, derandomize=True)
def test_whatever_is_sent_the_answer_is_as_documented(case: Case) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {API.tokens['admin']}"})
