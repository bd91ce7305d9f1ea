"""What became different between two moments, and why a holder, a seat or a code is as it is."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.translation import gettext as _
from projections.lists.timeline import DescribedEvent
from projections.views.account_at import Moment, account_at
from projections.views.diff import Diff, diff, diff_view
from projections.views.explain import Explanation, explain_holder
from projections.views.explain_code import CodeQuestion, explain_code
from web.api.accounts import check_pools
from web.api.timeline import visibility
from web.app.context import request_context, services
from web.console import accounts, parameters
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import STAFF, roles_required
from web.console.timeline import at_positions, tell
from web.html.rendering import page

# So many differences are told; between moments so far apart, nobody reads more.
LINES_MAX: Final = 200


@bp.get("/accounts/<account>/diff")
@roles_required(*STAFF)
def show_diff(account: str) -> Response:
    """Show what became different between two moments of an account."""
    account = parameters.account_id(account)
    start = parameters.time("from", parameters.query("from"))
    end = parameters.time("to", parameters.query("to"))
    known_at = parameters.time("known_at", parameters.query("known_at"))
    if start is None:
        raise InvalidRequest(FieldError("/from", _("is missing")))
    if end is not None and start > end:
        start, end = end, start
    found = diff(
        services().book,
        account,
        services().catalog,
        start,
        end,
        now=request_context().now,
        known_at=known_at,
    )
    shown = found._replace(differences=found.differences[:LINES_MAX])
    return page(
        "console/diff.html",
        account=account,
        found=found,
        lines=list(zip(diff_view(shown, visibility().texts).items, _causes(shown), strict=True)),
        left_out=len(found.differences) - len(shown.differences),
    )


@bp.post("/accounts/<account>/explain")
@roles_required(*STAFF)
def explain(account: str) -> Response:
    """Explain a holder, a seat or a code; it is asked in a form, since it may hold a code."""
    account = parameters.account_id(account)
    try:
        found = _explained(account)
    except Refusal as refusal:
        return accounts.show_account(account, refusal_message(refusal))
    because = tell(at_positions(found.positions))
    product = request.form.get("product")
    products = list(
        accounts.products(account_at(services().book, account, Moment(request_context().now)))
    )
    return page(
        "console/explanation.html",
        account=account,
        found=found,
        because=because,
        products=products,
        product=product,
        holder=parameters.form("holder"),
        as_of=parameters.time("as_of", parameters.form("as_of")),
    )


def _explained(account: str) -> Explanation:
    """Return the explanation that a form asks for.

    Raises:
        InvalidRequest: neither a holder nor a code, or a time that is none.
    """
    product, holder, code = (parameters.form(name) for name in ("product", "holder", "code"))
    as_of = parameters.time("as_of", parameters.form("as_of"))
    moment = Moment(
        request_context().now, as_of, parameters.time("known_at", parameters.form("known_at"))
    )
    book, catalog = services().book, services().catalog
    if code is not None:
        wanted = CodeQuestion(code, None, None)
        return explain_code(book, account, moment, catalog, services().codes, wanted)
    if holder is None or product is None:
        raise InvalidRequest(FieldError("/holder", _("is missing: enter a holder or a code")))
    check_pools(account_at(book, account, moment).account, product, None)
    return explain_holder(book, account, moment, catalog, product, holder)


def _causes(found: Diff) -> list[list[DescribedEvent]]:
    return [tell(at_positions(one.positions)) for one in found.differences]
