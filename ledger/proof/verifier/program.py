"""Check what you were given of a Keyfold ledger, without Keyfold.

  python3 keyfold_verify.py EXPORT… --checkpoint FILE… --key VKEY
      Is the history in the export the one that the checkpoint was signed of?
  python3 keyfold_verify.py EXPORT… --old EXPORT…
      Which events are not what they were in an older export?
  python3 keyfold_verify.py RECEIPT… --key VKEY
      Is that event in the ledger?
  python3 keyfold_verify.py EXPORT… --account ACCOUNT --as-of TIME --known-at TIME [--answer FILE]
      What did the Subscriptions page have to show? And is that what it showed?
  python3 keyfold_verify.py EXPORT… --statement FILE --checkpoint FILE… --key VKEY
      Does a reseller's statement of a month follow from what happened to its keys?

An EXPORT may be a backup as well.

It needs Python 3.11 and, for signatures, the package `cryptography`; no network, no database. It is
written to be read. The formats are those of docs/proof-format.md: RFC 9162 for the tree, C2SP
signed-note, tlog-checkpoint and tlog-proof for checkpoints and receipts, CloudEvents for exports.

Exit code: 0 when all is well, 1 when it is not, 2 when that could not be found out: a file or the
package is missing, or it was called wrongly.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ledger.proof.verifier.comparison import compare, shown
from ledger.proof.verifier.exports import Export, ExportedEvent
from ledger.proof.verifier.formats import LINES_MAX, Unchecked, Wrong, parse_time
from ledger.proof.verifier.history import Held, check, positions
from ledger.proof.verifier.receipt import check_receipt
from ledger.proof.verifier.signed_notes import (
    CheckpointNote,
    PublicKey,
    is_signed,
    read_checkpoint,
    read_key,
    signature_problems,
)
from ledger.proof.verifier.statements import hold_statement, read_statement
from ledger.proof.verifier.subscriptions_view import Question, unlike, view

RECEIPT = b"c2sp.org/tlog-proof@v1\n"
# What the catalog that comes with Keyfold calls its products; --catalog reads another.
CATALOG: list[dict[str, Any]] = [
    {"id": "cloud_pos", "name": "Cloud POS"},
    {
        "id": "integrations",
        "name": "Integrations",
        "tiers": [
            {"id": "starter", "name": "Starter"},
            {"id": "growth", "name": "Growth"},
            {"id": "scale", "name": "Scale"},
        ],
    },
]


RIGHT, WRONG, UNCHECKED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 when all is right, 1 when something is wrong, 2 when that could not be found out.
    """
    args = parser().parse_args(argv)
    wrong, unchecked = 0, ""
    try:
        for line in run(args):
            wrong += 1
            if wrong <= LINES_MAX:
                print_line(f"WRONG  {line}")
    except Wrong as error:
        wrong += 1
        print_line(f"WRONG  {error}")
    except Unchecked as error:
        unchecked = str(error)
    except OSError as error:
        unchecked = f"{error.filename}: {error.strerror}"
    if wrong > LINES_MAX:
        print_line(f"WRONG  … {wrong} in all")
    if unchecked:
        print_line(f"COULD NOT CHECK  {unchecked}")
    return WRONG if wrong else UNCHECKED if unchecked else RIGHT


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do what the arguments ask for; yield what is wrong."""
    keys = [read_key(line) for key in args.key for line in key_lines(key)]
    checkpoints = [read_checkpoint(name, Path(name).read_bytes()) for name in args.checkpoint]
    yield from signature_problems(checkpoints, keys)
    if checkpoints and not keys:
        print_line("note   no signature was checked: --key was not given")
    receipts = [name for name in args.files if is_receipt(name)]
    for name in receipts:
        yield from run_receipt(name, keys, checkpoints)
    exports = [name for name in args.files if name not in receipts]
    if exports:
        trusted = [one for one in checkpoints if not keys or is_signed(one, keys)]
        yield from run_export(Export(exports), trusted, args)


def run_receipt(name: str, keys: list[PublicKey], held: list[CheckpointNote]) -> Iterator[str]:
    """Check a receipt and print what it proves; yield what is wrong."""
    event, checkpoint = check_receipt(name, Path(name).read_bytes())
    problems = list(signature_problems([checkpoint], keys))
    is_held = any(one[3:] == checkpoint[3:] for one in held)
    if not keys and not is_held:
        problems.append(f"{name}: nobody's signature was checked: give --key")
    yield from problems
    if not problems:
        print_line(f"good   {name}: position {event.position} of {checkpoint.origin},")
        print_line(f"       in the ledger as it was at {checkpoint.size} events:")
        print_line(f"       {event.name} on {event.stream}, version {event.version}")
        print_line(f"       {shown(event.state)}")


def run_export(
    export: Export, checkpoints: list[CheckpointNote], args: argparse.Namespace
) -> Iterator[str]:
    """Check an export against checkpoints and print what agrees; yield what is wrong."""
    held, kept = Held(checkpoints), list[ExportedEvent]()
    wanted = (f"account-{args.account}",) if args.account else ()
    of = ("key-", "reseller-") if args.statement else ()

    def is_wanted(event: ExportedEvent) -> bool:
        return event.stream in wanted or event.stream.startswith(of)

    found = list(check(export, held, kept, is_wanted))
    size = held.tree.size
    print_line(f"read   {size} events, root {base64.b64encode(held.tree.root()).decode()}")
    for source in held.agreeing:
        print_line(f"good   {source} was signed of the same events")
    if not checkpoints:
        print_line("note   an export alone cannot tell what was before: give --checkpoint or --old")
    elif size > held.agreed and not found:
        print_line(f"note   {positions(held.agreed + 1, size)} after the last checkpoint")
    yield from found
    yield from fork_problems(export, size)
    if args.old:
        yield from run_comparison(Export(args.old), export)
    for name in args.statement:
        yield from run_statement(name, kept, held, args)
    if args.account:
        yield from run_view([one for one in kept if one.stream in wanted], size, args)


def fork_problems(export: Export, last: int) -> Iterator[str]:
    """Yield what an export says itself of checkpoints that its events are not of."""
    for name, size, agreed in export.forks:
        what = f"a checkpoint of {size} events was signed"
        upto = f"up to position {agreed} they are what was signed"
        if size <= last:
            yield f"{name} says of itself that {what}, of others than these; {upto}"
        else:
            print_line(f"note   {name} ends before what was signed: {what}; {upto}")


def run_comparison(old: Export, new: Export) -> Iterator[str]:
    """Yield what became of the older export's events in the newer one."""
    found = list(compare(old, new))
    yield from [*old.problems, *found]
    if not found:
        print_line("good   every event of the older export is still there, unchanged")


