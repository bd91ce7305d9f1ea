"""Endpoints of the API, each declared in one place: who may call it, what is sent, what is returned
and what may be refused. The declaration is enforced here, and documented by `web.api.openapi`.

    @blueprint.get("/keys/<id:key>")
    @operation(
        access=only(ADMIN), query=ReadQuery, responses={200: Returns(KeyView, "The key.")},
        refusals=(KeyNotFound,),
    )
    def get_key(key: str) -> Response:
        \"\"\"Show a key.\"\"\"

A view is passed the parts of its path, its query parameters, its headers and the fields of its body
by name; a body that its schema turns into a command comes as `body`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

import marshmallow as ma
from flask import Response, g, request
from werkzeug.routing import BaseConverter

from ledger.limits import ACCOUNT_ID, HOLDER_ID, NAME_LENGTH_MAX, STRIPE_SUBSCRIPTION_ID
from ledger.min_position import PositionNotReached, at_least
from ledger.refusals import (
    BatchNotFound,
    FieldError,
    InvalidRequest,
    KeyNotFound,
    NoticeLinkNotFound,
    OrderNotFound,
    Refusal,
    ResellerNotFound,
    StripeSubscriptionNotFound,
    SubscriptionNotFound,
    WebhookNotFound,
)
from web.api.request_fields import NOTHING, Shape
from web.api.requests import BATCH_ID, NAME, PRODUCT_ID, NoQuery
from web.app import request_parsing, waiting
from web.app.auth import Access
from web.app.context import app_state, request_context, services
from web.app.errors import ProblemType, problem_type

POLL_S: Final = 0.01
# More than is ever appended while one waits: a position that was not read off an answer of ours.
AHEAD_MAX: Final = 100_000

View = Callable[..., Response]
ViewT = TypeVar("ViewT", bound=View)


class Id(BaseConverter):
    """A part of a path that is not the name of an endpoint beside it: `/keys/<id:key>`."""

    regex = r"(?!(?:validate|redeem)$)[^/]+"


class Name(BaseConverter):
    """A reseller's name in a path, as in `Kassen A/S`: its last word is none of an endpoint."""

    regex = r"(?!.*/(?:grants|limits|suspend|resume|revoke|statement)$).+?"
    part_isolating = False


class Returns(NamedTuple):
    """One way in which an operation goes well.

    Attributes:
        body: None for an answer that is no JSON.
        headers: beside those that every answer has, by the names of `web.api.openapi`.
        csv: it comes as a table for who asks for `text/csv`.
    """

    body: type | None
    description: str
    headers: tuple[str, ...] = ()
    csv: bool = False


class Operation(NamedTuple):
    """What is documented of an endpoint.

    Attributes:
        problems: beside those that it has because of what it is.
    """

    access: Access
    responses: Mapping[int, Returns]
    query: type[ma.Schema]
    headers: type[ma.Schema] | None
    body: type[Shape] | None
    body_required: bool
    problems: tuple[ProblemType, ...]


class PathParameter(NamedTuple):
    """A part of a path.

    Attributes:
        refusal: what is answered to a part that does not match; None for InvalidRequest.
        document: more JSON Schema, of what can be there or is taken for something new.
    """

    pattern: str
    description: str
    example: str
    refusal: type[Refusal] | None = None
    of_catalog: str | None = None
    document: Mapping[str, Any] = NOTHING


