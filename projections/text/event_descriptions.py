"""An event as one sentence that a person understands.

    Key POS-••••-••••-7K2M redeemed: 5 Cloud POS seats until 21 Nov 2027, by portal
    Holder till-3 refused a Cloud POS seat: No seat is free (2 of 2 taken), by portal
    Key POS-••••-••••-7K2M revoked, by admin: “Ordered one too many”

What happened first, then who did it, then in their own words why, for readers who may see that.
Products go by their names of the catalog; codes are masked, whoever reads.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from ledger.events import AnyEvent, Fact, Sealed
from ledger.streams.account.facts import (
    AccountErased,
    SeatOccupied,
    SeatPassedOn,
    SeatRelabelled,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionKeyReissued,
    SubscriptionRescheduled,
    SubscriptionResumed,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionSuspended,
    SubscriptionTakenOver,
    SubscriptionTerminated,
    SubscriptionTransferred,
)
from ledger.streams.attempts import (
    BlockLifted,
    RedemptionAccepted,
    RedemptionRefused,
    SeatRefused,
)
from ledger.streams.batch import AllowanceCharged, CodesRevealed, KeysImported, KeysIssued
from ledger.streams.console_session import ConsoleSessionEnded, ConsoleSessionOpened
from ledger.streams.key import (
    KeyAmended,
    KeyImportedAgain,
    KeyIssued,
    KeyRedeemed,
    KeyReissued,
    KeyRevoked,
    KeyTerms,
    KeyTransferred,
)
from ledger.streams.notice_links import NoticeLinkMade, NoticeLinkRevoked
from ledger.streams.order import OrderDeclined, OrderPlaced
from ledger.streams.portal_access import PortalSessionsEnded
from ledger.streams.portal_session import (
    PortalLinkMade,
    PortalSessionEnded,
    PortalSessionOpened,
)
from ledger.streams.request import (
    KeysReissueAnswered,
    RedemptionAnswered,
    SubscriptionChangeAnswered,
)
from ledger.streams.reseller import OrderingResumed, OrderingSuspended, SeatsGranted
from ledger.streams.session_attempts import TryAccepted, TryFailed
from ledger.streams.sign_ins import ConsoleSignInRefused
from ledger.streams.signing_keys import SigningKeysRotated
from ledger.streams.stripe_object import StripeObjectOwned
from ledger.streams.token import TokenCreated, TokenRevoked
from ledger.streams.webhooks import (
    WebhookAdded,
    WebhookDisabled,
    WebhookRemoved,
    WebhookReplayed,
    WebhookSecretRotated,
    WebhookTested,
)
from ledger.stripe.facts import (
    StripeCustomerLinked,
    StripeCustomerUnlinked,
    StripeSubscriptionGivenUp,
)
from projections.text.formatting import (
    NOT_SHOWN,
    DisplayNames,
    a_seat,
    about,
    counted,
    day,
    minute,
    place,
    quoted,
    seats,
    title,
    who,
)
from projections.text.reseller_descriptions import order_sentence, reseller_sentence
from projections.text.stripe_descriptions import stripe_sentence

# What is recorded so much after it happened was learnt late.
LATE: Final = timedelta(minutes=5)

_FOUND: Final = {
    "unknown": "there is no such key",
    "redeemed": "it is redeemed already",
    "revoked": "it was revoked",
    "lapsed": "it was not redeemed in time",
    "suspended": "its reseller is suspended",
    NOT_SHOWN: "",
}


def sentence(event: AnyEvent, names: DisplayNames) -> str:
    """Return one sentence about an event."""
    text = f"{_what(event, names)}, by {who(names.actors, event.actor)}"
    late = event.recorded_at - event.occurred_at
    if late >= LATE:
        text += f"; true since {minute(event.occurred_at)}, learnt {about(late)} later"
    why = quoted(names.texts, _why(event.fact))
    return f"{text}: {why}" if why else text


def refused_key(fact: RedemptionRefused) -> str:
    """Return why a code was refused, as much as the fact says of it."""
    found = _FOUND.get(fact.found or "", fact.found)
    return f"{title(fact.refusal)} ({found})" if found else title(fact.refusal)


def refused_seat(fact: SeatRefused, names: DisplayNames) -> str:
    """Return why a seat was refused."""
    if fact.refusal == "holder_in_other_tier":
        sits_in = place(names.catalog, fact.product, fact.sits_in)
        return f"{title(fact.refusal)} (it sits in {sits_in})"
    return f"{title(fact.refusal)} ({fact.used} of {fact.seats} taken)"


def key_by_id(names: DisplayNames, id: str) -> str:
    """Return a key's masked code; the id of one that is not known stands for itself."""
    known = names.keys.get(id)
    return known.masked if known else id


