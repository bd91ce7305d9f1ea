"""The Billing view as it is answered and shown: read from Stripe if that can be done in time."""

from __future__ import annotations

import logging

from commands.gateways.stripe_billing import FAULTS, read_billing
from commands.ports import Ports
from projections import billing as billed
from projections.account_at import AccountAt
from projections.billing import INVOICES_MAX, BillingView, Live
from web.context import ports, request_id

_log = logging.getLogger("keyfold.billing")


def billing_view(found: AccountAt) -> BillingView:
    """Answer, in a request, what an account pays."""
    return read_view(ports(), found, request_id())


def read_view(ports: Ports, found: AccountAt, request_id: str) -> BillingView:
    """Answer what an account pays; from the ledger when Stripe cannot be reached within 5 s.

    Only the present is read from Stripe: what held at another moment, only the ledger knows.
    """
    return billed.billing(found, ports.catalog, _live(ports, found, request_id))


def _live(ports: Ports, found: AccountAt, request_id: str) -> Live | None:
    moment, about = found.moment, billed.about(found)
    if ports.stripe is None or moment.as_of is not None or moment.known_at is not None:
        return None
    if not about.subscriptions and not about.customers:
        return None
    try:
        return Live(*read_billing(ports.stripe, *about, invoices=INVOICES_MAX))
    except FAULTS as fault:
        _log.warning("billing from the ledger: %s", fault, extra={"request_id": request_id})
        return None
