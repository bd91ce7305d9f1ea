"""What goes wrong and is expected is one line and an exit code, never a traceback."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from typing import NamedTuple

import pytest

from tests.cli.program import KEYFOLD, PATIENCE_S, Program

SECRET = base64.b64encode(b"s" * 32).decode()


class Wrong(NamedTuple):
    """A wrong setting, and a word of the mend that must be told."""

    variable: str
    value: str
    mend: str


WRONG = [
    Wrong("KEYFOLD_DATABASE_URL", "mysql://ledger", "sqlite:///PATH"),
    Wrong("KEYFOLD_DATABASE_URL", "sqlite:///", "sqlite:///PATH"),
    Wrong("KEYFOLD_DATABASE_URL", "sqlite:///other.db", "keyfold db upgrade"),
    Wrong("KEYFOLD_SECRET", "not base64!", "base64"),
    Wrong("KEYFOLD_SECRET", "c2hvcnQ=", "32"),
    Wrong("KEYFOLD_SECRET", SECRET, "restore"),
    Wrong("KEYFOLD_CATALOG", "nowhere.toml", "No such file"),
    Wrong("KEYFOLD_CATALOG", "broken.toml", "products"),
    Wrong("KEYFOLD_PUBLIC_URL", "licences.example", "https://"),
    Wrong("KEYFOLD_TEST_CLOCK", "nowhere", "No such file"),
    Wrong("KEYFOLD_TEST_CLOCK", "noon", "2026-03-01T09:00:00Z"),
    Wrong("KEYFOLD_TEST_CLOCK", "zoneless", "zone"),
    Wrong("KEYFOLD_TEST_CLOCK", "clock", "real clock"),
    Wrong("KEYFOLD_MEMO_STREAMS", "0", "whole number"),
    Wrong("KEYFOLD_MEMO_STREAMS", "9" * 5_000, "whole number"),
    Wrong("KEYFOLD_SEAT_SYNC_QUIET_S", "9" * 5_000, "whole number"),
    Wrong("KEYFOLD_WEBHOOK_HOSTS", "localhost, 10.0.0.1/8", "10.0.0.1/8"),
    Wrong("KEYFOLD_PUBLIC_URL", "http://[::1", "https://"),
    Wrong("KEYFOLD_PUBLIC_URL", "https://a.example:port", "https://"),
    Wrong("KEYFOLD_RETURN_URLS", "http://[::1", "https://"),
    Wrong("STRIPE_API_BASE", "http://[::1", "https://"),
    Wrong("KEYFOLD_DATABASE_URL", "postgres://ledger/db?bogus=1", '"bogus"'),
    Wrong("KEYFOLD_DATABASE_URL", "postgresql://u:secret%zz@ledger/db", "percent-encoding"),
    Wrong("KEYFOLD_DATABASE_URL", "postgresql://[::1/db", "libpq"),
    Wrong("KEYFOLD_DATABASE_URL", "postgresql://u:hush@h:port/db", "look at the port"),
    Wrong("KEYFOLD_DATABASE_URL", "sqlite:///pipe", "regular file"),
    Wrong("KEYFOLD_CATALOG", "pipe", "regular file"),
    Wrong("KEYFOLD_TEST_CLOCK", "/dev/zero", "regular file"),
    Wrong("KEYFOLD_ENV_FILE", "nowhere.env", "No such file"),
    Wrong("KEYFOLD_ENV_FILE", "program", "UTF-8"),
    Wrong("KEYFOLD_ENV_FILE", "nul.env", "NAME=VALUE"),
    Wrong("KEYFOLD_ENV_FILE", "huge.env", "1048576 bytes"),
]


@pytest.fixture
def used(filled: Program) -> Program:
    """Return the program with a ledger that has events, and files for settings to name."""
    (filled.folder / "broken.toml").write_text("products = []\n")
    (filled.folder / "noon").write_text("noon\n")
    (filled.folder / "zoneless").write_text("2026-03-01T09:00:00\n")
    (filled.folder / "clock").write_text("2026-03-01T09:00:00Z\n")
    (filled.folder / "program").write_bytes(b"\x7fELF\x02\x01\x01\xff\xfe" * 100)
    (filled.folder / "nul.env").write_bytes(b"KEYFOLD_MEMO_STREAMS=1\0")
    (filled.folder / "huge.env").write_text("# nothing\n" * 300_000)
    os.mkfifo(filled.folder / "pipe")
    return filled


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.variable}={wrong.value[:20]}")
@pytest.mark.parametrize("command", ["subscriptions acme", "serve --port 0"])
def test_a_wrong_setting_stops_with_one_line_that_names_it(
    used: Program, wrong: Wrong, command: str
) -> None:
    ran = used.run(*command.split(), **{wrong.variable: wrong.value})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"{wrong.variable} ")
    assert wrong.mend in ran.err
    assert ran.err.count("\n") == 1
    assert wrong.variable != "KEYFOLD_SECRET" or wrong.value not in ran.err
    assert "hush" not in ran.err


@pytest.mark.parametrize("made", ["pipe", "device"])
def test_what_stands_in_the_secrets_place_and_is_no_secret_stops_with_one_line(
    filled: Program, made: str
) -> None:
    file = filled.folder / "keyfold.secret"
    file.unlink()
    match made:
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
    ran = filled.run("tokens", "list")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("KEYFOLD_SECRET ")
    assert file.name in ran.err


def test_a_setting_may_stand_in_a_file(used: Program) -> None:
    (used.folder / "keyfold.env").write_text("KEYFOLD_PUBLIC_URL=nonsense\n")
    ran = used.run("tokens", "list", KEYFOLD_ENV_FILE="keyfold.env")
    assert (ran.code, ran.err.startswith("KEYFOLD_PUBLIC_URL ")) == (2, True)
    mended = {"KEYFOLD_ENV_FILE": "keyfold.env", "KEYFOLD_PUBLIC_URL": "https://licences.example"}
    assert used.run("tokens", "list", **mended).code == 0


def test_postgres_needs_a_secret_of_its_own(used: Program, postgres_url: str) -> None:
    used.run("db", "upgrade", KEYFOLD_DATABASE_URL=postgres_url)
    ran = used.run("tokens", "list", KEYFOLD_DATABASE_URL=postgres_url)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("KEYFOLD_SECRET is missing")


# `serve` waits for it: tests/cli/test_serve.py.
def test_a_database_that_does_not_answer_is_told_in_one_line(bare: Program) -> None:
    nobody = {"KEYFOLD_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/k", "KEYFOLD_SECRET": SECRET}
    for command in ("db upgrade", "db check", "keys list"):
        ran = bare.run(*command.split(), **nobody)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert ran.err.startswith("ledger_unavailable: ")
        assert "hush" not in ran.err


def test_a_file_that_is_no_database_is_told_in_one_line(bare: Program) -> None:
    (bare.folder / "keyfold.db").write_bytes(b"no database " * 1000)
    ran = bare.run("keys", "list")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("arguments", ["frob", "keys frob", "keys issue", "serve --port 99999"])
def test_wrong_usage_exits_with_two(bare: Program, arguments: str) -> None:
    ran = bare.run(*arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: keyfold" in ran.err


def test_a_closed_pipe_is_silent(keyfold: Program) -> None:
    keyfold.done(
        "keys", "issue", "--product", "cloud_pos", "--seats", "1", "--months", "1",
        "--reseller", "North", "--count", "2000",
    )  # fmt: skip
    process = subprocess.Popen(
        [*KEYFOLD, "keys", "list"],
        cwd=keyfold.folder,
        env=keyfold.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith("ID ")
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_interrupted_command_is_quiet(keyfold: Program) -> None:
    process = subprocess.Popen(
        [*KEYFOLD, "keys", "import", "-"],
        cwd=keyfold.folder,
        env=keyfold.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    # More than a pipe holds, so that it is known to be reading once all is written.
    process.stdin.write(
        "code,product,tier,seats,months,reseller,redeem_by\n" + "x,,,,,,\n" * 50_000
    )
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err.strip()) == (130, "", "")
