"""`keyfold notices`: what became true, or will, by the passing of time, and links to it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from commands.notice_links import LANGUAGES, WantedNoticeLink, make_notice_link, revoke_notice_link
from ledger.notice_kinds import NOTICE_KINDS
from projections.lists.notice_links import NoticeLinkList, NoticeLinkView, list_notice_links
from projections.lists.notices import (
    NoticeList,
    NoticeQuery,
    NoticeView,
    complete_until,
    list_notices,
)
from web.api.answers import NoticeLinkShown
from web.app.notice_urls import feed_urls
from web.cli.context import CliContext, open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import TIME, csv_option, json_option
from web.cli.output import print_fields, print_items, print_json

PAGE_NOTICES: Final = 500
_COMMAND_LINE: Final = click.core.ParameterSource.COMMANDLINE


@click.group(
    "notices",
    cls=ExampledGroup,
    invoke_without_command=True,
    short_help="What became true, or will, by the passing of time.",
    examples=(
        "keyfold notices --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z",
        "keyfold notices --account acme --kind subscription.ending --csv",
        "keyfold notices link --account acme",
    ),
)
@click.option("--from", "start", type=TIME, metavar="TIME", help="Given after this moment.")
@click.option(
    "--to",
    "end",
    type=TIME,
    metavar="TIME",
    help="Given up to it; it may lie ahead. Now, if left out.",
)
@click.option("--account", metavar="ACCOUNT", help="About this account.")
@click.option("--reseller", metavar="NAME", help="About this reseller's keys.")
@click.option("--kind", type=click.Choice(NOTICE_KINDS), help="Of this kind.")
@csv_option
@json_option
@click.pass_context
def notices(
    ctx: click.Context,
    start: datetime | None,
    end: datetime | None,
    account: str | None,
    reseller: str | None,
    kind: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List what became true in a stretch of time, oldest first, each thing once."""
    if ctx.invoked_subcommand is not None:
        given = [one for one in ctx.params if ctx.get_parameter_source(one) is _COMMAND_LINE]
        if given:
            raise click.UsageError(f"put the options after `{ctx.invoked_subcommand}`")
        return
    with open_ledger() as opened:
        until = end or opened.request_context.now
        if start is not None and start > until:
            raise click.UsageError("--from must not be after --to")
        view = _all(opened, NoticeQuery(until, start, account, reseller, (kind,) if kind else ()))
    if as_json:
        print_json(view)
    elif as_csv:
        print_items(NoticeView, view.items)
    else:
        print_fields(view.items, "at", "kind", "account", "reseller", "subject", "summary")


_account = click.option("--account", metavar="ACCOUNT", help="To the notices of this account.")
_reseller = click.option("--reseller", metavar="NAME", help="To those about this reseller's keys.")


@notices.command(
    cls=Exampled,
    short_help="Make a link for a feed reader or a calendar.",
    examples=(
        "keyfold notices link --account acme --language de",
        "keyfold notices link --reseller Northwind --kind key.lapsing",
        "keyfold notices link",
    ),
)
@_account
@_reseller
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(NOTICE_KINDS),
    help="Of this kind; several by repeating it. All, if left out.",
)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="Of the titles.",
)
@json_option
def link(
    account: str | None,
    reseller: str | None,
    kinds: tuple[str, ...],
    language: str,
    as_json: bool,
) -> None:
    """Make a link by which somebody reads notices: an account's, a reseller's, or all.

    Its two addresses are printed, of an Atom feed and of a calendar, now and never again. Whoever
    has one of them reads the notices, until `keyfold notices unlink`.
    """
    wanted = WantedNoticeLink(account, reseller, kinds, language)
    with open_ledger() as (wiring, services, request_context):
        made = make_notice_link(services, wiring.link_key, request_context, wanted)
        view = NoticeLinkShown(made.link.id, *feed_urls(wiring.settings.public_url, made.text))
    if as_json:
        print_json(view)
        return
    for line in (view.id, view.atom, view.ics):
        click.echo(line)


@notices.command(short_help="List links, without their addresses.")
@_account
@_reseller
@csv_option
@json_option
def links(account: str | None, reseller: str | None, as_csv: bool, as_json: bool) -> None:
    """List the links to an account's notices, or a reseller's; else those to all notices."""
    with open_ledger() as (_, services, _):
        view = NoticeLinkList(list_notice_links(services.book, account, reseller))
    if as_json:
        print_json(view)
    elif as_csv:
        print_items(NoticeLinkView, view.items)
    else:
        print_fields(
            view.items, "id", "account", "reseller", "kinds", "language", "made at=made_at",
            "status",
        )  # fmt: skip


@notices.command(short_help="Revoke a link: it shows nothing any more.")
@click.argument("link_id", metavar="ID")
def unlink(link_id: str) -> None:
    """Revoke a link to notices: from now on it shows nothing."""
    with open_ledger() as (_, services, request_context):
        revoke_notice_link(services, request_context, link_id)
    click.echo(f"{link_id} is revoked")


def _all(opened: CliContext, query: NoticeQuery) -> NoticeList:
    wiring, services, request_context = opened
    found: list[NoticeView] = []
    after = None
    while True:
        page = list_notices(
            services.book,
            wiring.tables,
            services.catalog,
            query,
            after=after,
            limit=PAGE_NOTICES,
        )
        found += page.notices
        if page.next is None:
            complete = complete_until(query.end, request_context.now)
            return NoticeList(found, None, page.position, complete)
        after = page.next
