"""A store in which one method fails, to see what becomes of it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from ledger.store import Recorder
from tests.web.api import Api


class Faulty:
    """Raises an error from one method; the others are the store's own."""

    def __init__(self, store: Recorder, method: str, error: Exception) -> None:
        self._store = store
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._store, name)

    def _fail(self, *_args: Any, **_kwargs: Any) -> Any:
        raise self._error


@contextmanager
def failing(api: Api, method: str, error: Exception) -> Iterator[None]:
    """Let the ledger's store fail in one method meanwhile."""
    book = api.services.book
    store = book.store
    book.store = cast(Recorder, Faulty(store, method, error))
    yield
    book.store = store
