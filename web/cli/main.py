"""`keyfold` itself: which commands there are, and what becomes of what they raise."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from web.cli.lazy import Lazy, LazyGroup

INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 1

COMMANDS: Final = {
    "serve": Lazy("web.cli.serve:serve", "Serve the HTTP API."),
    "demo": Lazy("web.cli.demo:demo", "Fill an empty ledger with a world to look at."),
    "keys": Lazy("web.cli.keys:keys", "Issue activation keys, and look after them."),
    "batches": Lazy("web.cli.batches:batches", "The keys of an order or an import, together."),
    "resellers": Lazy(
        "web.cli.resellers:resellers", "What resellers may order, and what they did."
    ),
    "orders": Lazy("web.cli.orders:orders", "Orders of resellers that wait for you."),
    "seats": Lazy("web.cli.seats:seats", "Who sits where: take seats and give them back."),
    "subscriptions": Lazy(
        "web.cli.accounts:subscriptions", "What an account has, and who uses it."
    ),
    "subscription": Lazy(
        "web.cli.subscription:subscription", "Change what a key gave: extend, suspend, transfer …"
    ),
    "entitlements": Lazy(
        "web.cli.accounts:entitlements", "What an account may use, and until when."
    ),
    "seat-history": Lazy(
        "web.cli.accounts:seat_history", "How seats and holders went up and down."
    ),
    "timeline": Lazy("web.cli.timeline:timeline_", "What happened to anything that has an id."),
    "sessions": Lazy("web.cli.sessions:sessions", "End the sessions of an account's customers."),
    "attempts": Lazy("web.cli.attempts:attempts", "Let an account try codes again."),
    "link": Lazy("web.cli.link:link", "Tell which customer of Stripe's an account is."),
    "unlink": Lazy("web.cli.link:unlink", "Take a customer of Stripe's away from an account."),
    "billing": Lazy("web.cli.billing:billing", "What an account pays, and when next."),
    "diff": Lazy("web.cli.questions:diff_", "What became different between two moments."),
    "explain": Lazy("web.cli.questions:explain", "Why a seat or a code works, or does not."),
    "overview": Lazy("web.cli.overview:overview_", "How things stand over all accounts."),
    "stripe": Lazy("web.cli.stripe:stripe", "Hold the ledger and Stripe against each other."),
    "notices": Lazy("web.cli.notices:notices", "What became true, or will, as time passes."),
    "webhooks": Lazy("web.cli.webhooks:webhooks", "Have messages sent to an address."),
    "tokens": Lazy("web.cli.tokens:tokens", "Give access to the API, and take it back."),
    "people": Lazy("web.cli.people:people", "Who signs in at the provider; lock one out."),
    "secrets": Lazy("web.cli.secrets:secrets", "Rotate the keys of links and cookies."),
    "audit": Lazy("web.cli.audit:audit", "Checkpoints, receipts, export and import."),
    "backup": Lazy("web.cli.backup:backup", "Write the ledger to one file, while it is used."),
    "restore": Lazy("web.cli.restore:restore", "Put a backup into an empty database, proved."),
    "erase": Lazy("web.cli.erase:erase", "Make an account's free text unreadable, for ever."),
    "replay": Lazy("web.cli.replay:replay_", "Rebuild every table, and tell what differs."),
    "texts": Lazy("web.cli.text_keys:texts", "Move the keys of sealed text to another database."),
    "doctor": Lazy("web.cli.doctor:doctor", "Tell what is wrong, and how to mend it."),
    "db": Lazy("web.cli.db:db", "Make, upgrade and check the database's tables."),
}


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from web.app.version import version

        click.echo(f"keyfold {version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    heading="Begin with",
    examples=(
        "keyfold demo --serve                  a ledger to look at, and the API to it",
        "keyfold db upgrade                    an empty ledger of your own",
        "keyfold tokens create --role admin",
        "keyfold serve",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings are environment variables, first of all KEYFOLD_DATABASE_URL; each can also "
    "stand in the file that KEYFOLD_ENV_FILE names.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def keyfold() -> None:
    """Keyfold, a ledger of licences: keys, seats and subscriptions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    _never_fail_to_encode()
    try:
        result = keyfold.main(arguments, prog_name="keyfold", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return CLOSED_PIPE
    except Exception as error:
        from web.cli.errors import explain

        failure = explain(error)
        if failure is None:
            raise
        click.echo(failure.line, err=True)
        return failure.exit_code
    return result if isinstance(result, int) else 0


def _never_fail_to_encode() -> None:
    """Let a terminal that knows no `•` show something in its place."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Whoever read our output has gone: let nothing complain of it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
