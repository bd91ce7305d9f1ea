"""`keyfold restore`: a backup into an empty database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, Final

import click

from commands.import_ledger import BadExport, Contradicted, NotProved
from commands.move_text_keys import BadKeys, TakenIn, put_text_keys, read_text_keys
from commands.restore_ledger import EventsLost, Forked, Restored, check_backup, restore_ledger
from ledger.backup_format import BackupHeader, BadBackup, read_header, unsealed
from ledger.proof.cloud_events import secret_name
from ledger.secret import Secret
from ledger.store import schema
from ledger.store.bulk_load import LedgerNotEmpty
from ledger.store.exclusive_lock import open_exclusive_lock
from ledger.store.signed_checkpoints import SignedCheckpoint
from ledger.store.text_keys import TextKey
from ledger.store.unfinished_restore import LOCK
from web.app.private_files import secret_file
from web.app.services import Wiring, existing_secret, wire
from web.app.settings import Settings, read_settings
from web.cli import compressed_files
from web.cli.audit_proofs import key_option, parsed_keys, read_as_signed
from web.cli.backup import fork_json
from web.cli.compressed_files import STANDARD, Unreadable
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json
from web.cli.progress import event_progress

UNCHANGED: Final = "nothing was restored"


@click.command(
    cls=Exampled,
    short_help="Put a backup into an empty database, and prove that it is the ledger.",
    examples=(
        "keyfold restore 2026-03-01.kfb --check",
        "keyfold restore 2026-03-01.kfb --checkpoint newest.txt --text-keys current.keys",
        "keyfold restore --give-up",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path(), required=False)
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="A checkpoint that was kept outside; may be repeated. Give the newest that there is.",
)
@key_option
@click.option(
    "--text-keys",
    "keys_file",
    metavar="KEYS",
    help="The keys of sealed text: of this backup, or newer ones.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on although more was signed than FILE has, or something else; then sign nothing.",
)
@click.option(
    "--check", "only_check", is_flag=True, help="Only read FILE to its end; ask no database."
)
@click.option(
    "--give-up",
    is_flag=True,
    help="Begin an empty ledger instead, after a restore that did not end; without FILE.",
)
@json_option
def restore(
    file: str | None,
    files: Sequence[str],
    vkeys: Sequence[str],
    keys_file: str | None,
    accept_loss: bool,
    only_check: bool,
    give_up: bool,
    as_json: bool,
) -> None:
    """Put the backup in FILE, or on standard input for `-`, into an empty database.

    Its tables are made if there are none. SQLite or PostgreSQL, whichever the backup was made of.
    Put the secret in place first: KEYFOLD_SECRET, or keyfold.secret beside the new file.

    All of it comes in, proved against every checkpoint that it holds and those that are given, or
    nothing. A restore that was killed, or failed on its way, leaves a database that says so and
    that takes nothing, until a restore into it ends well, or is given up with --give-up. One
    restore into a database goes on at a time.

    What the old ledger signed after the backup was made, nothing in FILE can tell: the newest
    checkpoint that was kept elsewhere can. If it is of more events than FILE has, these are lost,
    and nothing is restored unless with --accept-loss; then no checkpoint is signed any more, since
    it would contradict that one.
    """
    if (file is None) is not give_up:
        raise click.UsageError("name a FILE, or --give-up: one of them")
    if file is None:
        _give_up(read_settings().database_url, as_json=as_json)
        return
    others = parsed_keys(vkeys)
    with _refusing(file), compressed_files.reading(file) as lines:
        sealed = unsealed(lines)
        header = read_header(next(sealed, b""))
        if only_check:
            _check(header, sealed, file, as_json=as_json)
            return
        settings = read_settings()
        _refuse_other_secret(settings, header, file)
        url = settings.database_url
        with (
            _only_one(url),
            _marking(url) as begin,
            closing(wire(settings, restoring=True)) as wiring,
        ):
            now = wiring.clock()
            given = [read_as_signed(wiring.signing, name, others, now) for name in files]
            keys = _read_keys(wiring, keys_file)
            restored, taken = _restore(wiring, header, sealed, given, keys, accept_loss, begin)
            after = _recorded_between(wiring, restored)
    if as_json:
        print_json(_to_json(header, restored, after, taken))
    else:
        _print(header, restored, after, taken, bool(files))


@contextmanager
def _marking(database_url: str) -> Iterator[Callable[[], None]]:
    """Make the tables, and yield what marks the database until the restore has ended.

    If there were none they are marked from the first moment; when it does not come to a restore,
    the mark is taken back.
    """
    is_new = schema.make_to_restore(database_url)
    is_begun = False

    def begin() -> None:
        nonlocal is_begun
        schema.begin_restore(database_url)
        is_begun = True

    try:
        schema.upgrade(database_url)
        yield begin
    finally:
        if is_new and not is_begun:
            schema.give_up_restore(database_url)


def _restore(
    wiring: Wiring,
    header: BackupHeader,
    lines: Iterator[bytes],
    given: Sequence[SignedCheckpoint],
    keys: Sequence[TextKey] | None,
    accept_loss: bool,
    begin: Callable[[], None],
) -> tuple[Restored, TakenIn | None]:
    with event_progress("Restoring") as on_events:
        restored = restore_ledger(
            wiring.services,
            wiring.signing,
            header,
            lines,
            given,
            accept_loss=accept_loss,
            begin=begin,
            on_events=on_events,
        )
    return restored, put_text_keys(wiring.services, keys) if keys is not None else None


@contextmanager
def _only_one(database_url: str) -> Iterator[None]:
    """Hold off other restores into the same database, so that the mark there is ours."""
    lock = open_exclusive_lock(database_url, LOCK)
    try:
        if not lock.acquire():
            raise CommandRefused(
                "restore_running", f"Another restore into this database goes on; {UNCHANGED}"
            )
        yield
    finally:
        lock.release()


def _give_up(database_url: str, *, as_json: bool) -> None:
    schema.check(database_url, restoring=True)
    with _only_one(database_url):
        was_begun = schema.give_up_restore(database_url)
    if as_json:
        print_json({"given_up": was_begun})
    elif was_begun:
        click.echo("given up: nothing of the restore is there, and the ledger is empty")
    else:
        click.echo("there was nothing to give up: no restore into this database was begun")


def _refuse_other_secret(settings: Settings, header: BackupHeader, file: str) -> None:
    secret: Secret | None = existing_secret(settings)
    if secret is None:
        where = (
            f"put keyfold.secret at {secret_file(settings.database_url)}, or set it"
            if settings.database_url.startswith("sqlite:")
            else "set it"
        )
        raise CommandRefused(
            "secret_missing",
            f"KEYFOLD_SECRET is missing, and a backup does not hold it: {where}; {UNCHANGED}",
        )
    if secret_name(secret.derive("requests")) != header.secret:
        raise CommandRefused(
            "other_secret",
            f"{file} is of a ledger with another secret than KEYFOLD_SECRET:"
            f" codes, tokens and texts would not work; {UNCHANGED}",
        )


def _read_keys(wiring: Wiring, name: str | None) -> list[TextKey] | None:
    if name is None:
        return None
    try:
        with compressed_files.reading(name) as lines:
            return read_text_keys(wiring.services, lines)
    except (BadKeys, Unreadable) as error:
        raise CommandRefused("bad_keys", f"{name} will not do: {error}; {UNCHANGED}") from None


# Saying


def _recorded_between(wiring: Wiring, restored: Restored) -> tuple[datetime, datetime] | None:
    """Return when the first and the last event was recorded that no checkpoint is of."""
    if restored.proved_up_to >= restored.events:
        return None
    found = wiring.services.book.events_at([restored.proved_up_to + 1, restored.events])
    return found[0].recorded_at, found[-1].recorded_at


def _to_json(
    header: BackupHeader,
    restored: Restored,
    after: tuple[datetime, datetime] | None,
    taken: TakenIn | None,
) -> dict[str, Any]:
    return {
        "made_at": header.made_at,
        "events": restored.events,
        "position": restored.events,
        "streams": restored.streams,
        "root": restored.root,
        "proved_up_to": restored.proved_up_to,
        "checkpoints": restored.checkpoints,
        "after_checkpoint": {
            "events": restored.events - restored.proved_up_to,
            "first_recorded_at": after[0] if after else None,
            "last_recorded_at": after[1] if after else None,
        },
        "lost_after": restored.lost_after,
        "fork": fork_json(restored.fork),
        "rows": restored.rows,
        "text_keys": taken._asdict() if taken else None,
    }


def _print(
    header: BackupHeader,
    restored: Restored,
    after: tuple[datetime, datetime] | None,
    taken: TakenIn | None,
    was_given: bool,
) -> None:
    click.echo(
        f"restored {restored.events} events in {restored.streams} streams, root {restored.root},"
        f" as they were on {header.made_at:%Y-%m-%d at %H:%M:%S} UTC"
    )
    click.echo(
        f"checkpoints that agree: {restored.checkpoints}, up to position {restored.proved_up_to}"
    )
    if after:
        first, last = restored.proved_up_to + 1, restored.events
        click.echo(
            f"after the last checkpoint came {last - first + 1} events, positions {first} to"
            f" {last}, recorded {after[0]:%Y-%m-%dT%H:%M:%SZ} to {after[1]:%Y-%m-%dT%H:%M:%SZ}"
        )
    if taken:
        click.echo(
            f"text keys taken in {taken.taken}, known already {taken.known},"
            f" left out as erased {taken.erased}"
        )
    else:
        click.echo(
            "note: labels, notes and reasons cannot be read without their keys:"
            " keyfold texts import KEYS",
            err=True,
        )
    if restored.lost_after is not None:
        click.echo(
            f"note: events after position {restored.lost_after} are lost, and a checkpoint of them"
            " was signed: none is signed any more, and /readyz says why",
            err=True,
        )
    elif restored.fork is not None:
        click.echo(
            f"note: {restored.fork.against(restored.events)}: none is signed any more, and /readyz"
            " says why",
            err=True,
        )
    elif not was_given:
        click.echo(
            "note: not checked: whether the old ledger went on after the backup, and signed that;"
            " the newest checkpoint that is kept elsewhere tells: --checkpoint FILE",
            err=True,
        )


# Checking only


def _check(header: BackupHeader, lines: Iterator[bytes], file: str, *, as_json: bool) -> None:
    with event_progress("Checking") as on_events:
        checked = check_backup(header, lines, on_events)
    if as_json:
        print_json(
            {
                "file": file,
                "made_at": header.made_at,
                "events": header.events,
                "position": header.events,
                "root": checked.root,
                "rows": checked.rows,
                "fork": fork_json(header.fork or None),
            }
        )
        return
    click.echo(f"{file} is whole: {header.events} events, root {checked.root}")
    if header.fork:
        click.echo(
            f"note: {header.fork.against(header.events)}; to restore it, say --accept-loss",
            err=True,
        )


@contextmanager
def _refusing(file: str) -> Iterator[None]:
    """Say in one sentence why nothing came of it."""
    name = "standard input" if file == STANDARD else file
    try:
        yield
    except (BadBackup, BadExport, Unreadable) as error:
        raise CommandRefused("bad_backup", f"{name} will not do: {error}; {UNCHANGED}") from None
    except Contradicted as error:
        raise CommandRefused(
            "ledger_altered",
            f"{name} is not the ledger that was signed: {error}; {UNCHANGED}",
        ) from None
    except EventsLost as error:
        raise CommandRefused(
            "events_lost",
            f"{name} ends at position {error.events}, but a checkpoint of {error.size} events was"
            f" signed: use a newer backup, or say --accept-loss; {UNCHANGED}",
        ) from None
    except Forked as error:
        raise CommandRefused(
            "ledger_altered",
            f"{name} is not the ledger that was signed: {error}; look for another backup, or say"
            f" --accept-loss, and nothing is signed any more; {UNCHANGED}",
        ) from None
    except LedgerNotEmpty:
        raise CommandRefused(
            "ledger_not_empty",
            "The database holds a ledger already, and a restore needs an empty one: name another in"
            f" KEYFOLD_DATABASE_URL; {UNCHANGED}",
        ) from None
    except BadKeys as error:
        raise CommandRefused(
            "bad_keys", f"The events were restored, and no text keys: {error}"
        ) from None
    except NotProved:
        raise CommandRefused(
            "not_proved", f"The database does not give back what was put into it; {UNCHANGED}"
        ) from None
