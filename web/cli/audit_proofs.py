"""`keyfold audit`: checkpoints, verification and receipts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import click

from commands.services import Services
from commands.sign_checkpoint import NEXT_STEP, CannotSign, Signing
from ledger import codes
from ledger.proof import notes
from ledger.proof.notes import Checkpoint, NoteInvalid, VerifierKey
from ledger.proof.verifier.build import build
from ledger.store import Row
from ledger.store.signed_checkpoints import SignedCheckpoint
from projections.audit import integrity, receipts
from projections.audit.integrity import IntegrityFinding, KnownCheckpoint, Verified
from projections.audit.tree import TreeDamaged
from web.app import checkpoints
from web.app.services import Wiring
from web.cli.context import open_ledger
from web.cli.errors import CommandRefused
from web.cli.examples import Exampled
from web.cli.options import json_option
from web.cli.output import print_json
from web.cli.progress import event_progress

STANDARD: Final = "-"
POSITION_DIGITS_MAX: Final = 18

output_option = click.option(
    "-o",
    "--output",
    "file",
    type=click.File("w", encoding="utf-8", atomic=True),
    default=STANDARD,
    metavar="FILE",
    help="Where to write it; standard output if left out.",
)

key_option = click.option(
    "--key",
    "vkeys",
    multiple=True,
    metavar="VKEY",
    help="A key that was given up since, as `audit keys` printed it; may be repeated.",
)


# Checkpoints


@click.command(
    cls=Exampled,
    short_help="Sign how the ledger stands now.",
    examples=("keyfold audit checkpoint", "keyfold audit checkpoint -o 2026-03-31.txt"),
)
@output_option
def checkpoint(file: IO[str]) -> None:
    """Sign how many events the ledger has now, and the root of their tree.

    Keep it where we cannot change it: with an auditor, on paper, with a witness. It is refused when
    the ledger contradicts one that was signed before.
    """
    with open_ledger() as (wiring, _, request_context), _refusing():
        note = checkpoints.sign_checkpoint(wiring, request_context.now)
    file.write(note)


@click.command(short_help="Print the keys that signatures are checked with.")
def keys() -> None:
    """Print the keys that signatures of checkpoints are checked with, one a line.

    More than one while one takes over from another. Let them reach the auditor by another way than
    the checkpoints do.
    """
    with open_ledger() as (wiring, _, _):
        for key in wiring.signing.verifiers:
            click.echo(key.vkey)


# Verifying


@click.command(
    cls=Exampled,
    short_help="Tell whether the ledger is what it was.",
    examples=(
        "keyfold audit verify",
        "keyfold audit verify --checkpoint march.txt --checkpoint april.txt",
    ),
)
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="A checkpoint that was kept outside, - for standard input; may be repeated.",
)
@key_option
@json_option
def verify(files: Sequence[str], vkeys: Sequence[str], as_json: bool) -> None:
    """Hash every event again, and hold it against what was hashed and signed before.

    Prints what is no longer as it was, and where; exits with 1 if there is anything. Nothing is
    changed. Who can write to the database can change all that the ledger itself remembers: what was
    kept outside, given with --checkpoint, cannot be changed with it. Nor can a ledger tell that its
    newest events are missing, as in a copy without its log or an older backup: only a checkpoint
    that was kept elsewhere can, up to its own position.
    """
    others = parsed_keys(vkeys)
    with open_ledger() as (wiring, _, _):
        given = [_given(wiring.signing, name, others) for name in files]
        verified = _verified(wiring, given)
    kept_up_to = max((one.size for one in given), default=0)
    if as_json:
        print_json({**_to_json(verified), "kept_up_to": kept_up_to})
    else:
        _print_verified(verified)
    if verified.findings:
        raise CommandRefused("ledger_altered", f"The ledger is not what it was: {NEXT_STEP}")
    if not (as_json or given):
        _print_unknown()


def _verified(wiring: Wiring, given: Sequence[KnownCheckpoint]) -> Verified:
    book = wiring.services.book
    changed: list[IntegrityFinding] = []
    with event_progress("Verifying") as on_events:
        head = book.head()
        known = integrity.by_size(sorted(given), _unchanged(wiring.signing, changed))
        found = integrity.verify(book, wiring.tables, known, lambda events: on_events(events, head))
    return found._replace(findings=[*changed, *found.findings])


def _unchanged(signing: Signing, changed: list[IntegrityFinding]) -> Iterator[KnownCheckpoint]:
    """Return what is remembered of checkpoints that were signed, and put aside what is not."""
    for one in integrity.remembered(signing.signed, signing.origin, signing.verifiers):
        if isinstance(one, KnownCheckpoint):
            yield one
        else:
            changed.append(one)


def _given(signing: Signing, name: str, others: Sequence[VerifierKey]) -> KnownCheckpoint:
    """Read a checkpoint that somebody kept."""
    kept = read_checkpoint(signing, name, others)
    return KnownCheckpoint(kept.checkpoint.size, kept.checkpoint.root, name, kept=True)


class KeptCheckpoint(NamedTuple):
    """A checkpoint of this ledger in a file.

    Attributes:
        text: of the file.
        signers: those of the keys that are known which have signed it.
    """

    text: str
    checkpoint: Checkpoint
    signers: list[VerifierKey]


def read_checkpoint(signing: Signing, name: str, others: Sequence[VerifierKey]) -> KeptCheckpoint:
    """Return a checkpoint that somebody kept, from a file.

    Args:
        name: of the file; - for standard input.
        others: keys that were given up.

    Raises:
        CommandRefused: it is none of this ledger's.
        OSError: it cannot be read.
    """
    raw = sys.stdin.buffer.read() if name == STANDARD else Path(name).read_bytes()
    try:
        note, checkpoint = notes.parse_checkpoint(raw)
        signers = notes.signers(note, [*signing.verifiers, *others])
    except NoteInvalid as error:
        raise CommandRefused(
            "bad_checkpoint", f"{name} is no checkpoint of this ledger: {error}"
        ) from None
    if checkpoint.origin != signing.origin:
        raise CommandRefused(
            "bad_checkpoint",
            f"{name} is of another ledger: {checkpoint.origin}, and this is {signing.origin}",
        )
    if not signers:
        raise CommandRefused(
            "bad_checkpoint",
            f"{name} is signed by none of this ledger's keys; give one that was given up as --key",
        )
    return KeptCheckpoint(raw.decode(), checkpoint, signers)


def read_as_signed(
    signing: Signing, name: str, others: Sequence[VerifierKey], now: datetime
) -> SignedCheckpoint:
    """Return a checkpoint that somebody kept, from a file, as one to be remembered as signed.

    Raises:
        CommandRefused, OSError: as `read_checkpoint`.
    """
    kept = read_checkpoint(signing, name, others)
    ids = ",".join(one.id.hex() for one in kept.signers)
    size, root = kept.checkpoint.size, kept.checkpoint.root
    return SignedCheckpoint(size, ids, root, kept.text, now.isoformat())


def parsed_keys(vkeys: Sequence[str]) -> list[VerifierKey]:
    """Return keys that were given as text."""
    try:
        return [notes.parse_vkey(vkey) for vkey in vkeys]
    except NoteInvalid as error:
        raise click.BadParameter(str(error), param_hint="--key") from None


def _to_json(verified: Verified) -> dict[str, Any]:
    return {
        "events": verified.events,
        "root": checkpoints.to_base64(verified.root),
        "hashed": verified.hashed,
        "agreed": verified.agreed,
        "checkpoints": verified.checkpoints,
        "items": [finding._asdict() for finding in verified.findings],
        "next": None,
    }


def _print_verified(verified: Verified) -> None:
    for finding in verified.findings:
        click.echo(finding.sentence)
    click.echo(f"verified {verified.events} events, root {checkpoints.to_base64(verified.root)}")
    click.echo(f"{verified.hashed} of them had been hashed before")
    click.echo(f"checkpoints that agree: {verified.checkpoints}, up to position {verified.agreed}")


def _print_unknown() -> None:
    """Say what cannot be known without a checkpoint; with one, up to where it agrees is said."""
    click.echo(
        "not checked: cannot tell whether newer events are missing; give a checkpoint that was kept"
        " elsewhere: --checkpoint FILE",
        err=True,
    )


# Receipts


@click.command(
    cls=Exampled,
    short_help="Write a receipt of one event, which proves itself.",
    examples=(
        "keyfold audit prove key_c5nfx2ynqk7tq3bd5xw4a6bl7m -o redemption.tlog-proof",
        "keyfold audit prove kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        "keyfold audit prove 1234",
    ),
)
@click.argument("ref", metavar="REF")
@output_option
def prove(ref: str, file: IO[str]) -> None:
    """Write a receipt of REF: a key's id or code, a subscription's id, or a position.

    Of a key it is the event that redeemed it, or its last one if nobody did; of a subscription the
    one that began it. The receipt holds the event, the proof that it is in the ledger, and a
    checkpoint of the ledger as it is now: `keyfold_verify.py` checks it without us.
    """
    ref_or_code = sys.stdin.readline().strip() if ref == STANDARD else ref
    with open_ledger() as (wiring, services, request_context), _refusing():
        row = _row(services, ref_or_code)
        if row is None:
            raise CommandRefused(
                "event_not_found", f"There is no event of {_shown(ref_or_code)} in the ledger"
            )
        note = checkpoints.sign_checkpoint(wiring, request_context.now)
        written = receipts.receipt(services.book, wiring.tables, row, note)
    file.write(written)


def _row(services: Services, ref_or_code: str) -> Row | None:
    if ref_or_code.isdecimal():
        is_short = len(ref_or_code) <= POSITION_DIGITS_MAX
        return receipts.event_at(services.book, int(ref_or_code)) if is_short else None
    if ref_or_code.startswith("kfsub_"):
        return receipts.event_of_subscription(services.book, ref_or_code)
    code = codes.parse(ref_or_code, services.catalog.prefixes)
    return receipts.event_of_key(
        services.book, services.codes.key_id(code) if code else ref_or_code
    )


def _shown(ref_or_code: str) -> str:
    """Return what was asked for, unless it may be a code."""
    return "that code" if codes.resembles_code(ref_or_code) else repr(ref_or_code)


# The verifier


@click.command(
    cls=Exampled,
    short_help="Write the auditors' own program.",
    examples=("keyfold audit verifier -o keyfold_verify.py",),
)
@output_option
def verifier(file: IO[str]) -> None:
    """Write the program that checks exports, checkpoints and receipts without Keyfold.

    It is one file for Python 3.11, written to be read; for signatures it needs the package
    `cryptography`.
    """
    file.write(build())


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (CannotSign, TreeDamaged) as error:
        sentence = f"Nothing was signed: {error}; keyfold audit verify tells more"
        raise CommandRefused("ledger_altered", f"{sentence}: {NEXT_STEP}") from None
