"""`keyfold audit`: for whoever must not have to trust us."""

from __future__ import annotations

from typing import Final

import click

from web.cli.lazy import Lazy, LazyGroup

COMMANDS: Final = {
    "checkpoint": Lazy("web.cli.audit_proofs:checkpoint", "Sign how the ledger stands now."),
    "keys": Lazy("web.cli.audit_proofs:keys", "Print what signatures are checked with."),
    "verify": Lazy("web.cli.audit_proofs:verify", "Tell whether the ledger is what it was."),
    "prove": Lazy("web.cli.audit_proofs:prove", "Write a receipt of one event."),
    "export": Lazy("web.cli.audit_files:export", "Write the ledger to a file."),
    "import": Lazy("web.cli.audit_files:import_", "Take an export into an empty ledger."),
    "verifier": Lazy("web.cli.audit_proofs:verifier", "Write the auditors' own program."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    heading="An auditor's year",
    examples=(
        "keyfold audit keys > keys.txt                     in March, kept",
        "keyfold audit checkpoint -o march.txt             in March, kept, or printed",
        "keyfold audit export ledger.jsonl.gz              a year later",
        "keyfold audit verifier -o keyfold_verify.py",
        "python3 keyfold_verify.py ledger.jsonl.gz --checkpoint march.txt --key keys.txt",
    ),
)
def audit() -> None:
    """Prove what is in the ledger, to somebody who trusts neither us nor our database.

    A checkpoint is a few lines of signed text that stand for the whole history up to now. Who keeps
    it can check an export against it a year later, with a program that is one file and needs
    neither our server nor our database: docs/proof-format.md.
    """
