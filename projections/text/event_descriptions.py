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
    SubscriptionImported,
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
from ledger.streams.order import OrderDeclined, OrderPlaced
from ledger.streams.people import PersonLetIn, PersonLockedOut, PersonSessionsEnded
from ledger.streams.portal_access import PortalSessionsEnded
from ledger.streams.reseller import OrderingResumed, OrderingSuspended, SeatsGranted
from ledger.streams.session_attempts import TryAccepted, TryFailed
from ledger.streams.stripe_object import StripeObjectOwned
from ledger.streams.token import TokenCreated, TokenRevoked
from ledger.stripe.facts import (
    StripeCustomerLinked,
    StripeCustomerUnlinked,
    StripeSubscriptionGivenUp,
)
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.text.access_descriptions import (
    access_sentence,
    notice_link_sentence,
    webhook_sentence,
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
    "unknown": _n("there is no such key"),
    "redeemed": _n("it is redeemed already"),
    "revoked": _n("it was revoked"),
    "lapsed": _n("it was not redeemed in time"),
    "suspended": _n("its reseller is suspended"),
    NOT_SHOWN: "",
}


def sentence(event: AnyEvent, names: DisplayNames) -> str:
    """Return one sentence about an event."""
    who_asked = who(names.actors, event.actor)
    text = _("%(what)s, by %(who)s", what=_what(event, names), who=who_asked)
    late = event.recorded_at - event.occurred_at
    if late >= LATE:
        since = minute(event.occurred_at)
        text = _(
            "%(text)s; true since %(since)s, learnt %(span)s later",
            text=text, since=since, span=about(late),
        )  # fmt: skip
    why = quoted(names.texts, _why(event.fact))
    return f"{text}: {why}" if why else text


def refused_key(fact: RedemptionRefused) -> str:
    """Return why a code was refused, as much as the fact says of it."""
    found = _FOUND.get(fact.found or "", fact.found)
    return f"{title(fact.refusal)} ({_(found)})" if found else title(fact.refusal)


def refused_seat(fact: SeatRefused, names: DisplayNames) -> str:
    """Return why a seat was refused."""
    if fact.refusal == "holder_in_other_tier":
        sits_in = place(names.catalog, fact.product, fact.sits_in)
        return _("%(why)s (it sits in %(place)s)", why=title(fact.refusal), place=sits_in)
    return _(
        "%(why)s (%(used)s of %(seats)s taken)",
        why=title(fact.refusal), used=fact.used, seats=fact.seats,
    )  # fmt: skip


def key_by_id(names: DisplayNames, id: str) -> str:
    """Return a key's masked code; the id of one that is not known stands for itself."""
    known = names.keys.get(id)
    return known.masked if known else id


def _what(event: AnyEvent, names: DisplayNames) -> str:
    kind, _dash, id = event.stream.partition("-")
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
            return webhook_sentence(event.fact)
        case "notice_links":
            return notice_link_sentence(event.fact)
        case "attempts" | "session":
            return _of_attempts(event.fact, names)
        case _:
            return access_sentence(event.fact, event.stream) or stripe_sentence(
                event.fact, names.catalog
            )


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
            | BlockLifted(reason=why) | PersonSessionsEnded(reason=why)
            | PersonLockedOut(reason=why) | PersonLetIn(reason=why)
        ):  # fmt: skip
            return why
    return None


# Keys


def _of_key(event: AnyEvent, id: str, names: DisplayNames) -> str:
    fact, key = event.fact, key_by_id(names, id)
    issued = names.keys.get(id)
    match fact:
        case KeyIssued():
            what = _gives_for(fact, names)
            if fact.replaces:
                old = key_by_id(names, fact.replaces)
                return _(
                    "Key %(key)s given in place of %(old)s: %(what)s", key=key, old=old, what=what
                )
            if fact.redeem_by:
                return _(
                    "Key %(key)s issued to %(reseller)s: %(what)s, to be redeemed before %(time)s",
                    key=key, reseller=fact.reseller, what=what, time=minute(fact.redeem_by),
                )  # fmt: skip
            return _(
                "Key %(key)s issued to %(reseller)s: %(what)s",
                key=key, reseller=fact.reseller, what=what,
            )  # fmt: skip
        case KeyRedeemed():
            return _redeemed(fact, key, issued, names)
        case KeyTransferred(account=account):
            return _(
                "Key %(key)s is account %(account)s's now, as what it gave is",
                key=key, account=account,
            )  # fmt: skip
        case KeyRevoked():
            return _("Key %(key)s revoked", key=key)
        case KeyAmended(before=before, after=after):
            product = issued.product if issued else None
            changes = _changes(before, after, product, names)
            return _("Key %(key)s amended: %(changes)s", key=key, changes=changes)
        case KeyImportedAgain():
            return _(
                "Key %(key)s taken in again after it was revoked, of %(reseller)s: %(what)s",
                key=key, reseller=fact.reseller, what=_gives_for(fact, names),
            )  # fmt: skip
        case KeyReissued(replaced_by=successor):
            new = key_by_id(names, successor)
            return _(
                "Key %(key)s replaced by %(new)s: the old code works no more", key=key, new=new
            )
    return type(fact).__name__