def run_statement(
    name: str, kept: list[ExportedEvent], held: Held, args: argparse.Namespace
) -> Iterator[str]:
    """Hold a statement against what happened to keys; yield how it differs."""
    saved, asked_at = read_statement(name), parse_time(args.as_of) if args.as_of else None
    found = hold_statement(name, saved, kept, held.tree.size, asked_at)
    yield from found.problems
    for note in found.notes:
        print_line(f"note   {note}")
    if not found.problems:
        print_line(
            f"good   {name} is what follows from these events:"
            f" {saved.reseller}, {saved.month}, up to position {saved.position}"
        )
        if found.upto > held.agreed:
            print_line(f"note   no checkpoint was given that covers position {found.upto}")


def run_view(kept: list[ExportedEvent], head: int, args: argparse.Namespace) -> Iterator[str]:
    """Print an account's subscriptions by its events; yield how a saved answer differs."""
    saved = read_saved_view(args.answer) if args.answer else None
    question = question_of(args, saved)
    if question.position is not None and question.position > head:
        yield f"the answer is of position {question.position}, and the export ends at {head}"
        return
    derived = view(question, kept, head, read_catalog(args.catalog))
    if saved is not None and saved != derived:  # it does not say whether ended rows were asked for
        other = question._replace(ended=not question.ended)
        derived = max(
            (derived, view(other, kept, head, read_catalog(args.catalog))),
            key=lambda one: -len(list(unlike("", saved, one))),
        )
    sys.stdout.write(json.dumps(derived, ensure_ascii=False, indent=2) + "\n")
    if saved is not None:
        different = list(unlike("", saved, derived))
        yield from different
        if not different:
            print_line(f"good   {args.answer} is what follows from these events")


def read_saved_view(name: str) -> Any:
    """Return a saved answer of the Subscriptions view, as JSON has it."""
    try:
        return json.loads(Path(name).read_bytes())
    except ValueError:
        raise Wrong(f"{name} is no answer of the Subscriptions view") from None


def question_of(args: argparse.Namespace, saved: Any) -> Question:
    """Return what is asked; what is left open is as in the saved answer, if there is one."""
    times, position = [args.as_of, args.known_at], None
    if saved is not None:
        try:
            account, position = saved["account"], int(saved["position"])
            times = [times[0] or saved["as_of"], times[1] or saved["known_at"]]
        except (LookupError, TypeError, ValueError):
            raise Wrong(f"{args.answer} is no answer of the Subscriptions view") from None
        if account != args.account:
            raise Wrong(f"{args.answer} is of the account {account!r}")
    as_of, known_at = (parse_time(time) if time else None for time in times)
    return Question(args.account, as_of, known_at, position, args.all)


def read_catalog(name: str | None) -> list[dict[str, Any]]:
    """Return the products of a catalog file; without a name those of Keyfold's own."""
    if name is None:
        return CATALOG
    try:
        products: list[dict[str, Any]] = tomllib.loads(Path(name).read_text("utf-8"))["products"]
        for one in [
            *products,
            *(tier for product in products for tier in product.get("tiers", [])),
        ]:
            if isinstance(one["name"], dict):
                one["name"] = one["name"]["en"]  # as the API has it, whatever the reader speaks
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Wrong(f"{name} is no catalog") from None
    return products


def key_lines(key: str) -> list[str]:
    """Return a key, or those in a file, one a line."""
    if not Path(key).is_file():
        return [key]
    return [line for line in Path(key).read_text("utf-8").splitlines() if line.strip()]


def is_receipt(name: str) -> bool:
    """Return whether a file begins as receipts do."""
    with Path(name).open("rb") as file:
        return file.read(len(RECEIPT)) == RECEIPT


def print_line(line: str) -> None:
    """Say something to the person; standard output is kept for the view."""
    sys.stderr.write(line + "\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="keyfold_verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="exports (plain, .gz or .zst), those of one ledger in order; a backup; or receipts",
    )
    add("--checkpoint", action="append", default=[], metavar="FILE", help="may be repeated")
    add("--key", action="append", default=[], metavar="VKEY", help="name+id+key, or a file of them")
    add("--old", action="append", default=[], metavar="EXPORT", help="an older export")
    add("--account", help="show this account's subscriptions")
    add("--as-of", metavar="TIME", help="what was true then; now if left out")
    add("--known-at", metavar="TIME", help="with what was recorded by then; all if left out")
    add("--all", action="store_true", help="also rows that have ended")
    add("--catalog", metavar="FILE", help="a catalog.toml, if the ledger has its own")
    add("--answer", metavar="FILE", help="a saved answer to hold against what is derived")
    add(
        "--statement",
        action="append",
        default=[],
        metavar="FILE",
        help="a reseller's saved statement, JSON or CSV, to be counted again; may be repeated",
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
