"""/openapi.json and /docs: complete, true to the routes, and nothing from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import validation
from ledger.catalog import builtin, parse
from tests.web.api import Api, memory_api
from tests.web.test_access import ROUTES
from tests.worlds import services
from web.app.errors import PROBLEM_TYPES

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENTED = [route for route in ROUTES if route.rule not in {"/", "/openapi.json", "/docs"}]


DOCUMENT = memory_api().document


@pytest.fixture(scope="module")
def page(shared: Api) -> str:
    return shared.get(None, "/docs").raw.decode()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def test_the_document_has_every_route_with_its_roles(shared: Api) -> None:
    documented = {
        (method, path): set(operation.get("x-roles", ()))
        for method, path, operation in operations(shared.document)
    }
    routes = {
        (route.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)): route.roles or set()
        for route in DOCUMENTED
        if not route.rule.startswith(("/static", "/assets", "/portal", "/console"))
    }
    routes["GET", "/metrics"] = {"admin", "auditor"}
    assert documented == routes


def test_every_operation_says_all_that_there_is_to_say(shared: Api) -> None:
    ids = []
    for method, path, operation in operations(shared.document):
        ids.append(operation["operationId"])
        assert operation["summary"], path
        assert "security" in operation, path
        problems = {"422", "500"} | ({"401", "403"} if operation.get("x-roles") else set())
        assert problems <= set(operation["responses"]), path
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, status)
            assert "X-Request-Id" in answer["headers"], (path, status)
            if status >= "400":
                assert set(answer["content"]) == {"application/problem+json"}
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= set(operation["responses"]), path
            assert operation["requestBody"]["content"]["application/json"]["example"]
        if method != "GET" and not path.endswith(("/validate", "/search", "/explain", "/preview")):
            done = [answer for s, answer in operation["responses"].items() if s < "300"]
            assert all("Keyfold-Position" in answer["headers"] for answer in done), path
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", id) for id in ids)


def test_every_parameter_says_what_it_takes(shared: Api) -> None:
    for path, item in shared.document["paths"].items():
        for method in METHODS:
            for parameter in item.get(method, {}).get("parameters", []) + item.get(
                "parameters", []
            ):
                schema = parameter["schema"]
                limits = {"pattern", "enum", "format", "maximum", "maxLength"} & set(schema)
                free = parameter["name"] in {"cursor", "all"}
                assert limits or free, (path, parameter)


def test_every_property_is_described(shared: Api) -> None:
    schemas = shared.document["components"]["schemas"]
    assert [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, one in schema.get("properties", {}).items()
        if not one.get("description")
    ] == []


def test_a_problems_code_is_one_of_those_there_are(shared: Api) -> None:
    code = shared.document["components"]["schemas"]["ProblemDetails"]["properties"]["code"]
    assert set(code["enum"]) == set(PROBLEM_TYPES)


def test_every_kind_of_problem_has_an_example(shared: Api) -> None:
    # Of those that an operation has: the others are answers to what is no operation.
    assert set(PROBLEM_TYPES) - set(shared.document["components"]["examples"]) == {
        "method_not_allowed",
        "person_not_found",
        "token_not_found",
    }


def test_the_document_is_of_openapi_3_1_with_nothing_left_to_fill_in(shared: Api) -> None:
    document = shared.document
    assert document["openapi"].startswith("3.1.")
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    assert "x-catalog" not in str(document)
    for reference in re.findall(r"'\$ref': '([^']+)'", str(document)):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_answers_may_gain_fields_and_requests_may_not(shared: Api) -> None:
    schemas = shared.document["components"]["schemas"]
    operations = [one for path in shared.document["paths"].values() for one in path.values()]
    answered = reached([one["responses"] for one in operations], schemas)
    assert len(answered) > 50
    for name in answered:
        # That of a mapping says what its values are.
        assert "'additionalProperties': False" not in str(schemas[name]), name
    asked = reached([one.get("requestBody") for one in operations], schemas)
    assert len(asked) > 15
    for name in asked:
        assert schemas[name]["additionalProperties"] is False, name
    assert not asked & answered


def reached(value: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that something refers to, and that those refer to."""
    found: set[str] = set()
    left = [value]
    while left:
        new = set(re.findall(r"'#/components/schemas/([^']+)'", str(left.pop()))) - found
        found |= new
        left += [schemas[name] for name in new]
    return found


