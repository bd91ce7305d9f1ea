"""Responses that are tables, for who asks for CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from flask import Response, request, stream_with_context
from werkzeug.datastructures import MIMEAccept

from web.app.csv_encoding import csv_lines

CSV_TYPE: Final = "text/csv; charset=utf-8"
# Excel takes a file without it for one in the machine's own encoding.
BYTE_ORDER_MARK: Final = "\ufeff"


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
