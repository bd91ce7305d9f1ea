"""`keyfold keys`: activation keys."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast, get_args

import click
from msgspec import UNSET
from msgspec.structs import asdict

from commands.amend_key import Amendment, amend_key
from commands.import_keys import ImportedKeys, RefusedLine, import_keys
from commands.issue_keys import Order, issue_keys
from commands.migrate_keys import MigratedKeys, migrate_keys
from commands.reissue_key import reissue_key
from commands.reveal_codes import reveal_code, reveal_codes
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger import codes
from ledger.limits import COUNT_MAX
from ledger.refusals import InvalidKeyFormat
from ledger.streams import key
from ledger.streams.key import KEY, Status
from projections.lists.keys import KeyList, KeyPage, KeyQuery, KeyView, key_view, list_keys
from projections.views.account_at import Moment
from web.api.answers import IssuedKeys, KeyWithCode, RevealedKeys, with_codes
from web.app.code_tables import CODE_COLUMNS, code_rows
from web.app.services import Wiring
from web.cli.context import OPERATOR, open_ledger
from web.cli.errors import REFUSED
from web.cli.examples import Exampled, ExampledGroup
from web.cli.options import (
    TIME,
    csv_option,
    idempotency_key_option,
    json_option,
    reason_option,
)
from web.cli.output import (
    NOTHING,
    print_csv,
    print_fields,
    print_items,
    print_json,
    progress,
    text_of,
)

PAGE_KEYS: Final = 500


@click.group(cls=ExampledGroup)
def keys() -> None:
    """Issue activation keys, and look after them.

    A key is known by its id (key_…), and used by its code. Codes are shown whole when they are
    issued, reissued or revealed, and masked everywhere else.
    """


# Issuing


@keys.command(
    cls=Exampled,
    examples=(
        'keyfold keys issue --product cloud_pos --seats 3 --months 12 --reseller "Alpine Tills"',
        "keyfold keys issue --product integrations --tier growth --seats 2 --months 12 \\",
        "    --reseller Coastline --count 10000 --idempotency-key order-4711 --csv > keys.csv",
    ),
)
@click.option("--product", required=True, help="The product's id, e.g. cloud_pos.")
@click.option("--tier", help="The tier's id; needed for a product with tiers, refused otherwise.")
@click.option("--seats", type=int, required=True, metavar="N", help="Seats that each key gives.")
@click.option("--months", type=int, required=True, metavar="M", help="For how many months.")
@click.option(
    "--count", type=int, default=1, show_default=True, metavar="N", help=f"Keys, up to {COUNT_MAX}."
)
@click.option("--reseller", required=True, metavar="NAME", help="Who sells them.")
@click.option(
    "--redeem-by", type=TIME, metavar="TIME", help="From then on, keys not redeemed have lapsed."
)
@click.option("--note", metavar="TEXT", help="Free text; kept encrypted.")
@idempotency_key_option
@csv_option
@json_option
def issue(
    idempotency_key: str | None, as_csv: bool, as_json: bool, count: int, **ordered: Any
) -> None:
    """Issue keys: all of them, or none."""
    with open_ledger() as (_, services, request_context), progress("Issuing", count) as on_key:
        issued = issue_keys(
            services,
            request_context,
            Order(count=count, **ordered),
            idempotency_key=idempotency_key,
            scope=OPERATOR,
            on_key=on_key,
        )
        rows = list(code_rows(services, issued.keys)) if as_csv else []
    if issued.replayed:
        click.echo("this order had been carried out before: these are its keys", err=True)
    if as_csv:
        print_csv(CODE_COLUMNS, rows)
    else:
        view = IssuedKeys(issued.batch, with_codes(issued.keys))
        _print_issued(issued.batch, view, as_json)


@keys.command(short_help="Show codes again, on the record.")
@click.argument("batch_or_key", metavar="BATCH_OR_KEY")
@reason_option
@csv_option
@json_option
def reveal(batch_or_key: str, reason: str, as_csv: bool, as_json: bool) -> None:
    """Show the codes of a batch (bat_…), or of one key (key_…), again, and put that on record.

    The codes of keys that were redeemed or revoked since stay masked; after a key that was reissued
    come those that were given in its place.
    """
    show = reveal_code if batch_or_key.startswith("key_") else reveal_codes
    with open_ledger() as (_, services, request_context):
        revealed = show(services, request_context, batch_or_key, reason)
        rows = list(code_rows(services, revealed.keys)) if as_csv else []
    if as_csv:
        print_csv(CODE_COLUMNS, rows)
    else:
        _print_issued(revealed.batch, RevealedKeys(with_codes(revealed.keys)), as_json)


def _print_issued(batch: str, view: IssuedKeys | RevealedKeys, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        print_fields(view.keys, *KeyWithCode.__struct_fields__)
        click.echo(f"\nbatch {batch}")


@keys.command("import", short_help="Take in codes that were issued elsewhere.")
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="Only say what would become of it: record nothing.")
@json_option
def import_(file: BinaryIO, check: bool, as_json: bool) -> None:
    """Take in codes that were issued elsewhere, from FILE, or from standard input with `-`.

    FILE is CSV with the columns code, product, tier, seats, months, reseller and redeem_by, in
    UTF-8 or as Excel saves Unicode text; commas, semicolons or tabs stand between the fields. Each
    line stands for itself: what does not fit is printed with its line and the reason, and the rest
    is taken in. Exits with 1 when anything was refused. The same file can be imported again: what
    is known already is refused, and what was revoked since comes in again.
    """
    with (
        open_ledger() as (_, services, request_context),
        progress("Importing", None) as on_line,
        io.TextIOWrapper(file, _encoding(file)) as lines,
    ):
        imported = import_keys(services, request_context, lines, check=check, on_line=on_line)
    if as_json:
        print_json(_report(imported))
    else:
        _print_imported(imported, check)
    if imported.refused:
        sys.exit(REFUSED)


def _report(imported: ImportedKeys | MigratedKeys) -> dict[str, Any]:
    return imported._asdict() | {"refused": [line._asdict() for line in imported.refused]}


def _encoding(file: BinaryIO) -> str:
    """Return how a file is encoded, by the byte order mark that it may begin with."""
    start = cast(io.BufferedReader, file).peek(2)[:2]
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"


def _print_imported(imported: ImportedKeys, check: bool) -> None:
    _print_refused(imported.refused)
    accepted = "would accept" if check else "accepted"
    click.echo(f"{accepted} {imported.accepted}, refused {len(imported.refused)}")
    if not check:
        click.echo(f"batch {imported.batch or NOTHING}")


def _print_refused(refused: list[RefusedLine]) -> None:
    if refused:
        print_fields(refused, "line=line_number", "code=masked", "field", "refused because=reason")
        click.echo()


@keys.command(
    cls=Exampled,
    short_help="Take in another system's keys, the redeemed ones too.",
    examples=("keyfold keys migrate --dry-run keys.csv", "keyfold keys migrate keys.csv"),
)
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only say what would become of it: record nothing.")
@json_option
def migrate(file: BinaryIO, dry_run: bool, as_json: bool) -> None:
    """Take in keys of another system, from FILE, or from standard input with `-`.

    FILE is as for `keys import`, and has three columns more: account, redeemed_at and ends_at. A
    line with an account was redeemed there at that time, and gives its seats here until it ends;
    without ends_at it ends its months later. A line without an account is a key that nobody has
    redeemed.

    All of FILE is taken in, or nothing: what does not fit is printed with its line and column. The
    same file again changes nothing, and a later one brings what was redeemed there since.
    """
    with (
        open_ledger() as (_, services, request_context),
        progress("Reading", None) as on_line,
        io.TextIOWrapper(file, _encoding(file)) as lines,
    ):
        migrated = migrate_keys(services, request_context, lines, dry_run=dry_run, on_line=on_line)
    if as_json:
        print_json(_report(migrated))
    else:
        _print_migrated(migrated, dry_run=dry_run)
    if migrated.refused:
        sys.exit(REFUSED)


def _print_migrated(migrated: MigratedKeys, *, dry_run: bool) -> None:
    _print_refused(migrated.refused)
    if migrated.refused or dry_run:
        click.echo("nothing was recorded; of the lines that fit:")
    click.echo(f"unredeemed  {migrated.unredeemed}")
    click.echo(f"redeemed    {migrated.redeemed}, {migrated.ended} of them ended by now")
    click.echo(f"unchanged   {migrated.unchanged}")
    click.echo(f"refused     {len(migrated.refused)}")
    if not (migrated.refused or dry_run):
        click.echo(f"batch       {migrated.batch or NOTHING}")


# Looking


@keys.command("list", short_help="List keys, the newest first.")
@click.option("--status", type=click.Choice(get_args(Status)), help="Only keys that are this now.")
@click.option("--product", help="Only keys of this product.")
@click.option("--reseller", metavar="NAME", help="Only keys of this reseller.")
@click.option("--batch", help="Only keys of this batch (bat_…).")
@click.option("--redeemed-by", metavar="ACCOUNT", help="Only keys that this account redeemed.")
@csv_option
@json_option
def list_(as_csv: bool, as_json: bool, **wanted: Any) -> None:
    """List keys, the newest first; all of them, so narrow it down when there are many."""
    with open_ledger() as (wiring, _, request_context), progress("Reading", None) as on_page:
        page = _all_keys(wiring, KeyQuery(**wanted), Moment(request_context.now), on_page)
    if as_json:
        print_json(KeyList(page.keys, None))
        return
    if as_csv:
        print_items(KeyView, page.keys)
        return
    print_fields(
        page.keys,
        *("id", "masked", "product", "tier", "seats", "months", "reseller", "status"),
        "redeemed by=redeemed_by",
    )


def _all_keys(
    wiring: Wiring, query: KeyQuery, moment: Moment, on_page: Callable[[], None]
) -> KeyPage:
    book, tables = wiring.services.book, wiring.tables
    page = list_keys(book, tables, query, moment, limit=PAGE_KEYS)
    found = page.keys
    while page.next is not None:
        on_page()
        page = list_keys(book, tables, query, moment, after=page.next, limit=PAGE_KEYS)
        found += page.keys
    return page._replace(keys=found)


@keys.command(
    cls=Exampled,
    examples=(
        "keyfold keys show key_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        "keyfold keys show - < code.txt",
    ),
)
@click.argument("id_or_code", metavar="ID_OR_CODE")
@json_option
def show(id_or_code: str, as_json: bool) -> None:
    """Show one key, by its id or by its whole code.

    Other users of this machine can see a program's arguments: with `-` the code is read from
    standard input instead, and stays between you and Keyfold.
    """
    with open_ledger() as (_, services, request_context):
        key_id = _key_id(services, id_or_code)
        loaded = services.book.load(KEY, key.stream_id(key_id))
        state = key.owned(loaded.state, None)
    _print_key(key_view(state, request_context.now), as_json)


def _key_id(services: Services, id_or_code: str) -> str:
    """Return a key's id, given that or its code; `-` for what is read from standard input."""
    given = (sys.stdin.readline() if id_or_code == "-" else id_or_code).strip()
    if given.startswith("key_"):
        return given
    code = codes.parse(given, services.catalog.prefixes)
    if code is None:
        raise InvalidKeyFormat
    return services.codes.key_id(code)