def _redeemed(fact: KeyRedeemed, key: str, issued: KeyIssued | None, names: DisplayNames) -> str:
    if fact.redeemed_at is not None and issued is not None and issued.replaces is None:
        return _(
            "Key %(key)s was redeemed in another system by account %(account)s, on %(day)s",
            key=key, account=fact.account, day=day(fact.redeemed_at),
        )  # fmt: skip
    if fact.redeemed_at is not None:
        return _(
            "Key %(key)s took over the subscription of account %(account)s",
            key=key, account=fact.account,
        )  # fmt: skip
    if issued is None:
        return _("Key %(key)s redeemed on account %(account)s", key=key, account=fact.account)
    return _(
        "Key %(key)s redeemed on account %(account)s: %(what)s",
        key=key, account=fact.account, what=_gives_for(issued, names),
    )  # fmt: skip


_TERMS: Final = {
    "seats": _n("seats"),
    "months": _n("months"),
    "tier": _n("tier"),
    "redeem_by": _n("redeem by"),
    "reseller": _n("reseller"),
}


def _changes(before: KeyTerms, after: KeyTerms, product: str | None, names: DisplayNames) -> str:
    """Return what was amended: `seats 50 → 5, redeem by never → 31 Dec 2027, 00:00 UTC`."""

    def shown(field: str, value: Any) -> str:
        match value:
            case None:
                return _("never") if field == "redeem_by" else _("none")
            case datetime():
                return minute(value)
            case str() if field == "tier" and product is not None:
                return place(names.catalog, product, value)
        return str(value)

    return ", ".join(
        f"{_(_TERMS[field])} {shown(field, was)} → {shown(field, now)}"
        for field in KeyTerms.__struct_fields__
        if (was := getattr(before, field)) != (now := getattr(after, field))
    )


def _gives(issued: KeyIssued | KeyImportedAgain, names: DisplayNames) -> str:
    return seats(names.catalog, issued.seats, issued.product, issued.tier)


def _gives_for(issued: KeyIssued | KeyImportedAgain, names: DisplayNames) -> str:
    months = counted(issued.months, "month")
    return _("%(seats)s for %(months)s", seats=_gives(issued, names), months=months)


def _of_batch(fact: Fact, batch: str, names: DisplayNames) -> str:
    match fact:
        case KeysIssued():
            each = seats(names.catalog, fact.seats, fact.product, fact.tier)
            return _(
                "%(keys)s issued to %(reseller)s: %(each)s for %(months)s each",
                keys=counted(fact.count, "key"), reseller=fact.reseller, each=each,
                months=counted(fact.months, "month"),
            )  # fmt: skip
        case AllowanceCharged(seats=count):
            return _(
                "Order %(batch)s counted as the reseller's own: %(seats)s spent",
                batch=batch, seats=counted(count, "seat"),
            )  # fmt: skip
        case KeysImported(count=count):
            return _(
                "%(codes)s issued elsewhere taken in as batch %(batch)s",
                codes=counted(count, "code"), batch=batch,
            )  # fmt: skip
        case CodesRevealed(key=str(key)):
            return _("Code of key %(key)s shown again", key=key_by_id(names, key))
        case CodesRevealed():
            return _("Codes of batch %(batch)s shown again", batch=batch)
    return type(fact).__name__


# Accounts


def _of_account(event: AnyEvent, names: DisplayNames) -> str:
    fact = event.fact
    match fact:
        case SeatOccupied():
            taken = a_seat(names.catalog, fact.product, fact.tier)
            return _("Holder %(holder)s took %(seat)s", holder=_holder(fact, names), seat=taken)
        case SeatPassedOn(predecessor=predecessor):
            return _(
                "Holder %(holder)s took over the %(place)s seat of holder %(predecessor)s",
                holder=_holder(fact, names),
                place=place(names.catalog, fact.product, fact.tier),
                predecessor=predecessor,
            )
        case SeatRelabelled(label=None):
            return _("Holder %(holder)s has no label any more", holder=fact.holder)
        case SeatRelabelled():
            label = quoted(names.texts, fact.label) or _("another label")
            return _("Holder %(holder)s is now known as %(label)s", holder=fact.holder, label=label)
        case SeatReleased():
            at = place(names.catalog, fact.product, fact.tier)
            return _("Holder %(holder)s gave its %(place)s seat back", holder=fact.holder, place=at)
        case AccountErased(texts=texts):
            return _(
                "Free text of the account erased, for ever: %(texts)s",
                texts=counted(texts, "text"),
            )
    return _begun(fact, names) or _changed(fact, names) or stripe_sentence(fact, names.catalog)


def _holder(fact: SeatOccupied | SeatPassedOn, names: DisplayNames) -> str:
    label = quoted(names.texts, fact.label)
    return f"{fact.holder} ({label.strip('()')})" if label else fact.holder


