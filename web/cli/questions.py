"""`keyfold diff` and `keyfold explain`: what became different, and why."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from commands import validation
from commands.services import Services
from ledger.refusals import FieldError, InvalidRequest
from projections.views.account_at import Moment, account_at
from projections.views.diff import DifferenceView, diff, diff_view
from projections.views.explain import Explanation, explain_holder
from projections.views.explain_code import CodeQuestion, explain_code
from projections.views.seats import pools
from web.cli.context import check_pools, open_ledger
from web.cli.examples import Exampled
from web.cli.options import TIME, csv_option, json_option, moment_options
from web.cli.output import is_terminal, print_fields, print_items, print_json, text_of

CODE: int = 1
HOLDER: int = 2


@click.command(
    "diff",
    cls=Exampled,
    short_help="What became different between two moments, and which events did it.",
    examples=(
        "keyfold diff acme --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z",
        "keyfold diff acme --from 2026-03-01T00:00:00Z --csv > diff.csv",
    ),
)
@click.argument("account", metavar="ACCOUNT")
@click.option("--from", "start", type=TIME, metavar="TIME", required=True, help="Begin then.")
@click.option("--to", "end", type=TIME, metavar="TIME", help="End then; now if left out.")
@click.option(
    "--known-at", type=TIME, metavar="TIME", help="Use only what had been recorded by then."
)
@csv_option
@json_option
def diff_(
    account: str,
    start: datetime,
    end: datetime | None,
    known_at: datetime | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what of ACCOUNT became different between two moments, and which events did it."""
    validation.refuse_if(validation.account(account))
    if end is not None and start > end:
        raise InvalidRequest(FieldError("/from", "must not be after the end"))
    with open_ledger() as (_, services, request_context):
        found = diff(
            services.book,
            account,
            services.catalog,
            start,
            end,
            now=request_context.now,
            known_at=known_at,
        )
        view = diff_view(found, services.texts)
    if as_json:
        print_json(view)
        return
    if as_csv:
        print_items(DifferenceView, view.items)
        return
    print_fields(view.items, "what=summary", "because of=positions")
    click.echo(f"{account} from {text_of(found.start)} to {text_of(found.end)}")


@click.command(
    "explain",
    cls=Exampled,
    short_help="Why a holder may work or not, or why a code does not.",
    examples=(
        "keyfold explain acme cloud_pos till-1",
        "keyfold explain acme cloud_pos till-1 --as-of 2027-03-03T00:00:00Z",
        "keyfold explain acme - < code.txt",
    ),
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("what", metavar="{PRODUCT HOLDER | CODE}", nargs=-1, required=True)
@click.option("--session", help="With a code: the sitting in which it was tried.")
@click.option("--product", help="With a code: the product that it was wanted for.")
@moment_options
@json_option
def explain(
    account: str,
    what: tuple[str, ...],
    session: str | None,
    product: str | None,
    as_of: datetime | None,
    known_at: datetime | None,
    as_json: bool,
) -> None:
    """Explain why ACCOUNT was refused a seat or a code, or why it stopped working.

    Name a product and a holder, or a code. Other users of this machine can see a program's
    arguments: with `-` the code is read from standard input instead.
    """
    validation.refuse_if(validation.account(account))
    if len(what) not in (CODE, HOLDER):
        raise click.UsageError("name a product and a holder, or a code")
    with open_ledger() as (_, services, request_context):
        moment = Moment(request_context.now, as_of, known_at)
        if len(what) == CODE and what[0] in _products(services, account, moment):
            raise click.UsageError(
                f"{what[0]} is a product: name a holder, too:"
                f" keyfold explain {account} {what[0]} HOLDER"
            )
        if len(what) == HOLDER:
            validation.refuse_if(validation.holder(what[1]))
            check_pools(services, account_at(services.book, account, moment), what[0])
            found = explain_holder(services.book, account, moment, services.catalog, *what)
        else:
            text = sys.stdin.readline() if what[0] == "-" else what[0]
            question = CodeQuestion(text, session, product)
            found = explain_code(
                services.book, account, moment, services.catalog, services.codes, question
            )
    if as_json:
        print_json(found)
    else:
        _print_explanation(found)


def _products(services: Services, account: str, moment: Moment) -> set[str]:
    """Return the products of the catalog, and those that the account has of another one."""
    state = account_at(services.book, account, moment).account
    return {product for product, _ in pools(state, services.catalog)}


def _print_explanation(found: Explanation) -> None:
    colour = None
    if is_terminal(sys.stdout):
        colour = "green" if found.code is None else "red"
    click.echo(
        click.style(found.answer, fg=colour, bold=colour is not None) if colour else found.answer
    )
    for fact in found.facts:
        click.echo(f"  - {fact}")
    if found.mend:
        click.echo(found.mend)
    positions = ", ".join(map(str, found.positions)) or "none"
    click.echo(f"rule {found.rule}, code {text_of(found.code)}, positions {positions}")
