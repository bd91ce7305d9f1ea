"""Tell what happened to a reseller's keys in a month; of one that is over, for ever the same."""

from __future__ import annotations

from collections.abc import Callable

from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import months
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import reseller
from ledger.streams.reseller import RESELLER, Reseller, StatementMade


def make_statement(
    services: Services,
    context: RequestContext,
    name: str,
    month: str,
    draw_up: Callable[[Reseller], StatementMade],
) -> StatementMade:
    """Return what a month says: so far, or as it was told first when the month was over.

    Nothing else could make sure of it: an event that comes later may have been decided in that
    month, by a clock that was set back or a commit that took its time.

    Args:
        draw_up: reads the reseller's keys, and returns what is to be told.

    Raises:
        LedgerBusy: as `retry_on_conflict`.
    """
    id = reseller.stream_id(name)

    def attempt() -> StatementMade:
        loaded = services.book.load(RESELLER, id)
        made = loaded.state.statements.get(month)
        if made is not None:
            return made
        statement = draw_up(loaded.state)
        if context.now >= months.end_of(month):
            facts = reseller.make_statement(loaded.state, statement)
            services.book.append(context, Change(loaded, facts))
        return statement

    return retry_on_conflict(attempt)
