"""`keyfold demo`."""

from __future__ import annotations

import contextlib

import click

from examples.demonstration.fill import DemoLedgerNotEmpty, NoDemoProducts
from web.app.services import Wiring, wire
from web.cli.context import OPERATOR, new_request_id
from web.cli.errors import CommandRefused
from web.cli.serve import address_options, say_listening, worker_options
from web.cli.settings import settings_of_command
from web.server import demo as demonstration
from web.server.demo import NotTheDemo, Tour


@click.command()
@click.option("--serve", "serving", is_flag=True, help="Then serve it; started again, carry on.")
@address_options
@worker_options
def demo(serving: bool, host: str, port: int, workers: int, threads: int) -> None:
    """Fill an empty ledger with a world to look at.

    Six accounts with subscriptions and seats that are free, full and over, and keys issued,
    redeemed, revoked, reissued and lapsed, spread over the past months. On SQLite the tables are
    made first; on PostgreSQL run `keyfold db upgrade` before.

    With --serve the API and the pages are served, with an admin's token, lines for curl to paste,
    and a link that opens the pages as a customer. The token is kept in keyfold.demo-token beside
    the SQLite file. The other options are those of `keyfold serve`.
    """
    settings = settings_of_command()
    demonstration.prepare(settings)
    with contextlib.closing(wire(settings)) as wiring:
        if not serving:
            _fill(wiring)
            return
        tour = _start_tour(wiring)
    from web.server.processes import serve

    def on_ready(url: str) -> None:
        say_listening(url)
        _show(url, tour)

    serve(host, port, workers=workers, threads=threads, on_ready=on_ready)


def _fill(wiring: Wiring) -> None:
    try:
        position = demonstration.fill(wiring, wiring.request_context(OPERATOR, new_request_id()))
    except DemoLedgerNotEmpty:
        raise CommandRefused(
            "ledger_not_empty",
            "The ledger holds events already: name an empty one in KEYFOLD_DATABASE_URL, "
            "or carry on with a filled one by `keyfold demo --serve`",
        ) from None
    except NoDemoProducts:
        raise _no_products() from None
    click.echo(f"filled up to position {position}")
    click.echo("look at it with: keyfold subscriptions corner-bakery")
    click.echo("serve it with: keyfold demo --serve")


def _start_tour(wiring: Wiring) -> Tour:
    try:
        return demonstration.start_tour(wiring, wiring.request_context(OPERATOR, new_request_id()))
    except NotTheDemo:
        raise CommandRefused(
            "not_the_demo",
            "The ledger holds events that are not the demonstration's: serve it with "
            "`keyfold serve`, or name another in KEYFOLD_DATABASE_URL",
        ) from None
    except NoDemoProducts:
        raise _no_products() from None


def _no_products() -> CommandRefused:
    return CommandRefused(
        "no_demo_products",
        "The demonstration needs the products of the built-in catalog: unset KEYFOLD_CATALOG",
    )


def _show(url: str, tour: Tour) -> None:
    subscriptions, redeem, seat = demonstration.curl_lines(url, tour)
    with contextlib.suppress(OSError):
        click.echo(f"token {tour.token}\n")
        click.echo("What corner-bakery has: six tills sit on two seats.")
        click.echo(f"{subscriptions}\n")
        click.echo("Redeem a key of five seats for it.")
        click.echo(f"{redeem}\n")
        click.echo("May its newest till work right now?")
        click.echo(f"{seat}\n")
        click.echo(
            "Or look at it as a customer (harbour-hotel), in a browser; the link opens once."
        )
        click.echo(f"{demonstration.portal_link(url, tour)}\n")
        if not tour.can_buy:
            click.echo("Buying there needs Stripe: set STRIPE_API_KEY to a test key (sk_test_…).\n")
        click.echo("Or as staff: sign in to the console with the token.")
        click.echo(f"{url}/console/")
