"""Stripe: the key, where it delivers to, and what the catalog sells by it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from commands.gateways import stripe_checks
from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_checks import Endpoint
from commands.gateways.stripe_responses import (
    StripeFault,
    StripeKeyRefused,
    StripeRefused,
    StripeUnavailable,
)
from ledger.catalog import Catalog
from web.app.settings import Settings
from web.cli.checkup.result import CheckResult, fail, ok, skipped, warn

WEBHOOK_PATH: Final = "/webhooks/stripe"
CLOCK_MAX_S: Final = 120  # Stripe's deliveries are refused when they seem five minutes old
PRICES_S: Final = 8.0
# The oldest shape of objects that is read: docs/stripe.md.
VERSION_MIN: Final = "2017"
_RESTRICTED = re.compile(r"rk_(live|test)_")
_MODES: Final = {True: "live", False: "test", None: "unknown"}


def check_stripe(settings: Settings) -> Iterator[CheckResult]:
    """Return how the key, the endpoint and the prices are; end when Stripe does not answer."""
    key, secrets, base = settings.stripe
    if not key:
        why = "STRIPE_API_KEY is not set"
        if secrets:
            yield warn(
                "stripe",
                f"{why}, but STRIPE_WEBHOOK_SECRET is: the mode of events is not checked",
                "set STRIPE_API_KEY",
            )
        else:
            yield skipped("stripe", why)
        return
    gateway = StripeGateway(key, base)
    try:
        began = time.time()
        scope = stripe_checks.scope_of(gateway)
    except StripeFault as error:
        yield _no_answer("stripe", error)
        return
    yield from _about_key(gateway, key, scope.refused)
    if scope.at is not None:
        yield _clock(scope.at, began)
    if len(scope.refused) == len(stripe_checks.READ):
        return
    yield from _webhook(settings, gateway)
    yield _prices(settings.catalog, gateway)


def _no_answer(check: str, error: StripeFault) -> CheckResult:
    if isinstance(error, StripeRefused):
        return fail(check, f"Stripe says {error}", "look into Stripe's log of the key's requests")
    return fail(
        check,
        str(error),
        "let this machine reach https://api.stripe.com, or correct STRIPE_API_BASE; or try later",
    )


def _about_key(gateway: StripeGateway, key: str, refused: tuple[str, ...]) -> Iterator[CheckResult]:
    mode = _MODES[gateway.livemode]
    if len(refused) == len(stripe_checks.READ):
        yield fail(
            "stripe", "Stripe refuses the key in STRIPE_API_KEY", "put a key that works there"
        )
    elif refused:
        yield fail(
            "stripe",
            f"the key, of mode {mode}, may not read {', '.join(refused)}",
            "give it these permissions in Stripe: docs/stripe.md",
        )
    elif not _RESTRICTED.match(key):
        yield warn(
            "stripe",
            f"answers; the key, of mode {mode}, may do everything",
            "make a restricted key: docs/stripe.md",
        )
    else:
        yield ok(
            "stripe",
            f"answers; the key, of mode {mode}, may read what is needed (writing was not tried)",
        )


def _clock(at: datetime, began: float) -> CheckResult:
    # Stripe's answer was made between then and now, and says whole seconds.
    theirs, now = at.timestamp(), time.time()
    apart = max(began - theirs - 1, theirs - now - 1, 0)
    if apart > CLOCK_MAX_S:
        return fail(
            "stripe clock",
            f"this machine's clock is {round(apart)} s from Stripe's: deliveries seem too old",
            "set this machine's clock by NTP",
        )
    return ok("stripe clock", "agrees with Stripe's")


# Where Stripe delivers to


def _webhook(settings: Settings, gateway: StripeGateway) -> Iterator[CheckResult]:
    wanted = settings.public_url + WEBHOOK_PATH
    if not settings.stripe.webhook_secrets:
        yield warn(
            "stripe webhook",
            "STRIPE_WEBHOOK_SECRET is not set: no delivery is taken",
            f"add an endpoint {wanted} in Stripe, and set its signing secret",
        )
    try:
        found = stripe_checks.endpoints(gateway)
    except StripeKeyRefused:
        yield skipped("stripe webhook", "the key may not list webhook endpoints: look in Stripe")
        return
    except StripeFault as error:
        yield _no_answer("stripe webhook", error)
        return
    ours = [one for one in found if one.url.rstrip("/") == wanted]
    if not ours:
        paths = [one for one in found if one.url.rstrip("/").endswith(WEBHOOK_PATH)]
        elsewhere = f" ({len(paths)} of another address)" if paths else ""
        yield warn(
            "stripe webhook",
            f"Stripe has no endpoint {wanted}{elsewhere}",
            "add it, or correct KEYFOLD_PUBLIC_URL",
        )
    for one in ours:
        yield from _about_endpoint(one)


def _about_endpoint(one: Endpoint) -> Iterator[CheckResult]:
    if not one.is_enabled:
        yield fail("stripe webhook", f"{one.url} is disabled in Stripe", "enable it there")
        return
    sound = True
    if one.missing:
        sound = False
        yield fail(
            "stripe webhook",
            f"{one.url} does not take {', '.join(one.missing)}",
            "add these events to the endpoint in Stripe",
        )
    if one.personal:
        sound = False
        yield warn(
            "stripe webhook",
            f"{one.url} takes {', '.join(one.personal)}, which carry nothing but people's data",
            "take them out of the endpoint in Stripe",
        )
    version = one.api_version or "the account's own"
    if one.api_version and one.api_version < VERSION_MIN:
        sound = False
        yield fail(
            "stripe webhook",
            f"{one.url} sends the shapes of {version}, which are not read",
            "give the endpoint a later API version",
        )
    if sound:
        yield ok("stripe webhook", f"{one.url} takes what is needed; API version {version}")


# Prices


def _prices(catalog: Catalog, gateway: StripeGateway) -> CheckResult:
    """Look whether Stripe has what the catalog sells by it, for some seconds."""
    priced = list(catalog.sold())
    if not priced:
        return skipped("stripe prices", "the catalog names none")
    until, missing, seen = time.monotonic() + PRICES_S, [], 0
    for sold in priced:
        price = sold.price
        if time.monotonic() > until:
            break
        try:
            found = gateway.find_price(price, gateway.interactive)
        except StripeUnavailable as error:
            return _no_answer("stripe prices", error)
        except StripeRefused:
            found = None
        except StripeKeyRefused:
            return skipped("stripe prices", "the key may not read prices")
        seen += 1
        if found is None or not found.get("active", True):
            missing.append(
                f"{price.price or price.lookup_key or price.stripe_product} ({sold.product.id})"
            )
    if missing:
        return warn(
            "stripe prices",
            f"Stripe does not sell by {', '.join(missing)}",
            "correct the catalog, or make them in Stripe, in the key's mode",
        )
    rest = f" of {len(priced)}" if seen < len(priced) else ""
    return ok("stripe prices", f"{seen}{rest} that the catalog names are in Stripe, and active")
