"""Answers that no projection gives: what commands did, proofs, and how the service is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from ledger.streams.account.subscriptions import Start
from ledger.streams.order import OrderStatus
from projections.answer import (
    AccountId,
    Answer,
    BatchId,
    Count,
    KeyId,
    Masked,
    Next,
    NoticeLinkId,
    Position,
    ProductId,
    Seats,
    Time,
    WebhookId,
    doc,
)
from projections.views.subscriptions import SubscriptionRow

if TYPE_CHECKING:
    from commands.issue_keys import IssuedKey

# Keys


class KeyWithCode(Answer, frozen=True):
    """A key with its code."""

    id: KeyId
    code: Annotated[str, doc("Masked once it was revoked or redeemed.", "POS-ABCD-EFGH-7K2M")]
    masked: Masked


class IssuedKeys(Answer, frozen=True):
    """What an order gave."""

    batch: BatchId
    keys: list[KeyWithCode]


class WaitingOrderView(Answer, frozen=True):
    """An order that was not carried out at once."""

    order: Annotated[str, doc(None, "ord_2vqk7tq3bd5xw4a6bl7mc5nfx2")]
    status: Annotated[OrderStatus, doc(None, "waiting")]


class RevealedKeys(Answer, frozen=True):
    """Keys whose codes were shown again."""

    keys: list[KeyWithCode]


def with_codes(keys: Iterable[IssuedKey]) -> list[KeyWithCode]:
    """Return keys in the shape that shows their codes, in their order."""
    return [KeyWithCode(*key) for key in keys]


class Running(Answer, frozen=True):
    """What keys give already: the subscription that a key would follow, if that has begun."""

    seats: Seats
    expires_at: Time


class StartChoice(Answer, frozen=True):
    """When what a code gives would begin and end."""

    start: Start
    starts_at: Time
    expires_at: Time


class ValidatedCode(Answer, frozen=True):
    """What redeeming a code would give."""

    product: ProductId
    product_name: Annotated[str, doc(None, "Cloud POS")]
    tier: str | None
    tier_name: str | None
    seats: Seats
    months: Annotated[Count, doc(None, 12)]
    expires_if_activated_now: Time
    running: Annotated[
        Running | None,
        doc(
            "What the key would follow, if that gives seats now; else what ends last of what keys"
            " give of the same product and tier now. Null if there is nothing: then what the code"
            " gives can only begin now."
        ),
    ]
    choices: Annotated[
        list[StartChoice],
        doc("What redeeming would accept; `when_current_ends` only where something is `running`."),
    ]


class TransferredSubscription(Answer, frozen=True):
    """A subscription on the account that it was transferred to."""

    subscription: SubscriptionRow
    account: AccountId


# Stripe

_Customer = Annotated[str, doc(None, "cus_QXg1o8vcGmoR32")]
_Applied = Annotated[int, doc("How many reports had waited, and are the account's now.")]


class LinkedCustomer(Answer, frozen=True):
    """A customer that is the account's."""

    account: AccountId
    customer: _Customer
    applied: _Applied


class UnlinkedCustomer(Answer, frozen=True):
    """What became of the customer's subscriptions."""

    account: AccountId
    customer: _Customer
    released: Annotated[
        list[str],
        doc(
            "Stripe subscriptions that the account had by the link alone: they give no seats until"
            " it is known whose they are."
        ),
    ]
    kept: Annotated[list[str], doc("Stripe subscriptions of the customer that stay the account's.")]


class AssignedSubscription(Answer, frozen=True, rename={"moved_from": "from"}):
    """A Stripe subscription that is the account's."""

    account: AccountId
    stripe_subscription: Annotated[str, doc(None, "sub_1QXg1o8v")]
    moved_from: Annotated[str | None, doc("The account that it was taken away from.")]
    applied: _Applied


class ReceivedDelivery(Answer, frozen=True):
    """An event is on record."""

    received: Annotated[bool, doc("Always true.")]
    outcome: Annotated[
        str,
        doc(
            "`reported` on an account; `waiting` until it is known whose it is; `ownerless` when"
            " nothing could ever tell; `repeated` when another event had said the same; `ignored`"
            " for a type that is of no use; `not_understood`."
        ),
    ]
    new: Annotated[bool, doc("False when it had been delivered before.")]


class StartedPurchase(Answer, frozen=True):
    """Where the customer pays, or what was changed at once."""

    url: Annotated[
        str,
        doc(
            "Stripe Checkout's page, as good as a password; or `success_url` when there is nothing"
            " more to pay.",
            format="uri",
        ),
    ]
    changed: Annotated[
        Literal["quantity", "item"] | None,
        doc("What was changed at once; null when the customer is to pay first."),
    ]
    stripe_subscription: Annotated[
        str | None, doc("That was changed, or was bought; null when there is none yet.")
    ]
    seats: Annotated[int, doc("Of the product and tier on the subscription after this, in all.", 5)]


class PreviewedPurchase(Answer, frozen=True):
    """What a purchase would be, and cost; amounts in minor units."""

    changed: Annotated[
        Literal["quantity", "item"] | None,
        doc("What would be changed, and paid, at once; null where the customer pays at Checkout."),
    ]
    stripe_subscription: Annotated[
        str | None, doc("That would be changed; null where there is none yet.")
    ]
    seats_before: Annotated[int, doc("Of the product and tier on the subscription now.", 2)]
    seats: Annotated[int, doc("And after this, in all.", 5)]
    currency: Annotated[str, doc(None, "eur")]
    due: Annotated[
        int,
        doc("To be paid at once; at Checkout before taxes and promotion codes.", 4500),
    ]
    invoiced: Annotated[
        int, doc("What the invoice is over; the customer's balance may pay a part of it.", 4500)
    ]
    each_period: Annotated[
        int | None,
        doc("What the subscription costs from then on; null where it has several intervals.", 7500),
    ]
    interval: Annotated[str, doc("How often.", "month")]
    next_at: Annotated[Time | None, doc("When it is paid next; null where it is still to begin.")]
    quote: Annotated[
        str | None,
        doc(
            "Sent along with the purchase, holds it to `due` for a quarter of an hour; null where"
            " Checkout shows the amount."
        ),
    ]


