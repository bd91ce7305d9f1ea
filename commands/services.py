"""What every command works with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from commands.gateways.stripe import StripeGateway
from ledger.book import Book
from ledger.catalog import Catalog
from ledger.codes import CodeKeys
from ledger.sealing import Texts
from ledger.secret import Secret


def _nobody(_: str) -> Sequence[str]:
    return ()


def _nothing(_: str) -> None:
    return None


class Services(NamedTuple):
    """The ledger and what is kept outside it; made once per process.

    Attributes:
        request_key: keyed digests of requests, by which a repetition is known.
        token_key: keyed digests of access tokens.
        person_key: keyed digests of the people who sign in at the provider.
        webhook_key: what the secrets are made of that messages to webhooks are signed with.
        random_bytes: the only source of chance.
        stripe: None when there is no key for it.
        stripe_holders: the accounts that have an id of Stripe's on record, the first one first;
            looked up only for what was recorded before `ledger.streams.stripe_object` was.
        first_spelling: how a reseller's name was spelled first, by the folded name; None if nobody
            has named it.
    """

    book: Book
    catalog: Catalog
    codes: CodeKeys
    texts: Texts
    request_key: bytes
    token_key: bytes
    person_key: bytes
    webhook_key: bytes
    random_bytes: Callable[[int], bytes] = os.urandom
    stripe: StripeGateway | None = None
    stripe_holders: Callable[[str], Sequence[str]] = _nobody
    first_spelling: Callable[[str], str | None] = _nothing


def code_keys(secret: Secret) -> CodeKeys:
    """Return the keys for codes: each is derived from the secret for its own purpose."""
    return CodeKeys(derivation=secret.derive("codes"), lookup=secret.derive("key ids"))
