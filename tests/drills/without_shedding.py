"""The program, but it lets everybody wait: `python -m tests.drills.without_shedding serve …`.

Workers import this module again, so that they do it, too.
"""

from __future__ import annotations

import sys

from keyfold.__main__ import main
from web.server import request_threads

request_threads.WAITING_S = 3600.0  # type: ignore[misc]
request_threads.WAITING_MAX = 1_000_000  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(main())
