"""`keyfold audit export` and `import`: the ledger as a file, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from commands.import_ledger import (
    BadExport,
    ImportedLedger,
    NotProved,
    SignedOtherwise,
    import_ledger,
)
from commands.services import Services
from ledger.book import Book
from ledger.proof.cloud_events import ExportHeader, NotAnExport, read_header, secret_name
from ledger.store.bulk_load import LedgerNotEmpty
from ledger.store.holes import holes
from ledger.store.signed_checkpoints import SignedCheckpoint
from projections.audit import export as exporting
from projections.audit.export import LedgerChanged, NoSuchRange, OtherExport
from web.cli import compressed_files
from web.cli.audit_proofs import key_option, parsed_keys, read_as_signed
from web.cli.compressed_files import COMPRESSIONS, STANDARD, Busy, Compression, Part, Unreadable
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.progress import OnEvents, event_progress

Signed = Sequence[SignedCheckpoint]

PLAIN: Final = "none"
UNCHANGED: Final = "nothing was changed"


# Export


@click.command(
    cls=Exampled,
    short_help="Write the ledger to a file, as CloudEvents.",
    examples=(
        "keyfold audit export ledger.jsonl.gz",
        "keyfold audit export ledger.jsonl.gz --resume       after an interruption",
        "keyfold audit export since.jsonl --from 1201        only what came after position 1200",
        "keyfold audit export - | gpg --encrypt …",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    show_default=True,
    help="The first position to write.",
)
@click.option(
    "--to", "last", type=click.IntRange(0), metavar="N", help="The ledger's head if left out."
)
@click.option(
    "--compress",
    type=click.Choice([*COMPRESSIONS, PLAIN]),
    help="As the name of FILE says if left out: .gz, .zst, or not at all.",
)
@click.option("--resume", is_flag=True, help="Carry on with an export that was interrupted.")
def export(file: str, first: int, last: int | None, compress: str | None, resume: bool) -> None:
    """Write all events of the ledger to FILE, or to standard output for `-`: JSON Lines.

    The first line says which events follow, and the root of their tree; each other line is one
    event as CloudEvents 1.0, with its stored bytes. Free text is in it as it is stored: encrypted,
    under keys that are not in the file. The same ledger makes the same file.

    FILE gets its name when it is complete; until then it is FILE.part. With --resume it is carried
    on with, up to where it was meant to end when it was begun.

    When the ledger lacks events in between, notes say which. FILE then holds what there is, for
    whoever has to find out why, and cannot be imported.
    """
    compression = (
        compressed_files.compression_named(file) if compress is None else COMPRESSIONS.get(compress)
    )
    with open_ledger() as (wiring, services, _), _refusing(file), _hinting(file):
        signed = list(wiring.signing.signed.all())
        if file == STANDARD:
            if resume:
                raise click.UsageError("standard output cannot be carried on with")
            header = _to_standard_output(services, signed, first, last, compression)
        else:
            header = _to_file(services, signed, Path(file), first, last, compression, resume=resume)
        missing = [
            one for one in holes(services.book.store) if header.first <= one.position <= header.last
        ]
    click.echo(_described(header), err=file == STANDARD)
    if header.fork:
        click.echo(
            f"note: {header.fork.against(header.last)}; an import under the same secret wants"
            " --accept-loss, and signs nothing",
            err=True,
        )
    for one in missing:
        click.echo(f"note: position {one.position}: {one.sentence}", err=True)
    if missing:
        click.echo(
            "note: the export has holes and cannot be imported: the ledger lacks events; restore"
            " them from a backup or an earlier export",
            err=True,
        )


def _described(header: ExportHeader) -> str:
    if header.last < header.first:
        return "exported nothing: the ledger is empty"
    root = f", root {header.root}" if header.root else ""
    return f"exported positions {header.first} to {header.last}{root}"


def _to_standard_output(
    services: Services,
    signed: Signed,
    first: int,
    last: int | None,
    compression: Compression | None,
) -> ExportHeader:
    header = _plan(services, signed, first, last)
    _write(services.book, header, sys.stdout.buffer.write, compression)
    sys.stdout.buffer.flush()
    return header


def _to_file(
    services: Services,
    signed: Signed,
    file: Path,
    first: int,
    last: int | None,
    compression: Compression | None,
    *,
    resume: bool,
) -> ExportHeader:
    part = compressed_files.find_part(file, compression) if resume else None
    begun = read_header(part.first) if part is not None and part.first else None
    header = _plan(services, signed, first, begun.last if begun and last is None else last)
    if begun is not None:
        # More may have been signed since.
        header = replace(header, fork=begun.fork)
    with compressed_files.writing(
        file, carry_on_at=part.length if part is not None else 0
    ) as write:
        _write(services.book, header, write, compression, part)
    return header


def _plan(services: Services, signed: Signed, first: int, last: int | None) -> ExportHeader:
    with event_progress("Hashing") as on_events:
        return exporting.plan(
            services.book,
            first=first,
            last=last,
            secret=secret_name(services.request_key),
            signed=signed,
            on_events=_of(on_events, last or services.book.head()),
        )


def _write(
    book: Book,
    header: ExportHeader,
    write: Callable[[bytes], object],
    compression: Compression | None,
    part: Part | None = None,
) -> None:
    with event_progress("Exporting") as on_events:
        total = header.last - header.first + 1
        blocks = exporting.blocks(book, header, on_events=_of(on_events, total))
        if part is not None:
            blocks = exporting.blocks_after(blocks, part.content_length, part.content_digest)
        for block in blocks:
            write(compression.pack(block) if compression else block)


def _of(on_events: OnEvents, total: int) -> Callable[[int], None]:
    return lambda events: on_events(events, total)


@contextmanager
def _hinting(file: str) -> Iterator[None]:
    """Say how an export goes on that did not come to its end."""
    try:
        yield
    except (KeyboardInterrupt, OSError):
        if file != STANDARD and compressed_files.part_of(Path(file)).exists():
            click.echo(
                f"interrupted: carry on with: keyfold audit export {file} --resume", err=True
            )
        raise


@contextmanager
def _refusing(file: str) -> Iterator[None]:
    """Say in one sentence why nothing came of it."""
    try:
        yield
    except (BadExport, NotAnExport, Unreadable) as error:
        raise CommandRefused(
            "bad_export", f"{_name(file)} will not do: {error}; {UNCHANGED}"
        ) from None
    except SignedOtherwise as error:
        raise CommandRefused(
            "ledger_altered",
            f"{_name(file)} is not what was signed under this secret: {error}; look for a newer"
            " export or a backup, or say --accept-loss, and nothing is signed any more;"
            f" {UNCHANGED}",
        ) from None
    except LedgerNotEmpty:
        raise CommandRefused(
            "ledger_not_empty",
            "The ledger holds events already, and an import needs an empty one:"
            f" name another in KEYFOLD_DATABASE_URL; {UNCHANGED}",
        ) from None
    except NotProved:
        raise CommandRefused(
            "not_proved", f"The database does not give back what was put into it; {UNCHANGED}"
        ) from None
    except OtherExport:
        raise CommandRefused(
            "other_export",
            "What was begun is an export of another ledger, of other positions, or damaged:"
            " leave --resume out to begin again",
        ) from None
    except NoSuchRange as error:
        raise CommandRefused("no_such_range", str(error)) from None
    except LedgerChanged:
        raise CommandRefused(
            "ledger_changed",
            "Events of the ledger were changed while they were read: run keyfold audit verify",
        ) from None
    except Busy as error:
        raise CommandRefused("file_busy", str(error)) from None


def _name(file: str) -> str:
    return "standard input" if file == STANDARD else file


# Import


@click.command(
    "import",
    cls=Exampled,
    short_help="Take an export into an empty ledger, and prove that it is the same.",
    examples=(
        "keyfold db upgrade && keyfold audit import ledger.jsonl.gz",
        "ssh old keyfold audit export - | keyfold audit import -",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    metavar="CHECKPOINT",
    help="A checkpoint that was kept outside; may be repeated. Give the newest that there is.",
)
@key_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on although more was signed than FILE has, or something else; then sign nothing.",
)
def import_(file: str, files: Sequence[str], vkeys: Sequence[str], accept_loss: bool) -> None:
    """Take in FILE, or standard input for `-`, into a ledger that holds no event yet.

    All of it is taken in or, whatever happens, nothing. Before that is final, it is proved that the
    ledger has the root that the export names, and that every stream is found and folds. Nobody else
    can write meanwhile. Whether FILE is compressed is seen in it.

    Codes, tokens and sealed texts work only under the same secret: put keyfold.secret, or
    KEYFOLD_SECRET, in place first. The keys of sealed texts are not in an export: `keyfold texts`
    moves them.

    Under the same secret the ledger goes on signing in the same name, and must not sign a second
    history. So it is held against the checkpoints that are given, those in KEYFOLD_CHECKPOINT_LOG,
    and what FILE says itself of what was signed. When that is of more events, or of others, nothing
    is taken in, unless with --accept-loss; then no checkpoint is signed any more.
    """
    others = parsed_keys(vkeys)
    with (
        open_ledger() as (wiring, services, context),
        _refusing(file),
        compressed_files.reading(file) as lines,
        event_progress("Importing") as on_events,
    ):
        signing = wiring.signing
        given = [read_as_signed(signing, name, others, context.now) for name in files]
        imported = import_ledger(
            services,
            lines,
            now=context.now,
            kept=[*signing.signed.all(), *given],
            accept_loss=accept_loss,
            on_events=on_events,
        )
    _print_imported(imported)


def _print_imported(imported: ImportedLedger) -> None:
    click.echo(
        f"imported {imported.events} events in {imported.streams} streams, root {imported.root}"
    )
    if imported.same_secret is False:
        click.echo(
            "note: this ledger has another secret than the exported one:"
            " its codes, tokens and sealed texts do not work here",
            err=True,
        )
    elif imported.fork is not None:
        click.echo(
            f"note: {imported.fork.against(imported.events)}: none is signed any more, and /readyz"
            " says why",
            err=True,
        )
    elif imported.proved_up_to:
        click.echo(f"checkpoints agree up to position {imported.proved_up_to}")
    elif imported.events:
        click.echo(
            "note: not checked: whether the old ledger went on after the export, and signed that;"
            " the newest checkpoint that is kept elsewhere tells: --checkpoint CHECKPOINT",
            err=True,
        )
