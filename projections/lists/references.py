"""Everything that an event names, so that it is found by each of them.

    account.seat_occupied@1 in account-acme   account acme; holder till-1, of acme in particular;
                                              request req_…; token kft_…, which asked for it

A reference has a *kind*, since an account and a holder may bear the same id. What somebody looks
for is a mere text, which may be of several kinds (`meanings`): then it stands for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal, NamedTuple, cast, get_args

from ledger.codes import DOTS
from ledger.events import AnyEvent, Fact
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.portal_session import (
    PortalLinkMade,
    PortalSessionEnded,
    PortalSessionOpened,
)
from ledger.stripe.facts import StripeChargeReported, StripeSubscriptionReported
from ledger.stripe.subscriptions import subscription_id

Kind = Literal[
    "account", "holder", "seat", "key", "masked", "batch", "order", "subscription", "token",
    "person", "visit", "webhook", "notice_link", "request", "stripe", "all",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Which fields of facts name something, and what.
FIELDS: Final[dict[str, Kind]] = {
    "account": "account",
    "to_account": "account",
    "from_account": "account",
    "holder": "holder",
    "predecessor": "holder",
    "key": "key",
    "replaces": "key",
    "replaced_by": "key",
    "masked": "masked",
    "batch": "batch",
    "order": "order",
    "placed_by": "token",
    "subscription": "subscription",
    "follows": "subscription",
    "token": "token",
    "person": "person",
    "granted_by": "token",
    "webhook": "webhook",
    "link": "notice_link",
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
    "order": ("order", "ord_"),
    "token": ("token", "kft_"),
    "stripe_event": ("stripe", ""),
    "stripe_customer": ("stripe", ""),
    "stripe_object": ("stripe", ""),
    "portal_session": ("visit", "kfp_"),
}
_STARTS: Final = {name: f"{kind}:{prefix}" for name, (kind, prefix) in _STREAMS.items()}
_PREFIXES: Final[dict[str, Kind]] = {
    "key_": "key",
    "bat_": "batch",
    "ord_": "order",
    "kfsub_": "subscription",
    "kft_": "token",
    "kfu_": "person",
    "kfp_": "visit",
    "kfwh_": "webhook",
    "kfnl_": "notice_link",
}
_ACTORS: Final = ("kft_", "kfu_", "kfp_")
_OF_STRIPE: Final = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]{1,255}")
_MASKED: Final = re.compile(rf"([A-Z]{{2,8}})-{DOTS}-{DOTS}-([A-Z2-9]{{4}})")
# A terminal may have no key for a dot.
_DOTTED: Final = str.maketrans("*·∙●", "••••")
# Anybody's ids, of any shape.
_OF_THE_PORTAL: Final[tuple[Kind, ...]] = ("account", "holder")
_ANYTHING: Final[tuple[Kind, ...]] = (*_OF_THE_PORTAL, "request")
_REQUEST: Final = "request:"


class Reference(NamedTuple):
    """A thing that an event names; `seat:acme/till-1` is a holder of one account."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def of(cls, text: str) -> Reference:
        """Return the reference that is written so."""
        kind, _, id = text.partition(":")
        return cls(cast(Kind, kind), id)


# What every event is found by, when nothing in particular is looked for.
EVERYTHING: Final = Reference("all", "*")


def references(event: AnyEvent) -> list[Reference]:
    """Return everything that an event names, once each: first what it happened to."""
    return [Reference.of(text) for text in named(event)]


def named(event: AnyEvent) -> list[str]:
    """Return the same as texts, `kind:id`: a table of a million events is made of them."""
    fact = event.fact
    stream, _, id = event.stream.partition("-")
    start, fields, has_more, may_repeat = _naming(stream, type(fact))
    found = [] if start is None else [start + id]
    for field, prefix in fields:
        value = getattr(fact, field)
        if type(value) is str:
            # Who granted or ordered something may be a person at the console.
            is_person = prefix == "token:" and value.startswith("kfu_")
            found.append(f"person:{value}" if is_person else prefix + value)
            if prefix == "holder:" and start == "account:":
                found.append(f"seat:{id}/{value}")
    if has_more:
        found += _of_one_thing(fact)
    found.append("request:" + event.request_id)
    actor = event.actor
    if actor.startswith(_ACTORS):
        found.append(f"{_PREFIXES[actor[:4]]}:{actor}")
    return list(dict.fromkeys(found)) if may_repeat else found


def seat_of(account: str, holder: str) -> Reference:
    """Return the reference to a holder of one account."""
    return Reference("seat", f"{account}/{holder}")


def meanings(text: str) -> list[Reference]:
    """Return everything that a text may refer to.

    `request:ID` is the request with that id. Callers of the API choose the ids of their requests,
    so an id that begins as ours do is no request's unless it is asked for like this.
    """
    text = text.strip()
    if text.startswith(_REQUEST):
        id = text.removeprefix(_REQUEST)
        return [Reference("request", id), *(Reference(kind, text) for kind in _OF_THE_PORTAL)]
    dotted = text.translate(_DOTTED).upper()
    if _MASKED.fullmatch(dotted):
        return [Reference("masked", dotted)]
    found = [Reference(kind, text) for kind in _ANYTHING]
    by_prefix = next((kind for start, kind in _PREFIXES.items() if text.startswith(start)), None)
    if by_prefix:
        return [Reference(by_prefix, text), *(one for one in found if one.kind != "request")]
    return [Reference("stripe", text), *found] if _OF_STRIPE.fullmatch(text) else found


class _Naming(NamedTuple):
    """How the events of one kind of stream with one kind of fact name things.

    Attributes:
        start: what the reference to the stream's own thing begins with; None if it has none.
        fields: of the fact that name something, and what their references begin with.
        has_more: there is more, see `_of_one_thing`.
        may_repeat: two of them may be the same.
    """

    start: str | None
    fields: tuple[tuple[str, str], ...]
    has_more: bool
    may_repeat: bool


@cache
def _naming(stream: str, fact: type[Fact]) -> _Naming:
    start = _STARTS.get(stream)
    own = set(fact.__struct_fields__)
    fields = tuple((field, f"{kind}:") for field, kind in FIELDS.items() if field in own)
    kinds = [prefix for _, prefix in fields] + ["request:", "token:", "person:", "visit:"]
    if start is not None:
        kinds.append(start.partition(":")[0] + ":")
    has_more = fact in _MORE
    return _Naming(start, fields, has_more, has_more or len(set(kinds)) < len(kinds))


_MORE: Final = frozenset(
    {
        StripeSubscriptionReported,
        StripeChargeReported,
        PortalLinkMade,
        PortalSessionOpened,
        PortalSessionEnded,
        RedemptionRefused,
    }
)


def _of_one_thing(fact: Fact) -> Iterator[str]:
    """Return what a fact names in fields of other names."""
    match fact:
        case StripeSubscriptionReported(stripe_subscription=id):
            yield f"subscription:{subscription_id(id)}"
        case StripeChargeReported(id=id):
            yield f"stripe:{id}"
        case (
            PortalLinkMade(session=session)
            | PortalSessionOpened(session=session)
            | PortalSessionEnded(session=session)
            | RedemptionRefused(session=session)
        ):
            # Any other session is the portal's own.
            if session.startswith("kfp_"):
                yield f"visit:{session}"