class StripePortalLink(Answer, frozen=True):
    """Where the customer looks after what it pays."""

    url: Annotated[str, doc("Stripe's page for the customer; as good as a password.", format="uri")]


class PortalLink(Answer, frozen=True):
    """A link to the hosted pages."""

    url: Annotated[
        str,
        doc(
            "Opens the hosted pages once; it is as good as a password until then.",
            "http://127.0.0.1:8000/portal/open?link=eyJhY2NvdW50",
            format="uri",
        ),
    ]


# Proofs

_HASH = "6TJ5GubnqECkYWTJBHhkJtXngh3YspoA1hyucq/dTaQ="
_VERIFIER_KEY = "keyfold/7tq3bd5xw4a6bl7m+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
_Hash = Annotated[str, doc(None, _HASH)]
_Size = Annotated[int, Meta(ge=1)]


class InclusionProof(Answer, frozen=True):
    """That an event is in the ledger; hashes are SHA-256, in base64."""

    position: Annotated[_Size, doc("Of the event.", 17)]
    leaf_index: Annotated[Count, doc("Of its leaf: the position less one.", 16)]
    size: Annotated[_Size, doc("How many events the tree has.", 41)]
    leaf_hash: Annotated[_Hash, doc("Of the event.")]
    audit_path: Annotated[
        list[_Hash],
        doc("The siblings on the way from the leaf to the root (RFC 9162, 2.1.3)."),
    ]
    root_hash: Annotated[_Hash, doc("Of the tree.")]


class ConsistencyProof(
    Answer,
    frozen=True,
    rename={
        "old": "from",
        "new": "to",
        "old_root": "from_root_hash",
        "new_root": "to_root_hash",
    },
):
    """That a tree begins with a smaller one; hashes are SHA-256, in base64."""

    old: Annotated[_Size, doc(None, 41)]
    new: Annotated[_Size, doc(None, 57)]
    old_root: _Hash
    new_root: _Hash
    consistency: Annotated[list[_Hash], doc("The hashes that prove it (RFC 9162, 2.1.4).")]


class CheckpointKeys(Answer, frozen=True):
    """What signatures of checkpoints are checked with."""

    origin: Annotated[
        str,
        doc(
            "The ledger's name, in the first line of each of its checkpoints.",
            "keyfold/7tq3bd5xw4a6bl7m",
        ),
    ]
    keys: Annotated[
        list[Annotated[str, doc(None, _VERIFIER_KEY)]],
        doc(
            "Verifier keys (C2SP signed-note). More than one while one takes over from another:"
            " then each checkpoint is signed by all of them."
        ),
    ]


# The service


class Health(Answer, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Answer, frozen=True):
    """The ledger can be used."""

    status: Literal["ready"]
    position: Position
    notices: Annotated[list[str], doc("What wants to be looked at, though the ledger can be used.")]


class WebhookSecretShown(Answer, frozen=True):
    """A webhook's secret, which is shown once."""

    id: WebhookId
    secret: Annotated[str, doc("As Standard Webhooks write it.", "whsec_…")]
    previous_until: Annotated[
        Time | None, doc("Until when messages bear a signature by the secret before, too.")
    ]


class WebhookTestAsked(Answer, frozen=True):
    """A message that says nothing is sent next."""

    message: Annotated[
        str, doc("Its `webhook-id`.", "msg_c5nfx2ynqk7tq3bd5xw4a6bl7m_1234_k3vq7zt2mhwd")
    ]


class WebhookView(Answer, frozen=True):
    """A webhook, and what waits to be sent to it."""

    id: WebhookId
    url: Annotated[
        str | None,
        doc(
            "Null where the key is gone that it was sealed with.",
            "https://portal.example/hooks/keyfold",
        ),
    ]
    kinds: Annotated[list[str], doc(None, ["account.changed"])]
    reseller: str | None
    after: Annotated[Count, doc("Its messages are about what was recorded after it.", 1200)]
    created_at: Time
    status: Literal["active", "disabled"]
    disabled_because: Annotated[
        Literal["failing"] | None, doc("`failing`: a message was not taken for three days.")
    ]
    disabled_at: Time | None
    previous_secret_until: Time | None
    waiting: Annotated[Count, doc("Messages that are queued and not taken yet.", 0)]
    oldest_waiting_at: Annotated[
        Time | None, doc("When what the oldest of them is about was recorded.")
    ]
    failing_since: Time | None
    behind: Annotated[Count, doc("Positions of the ledger that nobody has queued yet.", 0)]


class WebhookList(Answer, frozen=True):
    """Webhooks, the oldest first."""

    items: list[WebhookView]
    next: Next


class NoticeLinkShown(Answer, frozen=True):
    """A link to notices, with its addresses, which are shown once."""

    id: NoticeLinkId
    atom: Annotated[
        str, doc("For a feed reader.", "http://127.0.0.1:8000/v1/notices/feeds/…/atom.xml")
    ]
    ics: Annotated[
        str, doc("For a calendar.", "http://127.0.0.1:8000/v1/notices/feeds/…/calendar.ics")
    ]
