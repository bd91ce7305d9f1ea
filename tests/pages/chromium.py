"""Where a Chromium is: the one $CHROMIUM names, else one on the PATH, else apt's."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = (
    "chromium-headless-shell",
    "headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
PACKAGES = ("chromium-headless-shell", "libatomic1")
# A test's browser is let out of its sandbox only where it could not be in one: in a container.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    # Where a page leads to is looked at; nobody there is asked.
    "--host-resolver-rules=MAP *.stripe.com ~NOTFOUND",
)


class NoChromium(Exception):
    """There is no Chromium: install one, or name it in $CHROMIUM."""


def find() -> str:
    """Answer the path of a Chromium, installing one where that can be done unasked.

    Raises:
        NoChromium: there is none, and none could be installed.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    found = _on_path() or (_installed() if os.geteuid() == 0 else None)
    if found is None:
        raise NoChromium(
            "no Chromium: apt-get install chromium-headless-shell libatomic1, or name one in"
            " $CHROMIUM"
        )
    return found


def _on_path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _installed() -> str | None:
    """Install one; of several processes that find none, one does it and the others wait."""
    if shutil.which("apt-get") is None:
        return None
    install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    with (Path(tempfile.gettempdir()) / "keyfold-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (install, ["apt-get", "update"], install):
            if _on_path():
                break
            subprocess.run(command, capture_output=True, check=False)
    return _on_path()
