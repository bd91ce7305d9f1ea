"""Where a Chromium is: the one $CHROMIUM names, else one on the PATH.

Nothing is installed unasked. With KEYFOLD_TEST_INSTALL_CHROMIUM=1 and as root, `install_if_asked`
gets Debian's where there is none.
"""

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


INSTALL_VARIABLE = "KEYFOLD_TEST_INSTALL_CHROMIUM"
NONE = (
    "no browser: put a Chromium on the PATH or name it in $CHROMIUM"
    f" (as root, {INSTALL_VARIABLE}=1 installs one)"
)


def find() -> str | None:
    """Return the path of a Chromium; None when there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def install_if_asked() -> None:
    """Install a Chromium where there is none, if $KEYFOLD_TEST_INSTALL_CHROMIUM is 1 and we may."""
    if os.environ.get(INSTALL_VARIABLE) != "1" or find() is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    # Of several test runs that find none, one installs it and the others wait.
    with (Path(tempfile.gettempdir()) / "keyfold-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (install, ["apt-get", "update"], install):
            if find() is not None:
                return
            subprocess.run(command, capture_output=True, check=False)
