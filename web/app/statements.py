"""A reseller's month, as the API, the console and the command line give it."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import astuple

from commands.make_statement import make_statement
from ledger.events import RequestContext
from ledger.refusals import ResellerNotFound
from ledger.reseller_names import folded
from ledger.streams.reseller import Reseller, StatementMade
from projections.lists.reseller_names import first_spelling
from projections.lists.statements import ResellerStatement, StatementLine, draw_up, statement_view
from web.app.services import Wiring

STATEMENT_COLUMNS: Final = ("reseller", "month", "position", *StatementLine.__struct_fields__)
# In the place of a product, none of which is written so.
TOTAL: Final = "TOTAL"


def statement_of(
    wiring: Wiring, context: RequestContext, reseller: str, month: str
) -> ResellerStatement:
    """Return what happened to a reseller's keys in a month; of one that is over, for ever the same.

    Args:
        reseller: in whatever spelling.

    Raises:
        ResellerNotFound: nobody was ever named so.
    """
    book, tables = wiring.services.book, wiring.tables
    name = first_spelling(book, tables, folded(reseller))
    if name is None:
        raise ResellerNotFound

    def drawn_up(state: Reseller) -> StatementMade:
        return draw_up(book, tables, state, name, month, context.now)

    return statement_view(name, make_statement(wiring.services, context, name, month, drawn_up))


def statement_rows(statement: ResellerStatement) -> list[list[Any]]:
    """Return a statement as a table: a row for each line, and one with the sums of all."""
    of = [statement.reseller, statement.month, statement.position]
    rows = [[*of, *astuple(line)] for line in statement.lines]
    return [*rows, [*of, TOTAL, None, None, *astuple(statement.totals)]]
