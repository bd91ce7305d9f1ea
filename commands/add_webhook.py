"""Have messages about accounts and keys sent to an address."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple

from commands import validation
from commands.gateways.webhook_addresses import AddressRefused, AllowedHosts, check_url
from commands.reseller_spelling import kept_spelling
from commands.retry import decide
from commands.services import Services
from ledger.events import RequestContext
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams import webhooks
from ledger.streams.webhooks import KINDS, WEBHOOKS, Webhook, WebhookAdded

TEXTS_OWNER: Final = "webhooks"
ID_BYTES: Final = 17
ID_CHARACTERS: Final = 26


class NewWebhook(NamedTuple):
    """A webhook, with its secret, which is shown now and never again."""

    webhook: Webhook
    secret: str
    position: int


class WantedWebhook(NamedTuple):
    """What is asked for.

    Attributes:
        after: begin with what was recorded after this position; None for from now on.
    """

    url: str
    kinds: Sequence[str]
    reseller: str | None = None
    after: int | None = None


def add_webhook(
    services: Services, context: RequestContext, wanted: WantedWebhook, allowed: AllowedHosts
) -> NewWebhook:
    """Add a webhook, and return it with its secret.

    Args:
        allowed: what may be sent to although it is not of the internet.

    Raises:
        InvalidRequest: fields that do not fit, or an address that nothing may be sent to.
    """
    validation.refuse_if(_errors(services, wanted))
    try:
        host = check_url(wanted.url, allowed)
    except AddressRefused as refused:
        raise InvalidRequest(FieldError("/url", str(refused))) from None
    digits = base64.b32encode(services.random_bytes(ID_BYTES)).decode().lower()
    url = services.texts.seal(TEXTS_OWNER, wanted.url, context.now)
    assert url is not None
    added = WebhookAdded(
        webhook="kfwh_" + digits[:ID_CHARACTERS],
        url=url,
        host=host,
        kinds=tuple(sorted(set(wanted.kinds))),
        salt=services.random_bytes(webhooks.SALT_BYTES).hex(),
        reseller=kept_spelling(services, wanted.reseller) if wanted.reseller else None,
        after=wanted.after,
    )
    decided = decide(services, context, WEBHOOKS, webhooks.ID, lambda _: [added])
    return NewWebhook(
        decided.loaded.state[added.webhook],
        secret_of(services.webhook_key, added.salt),
        decided.position,
    )


def secret_of(webhook_key: bytes, salt: str) -> str:
    """Return the secret that a salt makes, as Standard Webhooks write one."""
    derived = hmac.digest(webhook_key, bytes.fromhex(salt), "sha256")
    return "whsec_" + base64.b64encode(derived).decode()


def url_of(services: Services, webhook: Webhook) -> str | None:
    """Return where a webhook's messages are sent; None when its key is not here."""
    return services.texts.open(webhook.url)


def _errors(services: Services, wanted: WantedWebhook) -> list[FieldError]:
    errors = []
    if not wanted.kinds:
        errors.append(FieldError("/kinds", f"must name at least one of {', '.join(KINDS)}"))
    for place, kind in enumerate(wanted.kinds):
        if kind not in KINDS:
            errors.append(FieldError(f"/kinds/{place}", f"must be one of {', '.join(KINDS)}"))
    if validation.text_holds_code(services, wanted.url):
        errors.append(FieldError("/url", validation.IS_CODE))
    if wanted.reseller is not None:
        errors += validation.name(services, "/reseller", wanted.reseller)
    if wanted.after is not None and not 0 <= wanted.after <= services.book.head():
        errors.append(FieldError("/after", "must be a position that the ledger has come to, or 0"))
    return errors
