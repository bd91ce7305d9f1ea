"""The log: each line is JSON, whoever writes it; causes are told, and secrets are not."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from ledger.store.eventsourcing_adapter import OperationalError
from web.app.causes import cause_of

ROOT = Path(__file__).parents[2]

SPEAKING = """
import logging, threading, warnings
from web.app.logs import log_all_to_stderr

class Unraised:
    def __del__(self):
        raise ValueError("a customer's name")

def fail():
    raise ValueError("a customer's name")

log_all_to_stderr()
logging.getLogger("psycopg.pool").warning("cannot connect to postgresql://me:hunter2@db/x")
logging.getLogger("some.library").info("chatter")
warnings.warn("will be removed", DeprecationWarning, stacklevel=1)
try:
    fail()
except ValueError:
    logging.getLogger("some.library").exception("it broke")
thread = threading.Thread(target=fail, name="seats")
thread.start()
thread.join()
unraised = Unraised()
del unraised
fail()
"""


def test_every_line_is_json_also_those_of_libraries_threads_and_crashes() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SPEAKING],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert said[0] == "psycopg.pool: cannot connect to postgresql…db/x"
    assert "DeprecationWarning: will be removed" in said[1]
    assert said[2].startswith("some.library: it broke: ValueError at <string>:")
    assert said[3].startswith("thread seats fails: ValueError at ")
    assert said[4].startswith("something fails unheard: ValueError at ")
    assert said[5].startswith("the process fails: ValueError at ")
    assert "customer" not in done.stderr
    assert "hunter2" not in done.stderr


def caused(by: Exception) -> OperationalError:
    fault = OperationalError(str(by))
    fault.__cause__ = by
    return fault


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            psycopg.OperationalError(
                "connection to server failed: Connection refused\n\tIs it up?"
            ),
            "OperationalError: connection to server failed: Connection refused Is it up?",
        ),
        (
            psycopg.OperationalError("bad: postgresql://keyfold:hunter2@db/x password=hunter2"),
            "OperationalError: bad: postgresql…db/x …",
        ),
        (sqlite3.OperationalError("disk I/O error"), "OperationalError: disk I/O error"),
        (
            psycopg.errors.UniqueViolation("Key (name)=(Ann) already exists"),
            "UniqueViolation: SQLSTATE 23505",
        ),
        (psycopg.errors.DiskFull("no space left"), "DiskFull: no space left"),
        (ValueError("Ann"), "OperationalError"),
    ],
)
def test_the_cause_of_a_fault_is_told_without_what_was_sent(error: Exception, told: str) -> None:
    assert cause_of(caused(error)) == told
