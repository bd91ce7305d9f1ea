"""Whose an event of a key or an account is, for webhooks that are told of one reseller's keys."""

from __future__ import annotations

from typing import Final

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.account.facts import (
    SubscriptionActivated,
    SubscriptionChange,
    SubscriptionImported,
    SubscriptionKeyReissued,
    SubscriptionScheduled,
    SubscriptionTakenOver,
)
from ledger.streams.key import KEY, Key, KeyIssued, KeyRedeemed
from ledger.streams.key import stream_id as key_stream_id

_OF_KEYS: Final = (
    SubscriptionActivated
    | SubscriptionImported
    | SubscriptionScheduled
    | SubscriptionTakenOver
    | SubscriptionKeyReissued
    | SubscriptionChange
)


def gave(book: Book, event: AnyEvent) -> str | None:
    """Return whose key gave the subscription that an event of an account is about."""
    fact = event.fact
    return reseller_of(book, fact.subscription) if isinstance(fact, _OF_KEYS) else None


def reseller_of(book: Book, subscription: str) -> str | None:
    """Return whose key first gave a subscription; None for one that no key did."""
    # It bears the digest of that key.
    key = book.load(KEY, subscription.removeprefix("kfsub_")).state
    return key.issued.reseller if key is not None else None


def whose(book: Book, event: AnyEvent, named: bool) -> tuple[str | None, set[str | None]]:
    """Return the account that a key was redeemed on when an event happened to it, and its resellers
    just before and just after: it may have been given to another.

    Args:
        named: whether the resellers are asked for.
    """
    match event.fact:
        case KeyIssued(reseller=reseller):
            return None, {reseller}
        case KeyRedeemed(account=account) if not named:
            return account, {None}
    before, after = key_around(book, event)
    resellers: set[str | None] = {one.issued.reseller for one in (before, after) if one is not None}
    return after.redeemed_by if after else None, resellers


def key_around(book: Book, event: AnyEvent) -> tuple[Key | None, Key | None]:
    """Return a key as it was just before and just after something happened to it."""
    id = key_stream_id(event.stream.replace("key-", "key_", 1))
    _, events = book.occurrences(KEY, id)
    until = [one for one in events if one.version <= event.version]
    before = KEY.fold(KEY.initial, until[:-1])
    return before, KEY.fold(before, until[-1:])
