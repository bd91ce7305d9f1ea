"""`keyfold webhooks`: where messages about accounts and keys are sent."""

from __future__ import annotations

from typing import Final

import click

from commands.add_webhook import NewWebhook, WantedWebhook, add_webhook
from commands.change_webhook import (
    ask_for_webhook_test,
    previous_secret_until,
    remove_webhook,
    replay_webhook,
    rotate_webhook_secret,
)
from ledger.streams import webhooks as webhooks_stream
from ledger.streams.webhooks import ALL, KINDS, WEBHOOKS
from projections.lists.webhook_deliveries import (
    DeliveryList,
    DeliveryPage,
    DeliveryView,
    list_deliveries,
)
from projections.lists.webhook_messages import id_of_test
from web.api.answers import WebhookList, WebhookSecretShown, WebhookTestAsked, WebhookView
from web.api.webhooks import list_all, webhook_view
from web.cli.context import CliContext, open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import csv_option, json_option
from web.cli.output import print_fields, print_items, print_json

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 10_000

_id = click.argument("webhook", metavar="ID")


@click.group(cls=ExampledGroup)
def webhooks() -> None:
    """Have messages about accounts and keys sent to an address.

    They are sent by `keyfold serve`, signed as Standard Webhooks are; docs/webhooks.md says what
    they hold.
    """


@webhooks.command(
    cls=Exampled,
    short_help="Add a webhook; its secret is shown once.",
    examples=(
        "keyfold webhooks add https://portal.example/hooks/keyfold",
        "keyfold webhooks add https://mail.example/hook --kind notice.subscription.ending",
        "keyfold webhooks add https://alpine.example/hook --kind key.changed --reseller Alpine",
    ),
)
@click.argument("url", metavar="URL")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Of the messages; several by repeating it. All, if left out.",
)
@click.option("--reseller", metavar="NAME", help="Only what happens to this reseller's keys.")
@click.option(
    "--after",
    type=int,
    metavar="POSITION",
    help="Begin with what was recorded after it; from now on if left out.",
)
@json_option
def add(
    url: str, kinds: tuple[str, ...], reseller: str | None, after: int | None, as_json: bool
) -> None:
    """Have messages sent to URL. The secret is printed, now and never again."""
    wanted = WantedWebhook(url, kinds or ALL, reseller, after)
    with open_ledger() as opened:
        allowed = opened.wiring.settings.webhook_hosts
        added = add_webhook(opened.services, opened.request_context, wanted, allowed)
        _print_secret(opened, added, as_json)


@webhooks.command("list", short_help="List webhooks, and what waits to be sent.")
@csv_option
@json_option
def list_(as_csv: bool, as_json: bool) -> None:
    """List webhooks, the oldest first."""
    with open_ledger() as (wiring, *_):
        view = WebhookList([webhook_view(wiring, one) for one in list_all(wiring)], None)
    if as_json:
        print_json(view)
        return
    if as_csv:
        print_items(WebhookView, view.items)
        return
    print_fields(
        view.items,
        "id", "url", "kinds", "reseller", "status", "waiting", "behind",
        "failing since=failing_since",
    )  # fmt: skip


@webhooks.command(short_help="Send a message that says nothing.")
@_id
@json_option
def test(webhook: str, as_json: bool) -> None:
    """Have the server send a message of type webhook.test; see `keyfold webhooks deliveries`."""
    with open_ledger() as (_, services, request_context):
        asked = ask_for_webhook_test(services, request_context, webhook)
        view = WebhookTestAsked(id_of_test(services.book, webhook, asked.position))
    if as_json:
        print_json(view)
    else:
        click.echo(f"{view.message} is sent next")


@webhooks.command(short_help="Send messages once more.")
@_id
@click.option(
    "--after", type=int, required=True, metavar="POSITION", help="Everything after it; 0 for all."
)
@json_option
def replay(webhook: str, after: int, as_json: bool) -> None:
    """Have the server send once more what is about events after a position.

    A webhook that was disabled sends again.
    """
    with open_ledger() as (wiring, services, request_context):
        asked = replay_webhook(services, request_context, webhook, after)
        view = webhook_view(wiring, asked.webhook)
    if as_json:
        print_json(view)
    else:
        click.echo(f"everything after position {after} is sent to {webhook} once more")


@webhooks.command(short_help="Sign with a new secret, shown once.")
@_id
@json_option
def rotate(webhook: str, as_json: bool) -> None:
    """Sign with a new secret, which is printed; for a day with the old one, too."""
    with open_ledger() as opened:
        rotated = rotate_webhook_secret(opened.services, opened.request_context, webhook)
        _print_secret(opened, rotated, as_json)


@webhooks.command(short_help="Send nothing any more.")
@_id
def remove(webhook: str) -> None:
    """Remove a webhook: nothing is sent to it any more."""
    with open_ledger() as (_, services, request_context):
        remove_webhook(services, request_context, webhook)
    click.echo(f"{webhook} is removed")


@webhooks.command(short_help="List what was sent, try by try.")
@_id
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    metavar="N",
    help="How many at most.",
)
@csv_option
@json_option
def deliveries(webhook: str, limit: int, as_csv: bool, as_json: bool) -> None:
    """List what was sent to a webhook, the newest first, without what it said."""
    with open_ledger() as (wiring, services, _):
        loaded = services.book.load(WEBHOOKS, webhooks_stream.ID)
        webhooks_stream.known(loaded.state, webhook)
        page: DeliveryPage = list_deliveries(wiring.tables, webhook, limit=limit)
    if as_json:
        print_json(DeliveryList(page.deliveries, None))
        return
    if as_csv:
        print_items(DeliveryView, page.deliveries)
        return
    print_fields(
        page.deliveries,
        "at", "message", "type", "account", "sequence", "attempt", "delivered", "status", "problem",
        "next at=next_at",
    )  # fmt: skip


def _print_secret(opened: CliContext, new: NewWebhook, as_json: bool) -> None:
    until = previous_secret_until(new.webhook, opened.request_context.now)
    if as_json:
        print_json(WebhookSecretShown(new.webhook.id, new.secret, until))
        return
    click.echo(new.webhook.id)
    click.echo(new.secret)
