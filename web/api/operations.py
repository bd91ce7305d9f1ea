"""Pages of the API, declared in one place each: who may, what is sent, what is answered, what may
be refused. The declaration is what is enforced, and what /openapi.json says.

    @blp.operation(
        "GET", "/keys/<key>", access=only(ADMIN), query=ReadQuery,
        answers={200: Answered(Key, "The key.")}, refusals=(KeyNotFound,),
    )
    def get_key(key: str, query: dict[str, Any]) -> Response:
        \"\"\"Show a key.\"\"\"

A view gets the parts of its path by name, and `query`, `headers` and `body` as they were read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

import flask_smorest  # type: ignore[import-untyped]
import marshmallow as ma
from flask import Response
from werkzeug.routing import BaseConverter

from ledger.limits import ACCOUNT_ID, HOLDER_ID, STRIPE_SUBSCRIPTION_ID
from ledger.min_position import PositionNotReached, at_least
from ledger.refusals import (
    BatchNotFound,
    FieldError,
    InvalidRequest,
    KeyNotFound,
    Refusal,
    StripeSubscriptionNotFound,
    SubscriptionNotFound,
)
from web.api.openapi import described_problems, path_parameter
from web.api.schemas.fields import Shape
from web.api.schemas.requests import BATCH_ID, OF_CATALOG, PRODUCT_ID, NoQuery
from web.app import request_parsing, waiting
from web.app.auth import Access, never
from web.app.context import app_state, request_context, services, this_g, this_request
from web.app.errors import (
    BUSY,
    CODE_IN_URL,
    FORBIDDEN,
    INTERNAL_ERROR,
    MALFORMED,
    NOT_FOUND,
    OVERLOADED,
    POSITION_NOT_REACHED,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNSUPPORTED,
    Kind,
    kind_of,
)

POLL_S: Final = 0.01
# More than is ever appended while one waits: a position that was not read off an answer of ours.
AHEAD_MAX: Final = 100_000


class Id(BaseConverter):
    """A part of a path that is not the name of a page beside it: `/keys/<id:key>`."""

    regex = r"(?!(?:validate|redeem)$)[^/]+"


View = Callable[..., Response]
ViewT = TypeVar("ViewT", bound=View)


class Answered(NamedTuple):
    """One way in which an operation goes well.

    Attributes:
        schema: None for an answer without a body.
        headers: beside those that every answer has, by the names of `web.api.openapi`.
    """

    schema: type[ma.Schema] | None
    description: str
    headers: tuple[str, ...] = ()


class Place(NamedTuple):
    """A part of a path.

    Attributes:
        refusal: what is answered to a part that does not match; None for InvalidRequest.
    """

    pattern: str
    description: str
    example: str
    refusal: type[Refusal] | None = None
    of_catalog: str | None = None


PLACES: Final[Mapping[str, Place]] = {
    "account": Place(ACCOUNT_ID, "The portal's own id of the customer.", "acme"),
    "holder": Place(HOLDER_ID, "Who or what sits on the seat.", "till-1"),
    "product": Place(PRODUCT_ID, "A product of the catalog.", "cloud_pos", of_catalog="products"),
    "key": Place(
        r"key_[a-z2-7]{26}", "The key's id.", "key_c5nfx2ynqk7tq3bd5xw4a6bl7m", KeyNotFound
    ),
    "batch": Place(BATCH_ID, "The batch's id.", "bat_2vqk7tq3bd5xw4a6bl7mc5nfx2", BatchNotFound),
    "subscription": Place(
        r"kfsub_[a-z2-7]{26}",
        "The subscription's id.",
        "kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        SubscriptionNotFound,
    ),
    "stripe_subscription": Place(
        STRIPE_SUBSCRIPTION_ID,
        "Stripe's id of the subscription.",
        "sub_1QXg1o8vcGmoR32",
        StripeSubscriptionNotFound,
    ),
}
_PATTERNS: Final = {name: re.compile(place.pattern) for name, place in PLACES.items()}


class Operations(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose pages are declared with `operation`."""

    def operation(
        self,
        method: str,
        rule: str,
        *,
        access: Access,
        answers: Mapping[int, Answered],
        query: type[ma.Schema] = NoQuery,
        headers: type[ma.Schema] | None = None,
        body: type[Shape] | None = None,
        body_required: bool = True,
        refusals: Iterable[type[Refusal]] = (),
        problems: Iterable[Kind] = (),
    ) -> Callable[[ViewT], ViewT]:
        """Declare a page; its docstring is its description."""
        places = re.findall(r"<(?:\w+:)?(\w+)>", rule)
        kinds = [
            *map(kind_of, refusals),
            *problems,
            *_common(access, query, places=bool(places), body=body is not None, method=method),
        ]

        def declare(view: ViewT) -> ViewT:
            # What documents wraps, again and again: so it wraps a view that nobody calls, and the
            # one that is called is a single function.
            shown: Any = view
            if body is not None:
                shown = self.arguments(body(), required=body_required, example=body.example)(shown)
            if headers is not None:
                shown = self.arguments(headers(), location="headers")(shown)
            shown = self.arguments(query(), location="query")(shown)
            for status, answer in answers.items():
                shown = self.response(
                    status,
                    answer.schema,
                    description=answer.description,
                    headers={
                        name: {"$ref": f"#/components/headers/{name}"}
                        for name in ("X-Request-Id", *answer.headers)
                    },
                )(shown)
            shown = self.doc(
                operationId=view.__name__,
                summary=(view.__doc__ or "").partition("\n")[0].removesuffix("."),
                responses=described_problems(kinds),
                **_security(access),
            )(shown)
            page: Any = _page(view, query, headers, body)
            page._apidoc = shown._apidoc  # noqa: SLF001  (where flask-smorest looks for it)
            page.access = access
            parameters = [_documented(name) for name in places]
            self.route(rule, methods=[method], parameters=parameters)(page)
            return view

        return declare


