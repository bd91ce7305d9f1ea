"""Tables as CSV, as spreadsheets read it, and never as formulas.

A text that begins like a formula is written with an apostrophe before it, which spreadsheets take
for "this is text"; numbers are written as they are.

Source: RFC 4180; OWASP, CSV Injection.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from commands.validation import FORMULA_STARTS
from web.app.json_encoding import to_plain
from web.app.times import iso

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
