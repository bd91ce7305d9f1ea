"""What fits into a field: sizes and shapes that every way in holds to."""

from __future__ import annotations

import unicodedata
from typing import Final

SEATS_MAX: Final = 100_000
MONTHS_MAX: Final = 120
EXTENSION_DAYS_MAX: Final = 3660
# Of an item at Stripe: more than it sells of anything, and times the seats of a unit it fits into
# every number that is kept. What is greater is not known.
QUANTITY_MAX: Final = 10**9
COUNT_MAX: Final = 10_000
TEXT_LENGTH_MAX: Final = 500
NAME_LENGTH_MAX: Final = 80

# Ids are the portal's own and opaque to us; see docs/privacy.md for why not to put names into them.
STRIPE_SUBSCRIPTION_ID: Final = r"sub_[A-Za-z0-9_]{1,196}"
ACCOUNT_ID: Final = r"[A-Za-z0-9._:-]{1,64}"
HOLDER_ID: Final = r"[A-Za-z0-9._:-]{1,128}"
SESSION_ID: Final = r"[A-Za-z0-9._:-]{1,128}"
IDEMPOTENCY_KEY: Final = r"[\x21-\x7e]{1,255}"
REQUEST_ID: Final = r"[A-Za-z0-9._:-]{1,128}"

# Control and format characters (NUL, bidirectional overrides, zero-width ones), line and paragraph
# separators, surrogates, and code points that are private or unassigned: they can hide or reorder
# what a person reads, and PostgreSQL has no NUL.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def unreadable(text: str) -> str | None:
    """Return the first character that a person could not read, as `U+202E`; None if all is well.

    Line breaks and tabs are refused with the other control characters: no text here has lines.
    """
    for character in text:
        if unicodedata.category(character) in _UNREADABLE:
            return f"U+{ord(character):04X}"
    return None
