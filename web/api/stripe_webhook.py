"""What Stripe delivers.

It is verified, read, and on record before it is answered: 200 means durable. Whatever is refused
is refused before anything of it is looked at: first who signed it and when, then whether it is an
event, then whether it is one for this ledger. Nothing of a body reaches a log or an answer, not
even of one that is refused.

Source: docs/stripe.md, "Deliveries".
"""

from __future__ import annotations

import hmac
import re
import time
from datetime import datetime
from typing import Final, NamedTuple

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeKeyRefused, StripeRefused
from commands.record_stripe_event import record_event
from ledger.stripe.objects import NotAnEvent, StripeEvent, read_event
from web.api.answers import ReceivedDelivery
from web.api.operations import Returns, operation
from web.app.auth import EVERYBODY
from web.app.context import app_state, request_context
from web.app.errors import SET_UP_S, STRIPE_NOT_CONFIGURED, WEBHOOK_REFUSED, HttpProblem
from web.app.request_parsing import BODY_BYTES_MAX, read_json
from web.app.responses import reply
from web.app.services import Wiring

ACTOR: Final = "stripe"
TOLERANCE_S: Final = 300
SIGNATURE_LENGTH_MAX: Final = 2_000

_SECONDS = re.compile(r"[0-9]{1,12}")

blueprint = Blueprint("stripe", __name__)


@blueprint.post("/webhooks/stripe")
@operation(
    access=EVERYBODY,
    responses={200: Returns(ReceivedDelivery, "It is on record.", ("Keyfold-Position",))},
    problems=(WEBHOOK_REFUSED, STRIPE_NOT_CONFIGURED),
)
def receive_stripe_event() -> Response:
    """Take an event that Stripe delivers.

    The body is taken as it was signed. An event that was delivered before, and one of a type that
    is of no use, are answered with 200 as well; so is one that is about another Stripe account than
    the key's own, of which nothing is recorded. A body that is refused is not kept.
    """
    event = read_event_of(_verified_body())
    _refuse_other_mode(event)
    services = app_state().wiring.webhook_services
    if is_foreign(services.stripe, event):
        app_state().metrics.count_stripe_event("ignored")
        return reply(ReceivedDelivery(True, "ignored", False), position=services.book.head())
    asked = request_context()._replace(actor=ACTOR)
    recorded = record_event(services, asked, event, "webhook")
    app_state().metrics.count_stripe_event(recorded.outcome if recorded.new else "delivered_again")
    return reply(
        ReceivedDelivery(True, recorded.outcome, recorded.new),
        position=recorded.position,
    )


def warm_up(wiring: Wiring) -> None:
    """Load Stripe's library, where it will be used, so that the first request need not wait."""
    if wiring.settings.stripe.webhook_secrets:
        import stripe  # noqa: F401
    for gateway in (wiring.services.stripe, wiring.webhook_stripe):
        if gateway is not None:
            gateway.warm_up()


def _verified_body() -> bytes:
    secrets = app_state().wiring.settings.stripe.webhook_secrets
    if not secrets:
        headers = {"Retry-After": str(SET_UP_S)}
        raise HttpProblem(STRIPE_NOT_CONFIGURED, "set STRIPE_WEBHOOK_SECRET", headers)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise refused("the body must be sent as it was signed, without a Content-Encoding")
    signature = request.headers.get("Stripe-Signature", "")
    if not signature:
        raise refused("the header Stripe-Signature is missing")
    body = _body()
    signed = _read_signature(signature)
    _refuse_time(signed.at, request_context().now)
    if not any(_is_signed_with(body, signed, secret) for secret in secrets):
        raise refused("the signature is not one of STRIPE_WEBHOOK_SECRET for this body")
    return body.encode()


def _body() -> str:
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = b" " * (BODY_BYTES_MAX + 1)
    if len(body) > BODY_BYTES_MAX:
        raise refused("the body has more than 1 MiB")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise refused("the body is not UTF-8") from None


class _Signature(NamedTuple):
    """What the header Stripe-Signature says.

    Attributes:
        at: when it was signed, in seconds since 1970.
        hashes: one for each secret that it was signed with.
    """

    at: int
    hashes: list[str]


def _read_signature(header: str) -> _Signature:
    """Read the header once, for whoever looks at the time and whoever looks at the hashes.

    Two times are refused: each reader could take another of them for the one that was signed.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    hashes = [value for name, _, value in pairs if name == "v1"]
    if len(times) > 1:
        raise refused("the header Stripe-Signature has more than one t=")
    fits = len(header) <= SIGNATURE_LENGTH_MAX and header.isascii()
    if not fits or not times or not _SECONDS.fullmatch(times[0]):
        raise refused("the header Stripe-Signature is not t=…,v1=…")
    return _Signature(int(times[0]), hashes)


def _refuse_time(signed_at: int, now: datetime) -> None:
    """Refuse what was signed long ago, or is dated ahead."""
    clocks = [now.timestamp()]
    if app_state().wiring.settings.test_clock is not None:
        clocks.append(time.time())  # Stripe signs by the real one
    away_s = min(signed_at - clock for clock in clocks)
    if any(abs(signed_at - clock) <= TOLERANCE_S for clock in clocks):
        return
    direction = "ahead of" if away_s > 0 else "behind"
    raise refused(f"the signature is dated more than {TOLERANCE_S} s {direction} this clock")


def _is_signed_with(body: str, signed: _Signature, secret: str) -> bool:
    import stripe

    sign = stripe.WebhookSignature.generate_signature_header
    expected = sign(body, secret, timestamp=signed.at).rpartition("=")[2]
    return any(hmac.compare_digest(expected, one) for one in signed.hashes)


def read_event_of(body: bytes) -> StripeEvent:
    """Read an event from JSON, as strictly as any request, and return it.

    Raises:
        HttpProblem: it is no JSON, JSON that could be read in two ways, or no event.
    """
    try:
        return read_event(read_json(body))
    except HttpProblem as problem:
        raise refused(problem.detail) from None
    except NotAnEvent as error:
        raise refused(str(error)) from None


def _refuse_other_mode(event: StripeEvent) -> None:
    stripe = app_state().wiring.services.stripe
    livemode = stripe.livemode if stripe else None
    if livemode is not None and event.livemode is not livemode:
        modes = {True: "live", False: "test"}
        ours, theirs = modes[livemode], modes[event.livemode]
        raise refused(f"the event is of {theirs} mode, STRIPE_API_KEY of {ours} mode")


def is_foreign(stripe: StripeGateway | None, event: StripeEvent) -> bool:
    """Return whether an event is about another Stripe account than the key's own.

    Raises:
        StripeUnavailable: it names an account, and Stripe did not say which our own is: Stripe
            delivers the event again.
        HttpProblem: the same, and it will not be told: there is no key, or it may not ask.
    """
    if event.connected is None:
        return False
    try:
        own = stripe.account_id() if stripe else None
    except (StripeRefused, StripeKeyRefused):
        own = None
    if own is None:
        raise refused(
            "the event names a Stripe account, and which one is ours cannot be found out: give"
            " STRIPE_API_KEY a key that may read its own account"
        )
    return event.connected.rpartition("/")[2] != own


def refused(detail: str) -> HttpProblem:
    """Return the problem to raise for an event that is not taken; it tells Stripe why."""
    return HttpProblem(WEBHOOK_REFUSED, detail)