def _print_key(view: KeyView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    for name, value in asdict(view).items():
        click.echo(f"{name.replace('_', ' '):<14}{text_of(value)}")


# Changing


@keys.command(
    cls=Exampled,
    short_help="Put something about a key right before anybody redeems it.",
    examples=("keyfold keys amend key_c5nfx2ynqk7tq3bd5xw4a6bl7m --seats 5 --reason 'Not 50'",),
)
@click.argument("id_or_code", metavar="ID_OR_CODE")
@click.option("--seats", type=int, metavar="N", help="Seats that it gives.")
@click.option("--months", type=int, metavar="M", help="For how many months.")
@click.option("--tier", help="Of its product.")
@click.option("--redeem-by", type=TIME, metavar="TIME", help="From then on it has lapsed.")
@click.option("--no-redeem-by", is_flag=True, help="It never lapses.")
@click.option("--reseller", metavar="NAME", help="Whose key it is.")
@reason_option
@json_option
def amend(id_or_code: str, no_redeem_by: bool, reason: str, as_json: bool, **given: Any) -> None:
    """Amend a key that nobody has redeemed, by its id or its code, as `keys show` takes them.

    What is left out stays as it is.
    """
    if no_redeem_by and given["redeem_by"] is not None:
        raise click.UsageError("--redeem-by and --no-redeem-by: choose one of them")
    changed = {name: UNSET if value is None else value for name, value in given.items()}
    if no_redeem_by:
        changed["redeem_by"] = None
    amendment = Amendment(reason=reason, **changed)
    with open_ledger() as (_, services, request_context):
        amended = amend_key(services, request_context, _key_id(services, id_or_code), amendment)
    assert amended.loaded.state
    _print_key(key_view(amended.loaded.state, request_context.now), as_json)


@keys.command(short_help="Take back a key that nobody has redeemed.")
@click.argument("id_or_code", metavar="ID_OR_CODE")
@reason_option
@idempotency_key_option
@json_option
def revoke(id_or_code: str, reason: str, idempotency_key: str | None, as_json: bool) -> None:
    """Take back a key that nobody has redeemed, by its id or its code: it works no more."""
    with open_ledger() as (_, services, request_context):
        id = _key_id(services, id_or_code)
        revoked = revoke_key(services, request_context, id, reason, idempotency_key=idempotency_key)
    assert revoked.loaded.state
    _print_key(key_view(revoked.loaded.state, request_context.now), as_json)


@keys.command(short_help="Give a key's holder a new code.")
@click.argument("id_or_code", metavar="ID_OR_CODE")
@reason_option
@idempotency_key_option
@json_option
def reissue(id_or_code: str, reason: str, idempotency_key: str | None, as_json: bool) -> None:
    """Give the holder of a key, by its id or its code, a new code; the old one stops working.

    If the key was redeemed, its subscription stays as it is, and is known by the new code.
    """
    with open_ledger() as (_, services, request_context):
        id = _key_id(services, id_or_code)
        reissued = reissue_key(
            services, request_context, id, reason, idempotency_key=idempotency_key
        )
    if as_json:
        print_json(KeyWithCode(*reissued[:3]))
        return
    print_fields([reissued], "id", "code", "masked")
