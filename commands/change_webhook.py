"""Change what is sent to a webhook: its secret, what is sent once more, and whether anything is."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from commands import validation
from commands.add_webhook import NewWebhook, secret_of
from commands.retry import decide
from commands.services import Services
from ledger.events import RequestContext
from ledger.refusals import FieldError
from ledger.streams import webhooks
from ledger.streams.webhooks import ID, WEBHOOKS, Webhook


class AskedFor(NamedTuple):
    """What was asked of a webhook is recorded; whoever sends does it next."""

    webhook: Webhook
    position: int


def rotate_webhook_secret(services: Services, context: RequestContext, id: str) -> NewWebhook:
    """Sign a webhook's messages with a new secret, and return it; for a day with the old one, too.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    salt = services.random_bytes(webhooks.SALT_BYTES).hex()
    rotated = decide(
        services,
        context,
        WEBHOOKS,
        ID,
        lambda loaded: webhooks.rotate(loaded.state, id, salt),
    )
    return NewWebhook(
        rotated.loaded.state[id], secret_of(services.webhook_key, salt), rotated.position
    )


def ask_for_webhook_test(services: Services, context: RequestContext, id: str) -> AskedFor:
    """Ask for a message that says nothing, and return the position that its id is made of.

    Raises:
        WebhookNotFound, WebhookNotSending: in this order.
    """
    asked = decide(
        services, context, WEBHOOKS, ID, lambda loaded: webhooks.ask_for_test(loaded.state, id)
    )
    return AskedFor(asked.loaded.state[id], asked.position)


def replay_webhook(services: Services, context: RequestContext, id: str, after: int) -> AskedFor:
    """Have everything after a position sent once more; return the webhook, which sends again.

    Raises:
        InvalidRequest: a position that the ledger has not come to.
        WebhookNotFound: never added, or removed.
    """
    if not 0 <= after <= services.book.head():
        wrong = "must be a position that the ledger has come to, or 0"
        validation.refuse_if([FieldError("/after", wrong)])
    asked = decide(
        services, context, WEBHOOKS, ID, lambda loaded: webhooks.replay(loaded.state, id, after)
    )
    return AskedFor(asked.loaded.state[id], asked.position)


def remove_webhook(services: Services, context: RequestContext, id: str) -> int:
    """Remove a webhook, and return the position.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    return decide(
        services, context, WEBHOOKS, ID, lambda loaded: webhooks.remove(loaded.state, id)
    ).position


def disable_webhook(
    services: Services,
    context: RequestContext,
    webhook: Webhook,
    message: str,
) -> None:
    """Send nothing to a webhook any more, unless it was removed or begun anew meanwhile."""
    decide(
        services,
        context,
        WEBHOOKS,
        ID,
        lambda loaded: webhooks.disable(loaded.state, webhook.id, message, webhook.sends_since),
    )


def previous_secret_until(webhook: Webhook, now: datetime) -> datetime | None:
    """Return until when the secret before the newest signs as well; None when it does not."""
    older = [one.until for one in webhook.secrets[1:] if one.until is not None and now < one.until]
    return max(older, default=None)
