"""Webhooks: messages about accounts and keys, sent to an address."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import marshmallow as ma
from flask import Blueprint, Response

from commands.add_webhook import NewWebhook, WantedWebhook, url_of
from commands.add_webhook import add_webhook as add
from commands.change_webhook import (
    ask_for_webhook_test,
    previous_secret_until,
    remove_webhook,
    replay_webhook,
    rotate_webhook_secret,
)
from commands.gateways.webhook_addresses import URL_LENGTH_MAX
from ledger.limits import NAME_LENGTH_MAX
from ledger.refusals import WebhookNotFound, WebhookNotSending
from ledger.streams import webhooks
from ledger.streams.webhooks import KINDS, WEBHOOKS, Webhook
from projections.lists.webhook_deliveries import DeliveryList, backlog, list_deliveries
from projections.lists.webhook_messages import id_of_test
from web.api.answers import WebhookList, WebhookSecretShown, WebhookTestAsked, WebhookView
from web.api.operations import Returns, operation
from web.api.request_fields import ListOf, Shape, Text, WholeNumber, long_at_most, one_of, within
from web.api.requests import NAME, POSITION_MAX, PageQuery, ReadQuery
from web.app import cursors
from web.app.auth import ADMIN, only
from web.app.context import app_state, request_context, services
from web.app.responses import nothing, reply
from web.app.services import Wiring

blueprint = Blueprint("webhooks", __name__, url_prefix="/v1")

_ADMIN: Final = only(ADMIN)


class AddWebhook(Shape):
    """Where messages are to be sent, and which."""

    example: ClassVar = {
        "url": "https://portal.example/hooks/keyfold",
        "kinds": ["account.changed", "key.changed"],
    }

    url = Text(
        "An https address of the internet; others if `KEYFOLD_WEBHOOK_HOSTS` names them.",
        required=True,
        validate=long_at_most(URL_LENGTH_MAX),
    )
    kinds = ListOf(
        Text(validate=one_of(*KINDS)),
        "`account.changed`: every event of an account. `key.changed`: every event of a key."
        " `notice.*`: whatever became true by the passing of time, or is for somebody to look at;"
        " `notice.` and a kind of notice: that alone.",
        required=True,
        validate=ma.validate.Length(1, error="must name at least one kind"),
    )
    reseller = Text(
        "Only what happens to this reseller's keys and to what they gave; of accounts nothing"
        " else is told.",
        optional=True,
        validate=long_at_most(NAME_LENGTH_MAX),
        document=NAME,
    )
    after = WholeNumber(
        "Begin with what was recorded after this position; from now on if left out.",
        optional=True,
        validate=within(0, POSITION_MAX),
    )

    @ma.post_load
    def _wanted(self, data: dict[str, Any], **_: Any) -> WantedWebhook:
        return WantedWebhook(**data)


class ReplayWebhook(Shape):
    """What is to be sent once more."""

    example: ClassVar = {"after": 1200}

    after = WholeNumber(
        "Everything after this position of the ledger; 0 for all.",
        required=True,
        validate=within(0, POSITION_MAX),
    )


@blueprint.post("/webhooks")
@operation(
    access=_ADMIN,
    body=AddWebhook,
    responses={
        201: Returns(WebhookSecretShown, "The secret, shown once.", ("Keyfold-Position",)),
    },
)
def add_webhook(body: WantedWebhook) -> Response:
    """Have messages sent to an address.

    They are signed as [Standard Webhooks](https://www.standardwebhooks.com) are. Those of an
    account come in order, and `sequence` counts them without gaps; one that is not answered 2xx is
    tried again after growing pauses, for three days, and after that the webhook is disabled.
    """
    wiring = app_state().wiring
    added = add(services(), request_context(), body, wiring.settings.webhook_hosts)
    return reply(_shown(added), 201, position=added.position)


@blueprint.get("/webhooks")
@operation(
    access=_ADMIN,
    query=PageQuery,
    responses={200: Returns(WebhookList, "Webhooks, the oldest first.")},
)
def list_webhooks(limit: int, cursor: str | None = None) -> Response:
    """List webhooks."""
    wiring = app_state().wiring
    after = cursors.read(services().request_key, ("webhooks",), cursor)
    known = list_all(wiring)
    shown = [one for one in known if after is None or _place(one) > tuple(after)][: limit + 1]
    following = None
    if len(shown) > limit:
        shown = shown[:limit]
        following = cursors.write(services().request_key, ("webhooks",), _place(shown[-1]))
    return reply(WebhookList([webhook_view(wiring, one) for one in shown], following))


@blueprint.get("/webhooks/<webhook>")
@operation(
    access=_ADMIN,
    query=ReadQuery,
    responses={200: Returns(WebhookView, "The webhook.")},
    refusals=(WebhookNotFound,),
)
def get_webhook(webhook: str) -> Response:
    """Show a webhook, and what waits to be sent to it."""
    return reply(webhook_view(app_state().wiring, _known(webhook)))


@blueprint.delete("/webhooks/<webhook>")
@operation(
    access=_ADMIN,
    responses={204: Returns(None, "Nothing is sent any more.", ("Keyfold-Position",))},
    refusals=(WebhookNotFound,),
)
def delete_webhook(webhook: str) -> Response:
    """Remove a webhook."""
    return nothing(position=remove_webhook(services(), request_context(), webhook))


@blueprint.post("/webhooks/<webhook>/rotate")
@operation(
    access=_ADMIN,
    responses={
        200: Returns(WebhookSecretShown, "The new secret, shown once.", ("Keyfold-Position",)),
    },
    refusals=(WebhookNotFound,),
)
def rotate_webhook(webhook: str) -> Response:
    """Sign a webhook's messages with a new secret; for a day they bear a signature by each."""
    rotated = rotate_webhook_secret(services(), request_context(), webhook)
    return reply(_shown(rotated), position=rotated.position)


@blueprint.post("/webhooks/<webhook>/test")
@operation(
    access=_ADMIN,
    responses={202: Returns(WebhookTestAsked, "It is sent next.", ("Keyfold-Position",))},
    refusals=(WebhookNotFound, WebhookNotSending),
)
def test_webhook(webhook: str) -> Response:
    """Have a message sent that says nothing, of type `webhook.test`."""
    asked = ask_for_webhook_test(services(), request_context(), webhook)
    id = id_of_test(services().book, webhook, asked.position)
    return reply(WebhookTestAsked(id), 202, position=asked.position)


@blueprint.post("/webhooks/<webhook>/replay")
@operation(
    access=_ADMIN,
    body=ReplayWebhook,
    responses={202: Returns(WebhookView, "It is sent next.", ("Keyfold-Position",))},
    refusals=(WebhookNotFound,),
)
def replay_messages(webhook: str, after: int) -> Response:
    """Have a webhook's messages after a position sent once more, each with its id and sequence.

    What is new waits behind them, so that each account's come in order. A webhook that was
    disabled sends again. What was recorded before its first message stays untold.
    """
    asked = replay_webhook(services(), request_context(), webhook, after)
    view = webhook_view(app_state().wiring, asked.webhook)
    return reply(view, 202, position=asked.position)


@blueprint.get("/webhooks/<webhook>/deliveries")
@operation(
    access=_ADMIN,
    query=PageQuery,
    responses={200: Returns(DeliveryList, "Tries, the newest first.")},
    refusals=(WebhookNotFound,),
)
def list_webhook_deliveries(webhook: str, limit: int, cursor: str | None = None) -> Response:
    """List what was sent to a webhook, try by try, without what it said."""
    of = ("deliveries", _known(webhook).id)
    after = cursors.read(services().request_key, of, cursor)
    page = list_deliveries(app_state().wiring.tables, webhook, after=after, limit=limit)
    following = None
    if page.next is not None:
        following = cursors.write(services().request_key, of, page.next)
    return reply(DeliveryList(page.deliveries, following))


def list_all(wiring: Wiring) -> list[Webhook]:
    """Return all webhooks, the oldest first."""
    loaded = wiring.services.book.load(WEBHOOKS, webhooks.ID)
    return sorted(loaded.state.values(), key=_place)


def webhook_view(wiring: Wiring, webhook: Webhook) -> WebhookView:
    """Return a webhook with what waits to be sent to it."""
    now = wiring.clock()
    waits = backlog(wiring.services.book, wiring.tables, webhook)
    return WebhookView(
        webhook.id,
        url_of(wiring.services, webhook),
        list(webhook.kinds),
        webhook.reseller,
        webhook.begins_after,
        webhook.created_at,
        "disabled" if webhook.disabled else "active",
        webhook.disabled,
        webhook.disabled_at,
        previous_secret_until(webhook, now),
        waits.waiting,
        waits.oldest_at,
        waits.failing_since,
        waits.behind,
    )


def _known(id: str) -> Webhook:
    return webhooks.known(services().book.load(WEBHOOKS, webhooks.ID).state, id)


def _place(webhook: Webhook) -> tuple[str, str]:
    return webhook.created_at.isoformat(timespec="microseconds"), webhook.id


def _shown(new: NewWebhook) -> WebhookSecretShown:
    until = previous_secret_until(new.webhook, request_context().now)
    return WebhookSecretShown(new.webhook.id, new.secret, until)
