"""What goes wrong and is expected, as one line and an exit code."""

from __future__ import annotations

from typing import Final, NamedTuple

from commands.gateways.stripe_responses import (
    StripeFault,
    StripeKeyRefused,
    StripeNotConfigured,
    StripeRefused,
)
from commands.retry import LedgerBusy
from ledger.book import LedgerUnavailable, MixedClocks
from ledger.refusals import InvalidRequest, Refusal
from ledger.store.eventsourcing_adapter import PersistenceError
from ledger.store.schema import SchemaUnfit
from web.app.settings import SettingError
from web.server.processes import CannotServe

REFUSED: Final = 1
USAGE: Final = 2


class Failure(NamedTuple):
    line: str
    exit_code: int


class CommandRefused(Exception):
    """A "no" of the command line itself: a stable code, and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def explain(error: Exception) -> Failure | None:
    """Return what to say of an error; None for one that nobody expected."""
    exit_code = USAGE if isinstance(error, SettingError | MixedClocks) else REFUSED
    sentence = _sentence(error)
    return None if sentence is None else Failure(" ".join(sentence.split()), exit_code)


def _sentence(error: Exception) -> str | None:
    match error:
        case Refusal():
            sentence = _refusal(error)
        case CommandRefused(code=code):
            sentence = f"{code}: {error}"
        case SettingError() | CannotServe():
            sentence = str(error)
        case MixedClocks():
            sentence = f"KEYFOLD_TEST_CLOCK cannot be used: {error}"
        case SchemaUnfit():
            sentence = f"schema_unfit: {error}"
        case LedgerBusy():
            sentence = "ledger_busy: Others kept writing to the same place: try again"
        case LedgerUnavailable() | PersistenceError():
            why = str(error) or type(error).__name__
            sentence = f"ledger_unavailable: The ledger's database does not answer ({why})"
        case StripeFault():
            sentence = _stripe(error)
        case OSError(strerror=str() as what):
            sentence = f"io_error: {what}" + (f": {error.filename}" if error.filename else "")
        case _:
            return None
    return sentence


def _stripe(fault: StripeFault) -> str:
    match fault:
        case StripeNotConfigured() | StripeKeyRefused():
            return f"stripe_not_configured: {str(fault) or 'set STRIPE_API_KEY'}"
        case StripeRefused():
            return f"stripe_refused: Stripe says {fault}"
    return f"stripe_unavailable: {fault}: try again"


def _refusal(refusal: Refusal) -> str:
    details = str(refusal)
    if isinstance(refusal, InvalidRequest):
        details = "; ".join(f"{one.pointer.lstrip('/')}: {one.detail}" for one in refusal.errors)
    return f"{refusal.code}: {refusal.title}" + (f" ({details})" if details else "")
