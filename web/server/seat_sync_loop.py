"""Billed seats, kept in step with Stripe for as long as a server runs.

    with seat_sync_loop.running():
        …

One thread for a server, in the process that looks after its workers. It remembers nothing: what
there is to do is read from the ledger, each time anew, so that one that was killed has lost
nothing. Servers that share a ledger each have one, and whoever records a step first takes it.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from commands.sync_billed_seats import sync_seats
from projections.lists.stripe_subscriptions import list_stripe
from web.app.causes import cause_of
from web.app.logs import log_to_stderr
from web.app.request_hooks import new_request_id
from web.app.services import Wiring, wire
from web.app.settings import Settings, read_settings

ACTOR: Final = "seat_sync"
ROUND_S_MAX: Final = 15.0
ROUND_S_MIN: Final = 0.5
BACK_OFF_S_MAX: Final = 300.0
# So many accounts in a row, and it is not the accounts.
FAILED_MAX: Final = 3
_DOUBLINGS_MAX: Final = 10
# As long as a call to Stripe may take; what is cut off is carried on by the next server.
STOP_S_MAX: Final = 20.0

_log = logging.getLogger("keyfold.seat_sync")


@contextmanager
def running(settings: Settings | None = None) -> Iterator[None]:
    """Return a context in which billed seats are kept in step, where a product has any."""
    settings = settings or read_settings()
    if settings.stripe.api_key is None or not any(one.billed for one in settings.catalog.products):
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(settings, stop), name="seat_sync", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_S_MAX)


def billed_accounts(wiring: Wiring) -> list[str]:
    """Return the accounts that have, or had, seats billed by Stripe."""
    listed = list_stripe(wiring.services.book, wiring.tables)
    return sorted({one.account for one in listed if one.billed and one.account})


def _run(settings: Settings, stop: threading.Event) -> None:
    log_to_stderr()
    every_s = min(max(settings.seat_sync_quiet_s / 4, ROUND_S_MIN), ROUND_S_MAX)
    wiring: Wiring | None = None
    failed = 0
    # Servers that were started together do not stay together.
    while not stop.wait(_pause_s(every_s, failed) * random.uniform(0.8, 1.2)):  # noqa: S311
        try:
            wiring = wiring or wire(settings)
            reached = _round(wiring, stop)
        except Exception as error:  # whatever it is: nobody else bills these seats
            _complain(error)
            reached = False
        failed = 0 if reached else failed + 1
    if wiring is not None:
        wiring.close()


def _pause_s(every_s: float, failed: int) -> float:
    return min(every_s * (1 << min(failed, _DOUBLINGS_MAX)), BACK_OFF_S_MAX)


def _round(wiring: Wiring, stop: threading.Event) -> bool:
    """Bring every account into step; return whether Stripe and the ledger could be reached."""
    failed = 0
    for account in billed_accounts(wiring):
        if stop.is_set() or failed == FAILED_MAX:
            break
        try:
            _sync(wiring, account)
            failed = 0
        except Exception as error:  # what one account has must not keep the others waiting
            _complain(error)
            failed += 1
    return not failed


def _sync(wiring: Wiring, account: str) -> None:
    request_id = new_request_id()
    quiet = timedelta(seconds=wiring.settings.seat_sync_quiet_s)
    sync_seats(wiring.services, lambda: wiring.request_context(ACTOR, request_id), account, quiet)


def _complain(error: Exception) -> None:
    """Log that seats wait, and what for."""
    _log.warning("seats could not be synced: %s", cause_of(error))
