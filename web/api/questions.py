"""What became different, and why something is as it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import marshmallow as ma
from flask import Blueprint, Response

from ledger.limits import HOLDER_ID, SESSION_ID
from ledger.refusals import FieldError, InvalidRequest
from projections.lists.overview import Overview, overview
from projections.views.account_at import Moment
from projections.views.diff import DiffView, diff, diff_view
from projections.views.explain import Explanation, explain_holder
from projections.views.explain_code import CodeQuestion, explain_code
from web.api.accounts import READERS, account_version, check_pools, read_account
from web.api.operations import Returns, operation
from web.api.request_fields import REQUIRED, Shape, Text, Time, matching
from web.api.requests import OF_CATALOG, PRODUCT_ID, AccountQuery, ReadQuery
from web.api.timeline import visibility
from web.app.auth import ADMIN, AUDITOR, PORTAL, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.errors import FORBIDDEN, HttpProblem
from web.app.responses import reply

blueprint = Blueprint("questions", __name__, url_prefix="/v1")


class DiffQuery(ReadQuery):
    start = Time("The moment to begin at.", required=True, data_key="from")
    end = Time("The moment to end at; now if left out. It may be a later one.", data_key="to")
    known_at = Time("Use only what had been recorded by then; now if left out.")


class Explain(Shape):
    """A holder of a product, or a code."""

    example: ClassVar = {"product": "cloud_pos", "holder": "till-1"}

    product = Text(
        "Of the holder; or, with a code, the product that it is wanted for.",
        load_default=None,
        validate=matching(PRODUCT_ID),
        document={OF_CATALOG: "products"},
    )
    holder = Text(load_default=None, validate=matching(HOLDER_ID))
    code = Text("As it was typed; it is neither logged nor kept.", load_default=None)
    session = Text(
        "With a code: the sitting in which it was tried.",
        load_default=None,
        validate=matching(SESSION_ID),
    )

    @ma.validates_schema
    def _one_thing(self, data: dict[str, Any], **_: Any) -> None:
        if data["code"] is not None:
            wrong = ("holder",) if data["holder"] is not None else ()
            why = "must be left out with a code"
        elif data["holder"] is None:
            wrong, why = ("holder",), f"{REQUIRED}: name a holder and its product, or a code"
        else:
            wrong = ("product",) if data["product"] is None else ()
            why = REQUIRED
            if data["session"] is not None:
                wrong, why = ("session",), "is for a code"
        if wrong:
            raise ma.ValidationError({name: [why] for name in wrong})


@blueprint.get("/accounts/<account>/diff")
@operation(
    access=READERS,
    query=DiffQuery,
    responses={200: Returns(DiffView, "What is different, and which events did it.", ("ETag",))},
)
def get_diff(
    account: str, start: datetime, end: datetime | None = None, known_at: datetime | None = None
) -> Response:
    """Tell what became different between two moments.

    `was` with every item applied is what is now. What only time did is put down to the event that
    said when it would.
    """
    if end is not None and start > end:
        raise InvalidRequest(FieldError("/from", "must not be after the end"))
    version = account_version(account)
    found = diff(
        services().book,
        account,
        services().catalog,
        start,
        end,
        now=request_context().now,
        known_at=known_at,
    )
    return reply(diff_view(found, visibility().texts), version=version)


@blueprint.get("/overview")
@operation(
    access=only(ADMIN, SUPPORT, AUDITOR),
    query=ReadQuery,
    responses={200: Returns(Overview, "How things stand now.")},
)
def get_overview() -> Response:
    """Tell how things stand over all accounts.

    Seats and keys in numbers, tries that were refused in the last 30 days, and what somebody should
    look at: what ends within 30 days, accounts with more holders than seats, and Stripe
    subscriptions with prices that mean nothing, whose items are not all known, of whose billed
    seats Stripe is not told, or of which Stripe has not been heard.
    """
    found = overview(
        services().book, app_state().wiring.tables, request_context().now, services().catalog
    )
    return reply(found)


@blueprint.post("/accounts/<account>/explain")
@operation(
    access=READERS,
    query=AccountQuery,
    body=Explain,
    responses={200: Returns(Explanation, "The rule, its facts, and the mend.", ("ETag",))},
)
def explain(
    account: str,
    product: str | None,
    holder: str | None,
    code: str | None,
    session: str | None,
    **times: datetime,
) -> Response:
    """Explain why a seat or a code was refused, or stopped working.

    With a later `as_of` it tells what will be, and because of what. To the portal it explains
    holders only: what a code is that it refused is not for it to learn.
    """
    moment = Moment(request_context().now, **times)
    book, catalog = services().book, services().catalog
    version = account_version(account)
    if code is None:
        assert product
        assert holder
        check_pools(read_account(account, **times).account, product, None)
        found = explain_holder(book, account, moment, catalog, product, holder)
    elif caller().role == PORTAL:
        raise HttpProblem(FORBIDDEN, "codes are not explained to tokens of role portal")
    else:
        wanted = CodeQuestion(code, session, product)
        found = explain_code(book, account, moment, catalog, services().codes, wanted)
    return reply(found, version=version)
