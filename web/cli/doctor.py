"""`keyfold doctor`: what is not as it should be, and how to mend it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click

from web.app.settings import Settings
from web.cli.checkup.database import check_database, check_secret, check_tables
from web.cli.checkup.machine import check_disk, check_files, check_settings
from web.cli.checkup.result import CheckResult, fail, skipped
from web.cli.errors import REFUSED
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json

COULD_NOT_LOOK: Final = 2
COULD_NOT: Final = "could not look"
WIDTH: Final = 8

Check = Callable[[], CheckResult | Iterable[CheckResult]]


@click.command(
    cls=Exampled,
    short_help="Tell what is not as it should be, and how to mend it.",
    examples=("keyfold doctor", "keyfold doctor --json", "keyfold doctor --offline"),
)
@click.option("--offline", is_flag=True, help="Ask nobody on the network but the database.")
@json_option
def doctor(offline: bool, as_json: bool) -> None:
    """Look at the settings, the database, the secret, files, the disk, Stripe, the catalog, the
    public address with the proxy before it, the provider that people sign in at, and webhooks; a
    line for each: ok, warn, fail or skipped, and after an arrow what to do.

    Nothing is changed, and no key, secret or anything about customers is printed. Works before
    `keyfold db upgrade`, and while the database is down. Exits with 0 when nothing fails, with 1
    when something does, and with 2 when it could not look.
    """
    results: list[CheckResult] = []
    for result in _everything(offline=offline):
        results.append(result)
        if not as_json:
            _print(result)
    could_look = not any(one.detail.startswith(COULD_NOT) for one in results)
    failed = sum(one.status == "fail" for one in results)
    warned = sum(one.status == "warn" for one in results)
    if as_json:
        print_json(
            {
                "ok": not failed and could_look,
                "failed": failed,
                "warnings": warned,
                "items": [one._asdict() for one in results],
                "next": None,
            }
        )
    else:
        click.echo(f"{len(results)} checks: {failed} failed, {warned} to look at")
    if not could_look:
        sys.exit(COULD_NOT_LOOK)
    if failed:
        sys.exit(REFUSED)


def _print(result: CheckResult) -> None:
    line = f"{result.status:<{WIDTH}}{result.name}: {result.detail}"
    click.echo(line + (f" → {result.mend}" if result.mend else ""))


def _everything(*, offline: bool) -> Iterator[CheckResult]:
    """Return the results of all checks, as they come."""
    read, results = check_settings(os.environ)
    yield from results
    if read.settings is None:
        yield fail(
            "all else", f"{COULD_NOT}: there are no settings to look with", "mend those first"
        )
        return
    settings, wrong = read.settings, read.wrong
    has_tables = False
    if "KEYFOLD_DATABASE_URL" in wrong:
        yield skipped("database", "its address is wrong")
    else:
        yield from _run("files", lambda: check_files(settings, os.environ))
        yield from _run("disk", lambda: check_disk(settings))
        yield from _run("database", lambda: check_database(settings))
        tables = list(_run("tables", lambda: check_tables(settings)))
        yield from tables
        has_tables = all(one.status == "ok" for one in tables)
    yield from _about_ledger(settings, wrong, has_tables=has_tables)
    yield from _about_others(settings, wrong, offline=offline)


def _about_ledger(
    settings: Settings, wrong: frozenset[str], *, has_tables: bool
) -> Iterator[CheckResult]:
    from web.cli.checkup.serving import check_catalog, check_ledger

    if wrong & {"KEYFOLD_SECRET", "KEYFOLD_DATABASE_URL"}:
        yield skipped("secret", "see the settings above")
    else:
        yield from _run("secret", lambda: check_secret(settings, has_tables=has_tables))
    yield from _run("catalog", lambda: check_catalog(settings, wrong))
    if has_tables:
        yield from _run("ledger", lambda: check_ledger(settings))
    else:
        for check in ("ledger", "history", "prices", "webhooks"):
            yield skipped(check, "there is no ledger to look at")


def _about_others(
    settings: Settings, wrong: frozenset[str], *, offline: bool
) -> Iterator[CheckResult]:
    if offline:
        yield skipped("stripe", "--offline")
        yield skipped("public url", "--offline")
        yield skipped("sign-in", "--offline")
        return
    from web.cli.checkup.serving import check_public_url
    from web.cli.checkup.sign_in import check_sign_in
    from web.cli.checkup.stripe import check_stripe

    if any(name.startswith("STRIPE_") for name in wrong):
        yield skipped("stripe", "see the settings above")
    else:
        yield from _run("stripe", lambda: check_stripe(settings))
    if "KEYFOLD_PUBLIC_URL" in wrong:
        yield skipped("public url", "see the settings above")
    else:
        yield from _run("public url", lambda: check_public_url(settings))
    if any(name.startswith("KEYFOLD_OIDC_") for name in wrong):
        yield skipped("sign-in", "see the settings above")
    else:
        yield from _run("sign-in", lambda: check_sign_in(settings))


def _run(name: str, check: Check) -> Iterator[CheckResult]:
    """Return what a check says; that it broke, if it did, but not in which words."""
    try:
        results = check()
        yield from [results] if isinstance(results, CheckResult) else results
    except Exception as error:
        # Whatever it was, the other checks are to be made.
        yield fail(name, f"{COULD_NOT} ({type(error).__name__})", "tell us: we made a mistake")
