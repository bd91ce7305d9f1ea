"""What became different, and why something is as it is."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response

from ledger.refusals import FieldError, InvalidRequest
from projections.lists.overview import Overview, overview
from projections.views.account_at import Moment
from projections.views.diff import DiffView, diff, diff_view
from projections.views.explain import Explanation, explain_holder
from projections.views.explain_code import Asked, explain_code
from web.api.accounts import READERS, account_version, hold_to_pools, read_account
from web.api.operations import Returns, operation
from web.api.schemas import questions as schemas
from web.api.schemas import requests
from web.api.timeline import visibility
from web.app.auth import ADMIN, AUDITOR, PORTAL, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.errors import FORBIDDEN, HttpProblem
from web.app.responses import reply

blueprint = Blueprint("questions", __name__, url_prefix="/v1")


@blueprint.get("/accounts/<account>/diff")
@operation(
    access=READERS,
    query=schemas.DiffQuery,
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
    query=requests.ReadQuery,
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
    query=requests.AccountQuery,
    body=schemas.Explain,
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
        hold_to_pools(read_account(account, **times).account, product, None)
        found = explain_holder(book, account, moment, catalog, product, holder)
    elif caller().role == PORTAL:
        raise HttpProblem(FORBIDDEN, "codes are not explained to tokens of role portal")
    else:
        wanted = Asked(code, session, product)
        found = explain_code(book, account, moment, catalog, services().codes, wanted)
    return reply(found, version=version)
