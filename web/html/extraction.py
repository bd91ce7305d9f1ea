"""Texts that stand in no `_()`, for Babel: titles of refusals, names of events, counted things."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger import codec
from ledger.refusals import refusals
from projections.text.formatting import COUNTED, ERASED, NOT_SHOWN
from projections.text.words import event_kind
from web.app import errors
from web.app.errors import ProblemType

Found = tuple[int, str | None, str | tuple[str, str], list[str]]


def domain_texts(_file: Any, _keywords: Any, _tags: Any, options: Any) -> Iterator[Found]:  # noqa: ARG001
    """Return every such text as Babel's methods of extraction do, whichever file is read."""
    titles = {one.__new__(one).title for one in refusals().values()}
    titles |= {one.title for one in vars(errors).values() if isinstance(one, ProblemType)}
    kinds = {event_kind(name) for name in codec.FACTS}
    for text in sorted({*titles, *kinds, ERASED, NOT_SHOWN}):
        yield 1, None, text, []
    for forms in COUNTED:
        yield 1, "ngettext", forms, []
