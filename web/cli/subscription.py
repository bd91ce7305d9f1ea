"""`keyfold subscription`: change what a key gave an account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from commands import change_subscription as change
from commands.change_subscription import Changed
from ledger.limits import EXTENSION_DAYS_MAX
from projections.views.subscriptions import OneSubscription, SubscriptionRow, row_of
from web.cli.context import open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import TIME, json_option
from web.cli.output import print_json, text_of

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@click.group(cls=ExampledGroup)
def subscription() -> None:
    """Change what a key gave an account: start, extend, suspend, resume, transfer, terminate."""


def _of_one(command: CommandT) -> CommandT:
    """Declare what each of them takes: the account, the subscription, why, and `--json`."""
    for option in (
        json_option,
        click.option("--reason", required=True, metavar="TEXT", help="Why; kept encrypted."),
        click.argument("id", metavar="SUBSCRIPTION"),
        click.argument("account", metavar="ACCOUNT"),
    ):
        command = option(command)
    return command


@subscription.command(
    cls=Exampled,
    short_help="Let a scheduled one begin now.",
    examples=('keyfold subscription start acme kfsub_… --reason "Opens a month early"',),
)
@_of_one
def start(account: str, id: str, reason: str, as_json: bool) -> None:
    """Let the scheduled SUBSCRIPTION of ACCOUNT begin now, for its whole length."""
    _carry_out(change.start_subscription, account, id, reason, as_json)


@subscription.command(
    cls=Exampled,
    short_help="Let one last longer.",
    examples=(
        'keyfold subscription extend acme kfsub_… --days 30 --reason "Down for a month"',
        "keyfold subscription extend acme kfsub_… --until 2027-01-31T00:00:00Z --reason Promised",
    ),
)
@click.option("--days", type=click.IntRange(1, EXTENSION_DAYS_MAX), help="So many days more.")
@click.option("--until", type=TIME, metavar="TIME", help="Until then.")
@_of_one
def extend(
    account: str,
    id: str,
    reason: str,
    as_json: bool,
    days: int | None,
    until: datetime | None,
) -> None:
    """Let the SUBSCRIPTION of ACCOUNT last longer: by --days, or --until a moment."""
    if (days is None) == (until is None):
        raise click.UsageError("give either --days or --until")
    _carry_out(change.extend_subscription, account, id, reason, as_json, days=days, until=until)


@subscription.command(
    cls=Exampled,
    short_help="Let one give no seats until it is resumed.",
    examples=('keyfold subscription suspend acme kfsub_… --reason "Not paid"',),
)
@_of_one
def suspend(account: str, id: str, reason: str, as_json: bool) -> None:
    """Let the SUBSCRIPTION of ACCOUNT give no seats until it is resumed; its time goes on."""
    _carry_out(change.suspend_subscription, account, id, reason, as_json)


@subscription.command(
    cls=Exampled,
    short_help="Let a suspended one give its seats again.",
    examples=('keyfold subscription resume acme kfsub_… --reason "Paid"',),
)
@_of_one
def resume(account: str, id: str, reason: str, as_json: bool) -> None:
    """Let the suspended SUBSCRIPTION of ACCOUNT give its seats again."""
    _carry_out(change.resume_subscription, account, id, reason, as_json)


@subscription.command(
    cls=Exampled,
    short_help="Move what is left of one to another account.",
    examples=('keyfold subscription transfer acme kfsub_… --to acme-north --reason "Mixed up"',),
)
@click.option("--to", required=True, metavar="ACCOUNT", help="The account that is to have it.")
@_of_one
def transfer(account: str, id: str, reason: str, as_json: bool, to: str) -> None:
    """Move what is left of the SUBSCRIPTION of ACCOUNT to another one; its holders stay behind."""
    _carry_out(change.transfer_subscription, account, id, reason, as_json, to=to)


@subscription.command(
    cls=Exampled,
    short_help="End one before its time.",
    examples=('keyfold subscription terminate acme kfsub_… --reason "Paid back"',),
)
@_of_one
def terminate(account: str, id: str, reason: str, as_json: bool) -> None:
    """End the SUBSCRIPTION of ACCOUNT before its time. Its seats are gone at once."""
    _carry_out(change.terminate_subscription, account, id, reason, as_json)


def _carry_out(
    command: Callable[..., Changed],
    account: str,
    id: str,
    reason: str,
    as_json: bool,
    **options: Any,
) -> None:
    with open_ledger() as (_, services, request_context):
        changed = command(services, request_context, account, id, reason, **options)
        state = changed.loaded.state
        product = services.catalog.product(state.subscriptions[id].product)
        row = row_of(state, product, id, changed.at)
    if as_json:
        print_json(OneSubscription(row))
    else:
        click.echo(f"{row.subscription} of {changed.loaded.id} is {row.status}{_span(row)}")


def _span(row: SubscriptionRow) -> str:
    match row.status:
        case "scheduled":
            return f": from {text_of(row.started_at)} until {text_of(row.expires_at)}"
        case "active" | "suspended":
            return f" until {text_of(row.expires_at)}"
    return ""
