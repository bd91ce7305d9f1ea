"""/docs and /openapi.json: the API for people, and for programs.

The page is made of the very document, on the server: it needs no script and nothing from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from flask import Blueprint, Flask, Response, render_template
from markupsafe import Markup, escape

from web.app.auth import EVERYBODY
from web.app.errors import PROBLEM_TYPES
from web.app.responses import JSON_TYPE

CACHE_CONTROL: Final = "no-cache"
PAGE_POLICY: Final = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)


class DocumentedOperation(NamedTuple):
    """One operation of the document, with what it refers to filled in."""

    method: str
    path: str
    detail: dict[str, Any]
    parameters: list[dict[str, Any]]


def register(app: Flask, spec: dict[str, Any], *, test_clock: bool) -> None:
    """Serve the document and the page made of it, which says so when the clock is a test clock."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    document = msgspec.json.encode(spec)
    pages = Blueprint("docs", __name__)
    page: list[str] = []

    def show_openapi() -> Response:
        return _cacheable(Response(document, content_type=JSON_TYPE))

    def show_docs() -> Response:
        if not page:
            page.append(_render(spec, test_clock=test_clock))
        response = _cacheable(Response(page[0], content_type="text/html; charset=utf-8"))
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

    for path, view in (("/openapi.json", show_openapi), ("/docs", show_docs)):
        view.access = EVERYBODY  # type: ignore[attr-defined]
        pages.add_url_rule(path, view_func=view)
    app.register_blueprint(pages)


def _cacheable(response: Response) -> Response:
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response


def _render(spec: dict[str, Any], *, test_clock: bool) -> str:
    return render_template(
        "docs.html",
        test_clock=test_clock,
        info=spec["info"],
        tags=spec["tags"],
        operations=list(_operations(spec)),
        schemas=spec["components"]["schemas"],
        kinds=sorted(PROBLEM_TYPES.values(), key=lambda kind: (kind.status, kind.code)),
        shape=shape,
        prose=prose,
        code=code,
    )


def _operations(spec: dict[str, Any]) -> Iterator[DocumentedOperation]:
    for path, item in spec["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            if method in item:
                detail = item[method]
                parameters = [*item.get("parameters", []), *detail.get("parameters", [])]
                yield DocumentedOperation(method.upper(), path, detail, parameters)


def shape(schema: dict[str, Any]) -> Markup:
    """Return in a few words what a schema takes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(map(shape, schema["anyOf"]))
    if "items" in schema:
        return Markup("list of ") + shape(schema["items"])
    if "enum" in schema:
        choices = ("null" if choice is None else str(choice) for choice in schema["enum"])
        return Markup(" | ").join(Markup("<code>{}</code>").format(choice) for choice in choices)
    types = schema.get("type", "any")
    words = " or ".join(types) if isinstance(types, list) else types
    if schema.get("format") == "date-time":
        words = words.replace("string", "time")
    examples = [one for one in schema.get("examples", []) if isinstance(one, str)]
    shown = Markup(", ").join(Markup("<code>{}</code>").format(one) for one in examples)
    return escape(words + _limits(schema)) + (Markup(", e.g. ") + shown if shown else "")


def _limits(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    if high is None:
        return ""
    return f", {low if low is not None else ''}–{high}" + (
        " characters" if "maxLength" in schema else ""
    )


def prose(text: str) -> Markup:
    """Return as HTML the little Markdown that descriptions have: paragraphs, lists, bold, code."""
    blocks = (block.strip() for block in text.split("\n\n"))
    return Markup("").join(map(_block, filter(None, blocks)))


def _block(text: str) -> Markup:
    if not text.startswith("- "):
        return Markup("<p>{}</p>").format(code(text))
    lines = text.removeprefix("- ").split("\n- ")
    items = Markup("").join(Markup("<li>{}</li>").format(code(line)) for line in lines)
    return Markup("<ul>{}</ul>").format(items)


def code(text: str) -> Markup:
    """Return a text with what stands between backticks, or double asterisks, marked up."""
    return _marked(text, "`", Markup("<code>{}</code>"), _bold)


def _bold(text: str) -> Markup:
    return _marked(text, "**", Markup("<strong>{}</strong>"), escape)


def _marked(text: str, mark: str, inside: Markup, outside: Callable[[str], Markup]) -> Markup:
    pieces = enumerate(text.split(mark))
    return Markup("").join(inside.format(one) if n % 2 else outside(one) for n, one in pieces)
