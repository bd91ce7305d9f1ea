"""What the server's processes agree on: how many connections wait, and what stops them."""

from __future__ import annotations

import signal
from typing import Final

INTERRUPTS: Final = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
BACKLOG: Final = 1_024
STOP_S: Final = 30.0
