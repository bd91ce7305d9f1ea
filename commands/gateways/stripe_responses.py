"""What Stripe's library returns and raises, as plain JSON and as our own faults."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from ledger.durations import Work, tell

PAYMENT_REQUIRED: Final = 402
OUTCOMES: Final = ("answered", "refused", "key_refused", "unavailable")


class StripeFault(Exception):
    """Stripe was asked, and there is no good answer; nothing of ours was changed."""


class StripeUnavailable(StripeFault):
    """Stripe cannot be reached, or is too busy to answer: try again."""


class StripeRefused(StripeFault):
    """Stripe refuses the call.

    Attributes:
        code: Stripe's own, e.g. `resource_missing`, `card_declined`.
        param: the parameter that it is about, if any.
        card: whether it is the customer's card that was refused.
    """

    def __init__(self, code: str, param: str | None = None, *, card: bool = False) -> None:
        super().__init__(f"{code} ({param})" if param else code)
        self.code = code
        self.param = param
        self.card = card

    @property
    def is_missing(self) -> bool:
        """Return whether Stripe has no such object, rather than will not tell of it."""
        return self.code == "resource_missing"


class StripeKeyRefused(StripeFault):
    """Stripe does not take our key: see STRIPE_API_KEY."""


class StripeNotConfigured(StripeFault):
    """There is no key for Stripe: set STRIPE_API_KEY."""


class Retrieved(NamedTuple):
    """An object of Stripe's as it was when Stripe answered.

    Attributes:
        object: plain JSON; it holds people's data and must not be kept.
        at: by Stripe's clock, in whole seconds.
    """

    object: dict[str, Any]
    at: datetime


def _retrieved(answer: Any) -> Retrieved:
    """Return an object of the library's as plain JSON, and when Stripe said it.

    Raises:
        StripeUnavailable: it is none of Stripe's objects; something before it answered, it may be.
    """
    if not _is_whole(answer):
        raise StripeUnavailable("Stripe does not answer with one of its objects")
    at = answer.last_response.headers.get("Date")
    # Stripe dates its answers; a proxy that takes that away leaves us our own clock.
    moment = parsedate_to_datetime(at) if at else datetime.now(UTC).replace(microsecond=0)
    return Retrieved(answer.to_dict(for_json=True), moment)


def _is_whole(answer: Any) -> bool:
    """Return whether an answer is an object of Stripe's: not null, a word, a list, or `{}`."""
    if not hasattr(answer, "last_response") or not isinstance(getattr(answer, "object", None), str):
        return False
    if answer["object"] == "list":
        its = getattr(answer, "data", None)
        return isinstance(its, list) and all(hasattr(one, "to_dict") for one in its)
    return answer["object"] == "invoice" or isinstance(getattr(answer, "id", None), str)


# What came of this process's calls: a figure to watch, which nothing is decided on.
CALLS: Final[Counter[str]] = Counter(dict.fromkeys(OUTCOMES, 0))


def call_stripe(call: Callable[..., Any], *args: Any) -> Retrieved:
    """Make a call of Stripe's library, and return what came back.

    Its exceptions come out as ours, without what was sent.

    Raises:
        StripeUnavailable, StripeKeyRefused, StripeRefused: from None, since the library's own
            exceptions carry whole answers.
    """
    began = time.perf_counter()
    try:
        answer = _call(call, *args)
    except StripeFault as fault:
        _tell(call, began, type(fault).__name__)
        raise
    _tell(call, began, None)
    return answer


def _tell(call: Callable[..., Any], began: float, error: str | None) -> None:
    # Of the call its name alone: what it is about has ids of the customer's in its address.
    name = getattr(call, "func", call).__qualname__
    tell(Work(f"Stripe {name}", time.perf_counter() - began, is_call=True, error=error))


def _call(call: Callable[..., Any], *args: Any) -> Retrieved:
    import stripe

    try:
        answer = call(*args)
        CALLS["answered"] += 1
        return _retrieved(answer)
    except (stripe.AuthenticationError, stripe.PermissionError):
        CALLS["key_refused"] += 1
        raise StripeKeyRefused("Stripe refuses the key in STRIPE_API_KEY") from None
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        CALLS["unavailable"] += 1
        raise StripeUnavailable(f"Stripe does not answer ({type(error).__name__})") from None
    except stripe.StripeError as error:
        CALLS["refused"] += 1
        raise StripeRefused(
            error.code or type(error).__name__,
            getattr(error, "param", None),
            card=isinstance(error, stripe.CardError) or error.http_status == PAYMENT_REQUIRED,
        ) from None