def _begun(fact: Fact, names: DisplayNames) -> str | None:
    """Return what a key gives; None for another fact."""
    match fact:
        case SubscriptionActivated():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            return _(
                "Key %(key)s redeemed: %(seats)s until %(end)s",
                key=fact.masked, seats=given, end=day(fact.expires_at),
            )  # fmt: skip
        case SubscriptionImported():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            return _(
                "Key %(key)s of another system, redeemed there on %(start)s: "
                "%(seats)s until %(end)s",
                key=fact.masked, start=day(fact.redeemed_at), seats=given, end=day(fact.expires_at),
            )  # fmt: skip
        case SubscriptionScheduled():
            given = seats(names.catalog, fact.seats, fact.product, fact.tier)
            return _(
                "Key %(key)s redeemed for later: %(seats)s from %(start)s until %(end)s",
                key=fact.masked, seats=given, start=day(fact.starts_at), end=day(fact.expires_at),
            )  # fmt: skip
        case SubscriptionTakenOver():
            text = _(
                "Subscription of key %(key)s taken over from account %(account)s: %(span)s",
                key=fact.masked, account=fact.from_account, span=_span(fact, names),
            )  # fmt: skip
            return _("%(text)s, suspended", text=text) if fact.suspended else text
        case SubscriptionKeyReissued(masked=masked):
            return _("Subscription goes on under the new code %(key)s", key=masked)
    return None


def _span(fact: SubscriptionTakenOver, names: DisplayNames) -> str:
    given = seats(names.catalog, fact.seats, fact.product, fact.tier)
    end = day(fact.expires_at)
    if fact.starts_at:
        start = day(fact.starts_at)
        return _("%(seats)s from %(start)s until %(end)s", seats=given, start=start, end=end)
    return _("%(seats)s until %(end)s", seats=given, end=end)


def _changed(fact: Fact, names: DisplayNames) -> str | None:
    """Return what became of a subscription that a key gave; None for another fact."""
    # It bears the digest of the key that first gave it.
    id = getattr(fact, "subscription", None) or ""
    key = names.keys.get(id.replace("kfsub_", "key_", 1))
    name = (
        _("Subscription of key %(key)s", key=key.masked)
        if key
        else _("Subscription %(subscription)s", subscription=id)
    )
    given = _gives(key, names) if key else ""
    match fact:
        case SubscriptionTerminated():
            if key:
                return _(
                    "%(name)s terminated before its time: %(seats)s ended", name=name, seats=given
                )
            return _("%(name)s terminated before its time", name=name)
        case SubscriptionStarted(expires_at=end, reason=None):
            return _(
                "%(name)s begun at once, since the one before it ended: until %(end)s",
                name=name, end=day(end),
            )  # fmt: skip
        case SubscriptionStarted(expires_at=end):
            return _("%(name)s begun before its time: until %(end)s", name=name, end=day(end))
        case SubscriptionRescheduled(starts_at=start, expires_at=end):
            return _(
                "%(name)s begins on %(start)s now: until %(end)s",
                name=name, start=day(start), end=day(end),
            )  # fmt: skip
        case SubscriptionExtended(previous_expires_at=before, expires_at=end):
            return _(
                "%(name)s extended from %(before)s until %(end)s",
                name=name, before=day(before), end=day(end),
            )  # fmt: skip
    return _paused_or_moved(fact, name, given)


def _paused_or_moved(fact: Fact, name: str, given: str) -> str | None:
    match fact:
        case SubscriptionSuspended() if given:
            return _("%(name)s suspended: %(seats)s less for now", name=name, seats=given)
        case SubscriptionSuspended():
            return _("%(name)s suspended", name=name)
        case SubscriptionResumed() if given:
            return _("%(name)s resumed: %(seats)s again", name=name, seats=given)
        case SubscriptionResumed():
            return _("%(name)s resumed", name=name)
        case SubscriptionTransferred(to_account=to):
            return _(
                "%(name)s transferred to account %(account)s; its holders stay",
                name=name, account=to,
            )  # fmt: skip
    return None


def _of_attempts(fact: Fact, names: DisplayNames) -> str:
    match fact:
        case RedemptionRefused():
            return _refused_try(fact)
        case SeatRefused():
            wanted = a_seat(names.catalog, fact.product, fact.tier)
            return _(
                "Holder %(holder)s refused %(seat)s: %(why)s",
                holder=fact.holder, seat=wanted, why=refused_seat(fact, names),
            )  # fmt: skip
        case RedemptionAccepted():
            return _(
                "A try in session %(session)s was right after others had failed",
                session=fact.session,
            )
        case BlockLifted():
            return _("Tries of codes let go on: what had failed before counts no more")
        case TryFailed():
            tries = counted(fact.failures, "try", "tries")
            return _("A session's failed tries counted, over all accounts: %(tries)s", tries=tries)
        case TryAccepted():
            return _("A session's try was right after others had failed")
    return type(fact).__name__


def _refused_try(fact: RedemptionRefused) -> str:
    code = _("Key %(key)s", key=fact.masked) if fact.masked else _("A text that is no code")
    values = {"code": code, "why": refused_key(fact), "session": fact.session}
    if fact.consuming:
        return _("%(code)s could not be redeemed: %(why)s; session %(session)s", **values)
    return _("%(code)s could not be tried: %(why)s; session %(session)s", **values)
