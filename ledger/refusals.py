"""Every "no" of the ledger.

A refusal is an expected answer: what was asked may not be done, now. Its docstring is the sentence
a person reads, its `code` is stable, and its attributes are the facts it was decided on. Where more
than one would apply, the first in this order is given:

    anything                    InvalidRequest first: fields that do not fit by themselves
    a code, tried               TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyAlreadyYours,
                                KeyNotAvailable
    a redemption                IdempotencyKeyReused, VersionMismatch, then those of a code
    an order of keys            IdempotencyKeyReused; then InvalidRequest for a `redeem_by` that is
                                over, so that a repeated order is answered after it, too
    an order of a reseller's    IdempotencyKeyReused, InvalidRequest, ResellerSuspended,
                                InvalidRequest for what is beyond its limits, AllowanceExceeded
    an order, decided           OrderNotFound, OwnOrder, OrderDecided; then as above
    a key, revoked              KeyNotFound, KeyAlreadyRedeemed
    a reseller, arranged with   ResellerNotFound, AllowanceSpent
    a key, amended              KeyNotFound, KeyAlreadyRevoked, KeyAlreadyRedeemed,
                                AllowanceExceeded
    a key, reissued             KeyNotFound, KeyAlreadyRevoked, KeyLapsed, SubscriptionEnded
    codes, revealed             BatchNotFound, CodesNotDerivable
    a receipt, written          KeyNotFound, ReceiptNotReady
    a seat, taken               VersionMismatch, HolderInOtherTier, NoSeatAvailable
    a seat, passed on           VersionMismatch, SeatNotOccupied, HolderInOtherTier,
                                HolderAlreadySeated
    a seat, given back          VersionMismatch, SeatNotOccupied
    a seat, shown               ProductNotFound
    a key's subscription, changed  IdempotencyKeyReused, VersionMismatch, SubscriptionNotFound,
                                ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded; then
                                SubscriptionNotStarted or SubscriptionIsSuspended, or InvalidRequest
                                for an end that is before its own
    a Stripe customer, linked   VersionMismatch, CustomerLinkedElsewhere
    a Stripe customer, unlinked VersionMismatch, CustomerNotLinked
    a Stripe subscription, assigned  StripeSubscriptionElsewhere, StripeSubscriptionNotFound
    seats, bought at Stripe     IdempotencyKeyReused, SubscriptionNotChangeable,
                                SeatsFollowHolders, PurchasePriceChanged
    Stripe's pages, opened      NoStripeCustomer, CustomerShared
    a webhook, changed          WebhookNotFound, WebhookNotSending
    a link to notices, made     TooManyNoticeLinks
    a link to notices, opened   NoticeLinkNotFound, NoticeLinkIsRevoked
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, NamedTuple

from ledger.translation import gettext


class Refusal(Exception):
    """The ledger refuses this.

    Attributes:
        replayed: the same request had been refused before, and this is that answer again.
    """

    code: ClassVar[str]
    replayed: bool = False

    @property
    def title(self) -> str:
        """Return the sentence that a person reads."""
        return gettext((type(self).__doc__ or "").partition("\n")[0].rstrip("."))


class FieldError(NamedTuple):
    """One thing that does not fit: where (a JSON pointer), and what would."""

    pointer: str
    detail: str


class InvalidRequest(Refusal):
    """The request has fields that do not fit."""

    code = "invalid_request"

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.pointer}: {error.detail}" for error in errors))
        self.errors = errors


class TooManyAttempts(Refusal):
    """Too many failed attempts."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class InvalidKeyFormat(Refusal):
    """Invalid key format."""

    code = "invalid_key_format"


class WrongProduct(Refusal):
    """Wrong product prefix."""

    code = "wrong_product"


class KeyAlreadyYours(Refusal):
    """You have activated this key already."""

    code = "key_already_yours"

    def __init__(self, subscription: str, activated_at: datetime) -> None:
        super().__init__(f"it gave this account {subscription}")
        self.subscription = subscription
        self.activated_at = activated_at


