"""A million events go through every command in a memory that does not grow with them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

import pytest

from ledger import codec
from ledger.book import Book
from ledger.events import Envelope
from ledger.store.bulk_load import filling
from ledger.store.contract import Row
from ledger.streams.account.facts import SeatOccupied, SeatReleased
from tests.cli.program import Program
from tests.worlds import NOON

EVENTS: Final = 1_000_000
ACCOUNTS: Final = 100_000
PAGE: Final = 5_000
MEMORY_MAX_MB: Final = 300

# Not `getrusage`: that remembers how large the process was that started this one.
_MEASURED = """
import re, sys
from pathlib import Path
from {module} import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(int(re.search("VmHWM:\\s*([0-9]+) kB", status)[1]) // 1024, file=sys.stderr)
sys.exit(code)
"""


def fill(url: str) -> None:
    """Let a hundred thousand accounts' seats be taken and given back."""
    states = {
        fact: codec.encode(
            Envelope(
                fact=fact(product="cloud_pos", tier=None, holder="till-0123456789"),
                recorded_at=NOON,
                occurred_at=NOON,
                actor="kft_abcdefghijklmnopqrstuvwxyz",
                request_id="req_abcdefghijklmnopqrstuvwxyz",
            )
        )
        for fact in (SeatOccupied, SeatReleased)
    }
    names = {SeatOccupied: "account.seat_occupied@1", SeatReleased: "account.seat_released@1"}
    random, versions = Random(1), [0] * ACCOUNTS

    def row(position: int) -> Row:
        account = random.randrange(ACCOUNTS)
        versions[account] += 1
        fact = SeatOccupied if versions[account] % 2 else SeatReleased
        stream = f"account-{account:032}"
        return Row(position, stream, versions[account], names[fact], states[fact])

    with closing(Book(url)) as book, filling(book.store) as filled:
        for first in range(1, EVENTS + 1, PAGE):
            filled.add([row(position) for position in range(first, first + PAGE)])


def memory_of(program: Program, *arguments: str, module: str = "web.cli") -> int:
    """Run a command that must go well; answer how many megabytes it took at most."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED.replace("{module}", module), *arguments],
        cwd=program.folder,
        env=program.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_a_million_events_need_no_more_memory_than_a_few(tmp_path: Path) -> None:
    old, new = Program(tmp_path), Program(tmp_path / "new")
    new.folder.mkdir()
    for program in (old, new):
        program.done("db", "upgrade")
    fill(f"sqlite:///{tmp_path}/keyfold.db")
    used = {
        "tree": memory_of(old, "audit", "checkpoint", "-o", "kept.txt"),
        "verify the old": memory_of(old, "audit", "verify", "--checkpoint", "kept.txt"),
        "export": memory_of(old, "audit", "export", "ledger.jsonl.zst"),
        "export packed": memory_of(old, "audit", "export", "ledger.jsonl.gz"),
        "verifier": memory_of(
            old,
            *("ledger.jsonl.gz", "--checkpoint", "kept.txt", "--old", "ledger.jsonl.gz"),
            module="ledger.proof.verifier.program",
        ),
        "import": memory_of(new, "audit", "import", "../ledger.jsonl.zst"),
        "replay": memory_of(new, "replay", "--verify"),
        "verify": memory_of(new, "audit", "verify"),
        "receipt": memory_of(new, "audit", "prove", str(EVENTS // 3), "-o", "receipt"),
    }
    print(used)
    assert max(used.values()) < MEMORY_MAX_MB, used
