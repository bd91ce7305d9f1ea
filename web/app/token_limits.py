"""How often a token may ask: so many times a minute, by its role.

One count for all workers of a server, in a file without a name. A token is counted in windows of a
minute that begin with its first request, and what it has left is told in every response:

    RateLimit-Policy: "reseller";q=3000;w=60
    RateLimit: "reseller";r=2998;t=41

A count that cannot be kept refuses nobody.

Source: draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

from ledger.streams.token import ROLES, Role
from web.app.anonymous_file import AnonymousFile

WINDOW_S: Final = 60
LIMIT_MAX: Final = 1_000_000
# A reseller's token is in somebody else's hands. What the vendor's own programs ask, for
# tills among others, only what the server bears limits.
LIMITS_DEFAULT: Final[Mapping[Role, int]] = {"reseller": 3000}

_ENTRY: Final = struct.Struct("!8sdQ")  # a token, when its window began, how often it has asked
_PLACES: Final = 16_384
_NEAR: Final = 8  # a token is counted at one of so many places


class TokenLimitsError(Exception):
    """A text that names no limits; the message is what it must be."""


def parse_limits(text: str) -> Mapping[Role, int]:
    """Return the limits by role that a setting like `reseller=3000,portal=60000` has.

    Raises:
        TokenLimitsError: it is no such text.
    """
    limits: dict[Role, int] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        role, _, number = (one.strip() for one in part.partition("="))
        fits = role in ROLES and number.isdecimal() and len(number) <= len(str(LIMIT_MAX))
        if not fits or not 1 <= int(number) <= LIMIT_MAX:
            raise TokenLimitsError(
                "must hold limits like reseller=3000, in requests a minute (1 to"
                f" {LIMIT_MAX}), of {', '.join(ROLES)}, split by commas, or nothing for none"
            )
        limits[cast(Role, role)] = int(number)
    return limits


class Quota(NamedTuple):
    """What a token may still ask.

    Attributes:
        policy: the name of the limit, which is that of the token's role.
        left: further requests within this window.
        reset_s: until the next window.
        exceeded: whether this request is one too many.
    """

    policy: Role
    limit: int
    left: int
    reset_s: int
    exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return the response headers that tell it."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.reset_s}',
        }


class TokenTally(AnonymousFile):
    """How often each token has asked lately, for all processes that have this file."""

    def count(self, token: str, most: int, now: float) -> tuple[int, float]:
        """Count a request, unless there were `most`; return which it is, and when they began.

        Args:
            now: by the clock that all processes of this machine share (`time.monotonic`).

        Raises:
            OSError: it cannot be counted.
        """
        name = hashlib.blake2b(token.encode(), digest_size=8).digest()
        at = int.from_bytes(name[:4]) % (_PLACES - _NEAR) * _ENTRY.size
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            kept = os.pread(self._fd, _NEAR * _ENTRY.size, at).ljust(_NEAR * _ENTRY.size, b"\0")
            entries = list(_ENTRY.iter_unpack(kept))
            place = _place_of(name, entries, now)
            whose, began, counted = entries[place]
            if whose != name or not _is_running(began, now):
                began, counted = now, 0
            if counted < most:
                entry = _ENTRY.pack(name, began, counted + 1)
                os.pwrite(self._fd, entry, at + place * _ENTRY.size)
            return counted + 1, began
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _place_of(name: bytes, entries: list[tuple[bytes, float, int]], now: float) -> int:
    """Return where a token is counted: where it is, at a free place, or at the oldest."""
    for place, entry in enumerate(entries):
        if entry[0] == name:
            return place
    for place, (whose, began, _) in enumerate(entries):
        if whose == bytes(len(whose)) or not _is_running(began, now):
            return place
    return min(range(len(entries)), key=lambda place: entries[place][1])


def _is_running(began: float, now: float) -> bool:
    return began <= now < began + WINDOW_S


class TokenLimits:
    """The limits of one application, and what was counted by all that share it."""

    def __init__(
        self, limits: Mapping[Role, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._tally = TokenTally.new()
        self._lock = threading.Lock()  # the file's own keeps processes apart, not threads

    def share(self, tally: TokenTally) -> None:
        """Count together with other processes from now on."""
        self._tally = tally

    def take(self, token: str, role: Role) -> Quota | None:
        """Count a request; return what is left, or None where nothing is limited."""
        limit = self._limits.get(role)
        if limit is None:
            return None
        now = self._clock()
        counted, began = 1, now
        with self._lock, contextlib.suppress(OSError):
            counted, began = self._tally.count(token, limit, now)
        reset_s = max(1, math.ceil(began + WINDOW_S - now))
        return Quota(role, limit, max(0, limit - counted), reset_s, counted > limit)
