"""Everything that an event names, so that it is found by each of them.

    account.seat_occupied@1 in account-acme   account acme; holder till-1, of acme in particular;
                                              request req_…; token kft_…, which asked for it

A reference has a *kind*, since an account and a holder may bear the same id. What somebody looks
for is a mere text, which may be of several kinds (`meanings`): then it stands for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, get_args

from ledger.codes import DOTS
from ledger.events import AnyEvent
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.portal_session import PortalSessionOpened
from ledger.streams.stripe import StripeChargeReported, StripeSubscriptionReported
from ledger.streams.stripe_state import subscription_id

Kind = Literal[
    "account", "holder", "seat", "key", "masked", "batch", "subscription", "token", "visit",
    "request", "stripe", "all",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Which fields of facts name something, and what.
FIELDS: Final[dict[str, Kind]] = {
    "account": "account",
    "holder": "holder",
    "key": "key",
    "replaces": "key",
    "replaced_by": "key",
    "masked": "masked",
    "batch": "batch",
    "subscription": "subscription",
    "token": "token",
    "granted_by": "token",
    "stripe_subscription": "stripe",
    "stripe_event": "stripe",
    "customer": "stripe",
    "invoice": "stripe",
    "latest_invoice": "stripe",
    "checkout": "stripe",
    "charge": "stripe",
    "payment_intent": "stripe",
    "object": "stripe",
}

# Of which kind of stream each is, and what its id begins with outside of the stream's name.
_STREAMS: Final[dict[str, tuple[Kind, str]]] = {
    "account": ("account", ""),
    "attempts": ("account", ""),
    "key": ("key", "key_"),
    "batch": ("batch", "bat_"),
    "token": ("token", "kft_"),
    "stripe_event": ("stripe", ""),
    "stripe_customer": ("stripe", ""),
    "portal_session": ("visit", "kfp_"),
}
_PREFIXES: Final[dict[str, Kind]] = {
    "key_": "key",
    "bat_": "batch",
    "kfsub_": "subscription",
    "kft_": "token",
    "kfp_": "visit",
}
_OF_STRIPE: Final = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]{1,255}")
_MASKED: Final = re.compile(rf"([A-Z]{{2,8}})-{DOTS}-{DOTS}-([A-Z2-9]{{4}})")
# A terminal may have no key for a dot.
_DOTTED: Final = str.maketrans("*·∙●", "••••")
# Anybody's ids, of any shape.
_ANYTHING: Final[tuple[Kind, ...]] = ("account", "holder", "request")


class Reference(NamedTuple):
    """A thing that an event names; `seat:acme/till-1` is a holder of one account."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


# What every event is found by, when nothing in particular is looked for.
EVERYTHING: Final = Reference("all", "*")


def references(event: AnyEvent) -> list[Reference]:
    """Answer everything that an event names, once each: first what it happened to."""
    return list(dict.fromkeys(_named(event)))


def seat_of(account: str, holder: str) -> Reference:
    """Answer the reference to a holder of one account."""
    return Reference("seat", f"{account}/{holder}")


def meanings(text: str) -> list[Reference]:
    """Answer everything that a text may refer to."""
    text = text.strip()
    dotted = text.translate(_DOTTED).upper()
    if _MASKED.fullmatch(dotted):
        return [Reference("masked", dotted)]
    found = [Reference(kind, text) for kind in _ANYTHING]
    by_prefix = next((kind for start, kind in _PREFIXES.items() if text.startswith(start)), None)
    if by_prefix:
        return [Reference(by_prefix, text), *found]
    return [Reference("stripe", text), *found] if _OF_STRIPE.fullmatch(text) else found


def _named(event: AnyEvent) -> Iterator[Reference]:
    kind, _, id = event.stream.partition("-")
    account = None
    if kind in _STREAMS:
        of, prefix = _STREAMS[kind]
        yield Reference(of, prefix + id)
        account = id if of == "account" else None
    for field, of in FIELDS.items():
        value = getattr(event.fact, field, None)
        if isinstance(value, str):
            yield Reference(of, value)
            if of == "holder" and account is not None:
                yield seat_of(account, value)
    yield from _of_one_thing(event)
    yield Reference("request", event.request_id)
    for start in ("kft_", "kfp_"):
        if event.actor.startswith(start):
            yield Reference(_PREFIXES[start], event.actor)


def _of_one_thing(event: AnyEvent) -> Iterator[Reference]:
    """Answer what a fact names in fields of other names."""
    match event.fact:
        case StripeSubscriptionReported(stripe_subscription=id):
            yield Reference("subscription", subscription_id(id))
        case StripeChargeReported(id=id):
            yield Reference("stripe", id)
        case PortalSessionOpened(session=session) | RedemptionRefused(session=session):
            # Any other session is the portal's own.
            if session.startswith("kfp_"):
                yield Reference("visit", session)
