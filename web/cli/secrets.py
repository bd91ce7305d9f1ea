"""`keyfold secrets`: the keys that links and cookies are signed with."""

from __future__ import annotations

import click

from commands.rotate_signing_keys import rotate_signing_keys
from web.cli.context import open_ledger
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import json_option
from web.cli.output import print_json


@click.group(
    cls=ExampledGroup,
    heading="After a leak",
    examples=("keyfold secrets rotate --now", "docs/secret.md says what else to do"),
)
def secrets() -> None:
    """Rotate the keys that links to the pages and cookies are signed with."""


@secrets.command(
    cls=Exampled,
    short_help="Sign links and cookies with a new key.",
    examples=("keyfold secrets rotate", "keyfold secrets rotate --now"),
)
@click.option(
    "--now", is_flag=True, help="Take nothing that was signed before: all sessions are over."
)
@json_option
def rotate(now: bool, as_json: bool) -> None:
    """Sign links and cookies with a new key from now on.

    What was signed with the last key is taken until the next rotation. Activation keys, access
    tokens and KEYFOLD_SECRET stay as they are; no restart is needed.
    """
    with open_ledger() as (_, services, request_context):
        position = rotate_signing_keys(services, request_context, keep_previous=not now)
    if as_json:
        print_json({"position": position, "previous_key": not now})
        return
    click.echo("links and cookies are signed with a new key")
    click.echo(
        "nothing that was signed before is taken any more"
        if now
        else "what was signed with the last key is taken until the next rotation"
    )
