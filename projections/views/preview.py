"""What would become different in an account if facts were recorded now; nothing is.

Key POS-••••-••••-AAAA is suspended, was active: 2 Cloud POS seats
Holder till-1 may not work any more in Cloud POS: nothing active provides seats
Cloud POS: seats 2 → 0, over 0 → 1
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.catalog import Catalog
from ledger.events import Fact, Occurrence
from ledger.streams.account.stream import ACCOUNT
from projections.views.account_at import AccountAt
from projections.views.diff import differences


def preview(found: AccountAt, facts: Iterable[Fact], catalog: Catalog) -> list[str]:
    """Return a sentence for each thing that these facts would make different."""
    now = found.moment.at
    to_come = [
        Occurrence(fact=fact, recorded_at=now, occurred_at=now, version=version)
        for version, fact in enumerate(facts, start=found.version + 1)
    ]
    after = found._replace(account=ACCOUNT.fold(found.account, to_come), derived=None)
    return [one.summary for one in differences(found, after, [], catalog)]