def _common(
    access: Access, query: type[ma.Schema], *, places: bool, body: bool, method: str
) -> list[Kind]:
    """Answer the problems that a page has because of what it is."""
    kinds = [kind_of(InvalidRequest), CODE_IN_URL, INTERNAL_ERROR, UNAVAILABLE, OVERLOADED]
    if access.roles:
        kinds += [UNAUTHENTICATED, FORBIDDEN]
    if places:
        kinds.append(NOT_FOUND)
    if body:
        kinds += [MALFORMED, TOO_LARGE, UNSUPPORTED]
    if method != "GET":
        kinds.append(BUSY)
    if "min_position" in query().fields:
        kinds.append(POSITION_NOT_REACHED)
    return kinds


def _security(access: Access) -> dict[str, Any]:
    if not access.roles:
        return {"security": []}
    free: list[dict[str, Any]] = [] if access.without_token is never else [{}]
    return {"security": [*free, {"bearer": []}], "x-roles": sorted(access.roles)}


def _documented(name: str) -> dict[str, Any]:
    place = PLACES[name]
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{place.pattern}$"}
    if place.of_catalog:
        schema[OF_CATALOG] = place.of_catalog
    return path_parameter(name, schema, place.description, place.example)


def _page(
    view: View,
    query: type[ma.Schema],
    headers: type[ma.Schema] | None,
    body: type[Shape] | None,
) -> View:
    """Answer what is called: it reads everything that was sent, and then asks the view."""
    read_query = request_parsing.of_query(query())
    read_headers = request_parsing.of_headers(headers()) if headers else None
    read_body = request_parsing.of_body(body()) if body else None
    wants_query = bool(set(query().fields) - {"min_position"})

    @wraps(view)
    def page(**given: Any) -> Response:
        _hold_places(given)
        request = this_request()
        asked = read_query(request)
        if read_headers:
            given["headers"] = read_headers(request)
        if read_body:
            given["body"] = read_body(request)
        position = asked.pop("min_position", None)
        if position is not None:
            this_g().request_context = request_context()._replace(reached=_wait_for(position))
        if wants_query:
            given["query"] = asked
        return view(**given) if position is None else _at_least(position, view, given)

    return page


def _at_least(position: int, view: View, given: Mapping[str, Any]) -> Response:
    """Return what a view answers once all that it reads is of a position or a later one.

    It may read on another connection than `_wait_for`, and of a standby that lags.
    """

    def attempt() -> Response:
        # A view may take its query apart, and is asked again.
        fresh = {name: dict(one) if isinstance(one, dict) else one for name, one in given.items()}
        with at_least(position):
            return view(**fresh)

    try:
        return attempt()
    except PositionNotReached as lags:
        reached = lags
    with waiting.place() as may_wait:
        deadline = time.monotonic() + (app_state().position_wait_s if may_wait else 0.0)
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            try:
                return attempt()
            except PositionNotReached as lags:
                reached = lags
    raise reached


def _hold_places(given: Mapping[str, str]) -> None:
    """Hold the parts of the path to their patterns, before anything else is read."""
    errors = []
    for name, value in given.items():
        if _PATTERNS[name].fullmatch(value):
            continue
        place = PLACES[name]
        if place.refusal:
            raise place.refusal
        errors.append(FieldError(f"/{name}", f"must match {place.pattern}"))
    if errors:
        raise InvalidRequest(*errors)


def _wait_for(position: int) -> int:
    """Wait until the ledger has come to a position; return where it is then.

    It is not waited for what is further ahead than could be, nor when too many wait already.
    """
    head = services().book.head()
    if head >= position:
        return head
    with waiting.place() as may_wait:
        patience_s = (
            app_state().position_wait_s if may_wait and position - head <= AHEAD_MAX else 0.0
        )
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            head = services().book.head()
            if head >= position:
                return head
    raise PositionNotReached(head)
