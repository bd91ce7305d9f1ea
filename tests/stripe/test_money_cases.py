"""Whatever was bought at Stripe, Billing shows what a period costs, or that it is not known."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from commands.record_stripe_event import record_event
from ledger.catalog import builtin
from ledger.stripe.objects import read_event
from projections.views import billing as billed
from projections.views.account_at import Moment, account_at
from projections.views.billing import BillingView, Live
from tests.stripe.money_cases import Case
from tests.worlds import context, services

IN_EVERY_RUN = 200
LONG_RUN = 10_000
AT_ONCE = 100


def views(case: Case) -> Iterator[tuple[str, BillingView]]:
    """Return the Billing view as the ledger has it, and as Stripe answers."""
    world = services()
    for told in case.events:
        record_event(world, context(case.now), read_event(told), "webhook")
    asked = account_at(world.book, case.account, Moment(case.now, None, None))
    yield "ledger", billed.billing(asked, builtin()).view
    live = Live(
        {one.id: case.told(one, expanded=True) for one in case.subscriptions},
        {one.id: case.preview(one) for one in case.subscriptions},
        [],
    )
    yield "live", billed.billing(asked, builtin(), live).view
    yield "without previews", billed.billing(asked, builtin(), live._replace(previews={})).view


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= IN_EVERY_RUN else [])
        for first in range(0, LONG_RUN, AT_ONCE)
    ],
)
def test_the_amount_is_right_or_it_is_not_told_and_the_notice_says_why(first: int) -> None:
    known: Counter[tuple[str, bool]] = Counter()
    for seed in range(first, first + AT_ONCE):
        case = Case(random.Random(seed), f"acme-{seed}")
        right, next_invoices = case.bills(), case.next_invoices()
        for source, view in views(case):
            about = f"seed {seed}, {source}"
            told = {(one.currency, one.interval, one.interval_count): one for one in view.totals}
            assert told.keys() == right.keys(), about
            for place, one in told.items():
                if one.total is not None:
                    assert one.total == right[place], about
                    its = [
                        line.amount
                        for line in view.lines
                        if (line.currency, line.interval, line.interval_count) == place
                    ]
                    assert None not in its, about
                    assert sum(filter(None, its)) == one.total, about
                else:
                    assert view.notice, about
                    assert not case.plain, about
                assert one.next_invoice_at == next_invoices[place], about
                if right[place] is not None:
                    known[source, one.total is not None] += 1
            only = view.totals[0].total if len(right) == 1 else None
            assert view.total == (only if right else 0), about
    # Worth something: Stripe is believed nearly always, and the ledger knows many of these.
    assert known["live", True] > 4 * known["live", False], known
    assert 3 * known["ledger", True] > known["ledger", False], known
