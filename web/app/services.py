"""Putting the parts together, once per process.

Connections must not cross a fork, so a process that forks workers wires none of this itself.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from commands.gateways.stripe import StripeGateway
from commands.services import Services, code_keys
from commands.sign_checkpoint import Signing, signing_of
from ledger.book import Book, MixedClocks
from ledger.events import RequestContext
from ledger.sealing import Texts, WrongSecret, knows_secret
from ledger.secret import LENGTH_MIN_BYTES, Secret
from ledger.store import schema
from ledger.store.checkpoint_log import LoggedCheckpoints
from ledger.store.signed_checkpoints import SignedCheckpoints
from ledger.store.text_keys import TextKeys
from ledger.store.token_uses import NotedUses
from projections.lists.reseller_names import first_spelling
from projections.lists.stores import Tables, open_tables
from projections.lists.stripe_holders import stripe_holders
from web.app import waiting
from web.app.clock import Clock, system_clock, test_clock
from web.app.private_files import secret_file
from web.app.settings import SettingError, Settings, read_file
from web.app.thread_shares import webhooks_of

if TYPE_CHECKING:
    from commands.gateways.oidc import OidcGateway


class Wiring(NamedTuple):
    """Everything that a process works with.

    Attributes:
        link_key: what the keys are made of that links to the hosted pages are signed with.
        cookie_key: what the keys are made of that the pages' cookies are signed with.
        token_uses: when each access token was last used.
        webhook_stripe: Stripe for what it delivers itself, beside that of the persons who wait for
            it: neither takes the other's places. None where all have time, or there is no key.
        oidc: the provider that people sign in at; None where there is none, or nobody signs in.
    """

    settings: Settings
    clock: Clock
    services: Services
    tables: Tables
    signing: Signing
    link_key: bytes
    cookie_key: bytes
    token_uses: NotedUses
    webhook_stripe: StripeGateway | None = None
    oidc: OidcGateway | None = None

    @property
    def webhook_services(self) -> Services:
        """Return the services for Stripe's deliveries, whose calls take no person's place."""
        stripe = self.webhook_stripe
        return self.services if stripe is None else self.services._replace(stripe=stripe)

    def request_context(
        self,
        actor: str,
        request_id: str,
        now: datetime | None = None,
        reached: int | None = None,
    ) -> RequestContext:
        """Return who asks, in which request, and when: by the clock, if it was not read yet."""
        test_clock = self.settings.test_clock is not None
        read_at = time.monotonic() if self.clock is system_clock else None
        return RequestContext(
            now or self.clock(), actor, request_id, test_clock, reached, read_at=read_at
        )

    def close(self) -> None:
        self.tables.close()
        self.services.book.close()


def wire(settings: Settings, *, for_persons: bool = False, restoring: bool = False) -> Wiring:
    """Return what the settings name, opened: the ledger, its keys, its tables and Stripe.

    Args:
        for_persons: whether a person waits for each response (`StripeGateway`).
        restoring: whether a ledger is being restored into the database, by us.

    Raises:
        SettingError: the database, its schema, the secret or the test clock will not do.
        PersistenceError: the database does not respond.
    """
    clock = test_clock(settings.test_clock) if settings.test_clock else system_clock
    now = clock()
    try:
        schema.check(settings.database_url, restoring=restoring)
        book = Book(
            settings.database_url,
            test_clock=settings.test_clock is not None,
            memo_streams=settings.memo_streams,
        )
    except schema.SchemaUnfit as problem:
        raise SettingError("KEYFOLD_DATABASE_URL", str(problem)) from None
    except MixedClocks as error:
        raise SettingError("KEYFOLD_TEST_CLOCK", f"cannot be used: {error}") from None
    text_keys = book.store.text_keys
    secret = settings.secret or _secret_beside(settings.database_url, text_keys)
    texts = Texts(text_keys, secret.derive("texts"))
    try:
        texts.check_secret(now)
    except WrongSecret:
        raise SettingError(
            "KEYFOLD_SECRET", "is not the one this ledger was made with: restore that one"
        ) from None
    tables = open_tables(settings.database_url)
    stripe, webhook_stripe = _stripes(settings, for_persons=for_persons)
    services = Services(
        book=book,
        catalog=settings.catalog,
        codes=code_keys(secret),
        texts=texts,
        request_key=secret.derive("requests"),
        token_key=secret.derive("tokens"),
        person_key=secret.derive("people"),
        webhook_key=secret.derive("webhook secrets"),
        stripe=stripe,
        stripe_holders=partial(stripe_holders, book, tables),
        first_spelling=partial(first_spelling, book, tables),
    )
    signing = signing_of(secret, settings.checkpoint_secrets, signed_of(book, settings))
    return Wiring(
        settings,
        clock,
        services,
        tables,
        signing,
        link_key=secret.derive("portal links"),
        cookie_key=secret.derive("page cookies"),
        token_uses=NotedUses(book.store.token_uses),
        webhook_stripe=webhook_stripe,
        oidc=oidc_of(settings) if for_persons else None,
    )


def signed_of(book: Book, settings: Settings) -> SignedCheckpoints:
    """Return what was signed of a ledger, as the database and the file beside it remember."""
    signed: SignedCheckpoints = book.store.signed_checkpoints
    if settings.checkpoint_log is None:
        return signed
    return LoggedCheckpoints(signed, settings.checkpoint_log)


def oidc_of(settings: Settings) -> OidcGateway | None:
    """Return the provider that people sign in at, which half of the waiting may wait for."""
    if settings.oidc is None:
        return None
    # Only here: most need no HTTP client and no keys of others.
    from commands.gateways.oidc import OidcGateway

    issuer, client_id, client_secret, *_ = settings.oidc
    turns = max(1, waiting.slot_count() // 2)
    return OidcGateway(issuer, client_id, client_secret, turns)


def _stripes(
    settings: Settings, *, for_persons: bool
) -> tuple[StripeGateway | None, StripeGateway | None]:
    """Return Stripe for persons, and for what it delivers: together they have all the places."""
    key, _, base = settings.stripe
    if not key:
        return None, None
    if not for_persons:
        return StripeGateway(key, base), None
    slots = waiting.slot_count()
    webhooks = webhooks_of(slots)
    stripe = StripeGateway(key, base, for_persons=True, persons_max=max(1, slots - webhooks))
    return stripe, stripe.beside(webhooks)


def _secret_beside(database_url: str, text_keys: TextKeys) -> Secret:
    if not database_url.startswith("sqlite:"):
        raise SettingError(
            "KEYFOLD_SECRET", "is missing: on PostgreSQL give 32 random bytes or more, in base64"
        )
    file = secret_file(database_url)
    if not file.exists():
        if knows_secret(text_keys):
            raise SettingError(
                "KEYFOLD_SECRET", f"is missing: the ledger was made with one; restore {file}"
            )
        _create(file)
    return _read_secret(file)


def existing_secret(settings: Settings) -> Secret | None:
    """Return the secret that was given, or is beside a SQLite file; None if there is none yet.

    Raises:
        SettingError: it cannot be read.
    """
    if settings.secret is not None or not settings.database_url.startswith("sqlite:"):
        return settings.secret
    file = secret_file(settings.database_url)
    return _read_secret(file) if file.exists() else None


def _read_secret(file: Path) -> Secret:
    try:
        return Secret.from_base64(read_file("KEYFOLD_SECRET", file))
    except ValueError as error:
        raise SettingError(
            "KEYFOLD_SECRET", f"{error}: restore the file that the ledger was made with: {file}"
        ) from None


def _create(file: Path) -> None:
    """Write a new secret; the first of several processes wins, and none reads half of it."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(base64.b64encode(secrets.token_bytes(LENGTH_MIN_BYTES)).decode() + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