def _what(event: AnyEvent, names: DisplayNames) -> str:
    kind, _, id = event.stream.partition("-")
    match kind:
        case "reseller":
            return reseller_sentence(event.fact, id, names.catalog)
        case "order":
            return order_sentence(event.fact, f"ord_{id}", names.catalog)
        case "key":
            return _of_key(event, f"key_{id}", names)
        case "batch":
            return _of_batch(event.fact, f"bat_{id}", names)
        case "account":
            return _of_account(event, names)
        case "webhooks":
            return _of_webhooks(event.fact)
        case "notice_links":
            return _of_notice_links(event.fact)
        case "attempts" | "session":
            return _of_attempts(event.fact, names)
        case _:
            return _of_access(event.fact, event.stream, names)


def _why(fact: Fact) -> Sealed | None:
    match fact:
        case KeysIssued(note=why) | OrderPlaced(note=why):
            return why
        case (
            CodesRevealed(reason=why) | KeyRevoked(reason=why) | KeyReissued(reason=why)
            | KeyAmended(reason=why) | SeatsGranted(reason=why) | OrderingSuspended(reason=why)
            | OrderingResumed(reason=why) | OrderDeclined(reason=why)
            | SubscriptionTerminated(reason=why) | AccountErased(reason=why)
            | SubscriptionStarted(reason=why) | SubscriptionExtended(reason=why)
            | SubscriptionSuspended(reason=why) | SubscriptionResumed(reason=why)
            | SubscriptionTransferred(reason=why) | SeatReleased(reason=why)
            | StripeCustomerLinked(reason=why)
            | StripeCustomerUnlinked(reason=why) | StripeSubscriptionGivenUp(reason=why)
            | StripeObjectOwned(reason=why)
            | TokenCreated(reason=why) | TokenRevoked(reason=why) | PortalSessionsEnded(reason=why)
            | BlockLifted(reason=why)
        ):  # fmt: skip
            return why
    return None


# Keys


def _of_key(event: AnyEvent, id: str, names: DisplayNames) -> str:
    fact, key = event.fact, f"Key {key_by_id(names, id)}"
    issued = names.keys.get(id)
    match fact:
        case KeyIssued():
            what = f"{_gives(fact, names)} for {counted(fact.months, 'month')}"
            if fact.replaces:
                return f"{key} given in place of {key_by_id(names, fact.replaces)}: {what}"
            until = f", to be redeemed before {minute(fact.redeem_by)}" if fact.redeem_by else ""
            return f"{key} issued to {fact.reseller}: {what}{until}"
        case KeyRedeemed():
            return _redeemed(fact, key, issued, names)
        case KeyTransferred(account=account):
            return f"{key} is account {account}'s now, as what it gave is"
        case KeyRevoked():
            return f"{key} revoked"
        case KeyAmended(before=before, after=after):
            product = issued.product if issued else None
            return f"{key} amended: {_changes(before, after, product, names)}"
        case KeyImportedAgain():
            what = f"{_gives(fact, names)} for {counted(fact.months, 'month')}"
            return f"{key} taken in again after it was revoked, of {fact.reseller}: {what}"
        case KeyReissued(replaced_by=successor):
            return f"{key} replaced by {key_by_id(names, successor)}: the old code works no more"
    return type(fact).__name__


def _redeemed(fact: KeyRedeemed, key: str, issued: KeyIssued | None, names: DisplayNames) -> str:
    if fact.redeemed_at is not None:
        return f"{key} took over the subscription of account {fact.account}"
    if issued is None:
        return f"{key} redeemed on account {fact.account}"
    months = counted(issued.months, "month")
    return f"{key} redeemed on account {fact.account}: {_gives(issued, names)} for {months}"


def _changes(before: KeyTerms, after: KeyTerms, product: str | None, names: DisplayNames) -> str:
    """Return what was amended: `seats 50 → 5, redeem by never → 31 Dec 2027, 00:00 UTC`."""

    def shown(field: str, value: Any) -> str:
        match value:
            case None:
                return "never" if field == "redeem_by" else "none"
            case datetime():
                return minute(value)
            case str() if field == "tier" and product is not None:
                return place(names.catalog, product, value)
        return str(value)

    return ", ".join(
        f"{field.replace('_', ' ')} {shown(field, was)} → {shown(field, now)}"
        for field in KeyTerms.__struct_fields__
        if (was := getattr(before, field)) != (now := getattr(after, field))
    )


def _gives(issued: KeyIssued | KeyImportedAgain, names: DisplayNames) -> str:
    return seats(names.catalog, issued.seats, issued.product, issued.tier)


