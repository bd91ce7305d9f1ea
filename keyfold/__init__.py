"""Keyfold as it is installed: the program, and what a WSGI server loads.

Its packages have short names, which others have, too. So in a wheel they lie in the folder
`_packages` here, where nobody else's files come, and are found first by Keyfold's own processes.
From a checkout they are found where they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_PACKAGES: Final = Path(__file__).parent / "_packages"


def find_packages() -> None:
    """Let this process, and those that it starts, find Keyfold's packages before any others."""
    folder = str(_PACKAGES)
    if _PACKAGES.is_dir() and folder not in sys.path:
        sys.path.insert(0, folder)