class KeyNotAvailable(Refusal):
    """This activation key is not available."""

    code = "key_not_available"


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key was used with another request before."""

    code = "idempotency_key_reused"


class KeyNotFound(Refusal):
    """There is no such key."""

    code = "key_not_found"


class KeyAlreadyRedeemed(Refusal):
    """This key is redeemed already."""

    code = "key_already_redeemed"


class KeyAlreadyRevoked(Refusal):
    """This key is revoked already."""

    code = "key_already_revoked"


class KeyLapsed(Refusal):
    """This key was not redeemed in time."""

    code = "key_lapsed"


class ResellerNotFound(Refusal):
    """There is no such reseller."""

    code = "reseller_not_found"


class ResellerSuspended(Refusal):
    """This reseller is suspended."""

    code = "reseller_suspended"


class AllowanceExceeded(Refusal):
    """This is more than the reseller may still order."""

    code = "allowance_exceeded"

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} seats are left of what was granted")
        self.left = left


class AllowanceSpent(Refusal):
    """So many seats are spent already."""

    code = "allowance_spent"

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} seats can be taken away at most: the others are spent")
        self.left = left


class OrderNotFound(Refusal):
    """There is no such order."""

    code = "order_not_found"


class OwnOrder(Refusal):
    """Who placed an order cannot decide it."""

    code = "own_order"


class OrderDecided(Refusal):
    """This order is decided already."""

    code = "order_decided"

    def __init__(self, status: str) -> None:
        super().__init__(f"it was {status}")
        self.status = status


class BatchNotFound(Refusal):
    """There is no such batch."""

    code = "batch_not_found"


class ReceiptNotReady(Refusal):
    """Nothing has happened to this key yet that a receipt could be given of."""

    code = "receipt_not_ready"

    def __init__(self) -> None:
        super().__init__(
            "all of it tells of the reseller that had it before: ask again when it was redeemed"
        )


class CodesNotDerivable(Refusal):
    """These codes were issued elsewhere and cannot be shown again."""

    code = "codes_not_derivable"


class VersionMismatch(Refusal):
    """The account has changed since it was read."""

    code = "version_mismatch"

    def __init__(self, version: int) -> None:
        super().__init__(f"the account is at version {version}")
        self.version = version


class HolderInOtherTier(Refusal):
    """This holder has a seat in another tier."""

    code = "holder_in_other_tier"

    def __init__(self, tier: str | None) -> None:
        super().__init__(f"the holder sits in tier {tier}")
        self.tier = tier


class HolderAlreadySeated(Refusal):
    """This holder has a seat of its own already."""

    code = "holder_already_seated"


class NoSeatAvailable(Refusal):
    """No seat is free."""

    code = "no_seat_available"

    def __init__(self, seats: int, used: int) -> None:
        super().__init__(f"{used} of {seats} seats are taken")
        self.seats = seats
        self.used = used


class ProductNotFound(Refusal):
    """There is no such product."""

    code = "product_not_found"


class SeatNotOccupied(Refusal):
    """This holder has no seat."""

    code = "seat_not_occupied"


class SubscriptionNotFound(Refusal):
    """There is no such subscription on this account."""

    code = "subscription_not_found"


class SubscriptionEnded(Refusal):
    """This subscription has ended already."""

    code = "subscription_ended"


class SubscriptionNotStarted(Refusal):
    """This subscription has not started yet."""

    code = "subscription_not_started"


class SubscriptionIsSuspended(Refusal):
    """This subscription is suspended."""

    code = "subscription_is_suspended"


class SubscriptionElsewhere(Refusal):
    """This subscription belongs to another account now."""

    code = "subscription_elsewhere"

    def __init__(self, account: str) -> None:
        super().__init__(f"it was transferred to {account}")
        self.account = account


class ManagedInStripe(Refusal):
    """This subscription is managed in Stripe."""

    code = "managed_in_stripe"


class CustomerLinkedElsewhere(Refusal):
    """This Stripe customer is linked to another account."""

    code = "customer_linked_elsewhere"


class CustomerNotLinked(Refusal):
    """This Stripe customer is not linked to this account."""

    code = "customer_not_linked"


class StripeSubscriptionElsewhere(Refusal):
    """This Stripe subscription belongs to another account."""

    code = "stripe_subscription_elsewhere"


class StripeSubscriptionNotFound(Refusal):
    """There is no such Stripe subscription."""

    code = "stripe_subscription_not_found"


class CustomerShared(Refusal):
    """This Stripe customer is not this account's alone."""

    code = "customer_shared"

    def __init__(self, linked: str | None = None) -> None:
        if linked is None:
            super().__init__("it pays for others as well: link it to this account, or ask support")
        else:
            super().__init__("it is linked to another account, which can open Stripe's pages")
        self.linked = linked


UNKNOWN_PRICE: Final = "unknown_price"
UNKNOWN_ITEMS: Final = "unknown_items"


class SubscriptionNotChangeable(Refusal):
    """This subscription cannot be changed now."""

    code = "subscription_not_changeable"

    def __init__(self, stripe_subscription: str, state: str) -> None:
        if state == UNKNOWN_PRICE:
            detail = (
                f"the subscription {stripe_subscription} is paid by a price that means nothing in"
                " the catalog: say what it sells, and run `keyfold stripe remap`"
            )
        elif state == UNKNOWN_ITEMS:
            detail = (
                f"Stripe has not told all items of the subscription {stripe_subscription}: run"
                " `keyfold stripe reconcile`, with a key that may read subscription items"
            )
        else:
            detail = f"{stripe_subscription} is {state}: see Stripe's own pages first"
        super().__init__(detail)
        self.stripe_subscription = stripe_subscription
        self.state = state


class SeatsFollowHolders(Refusal):
    """The seats of this product are billed by its holders, and cannot be bought beforehand."""

    code = "seats_follow_holders"


class PurchasePriceChanged(Refusal):
    """What is bought costs something else by now than was previewed."""

    code = "purchase_price_changed"


class NoStripeCustomer(Refusal):
    """Stripe has no customer for this account."""

    code = "no_stripe_customer"


class WebhookNotFound(Refusal):
    """There is no such webhook."""

    code = "webhook_not_found"


class WebhookNotSending(Refusal):
    """This webhook is disabled."""

    code = "webhook_not_sending"

    def __init__(self) -> None:
        super().__init__("a replay has it send again")


class NoticeLinkNotFound(Refusal):
    """There is no such link to notices."""

    code = "notice_link_not_found"


class NoticeLinkIsRevoked(Refusal):
    """This link to notices shows nothing any more."""

    code = "notice_link_is_revoked"

    def __init__(self) -> None:
        super().__init__("ask whoever gave it to you for another")


class TooManyNoticeLinks(Refusal):
    """There are as many links to these notices as there may be."""

    code = "too_many_notice_links"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} may be in use: revoke one that nobody needs any more")


class TokenNotFound(Refusal):
    """There is no such token."""

    code = "token_not_found"


class PersonNotFound(Refusal):
    """Nobody with this id has signed in."""

    code = "person_not_found"


def refusals() -> dict[str, type[Refusal]]:
    """Return every refusal by its code."""
    return {refusal.code: refusal for refusal in Refusal.__subclasses__()}
