"""Which threads a request may have, by its method and address.

A request that may wait for somebody else, be it Stripe or the next event, must not hold a thread
that "may this one work right now?" needs. So these are told apart before a thread is taken, from
nothing but the request's first line.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import unquote_plus

# health: whether the process responds. metrics: figures.
# seat: may this one work right now? read: other reads that call nobody.
# wait: reads that wait for events or a moment. page: reads that may ask Stripe.
# webhook: what Stripe delivers. change: all else.
# refusal: what is refused without being looked at.
Share = Literal["health", "metrics", "seat", "read", "wait", "page", "webhook", "change", "refusal"]

WAITING_MAX: Final = 4

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SEAT: Final = re.compile(r"/v1/accounts/[^/]+/seats/[^/]+/[^/]+")
_WEBHOOK: Final = "/webhooks/stripe"
_ASKS_STRIPE: Final = re.compile(r"/v1/accounts/[^/]+/billing")
_WAITS: Final = re.compile(r"(?:^|&)(?:wait|min_position)=")
# Its end may be just ahead.
_NOTICES: Final = re.compile(r"/v1/notices")
_HAS_END: Final = re.compile(r"(?:^|&)to=")


def share_of(method: str, path: str, query: str) -> Share:
    """Return which threads a request is for.

    Args:
        path: percent-decoded.
        query: as it was sent.
    """
    if path == "/healthz":
        return "health"
    if method not in _READS:
        return "webhook" if path == _WEBHOOK else "change"
    if path == "/metrics":
        return "metrics"
    if path == "/readyz":
        return "read"
    if not path.startswith("/v1/") or _ASKS_STRIPE.fullmatch(path):
        return "page"
    asked = unquote_plus(query)
    if _WAITS.search(asked) or (_NOTICES.fullmatch(path) and _HAS_END.search(asked)):
        return "wait"
    return "seat" if _SEAT.fullmatch(path) else "read"


def webhooks_of(slots: int) -> int:
    """Return how many of the slots for calls to Stripe are for what it delivers."""
    return max(1, slots // 4)


def half_of(threads: int) -> int:
    """Return how many of some threads may wait for one thing at once: half, but few."""
    return max(1, min(WAITING_MAX, threads // 2))
