"""The Billing view as it is answered and shown: read from Stripe if that can be done in time."""

from __future__ import annotations

import logging

from commands.gateways.stripe_billing import FAULTS, TooMuchToRead, read_billing
from commands.services import Services
from projections.views import billing as billed
from projections.views.account_at import AccountAt
from projections.views.billing import INVOICES_MAX, Billing, Live, Unread
from web.app.context import request_id, services

_log = logging.getLogger("keyfold.billing")


def billing_view(found: AccountAt) -> Billing:
    """Return what an account pays, as the current request reads it: see `read_view`."""
    return read_view(services(), found, request_id())


def read_view(services: Services, found: AccountAt, request_id: str) -> Billing:
    """Return what an account pays; from the ledger when Stripe cannot be reached within 5 s.

    Only the present is read from Stripe: what held at another moment, only the ledger knows.
    """
    moment, about = found.moment, billed.about(found)
    past = moment.as_of is not None or moment.known_at is not None
    if services.stripe is None or past or not (about.subscriptions or about.customers):
        return billed.billing(found, services.catalog)
    unread: Unread = "unreachable"
    try:
        live = Live(*read_billing(services.stripe, *about, invoices=INVOICES_MAX))
        return billed.billing(found, services.catalog, live)
    except TooMuchToRead as fault:
        unread = "too_many"
        _log.info("billing from the ledger: %s", fault, extra={"request_id": request_id})
    except FAULTS as fault:
        _log.warning("billing from the ledger: %s", fault, extra={"request_id": request_id})
    return billed.billing(found, services.catalog, unread=unread)
