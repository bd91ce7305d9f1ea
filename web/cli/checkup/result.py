"""What came of a check."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["ok", "warn", "fail", "skipped"]


class CheckResult(NamedTuple):
    """What came of one check, in words that hold no secret and nothing about people.

    Attributes:
        name: of the check.
        mend: what to do; None when there is nothing.
    """

    name: str
    status: Status
    detail: str
    mend: str | None = None


def ok(check: str, says: str) -> CheckResult:
    """Return that all is well."""
    return CheckResult(check, "ok", says)


def warn(check: str, says: str, mend: str) -> CheckResult:
    """Return that something works and is not as it should be."""
    return CheckResult(check, "warn", says, mend)


def fail(check: str, says: str, mend: str) -> CheckResult:
    """Return that something does not work."""
    return CheckResult(check, "fail", says, mend)


def skipped(check: str, why: str) -> CheckResult:
    """Return that there was nothing to look at."""
    return CheckResult(check, "skipped", why)
