"""`keyfold`, and `python -m keyfold`: the command line."""

from __future__ import annotations

import sys

from keyfold import find_packages


def main() -> int:
    """Run one command; return the exit code."""
    find_packages()
    from web.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
