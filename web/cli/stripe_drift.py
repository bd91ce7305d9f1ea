"""`keyfold stripe reconcile` and `remap`: what the ledger missed, and what it had no use for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from commands.map_prices import Mapped, PriceLookup, map_prices
from commands.reconcile_stripe import Drift, reconcile_stripe
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import Meaning, StripeInvoiceReported
from projections.lists.overview import held_elsewhere
from projections.lists.stripe_subscriptions import list_stripe
from web.app.times import iso_or_none
from web.cli.context import CliContext, open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import NOTHING, print_json, print_table, progress, short_time


@click.command(
    cls=Exampled,
    short_help="Hold the ledger against Stripe, and record what was missed.",
    examples=("keyfold stripe reconcile --dry-run", "keyfold stripe reconcile"),
)
@click.option("--dry-run", is_flag=True, help="Only tell; nothing is recorded.")
@json_option
def reconcile(dry_run: bool, as_json: bool) -> None:
    """Compare all subscriptions, open invoices and the events of the last 30 days with Stripe.

    What was missed is recorded, as reports of its own, and printed, also when Stripe stops to
    answer before the end. Exits with 1 when there was any drift. Meant to run every day.
    """
    found: list[Drift] = []
    try:
        with open_ledger() as work, progress("Reconciling", None) as on_drift:
            drift = reconcile_stripe(
                work.services,
                work.now,
                _open(work),
                cut_invoices=_invoices(work, lambda invoice: invoice.lacks_lines),
                open_invoices=_invoices(work, lambda invoice: not invoice.is_settled),
                held_elsewhere=_held_elsewhere(work),
                dry_run=dry_run,
            )
            for one in drift:
                found.append(one)
                on_drift()
    except BaseException:
        if found:  # what is recorded by now will not be found again
            _print(found, dry_run=dry_run, as_json=as_json, complete=False)
        raise
    _print(found, dry_run=dry_run, as_json=as_json, complete=True)
    if found:
        summary = "1 thing differed" if len(found) == 1 else f"{len(found)} things differed"
        done = "nothing was recorded" if dry_run else "recorded now"
        raise CommandRefused("stripe_drift", f"{summary} from Stripe: {done}")


def _open(work: CliContext) -> Iterator[str]:
    """Return the Stripe subscriptions that the ledger has not heard the end of."""
    for listed in list_stripe(work.services.book, work.wiring.tables):
        if listed.account is None:
            yield listed.stripe_subscription
            continue
        account = work.services.book.load(ACCOUNT, listed.account).state
        known = account.stripe.subscriptions.get(listed.stripe_subscription)
        if known is None or not known.latest.is_end:
            yield listed.stripe_subscription


def _held_elsewhere(work: CliContext) -> list[str]:
    """Return the Stripe subscriptions that others than their account have on record."""
    found = held_elsewhere(work.services.book, work.wiring.tables)
    return list(dict.fromkeys(one.stripe_object for one in found))


def _invoices(
    work: CliContext, is_meant: Callable[[StripeInvoiceReported], bool]
) -> Iterator[tuple[str, str]]:
    """Return account and id of the invoices on record that are meant."""
    listed = list_stripe(work.services.book, work.wiring.tables)
    for account in sorted({one.account for one in listed if one.account}):
        state = work.services.book.load(ACCOUNT, account).state
        for id in sorted(state.stripe.invoices):
            if is_meant(state.stripe.invoices[id].latest):
                yield account, id


def _print(found: list[Drift], *, dry_run: bool, as_json: bool, complete: bool) -> None:
    """Print what was found; of a run that failed, what was found until then."""
    if as_json:
        drift = [_written(one) for one in found]
        print_json({"dry_run": dry_run, "complete": complete, "drift": drift})
    else:
        _print_drift(found)


def _written(one: Drift) -> dict[str, str | None]:
    return {**one._asdict(), "since": iso_or_none(one.since)}


def _print_drift(found: list[Drift]) -> None:
    if not found:
        click.echo("the ledger is as Stripe has it")
        return
    print_table(
        ("what", "id", "account", "drift", "since"),
        [
            (
                one.kind,
                one.id,
                one.account or NOTHING,
                one.what,
                short_time(one.since) if one.since else NOTHING,
            )
            for one in found
        ],
    )


@click.command(
    cls=Exampled,
    short_help="Give prices the meaning that the catalog has for them now.",
    examples=("keyfold stripe remap --dry-run", "keyfold stripe remap"),
)
@click.option("--dry-run", is_flag=True, help="Only tell; nothing is recorded.")
@json_option
def remap(dry_run: bool, as_json: bool) -> None:
    """Look the prices of all subscriptions up in the catalog as it is now.

    A price keeps what it meant when a subscription was first reported with it. This gives a meaning
    to those that had none, and the catalog's to those that mean something else by now, for all
    accounts, from now on. What was true before stays as it was, and a price that left the catalog
    keeps its meaning. Stripe is asked what the prices are now, unless the catalog names them by id;
    one that Stripe does not tell of keeps its meaning, and is listed. Try it with --dry-run first.
    Exits with 1 when there are prices left that mean nothing, or could not be looked up.
    """
    with open_ledger() as work:
        listed = list_stripe(work.services.book, work.wiring.tables)
        accounts = sorted({one.account for one in listed if one.account})
        with progress("Mapping", len(accounts)) as on_account:
            found, lookup = [], PriceLookup(work.services)
            for account in accounts:
                found.append(
                    map_prices(work.services, work.now(), account, dry_run=dry_run, lookup=lookup)
                )
                on_account()
    found = [one for one in found if one.meanings or one.unmapped or one.kept]
    if as_json:
        print_json({"dry_run": dry_run, "accounts": [_mapped(one) for one in found]})
    else:
        _print_mapped(found)
    kept = sum(len(one.kept) for one in found)
    if kept:
        summary = "1 price keeps its meaning" if kept == 1 else f"{kept} prices keep their meaning"
        raise CommandRefused(
            "prices_not_looked_up", f"{summary}, since Stripe did not tell what it is now"
        )
    left = sum(len(one.unmapped) for one in found)
    if left:
        summary = "1 price means" if left == 1 else f"{left} prices mean"
        raise CommandRefused(
            "prices_unmapped", f"{summary} nothing in the catalog, and gives no seats"
        )


def _mapped(one: Mapped) -> dict[str, object]:
    changed = {
        price: {"was": _meaning(before), "is": _meaning(one.meanings[price])}
        for price, before in one.before.items()
    }
    return {
        "account": one.account,
        "mapped": {
            price: {"product": meaning.product, "tier": meaning.tier}
            for price, meaning in one.meanings.items()
        },
        "unmapped": one.unmapped,
        **({"changed": changed} if changed else {}),
        **({"kept": {price: _meaning(one.kept[price]) for price in one.kept}} if one.kept else {}),
    }


def _meaning(meaning: Meaning) -> dict[str, object]:
    return {
        "product": meaning.product,
        "tier": meaning.tier,
        "per_unit": meaning.per_unit,
        "included": meaning.included,
    }


def _print_mapped(found: list[Mapped]) -> None:
    if not found:
        click.echo("every price that was reported means something")
        return
    rows = []
    for one in found:
        for price, meaning in one.meanings.items():
            before = one.before.get(price)
            rows.append(
                (one.account, price, _words(meaning), _words(before) if before else NOTHING)
            )
        rows += [(one.account, price, "unmapped", NOTHING) for price in one.unmapped]
        rows += [
            (one.account, price, f"not looked up: {_words(meaning)}", _words(meaning))
            for price, meaning in one.kept.items()
        ]
    print_table(("account", "price", "gives", "gave"), rows)


def _words(meaning: Meaning) -> str:
    """Return what a price gives, in words: `cloud_pos: 1 a unit`, `team: 3 included`."""
    place = " ".join(filter(None, (meaning.product, meaning.tier)))
    parts = [f"{meaning.per_unit} a unit"] if meaning.per_unit else []
    parts += [f"{meaning.included} included"] if meaning.included or not parts else []
    return f"{place}: {', '.join(parts)}"
