"""A change of seats that Stripe is asked for: when a call without an answer may still be made.

    on record       what is asked for, at a version of the account's stream that makes its key
    called          under that idempotency key
    on record       what came of it: done, refused, or given up

Whoever comes upon a call without an answer on record reads the subscription at Stripe first:

    as it was asked for             it was made; that is recorded
    not so, and under way perhaps   the same call again under the same key if that is still wanted;
                                    else it has to be waited for
    not under way any more          given up, and decided anew under another key: for a day Stripe
                                    may answer this one with the failure that it answered first

Source: docs/adr/0012-asked-before-it-is-asked.md
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# Longer than all tries of one call to Stripe together take.
UNDER_WAY_MAX: Final = timedelta(minutes=2)


def may_be_under_way(began_at: datetime, now: datetime) -> bool:
    """Return whether a call that was begun then may reach Stripe yet.

    One that was begun in the future was begun by a clock that is ahead, by no more than this.
    """
    return abs(now - began_at) <= UNDER_WAY_MAX