PATH_PARAMETERS: Final[Mapping[str, PathParameter]] = {
    "account": PathParameter(ACCOUNT_ID, "The portal's own id of the customer.", "acme"),
    "holder": PathParameter(HOLDER_ID, "Who or what sits on the seat.", "till-1"),
    "product": PathParameter(
        PRODUCT_ID, "A product of the catalog.", "cloud_pos", of_catalog="products"
    ),
    "key": PathParameter(
        r"key_[a-z2-7]{26}", "The key's id.", "key_c5nfx2ynqk7tq3bd5xw4a6bl7m", KeyNotFound
    ),
    "batch": PathParameter(
        BATCH_ID, "The batch's id.", "bat_2vqk7tq3bd5xw4a6bl7mc5nfx2", BatchNotFound
    ),
    "reseller": PathParameter(
        r"[^\x00-\x1f\x7f]{1,240}",
        "The reseller's name, in whatever spelling.",
        "Harbour Systems",
        ResellerNotFound,
        document={"minLength": 1, "maxLength": NAME_LENGTH_MAX, **NAME},
    ),
    "order": PathParameter(
        r"ord_[a-z2-7]{26}", "The order's id.", "ord_2vqk7tq3bd5xw4a6bl7mc5nfx2", OrderNotFound
    ),
    "subscription": PathParameter(
        r"kfsub_[a-z2-7]{26}",
        "The subscription's id.",
        "kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        SubscriptionNotFound,
    ),
    "webhook": PathParameter(
        r"kfwh_[a-z2-7]{26}",
        "The webhook's id.",
        "kfwh_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        WebhookNotFound,
    ),
    "notice_link": PathParameter(
        r"kfnl_[a-z2-7]{36}",
        "The id of a link to notices.",
        "kfnl_c5nfx2ynqk7tq3bd5xw4a6bl7mxk2pd7tq4c",
        NoticeLinkNotFound,
    ),
    "feed": PathParameter(
        r"[A-Za-z0-9_-]{1,400}",
        "What is in the address that the link was made as.",
        "9XhmY3Vyc29y",
        NoticeLinkNotFound,
    ),
    "stripe_subscription": PathParameter(
        STRIPE_SUBSCRIPTION_ID,
        "Stripe's id of the subscription.",
        "sub_1QXg1o8vcGmoR32",
        StripeSubscriptionNotFound,
    ),
}
_PATTERNS: Final = {name: re.compile(one.pattern) for name, one in PATH_PARAMETERS.items()}


def operation(
    *,
    access: Access,
    responses: Mapping[int, Returns],
    query: type[ma.Schema] = NoQuery,
    headers: type[ma.Schema] | None = None,
    body: type[Shape] | None = None,
    body_required: bool = True,
    refusals: Iterable[type[Refusal]] = (),
    problems: Iterable[ProblemType] = (),
) -> Callable[[ViewT], ViewT]:
    """Return a decorator that declares an endpoint; the view's docstring describes it."""
    read_query = request_parsing.of_query(query())
    readers = [read_query]
    if headers is not None:
        readers.append(request_parsing.of_headers(headers()))
    read_body = request_parsing.of_body(body(), required=body_required) if body else None
    declared = Operation(
        access,
        responses,
        query,
        headers,
        body,
        body_required,
        (*map(problem_type, refusals), *problems),
    )

    def declare(view: ViewT) -> ViewT:
        @wraps(view)
        def endpoint(**given: Any) -> Response:
            _check_path(given)
            for read in readers:
                given |= read(request)
            if read_body is not None:
                sent = read_body(request)
                given |= sent if isinstance(sent, dict) else {"body": sent}
            position = given.pop("min_position", None)
            if position is None:
                return view(**given)
            g.request_context = request_context()._replace(reached=_wait_for(position))
            return _at_least(position, lambda: view(**given))

        shown: Any = endpoint
        shown.access = access
        shown.operation = declared
        found: ViewT = shown
        return found

    return declare


def _at_least(position: int, answer: Callable[[], Response]) -> Response:
    """Return an answer once all that it reads is of a position or a later one.

    It may read on another connection than `_wait_for`, and of a standby that lags.

    Raises:
        PositionNotReached: not within the time that a request may wait.
    """

    def attempt() -> Response:
        with at_least(position):
            return answer()

    try:
        return attempt()
    except PositionNotReached as lags:
        reached = lags
    with waiting.slot() as may_wait:
        deadline = time.monotonic() + (app_state().position_wait_s if may_wait else 0.0)
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            try:
                return attempt()
            except PositionNotReached as lags:
                reached = lags
    raise reached


def _check_path(given: Mapping[str, str]) -> None:
    """Hold the parts of the path to their patterns, before anything else is read."""
    errors = []
    for name, value in given.items():
        if _PATTERNS[name].fullmatch(value):
            continue
        parameter = PATH_PARAMETERS[name]
        if parameter.refusal:
            raise parameter.refusal
        errors.append(FieldError(f"/{name}", f"must match {parameter.pattern}"))
    if errors:
        raise InvalidRequest(*errors)


def _wait_for(position: int) -> int:
    """Wait until the ledger has come to a position; return where it is then.

    It is not waited for what is further ahead than could be, nor when too many wait already.
    """
    head = services().book.head()
    if head >= position:
        return head
    with waiting.slot() as may_wait:
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
