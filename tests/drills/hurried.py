"""The program, but it goes round the past in seconds: `python -m tests.drills.hurried serve …`.

Workers import this module again, so that they are in a hurry, too.
"""

from __future__ import annotations

import sys

from keyfold.__main__ import main
from projections.audit import past_check

past_check.ROUND_S = 2.0  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(main())
