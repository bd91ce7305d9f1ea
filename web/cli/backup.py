"""`keyfold backup`: the ledger as one file, to be restored."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click

from commands.move_text_keys import give_text_keys
from commands.services import Services
from ledger.proof.cloud_events import Fork, secret_name
from projections.audit.backup import BackedUp, LedgerDamaged, write_backup
from projections.audit.export import LedgerChanged
from web.app.services import Wiring
from web.app.version import version
from web.cli import compressed_files
from web.cli.compressed_files import COMPRESSIONS, STANDARD, Busy
from web.cli.context import CliContext, open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json
from web.cli.progress import event_progress

UNNAMED: Final = COMPRESSIONS["zst"]
BLOCK_BYTES: Final = 256 * 1024


@click.command(
    cls=Exampled,
    short_help="Write the ledger to one file, while it is used.",
    examples=(
        "keyfold backup 2026-03-01.kfb",
        "keyfold backup 2026-03-01.kfb --text-keys 2026-03-01.keys",
        "keyfold backup - | ssh elsewhere 'cat > 2026-03-01.kfb'",
        "keyfold restore 2026-03-01.kfb --check      can it be restored?",
    ),
)
@click.argument(
    "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
@click.option(
    "--text-keys",
    "keys_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="KEYS",
    help="Write the keys of sealed text, too, to a file of their own: keep it briefly.",
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Write it although the events are not what was signed, as after `restore --accept-loss`.",
)
@json_option
def backup(
    file: Path, keys_file: Path | None, force: bool, accept_loss: bool, as_json: bool
) -> None:
    """Write all that cannot be made anew to FILE, or to standard output for `-`: the events, the
    checkpoints that were signed, how far webhooks were sent, and when tokens were last used.

    It is of one moment, whoever writes meanwhile; a standby will do, too. FILE is for its owner
    alone, compressed (.gz as gzip, anything else as zstd), and ends with its digest. It gets its
    name when it is complete and on the disk.

    Not in it are the secret (KEYFOLD_SECRET, or keyfold.secret), without which it is of no use, and
    the keys of labels, notes and reasons: so what is erased later cannot be read from it. They go
    to KEYS, which is to be kept only as long as erased text may linger: docs/operations.md.

    A ledger whose events are not what was signed makes none, unless with --accept-loss. FILE then
    says so, and its restore wants --accept-loss as well, and signs nothing.
    """
    to_file = str(file) != STANDARD
    if as_json and not to_file:
        raise click.UsageError("--json: standard output is the backup's; name a FILE")
    wanted = [*([file] if to_file else []), *([keys_file] if keys_file else [])]
    if len({one.absolute() for one in wanted}) < len(wanted):
        raise click.UsageError("--text-keys: name another file than FILE")
    if not force:
        _refuse_what_is_there(wanted)
    with open_ledger() as opened, _refusing():
        with _written(file) if to_file else _to_standard_output() as write:
            done = _write(opened, file, write, accept_loss=accept_loss)
        keys = _write_keys(opened.services, keys_file) if keys_file else None
        secret = secret_name(opened.services.request_key)
        made_at = opened.request_context.now
    if as_json:
        text_keys = {"file": str(keys_file), "keys": keys} if keys_file else None
        print_json(
            {
                "file": str(file),
                "bytes": file.stat().st_size,
                "made_at": made_at,
                "secret": secret,
                **_to_json(done),
                "text_keys": text_keys,
            }
        )
        return
    click.echo(_described(done, file), err=not to_file)
    if done.fork is not None:
        click.echo(
            f"note: {done.fork.against(done.events)}; its restore wants --accept-loss, and signs"
            " nothing",
            err=True,
        )
    if keys_file is None:
        click.echo(
            "note: the keys of labels, notes and reasons are not in it: --text-keys KEYS", err=True
        )
    else:
        click.echo(f"{keys} keys of text in {keys_file}: keep them briefly, and apart", err=True)


def _refuse_what_is_there(files: list[Path]) -> None:
    for one in files:
        if os.path.lexists(one):
            raise CommandRefused(
                "file_exists", f"{one} is there already: name another, or say --force"
            )


@contextmanager
def _written(file: Path) -> Iterator[Any]:
    """Yield what writes a file that gets its name at the end; what was begun goes if it fails."""
    try:
        with compressed_files.writing(file) as write:
            yield write
    except Busy:
        raise  # what is begun is somebody else's
    except BaseException:
        with suppress(OSError):
            compressed_files.part_of(file).unlink()
        raise


@contextmanager
def _to_standard_output() -> Iterator[Any]:
    yield sys.stdout.buffer.write
    sys.stdout.buffer.flush()


def _write(opened: CliContext, file: Path, write: Any, *, accept_loss: bool) -> BackedUp:
    wiring: Wiring = opened.wiring
    pack = (compressed_files.compression_named(file.name) or UNNAMED).pack
    block = bytearray()

    def put(lines: bytes) -> None:
        block.extend(lines)
        if len(block) >= BLOCK_BYTES:
            write(pack(bytes(block)))
            block.clear()

    with event_progress("Backing up") as on_events:
        done = write_backup(
            opened.services.book,
            wiring.tables,
            put,
            opened.request_context,
            secret=secret_name(opened.services.request_key),
            version=version(),
            accept_loss=accept_loss,
            on_events=on_events,
        )
    write(pack(bytes(block)))
    return done


def _write_keys(services: Services, file: Path) -> int:
    """Write the keys of sealed text as `keyfold texts export` does; return how many there are."""
    lines = list(give_text_keys(services))
    with _written(file) as write:
        write(b"".join(lines))
    return len(lines) - 1


def _to_json(done: BackedUp) -> dict[str, Any]:
    return {
        "events": done.events,
        "position": done.events,
        "root": done.root,
        "checkpoint": {"size": done.checkpoint, "signed_at": done.signed_at}
        if done.checkpoint is not None
        else None,
        "rows": done.rows,
        "sha256": done.sha256,
        "fork": fork_json(done.fork),
    }


def fork_json(fork: Fork | None) -> dict[str, int] | None:
    """Return as JSON what was signed that a file's events are not of."""
    return None if fork is None else {"size": fork.size, "agreed": fork.agreed}


def _described(done: BackedUp, file: Path) -> str:
    signed = (
        f"last checkpoint of {done.checkpoint} events, signed {done.signed_at}"
        if done.checkpoint is not None
        else "no checkpoint"
    )
    return f"backed up {done.events} events to {file}: root {done.root}, {signed}"


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except LedgerDamaged as error:
        raise CommandRefused(
            "ledger_altered",
            f"Nothing was written, since it is not what was signed: {error}; keyfold audit verify"
            " tells more. After a loss that was accepted say --accept-loss: then it is written, and"
            " says so",
        ) from None
    except LedgerChanged:
        raise CommandRefused(
            "ledger_changed",
            "Events of the ledger were changed while they were read: run keyfold audit verify",
        ) from None
    except Busy as error:
        raise CommandRefused("file_busy", str(error)) from None
