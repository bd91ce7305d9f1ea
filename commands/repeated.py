"""Requests that carry an idempotency key, and are repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from commands.retry import Decided, retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext, Stream
from ledger.loaded import Loaded, empty_stream
from ledger.reseller_names import folded
from ledger.streams import request
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.request import (
    REQUEST,
    Answered,
    ChangeAnswered,
    Kept,
    KeptKey,
    ManyKeys,
)

Asked = Loaded[Kept | None]


def kind_of(request: str, reseller: str | None) -> str:
    """Return a kind of request as one who asks makes it.

    One reseller's keys of requests are none of another's; the vendor's (None) are one.
    """
    return request if reseller is None else f"{request} by {folded(reseller)}"


class Asking:
    """A request that may have an idempotency key, with what to know a repetition of it by.

    Attributes:
        fingerprint: keyed digest of the whole request.
        streams: where its answer is kept; none without an idempotency key.
    """

    def __init__(
        self, services: Services, kind: str, idempotency_key: str | None, *whole: str
    ) -> None:
        self.fingerprint = codes.digest(services.request_key, kind, *whole)
        self.streams: list[tuple[Stream[Any], str]] = []
        if idempotency_key:
            id = codes.digest(services.request_key, kind, idempotency_key)
            self.streams.append((REQUEST, id))

    def answered(self, asked: list[Asked]) -> Answered | None:
        """Return what the request was answered before, or None when it is new.

        Args:
            asked: its `streams`, as loaded.

        Raises:
            IdempotencyKeyReused: the key was used with another request.
        """
        return request.repeated(asked[0].state, self.fingerprint) if asked else None

    def worked_on(self, asked: Sequence[Asked]) -> ManyKeys | None:
        """Return what was done of a request about many keys before, or None when it is new.

        Raises:
            IdempotencyKeyReused: as `answered`.
        """
        return request.repeated_work(asked[0].state, self.fingerprint) if asked else None

    def chosen(
        self,
        services: Services,
        context: RequestContext,
        find: Callable[[], tuple[Sequence[str], Sequence[KeptKey]]],
    ) -> ManyKeys:
        """Return a request about many keys, with the keys that it is about.

        With an idempotency key, that is on record from its first try on, so that what is issued
        later is none of them.

        Args:
            find: returns the keys that it is about now, and those to be left as they are.

        Raises:
            IdempotencyKeyReused: as `answered`.
        """

        def attempt() -> ManyKeys:
            asked = self.load(services)
            before = self.worked_on(asked)
            if before is not None and (before.finished or before.chosen is not None):
                return before
            keys, kept = find()
            facts = request.choose(before, self.fingerprint, keys, kept)
            if asked:
                services.book.append(context, *(Change(one, facts) for one in asked))
            return ManyKeys(self.fingerprint, tuple(keys), kept=tuple(kept))

        return retry_on_conflict(attempt)

    def load(self, services: Services) -> list[Asked]:
        """Return where its answer is kept; nothing without an idempotency key."""
        return list(services.book.load_all(*self.streams)) if self.streams else []

    def changed(
        self, services: Services, asked: list[Asked], loaded: Loaded[Any]
    ) -> Decided[Any] | None:
        """Return a stream as the same request left it before, or None when it is new.

        Args:
            loaded: the stream as it is now.

        Raises:
            IdempotencyKeyReused: as `answered`.
        """
        done = request.repeated_change(asked[0].state, self.fingerprint) if asked else None
        if done is None:
            return None
        head, events = services.book.history(loaded.stream, loaded.id)
        then = empty_stream(loaded.stream, loaded.id).after(events[: done.version])
        return Decided(then, head, replayed=True)

    def answer(self, asked: list[Asked], changed: Change) -> list[Change]:
        """Return what keeps the answer to a request, for the one that repeats it."""
        loaded = changed.loaded
        answered = ChangeAnswered(
            fingerprint=self.fingerprint,
            stream=loaded.name,
            version=loaded.version + len(changed.facts),
        )
        return [Change(one, [answered], causation=loaded.next_event) for one in asked]


def account_then(
    services: Services, answered: Answered, asked: Asked
) -> tuple[Loaded[Account], datetime, int]:
    """Return the account as it was when a request was answered, when that was, and the head now.

    An answer may tell of an account to which nothing was added: what it says is that of the moment
    when it was given.

    Args:
        asked: where the answer is kept.
    """
    head, events = services.book.history(ACCOUNT, answered.account)
    then = events[: answered.account_version]
    account = empty_stream(ACCOUNT, answered.account, head).after(then)
    return account, asked.recorded_at or then[-1].occurred_at, head