def _of_batch(fact: Fact, batch: str, names: DisplayNames) -> str:
    match fact:
        case KeysIssued():
            each = seats(names.catalog, fact.seats, fact.product, fact.tier)
            keys, months = counted(fact.count, "key"), counted(fact.months, "month")
            return f"{keys} issued to {fact.reseller}: {each} for {months} each"
        case AllowanceCharged(seats=count):
            return f"Order {batch} counted as the reseller's own: {counted(count, 'seat')} spent"
        case KeysImported(count=count):
            return f"{counted(count, 'code')} issued elsewhere taken in as batch {batch}"
        case CodesRevealed(key=str(key)):
            return f"Code of key {key_by_id(names, key)} shown again"
        case CodesRevealed():
            return f"Codes of batch {batch} shown again"
    return type(fact).__name__


# Accounts


def _of_account(event: AnyEvent, names: DisplayNames) -> str:
    fact = event.fact
    match fact:
        case SeatOccupied():
            taken = a_seat(names.catalog, fact.product, fact.tier)
            return f"{_holder(fact, names)} took {taken}"
        case SeatPassedOn(predecessor=predecessor):
            at = place(names.catalog, fact.product, fact.tier)
            return f"{_holder(fact, names)} took over the {at} seat of holder {predecessor}"
        case SeatRelabelled(label=None):
            return f"Holder {fact.holder} has no label any more"
        case SeatRelabelled():
            label = quoted(names.texts, fact.label) or "another label"
            return f"Holder {fact.holder} is now known as {label}"
        case SeatReleased():
            at = place(names.catalog, fact.product, fact.tier)
            return f"Holder {fact.holder} gave its {at} seat back"
        case AccountErased(texts=texts):
            return f"Free text of the account erased, for ever: {counted(texts, 'text')}"
    return _begun(fact, names) or _changed(fact, names) or stripe_sentence(fact, names.catalog)


def _holder(fact: SeatOccupied | SeatPassedOn, names: DisplayNames) -> str:
    label = quoted(names.texts, fact.label)
    return f"Holder {fact.holder} ({label.strip('()')})" if label else f"Holder {fact.holder}"


def _begun(fact: Fact, names: DisplayNames) -> str | None:
    """Return what a key gives; None for another fact."""
    match fact:
        case SubscriptionActivated():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            return f"Key {fact.masked} redeemed: {given} until {day(fact.expires_at)}"
        case SubscriptionScheduled():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            span = f"from {day(fact.starts_at)} until {day(fact.expires_at)}"
            return f"Key {fact.masked} redeemed for later: {given} {span}"
        case SubscriptionTakenOver():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            begins = f" from {day(fact.starts_at)}" if fact.starts_at else ""
            still = ", suspended" if fact.suspended else ""
            return (
                f"Subscription of key {fact.masked} taken over from account {fact.from_account}:"
                f" {given}{begins} until {day(fact.expires_at)}{still}"
            )
        case SubscriptionKeyReissued(masked=masked):
            return f"Subscription goes on under the new code {masked}"
    return None


def _changed(fact: Fact, names: DisplayNames) -> str | None:
    """Return what became of a subscription that a key gave; None for another fact."""
    # It bears the digest of the key that first gave it.
    id = getattr(fact, "subscription", None) or ""
    key = names.keys.get(id.replace("kfsub_", "key_", 1))
    name = f"Subscription of key {key.masked}" if key else f"Subscription {id}"
    match fact:
        case SubscriptionTerminated():
            ended = f": {_gives(key, names)} ended" if key else ""
            return f"{name} terminated before its time{ended}"
        case SubscriptionStarted(expires_at=end, reason=None):
            return f"{name} begun at once, since the one before it ended: until {day(end)}"
        case SubscriptionStarted(expires_at=end):
            return f"{name} begun before its time: until {day(end)}"
        case SubscriptionRescheduled(starts_at=start, expires_at=end):
            return f"{name} begins on {day(start)} now: until {day(end)}"
        case SubscriptionExtended(previous_expires_at=before, expires_at=end):
            return f"{name} extended from {day(before)} until {day(end)}"
        case SubscriptionSuspended():
            pause = f": {_gives(key, names)} less for now" if key else ""
            return f"{name} suspended{pause}"
        case SubscriptionResumed():
            return f"{name} resumed{f': {_gives(key, names)} again' if key else ''}"
        case SubscriptionTransferred(to_account=to):
            return f"{name} transferred to account {to}; its holders stay"
    return None


