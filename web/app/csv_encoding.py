"""Responses as tables: CSV as spreadsheets read it, and never as formulas.

A text that begins like a formula is written with an apostrophe before it, which spreadsheets take
for "this is text"; numbers are written as they are.

Source: RFC 4180; OWASP, CSV Injection.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from flask import Response, request, stream_with_context
from werkzeug.datastructures import MIMEAccept

from commands.validation import FORMULA_STARTS
from web.app.json_encoding import to_plain
from web.app.times import iso

CSV_TYPE: Final = "text/csv; charset=utf-8"
# Excel takes a file without it for one in the machine's own encoding.
BYTE_ORDER_MARK: Final = "\ufeff"
_STARTS: Final = (*FORMULA_STARTS, "\t", "\r")


def safe_cell(value: Any) -> Any:
    """Return a cell as it is written: times as in JSON, and no text that could be a formula."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return iso(value)
        case dict() | list() | msgspec.Struct():
            return msgspec.json.encode(to_plain(value)).decode()
        case str():
            return f"'{value}" if value.startswith(_STARTS) else value
    return value


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n") -> str:
    """Return rows under their columns as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    if columns:
        writer.writerow(columns)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def csv_is_wanted() -> bool:
    """Return whether who asks would rather have a table than JSON.

    What else they say of it, such as `charset=utf-8`, makes no difference: there is one table.
    """
    bare = [(kind.partition(";")[0].strip(), q) for kind, q in request.accept_mimetypes]
    return MIMEAccept(bare).best_match(["application/json", "text/csv"]) == "text/csv"


def csv_reply(
    columns: Sequence[str],
    pages: Iterable[Iterable[Sequence[Any]]],
    name: str,
    *,
    position: int | None = None,
) -> Response:
    """Return a response with a table that a browser puts into a file, sent page by page.

    Args:
        name: of the file, without `.csv`.
        position: of the ledger, that the table is of.
    """

    def body() -> Iterator[str]:
        yield BYTE_ORDER_MARK + csv_lines(columns, (), "\r\n")
        for page in pages:
            yield csv_lines((), page, "\r\n")

    # What is read for a later page is read for this very request.
    response = Response(stream_with_context(body()), content_type=CSV_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.headers["Vary"] = "Accept"
    if position is not None:
        response.headers["Keyfold-Position"] = str(position)
    return response
