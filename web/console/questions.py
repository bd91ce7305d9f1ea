"""What became different between two moments, and why a holder, a seat or a code is as it is."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from ledger.refusals import FieldError, InvalidRequest, Refusal
from projections.account_at import Moment, account_at
from projections.diff import Diff, diff
from projections.explain import Explanation, explain_holder
from projections.explain_code import Asked, explain_code
from web import telling
from web.answers import Answer
from web.console import accounts, asking
from web.console.refused import saying
from web.console.showing import page
from web.console.timelines import Told, at_positions, tell
from web.context import ports, stamp
from web.v1.accounts import hold_to_pools
from web.v1.timeline import sight

# So many differences are told; between moments so far apart, nobody reads more.
LINES_MAX: Final = 200


def show_diff(account: str) -> Response:
    """Show what became different between two moments of an account."""
    account = asking.account_id(account)
    start = asking.moment("from", asking.asked("from"))
    end = asking.moment("to", asking.asked("to"))
    known_at = asking.moment("known_at", asking.asked("known_at"))
    if start is None:
        raise InvalidRequest(FieldError("/from", "is missing"))
    if end is not None and start > end:
        start, end = end, start
    found = diff(
        ports().book, account, ports().catalog, start, end, now=stamp().now, known_at=known_at
    )
    shown = found._replace(differences=found.differences[:LINES_MAX])
    return page(
        "diff.html",
        account=account,
        found=found,
        lines=list(zip(_changes(shown), _causes(shown), strict=True)),
        left_out=len(found.differences) - len(shown.differences),
    )


def explain(account: str) -> Response:
    """Explain a holder, a seat or a code; it is asked in a form, since it may hold a code."""
    account = asking.account_id(account)
    try:
        found = _explained(account)
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    because = tell(at_positions(found.positions))
    product = request.form.get("product")
    products = list(accounts.products(account_at(ports().book, account, Moment(stamp().now))))
    return page(
        "explanation.html",
        account=account,
        found=found,
        because=because,
        products=products,
        product=product,
        holder=asking.sent("holder"),
        as_of=found.moment.as_of,
    )


def _explained(account: str) -> Explanation:
    """Answer the explanation that a form asks for.

    Raises:
        InvalidRequest: neither a holder nor a code, or a time that is none.
    """
    product, holder, code = (asking.sent(name) for name in ("product", "holder", "code"))
    as_of = asking.moment("as_of", asking.sent("as_of"))
    moment = Moment(stamp().now, as_of, asking.moment("known_at", asking.sent("known_at")))
    book, catalog = ports().book, ports().catalog
    if code is not None:
        wanted = Asked(code, None, None)
        return explain_code(book, account, moment, catalog, ports().codes, wanted)
    if holder is None or product is None:
        raise InvalidRequest(FieldError("/holder", "is missing: enter a holder or a code"))
    hold_to_pools(account_at(book, account, moment).account, product, None)
    return explain_holder(book, account, moment, catalog, product, holder)


def _changes(found: Diff) -> list[Answer]:
    changes: list[Answer] = telling.diff(found, sight().texts)["items"]
    return changes


def _causes(found: Diff) -> list[list[Told]]:
    return [tell(at_positions(one.positions)) for one in found.differences]
