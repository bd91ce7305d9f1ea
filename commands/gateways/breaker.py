"""A circuit breaker for calls to Stripe."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from commands.gateways.stripe_responses import StripeFault, StripeUnavailable

FAILED_MAX: Final = 3
REST_S: Final = 10.0


class Breaker:
    """Spares callers the wait for a service that has not answered the last few of them.

    After `FAILED_MAX` failures in a row nobody is let through for `REST_S`; then one is, to see.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = 0
        self._closed_at = 0.0
        self._probing = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Let a call through: yield while it is made, and learn from what comes of it.

        Raises:
            StripeUnavailable: nobody is let through now.
        """
        is_probe = self._enter()
        try:
            yield
        except StripeUnavailable:
            with self._lock:
                self._failed += 1
                self._closed_at = time.monotonic() + REST_S
            raise
        except StripeFault:
            self._failed = 0
            raise
        else:
            self._failed = 0
        finally:
            if is_probe:
                self._probing = False

    def _enter(self) -> bool:
        with self._lock:
            if self._failed < FAILED_MAX:
                return False
            if self._probing or time.monotonic() < self._closed_at:
                raise StripeUnavailable("Stripe has not answered the last calls")
            self._probing = True
            return True