def _of_attempts(fact: Fact, names: DisplayNames) -> str:
    match fact:
        case RedemptionRefused():
            code = f"Key {fact.masked}" if fact.masked else "A text that is no code"
            tried = "redeemed" if fact.consuming else "tried"
            return f"{code} could not be {tried}: {refused_key(fact)}; session {fact.session}"
        case SeatRefused():
            wanted = a_seat(names.catalog, fact.product, fact.tier)
            return f"Holder {fact.holder} refused {wanted}: {refused_seat(fact, names)}"
        case RedemptionAccepted():
            return f"A try in session {fact.session} was right after others had failed"
        case BlockLifted():
            return "Tries of codes let go on: what had failed before counts no more"
        case TryFailed():
            tries = counted(fact.failures, "try", "tries")
            return f"A session's failed tries counted, over all accounts: {tries}"
        case TryAccepted():
            return "A session's try was right after others had failed"
    return type(fact).__name__


# Access


def _of_access(fact: Fact, stream: str, names: DisplayNames) -> str:
    match fact:
        case TokenCreated():
            bound = f" of {fact.reseller}" if fact.reseller else ""
            until = f" until {minute(fact.expires_at)}" if fact.expires_at else ""
            return f"Access given: token {fact.token} of role {fact.role}{bound}{until}"
        case TokenRevoked():
            return f"Access taken back: token {stream.replace('token-', 'kft_', 1)}"
        case RedemptionAnswered(refusal=str() as refusal):
            return f"A redemption that may be repeated was refused: {title(refusal)}"
        case RedemptionAnswered(account=account):
            return f"A redemption that may be repeated was carried out on account {account}"
        case SubscriptionChangeAnswered(account=account):
            return f"A change that may be repeated was carried out on account {account}"
        case KeysReissueAnswered(finished=True):
            return "A reissue that may be repeated was carried out"
        case KeysReissueAnswered(keys=keys):
            return f"{counted(len(keys), 'key')} got new codes by a reissue that may be repeated"
    return _of_sessions(fact) or stripe_sentence(fact, names.catalog)


def _of_sessions(fact: Fact) -> str | None:
    match fact:
        case PortalSessionOpened():
            return f"Hosted pages of account {fact.account} opened until {minute(fact.expires_at)}"
        case PortalLinkMade():
            until = minute(fact.expires_at)
            return f"Link to the hosted pages of account {fact.account} made, valid until {until}"
        case PortalSessionEnded():
            return f"Hosted pages of account {fact.account} left"
        case PortalSessionsEnded():
            return f"All sessions on the hosted pages of account {fact.account} ended"
        case ConsoleSessionOpened():
            return (
                f"Signed in at the console with token {fact.token}, until {minute(fact.expires_at)}"
            )
        case ConsoleSessionEnded():
            return f"Signed out at the console, of token {fact.token}"
        case ConsoleSignInRefused():
            return _refused_sign_in(fact)
        case SigningKeysRotated():
            old = "the last one is" if fact.keep_previous else "none before it is"
            return f"Links and cookies are signed with a new key; {old} still taken"
    return None


def _of_notice_links(fact: Fact) -> str:
    match fact:
        case NoticeLinkMade(link=id):
            kinds = f" of kind {', '.join(fact.kinds)}" if fact.kinds else ""
            return f"Link {id} to notices{kinds} {_whose_notices(fact)} made"
        case NoticeLinkRevoked(link=id):
            return f"Link {id} to notices {_whose_notices(fact)} revoked"
    return type(fact).__name__


def _whose_notices(fact: NoticeLinkMade | NoticeLinkRevoked) -> str:
    if fact.account is not None:
        return f"of account {fact.account}"
    return f"about keys of {fact.reseller}" if fact.reseller is not None else "about everything"


def _of_webhooks(fact: Fact) -> str:
    match fact:
        case WebhookAdded():
            kinds = ", ".join(fact.kinds)
            whose = f" about keys of {fact.reseller}" if fact.reseller else ""
            return f"Webhook {fact.webhook} added: {kinds}{whose} to {fact.host}"
        case WebhookSecretRotated(webhook=id):
            return f"Secret of webhook {id} rotated; the last one signs for another day"
        case WebhookTested(webhook=id):
            return f"Test of webhook {id} asked for"
        case WebhookReplayed(webhook=id, after=after):
            return f"Everything after position {after} sent to webhook {id} once more"
        case WebhookDisabled(webhook=id, why="gone"):
            return f"Webhook {id} disabled: its receiver wants no more"
        case WebhookDisabled(webhook=id):
            return f"Webhook {id} disabled: a message was not taken for three days"
        case WebhookRemoved(webhook=id):
            return f"Webhook {id} removed"
    return type(fact).__name__


_SIGN_IN_PROBLEMS: Final = {
    "unknown_token": "nobody's token",
    "revoked_token": "a revoked token",
    "expired_token": "an expired token",
    "portal_token": "a token of role portal",
}


def _refused_sign_in(fact: ConsoleSignInRefused) -> str:
    which = f" ({fact.token})" if fact.token else ""
    return f"Sign-in at the console refused: {_SIGN_IN_PROBLEMS[fact.problem]}{which}"
