"""What projections and commands answer, as the JSON that is sent: plain dictionaries.

The command line prints the same with `--json`. web/api/schemas/responses.py documents them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from web.app.times import iso, iso_or_none

if TYPE_CHECKING:
    # The command line writes answers too, and most commands need few of these.
    from commands.issue_keys import Issued, IssuedKey
    from commands.redeem_key import Validated
    from commands.reissue_key import Reissued
    from commands.reveal_codes import Revealed
    from ledger.catalog import Catalog
    from projections.lists.keys import KeyPage, KeyView
    from projections.views.account_at import Moment
    from projections.views.billing import BillingView

Answer = dict[str, Any]


# Keys


def issued(batch: Issued) -> Answer:
    return {"batch": batch.batch, "keys": _codes(batch.keys)}


def revealed(batch: Revealed) -> Answer:
    return {"keys": _codes(batch.keys)}


def reissued(key: Reissued) -> Answer:
    return {"id": key.id, "code": key.code, "masked": key.masked}


def key(view: KeyView) -> Answer:
    return _written(view._asdict())


def keys(page: KeyPage, following: str | None) -> Answer:
    return {"items": [key(view) for view in page.keys], "next": following}


def validated(found: Validated, catalog: Catalog) -> Answer:
    product = catalog.product(found.issued.product)
    return {
        "product": found.issued.product,
        "product_name": product.name if product else found.issued.product,
        "tier": found.issued.tier,
        "tier_name": product.tier_name(found.issued.tier) if product else found.issued.tier,
        "seats": found.issued.seats,
        "months": found.issued.months,
        "expires_if_activated_now": iso(found.expires_if_activated_now),
    }


def _codes(issued_keys: Iterable[IssuedKey]) -> list[Answer]:
    return [{"id": id, "code": code, "masked": masked} for id, code, masked in issued_keys]


# Accounts


def of_account(account: str, moment: Moment, position: int) -> Answer:
    """What every answer about an account begins with."""
    at, known = moment.at, moment.known
    as_of = iso(at)
    return {
        "account": account,
        "as_of": as_of,
        "known_at": as_of if known is at else iso(known),
        "position": position,
    }


def billing(view: BillingView) -> Answer:
    return {
        **of_account(view.account, view.moment, view.position),
        "status": view.status,
        "live": view.live,
        "fetched_at": iso(view.fetched_at),
        "currency": view.currency,
        "interval": view.interval,
        "seats": view.seats._asdict(),
        "lines": [line._asdict() for line in view.lines],
        "total": view.total,
        "totals": [_written(total._asdict()) for total in view.totals],
        "next_invoice_at": iso_or_none(view.next_invoice_at),
        "invoices": [_written(invoice._asdict()) for invoice in view.invoices],
        "can_manage": view.can_manage,
        "notice": view.notice,
    }


def _written(fields: Answer) -> Answer:
    """Answer the fields with every time written out."""
    return {
        name: iso(value) if isinstance(value, datetime) else value for name, value in fields.items()
    }