def patterns(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "pattern":
                yield inner
            else:
                yield from patterns(inner)


def test_every_pattern_can_be_read_by_python_too(shared: Api) -> None:
    found = set(patterns(shared.document))
    assert len(found) > 10
    for pattern in found:
        re.compile(pattern)
        assert (pattern[0], pattern[-1]) == ("^", "$")


def test_the_document_has_the_products_of_the_catalog(shared: Api) -> None:
    order = shared.document["components"]["schemas"]["IssueKeys"]["properties"]
    assert order["product"]["examples"] == [product.id for product in builtin().products]
    assert order["tier"]["examples"] == ["starter", "growth", "scale"]


def test_a_client_made_for_one_catalog_is_good_for_another(shared: Api) -> None:
    catalog = parse('[[products]]\nid = "kiosk"\nname = "Kiosk"\nprefix = "KSK"\nseat = "screen"\n')
    document = memory_api(catalog=catalog).document
    order = document["components"]["schemas"]["IssueKeys"]["properties"]
    assert (order["product"]["examples"], order["tier"]["examples"]) == (["kiosk"], [])
    assert without_examples(document) == without_examples(shared.document)


def without_examples(value: Any) -> Any:
    if isinstance(value, list):
        return [without_examples(inner) for inner in value]
    if isinstance(value, dict):
        return {name: without_examples(v) for name, v in value.items() if name != "examples"}
    return value


# Without the characters that no short pattern can leave out.
READABLE = st.characters(exclude_categories=["Cn", "Co", "Cs", "Cf"])
TEXTS = st.text(READABLE, min_size=1, max_size=8) | st.text(
    " =+-@＝\u2028\u2029\u3000\u200b\u202e\0\nab", min_size=1, max_size=4
)


@given(TEXTS)
def test_texts_and_names_are_documented_as_they_are_taken(text: str) -> None:
    fields = DOCUMENT["components"]["schemas"]["IssueKeys"]["properties"]
    world = services()
    for name, errors in {
        "note": validation.text(world, "/note", text),
        "reseller": validation.name(world, "/reseller", text),
    }.items():
        taken = not errors
        assert jsonschema_rs.validator_for(fields[name]).is_valid(text) == taken, (name, errors)
        assert bool(re.fullmatch(fields[name]["pattern"], text)) == taken, (name, errors)


class Links(HTMLParser):
    """Collects what a page refers to, and the places in it that can be referred to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in {"href", "src", "action"}:
                self.targets.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_the_page_loads_nothing_from_outside(shared: Api, page: str) -> None:
    links = Links(page)
    assert not {"script", "iframe", "style", "img", "form"} & links.elements
    assert not {name for name in links.attributes if name == "style" or name.startswith("on")}
    for target in links.targets:
        assert target.startswith(("#", "/")), target
        assert not target.startswith("//")
        if target.startswith("/"):
            assert shared.get(None, target).status == 200
    policy = shared.get(None, "/docs").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; script-src 'none'")
    style = shared.get(None, "/static/docs.css").raw.decode()
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_has_everything_in_its_place(shared: Api, page: str) -> None:
    links = Links(page)
    assert len(set(links.ids)) == len(links.ids)
    inside = {target.removeprefix("#") for target in links.targets if target.startswith("#")}
    assert inside <= set(links.ids)
    assert {operation["operationId"] for *_, operation in operations(shared.document)} <= inside
    assert set(PROBLEM_TYPES) <= set(links.ids)


def test_the_page_says_so_when_the_clock_is_a_test_clock(shared: Api, page: str) -> None:
    assert "test clock" not in page
    api = memory_api(test_clock=Path("/nowhere/clock"))
    assert "test clock" in api.get(None, "/docs").raw.decode()


def test_the_type_of_a_problem_leads_to_its_place_on_the_page(shared: Api, page: str) -> None:
    path, _, place = shared.get(None, "/nowhere").body["type"].partition("#")
    assert path == "/docs"
    assert place in Links(page).ids
