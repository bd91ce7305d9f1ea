"""`keyfold tokens`: access to the API."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any, Final

import click

from commands.give_access import create_token, revoke_token
from ledger.streams.token import ROLES, Token
from projections.lists.reseller_names import Unheard, unheard
from projections.lists.tokens import list_tokens
from web.app.services import Wiring
from web.app.times import iso, iso_or_none
from web.cli.context import open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import csv_option, json_option
from web.cli.output import is_terminal, print_csv, print_json, print_table

DAYS_MAX: Final = 3650
PAGE_TOKENS: Final = 500
_COLUMNS: Final = (
    "id", "role", "reseller", "created_at", "last_used_at", "expires_at", "revoked_at",
)  # fmt: skip


@click.group(
    cls=ExampledGroup,
    heading="Roles",
    examples=(
        "portal     everything of accounts, and redemption",
        "reseller   its own keys, of one reseller",
        "support    read all; reissue keys, release seats",
        "auditor    read all",
        "admin      everything",
    ),
)
def tokens() -> None:
    """Give access to the API, and take it back.

    A token is sent as `Authorization: Bearer kf_…`. Its role says what it may do.
    """


@tokens.command(
    cls=Exampled,
    short_help="Give access; the token is shown once.",
    examples=(
        "keyfold tokens create --role portal",
        'keyfold tokens create --role reseller --reseller "Alpine Tills" --days 365',
    ),
)
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option("--reseller", metavar="NAME", help="Whose keys, for the role reseller.")
@click.option(
    "--days",
    type=click.IntRange(1, DAYS_MAX),
    metavar="N",
    help="Let it in for so many days; until it is revoked if left out.",
)
@click.option("--reason", metavar="TEXT", help="What for; kept encrypted.")
@json_option
def create(
    role: str, reseller: str | None, days: int | None, reason: str | None, as_json: bool
) -> None:
    """Give access. The token alone is printed, now and never again."""
    with open_ledger() as (wiring, services, request_context):
        expires_at = request_context.now + timedelta(days=days) if days else None
        given = create_token(
            services, request_context, role, reseller=reseller, expires_at=expires_at, reason=reason
        )
        name = given.token.reseller
        no_keys = unheard(services.book, wiring.tables, name) if name else None
    if no_keys is not None:
        click.echo(_warning(no_keys), err=True)
    token = given.token
    if as_json:
        print_json(
            {
                "id": token.id,
                "token": given.secret,
                "role": token.role,
                "reseller": token.reseller,
                "expires_at": iso_or_none(token.expires_at),
            }
        )
        return
    click.echo(given.secret)
    if is_terminal(sys.stdout):
        click.echo(f"(its id is {token.id})", err=True)


def _warning(no_keys: Unheard) -> str:
    meant = f" (is it {' or '.join(no_keys.resembles)}?)" if no_keys.resembles else ""
    return f"warning: the reseller {no_keys.name} has no keys{meant}"


@tokens.command("list", short_help="List all tokens, the newest first.")
@csv_option
@json_option
def list_(as_csv: bool, as_json: bool) -> None:
    """List all tokens, the newest first; what lets their owners in is not in the ledger.

    When a token was last used is told to the hour.
    """
    with open_ledger() as (wiring, _, request_context):
        found = _all_tokens(wiring)
        uses = wiring.token_uses.all()
    items = [_to_json(token, uses.get(token.id)) for token in found]
    if as_json:
        print_json({"items": items, "next": None})
        return
    if as_csv:
        print_csv(_COLUMNS, [list(item.values()) for item in items])
        return
    print_table(
        ["id", "role", "reseller", "created", "last used", "expires", "revoked", "valid"],
        [
            [
                token.id,
                token.role,
                token.reseller,
                token.created_at,
                uses.get(token.id),
                token.expires_at,
                token.revoked_at,
                token.valid(request_context.now),
            ]
            for token in found
        ],
    )


def _all_tokens(wiring: Wiring) -> list[Token]:
    book, tables = wiring.services.book, wiring.tables
    page = list_tokens(book, tables, limit=PAGE_TOKENS)
    found = page.tokens
    while page.next is not None:
        page = list_tokens(book, tables, after=page.next, limit=PAGE_TOKENS)
        found += page.tokens
    return found


def _to_json(token: Token, used_at: datetime | None) -> dict[str, Any]:
    return {
        "id": token.id,
        "role": token.role,
        "reseller": token.reseller,
        "created_at": iso(token.created_at),
        "last_used_at": iso_or_none(used_at),
        "expires_at": iso_or_none(token.expires_at),
        "revoked_at": iso_or_none(token.revoked_at),
    }


@tokens.command(short_help="Take access back.")
@click.argument("token_id", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why; kept encrypted.")
def revoke(token_id: str, reason: str | None) -> None:
    """Take access back: from now on the token ID (kft_…) lets nobody in."""
    with open_ledger() as (_, services, request_context):
        revoke_token(services, request_context, token_id, reason)
    click.echo(f"{token_id} is revoked")
