"""What may go wrong between Stripe and us, on demand."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "down",
    "slow",
    "cut",
    "applied_then_cut",
    "429",
    "500",
    "500_kept",
    "refused",
    "not_allowed",
    "wrong_key",
    "null",
    "list",
    "word",
    "empty",
)
# What is answered with 200 by something before Stripe.
ODD: dict[str, object] = {"null": None, "list": [], "word": "x", "empty": {}}


@dataclass
class Fault:
    """One kind of failure.

    Attributes:
        kind: "cut" reads the request and breaks off in the midst of the answer, without having done
            anything; "applied_then_cut" does it, and then breaks off; "500_kept" does nothing, and
            is what its idempotency key is answered from then on; those of `ODD` do it, and answer
            with something else than the object
        times: how many requests it befalls; None: all, until `mend`
        method: only requests of this method
        path: only requests whose path begins so
        delay_s: how long a slow answer takes
        mid_answer: break off within the answer, which the SDK does not try again; False: before its
            first byte, which it does

    """

    kind: str
    times: int | None = None
    method: str | None = None
    path: str = ""
    delay_s: float = 0.0
    mid_answer: bool = True

    def befalls(self, method: str, path: str) -> bool:
        """Say whether a request meets this failure, and count it."""
        if self.times == 0 or not path.startswith(self.path):
            return False
        if self.method is not None and method != self.method:
            return False
        if self.times is not None:
            self.times -= 1
        return True
