"""Settings, files and the disk: what can be looked at without the database."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ledger.store.sqlite.datastore import path_of
from web.app.disk import FREE_BYTES_MIN
from web.app.private_files import files_open_to_others
from web.app.setting_names import VARIABLES, unknown_settings
from web.app.settings import SettingError, Settings, all_values, read_settings
from web.cli.checkup.result import CheckResult, fail, ok, skipped, warn

ENV_FILE: Final = "KEYFOLD_ENV_FILE"
FREE_PART: Final = 5  # a fifth
FAR_FILE_SYSTEMS: Final = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph")
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class ReadSettings(NamedTuple):
    """The settings, as far as they can be used.

    Attributes:
        settings: without those that are wrong; None if none can be read.
        wrong: the variables that are.
    """

    settings: Settings | None
    wrong: frozenset[str]


def check_settings(environ: Mapping[str, str]) -> tuple[ReadSettings, list[CheckResult]]:
    """Return the settings, and what is wrong with each that is."""
    try:
        values = dict(all_values(environ))
    except SettingError as error:
        found = fail("settings", str(error), "put the file right, or unset KEYFOLD_ENV_FILE")
        return ReadSettings(None, frozenset({ENV_FILE})), [found]
    results: list[CheckResult] = []
    known = {name: value for name, value in values.items() if name != ENV_FILE}
    wrong: set[str] = set()
    while True:
        try:
            settings = read_settings(known)
            break
        except SettingError as error:
            results.append(fail("settings", str(error), "docs/settings.md says what it may be"))
            wrong.add(error.variable)
            if known.pop(error.variable, None) is None:
                return ReadSettings(None, frozenset(wrong)), results
    results += _unknown(values)
    if settings.test_clock:
        results.append(
            warn("settings", "KEYFOLD_TEST_CLOCK is set", "unset it where customers are served")
        )
    if not results:
        given = sum(1 for name in VARIABLES if values.get(name))
        results = [ok("settings", f"{given} set, all of them known and readable")]
    return ReadSettings(settings, frozenset(wrong)), results


def _unknown(values: Mapping[str, str]) -> Iterator[CheckResult]:
    for name, near in unknown_settings(values):
        mend = f"did you mean {near}?" if near else "unset it: nothing reads it"
        yield warn("settings", f"{name} is no setting of Keyfold", mend)


def check_files(settings: Settings, environ: Mapping[str, str]) -> list[CheckResult]:
    """Return who may read and write the files that there are."""
    results = []
    for file, mode in files_open_to_others(settings.database_url):
        results.append(
            warn(
                "files",
                f"{file.name} is open to others than its owner (mode {mode:04o})",
                "run: keyfold db upgrade",
            )
        )
    env_file = environ.get(ENV_FILE)
    if env_file and (mode := stat.S_IMODE(os.stat(env_file).st_mode)) & OTHERS:  # noqa: PTH116
        results.append(
            warn(
                "files",
                f"the file that {ENV_FILE} names is open to others (mode {mode:04o})",
                "run: chmod 600 on it, since it may hold secrets",
            )
        )
    results += _unwritable(settings)
    if not results and not env_file and not settings.database_url.startswith("sqlite:"):
        return [skipped("files", "none of the ledger's is on this machine")]
    return results or [ok("files", "for their owner alone, and can be written")]


def _unwritable(settings: Settings) -> Iterator[CheckResult]:
    if not settings.database_url.startswith("sqlite:"):
        return
    file = Path(path_of(settings.database_url))
    for one in (file, file.parent):
        if one.exists() and not os.access(one, os.W_OK):
            yield fail(
                "files",
                f"{one} cannot be written by this user",
                "run Keyfold as the user who owns it, or give it to that one",
            )
    if not file.parent.exists():
        yield fail("files", f"there is no folder {file.parent}", "make it, or correct the path")


def check_disk(settings: Settings) -> CheckResult:
    """Return whether the disk of a SQLite file has room, and is of the right kind."""
    if not settings.database_url.startswith("sqlite:"):
        return skipped("disk", "the database's is on its own machine: look there")
    folder = Path(path_of(settings.database_url)).parent
    if not folder.exists():
        return skipped("disk", "there is no folder yet")
    usage = shutil.disk_usage(folder)
    says = f"{usage.free / 1024**3:,.1f} GiB of {usage.total / 1024**3:,.1f} GiB are free"
    if usage.free < FREE_BYTES_MIN:
        return fail("disk", says, "make room: nothing can be recorded without")
    if system := _far_file_system(folder):
        return warn(
            "disk",
            f"{folder} is on {system}, where locks and memory are not shared",
            "keep a SQLite file on a disk of this machine, or use PostgreSQL",
        )
    if usage.free * FREE_PART < usage.total:
        return warn("disk", says, "make room: SQLite's log needs some to be emptied")
    return ok("disk", says)


def _far_file_system(folder: Path) -> str | None:
    """Return the kind of a network's file system that a folder is on; None for a local one."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8")
    except OSError:
        return None
    found, longest = None, -1
    at = f"{folder.resolve()}/"
    for line in mounts.splitlines():
        _, where, system, *_ = line.split(" ")
        if at.startswith(where.rstrip("/") + "/") and len(where) >= longest:
            found, longest = system, len(where)
    return found if found and found.startswith(FAR_FILE_SYSTEMS) else None
