"""Our own words for states, reasons and fields, as people read them: `not_redeemed`, `past_due`."""

from __future__ import annotations

from typing import Final

from ledger.translation import gettext as _
from ledger.translation import noted as _n


def word(name: str) -> str:
    """Return a word in the reader's language; one that is not of ours stands for itself."""
    return _(name.replace("_", " "))


def event_kind(name: str) -> str:
    """Return an event's name for people, in English: `account: seat occupied`."""
    stream, _dot, happened = name.partition("@")[0].partition(".")
    return f"{stream}: {happened}".replace("_", " ")


WORDS: Final = (
    # statuses of keys, subscriptions, resellers, tries
    _n("active"), _n("canceled"), _n("expired"), _n("incomplete"), _n("incomplete expired"),
    _n("issued"), _n("lapsed"), _n("paused"), _n("past due"), _n("redeemed"), _n("revoked"),
    _n("scheduled"), _n("suspended"), _n("terminated"), _n("transferred"), _n("trialing"),
    _n("unconfirmed"), _n("unknown"), _n("unpaid"),
    # Stripe's words for payments, invoices and disputes
    _n("complete"), _n("draft"), _n("lost"), _n("needs response"), _n("open"), _n("paid"),
    _n("no payment required"), _n("uncollectible"), _n("under review"), _n("void"),
    _n("warning closed"), _n("warning needs response"), _n("warning under review"), _n("won"),
    # changes of subscriptions
    _n("extend"), _n("resume"), _n("start"), _n("suspend"), _n("terminate"), _n("transfer"),
    # what an event is about, and what a search finds
    _n("Stripe"), _n("access"), _n("account"), _n("audit"), _n("batch"), _n("holder"), _n("key"),
    _n("order"), _n("refusal"), _n("request"), _n("reseller"), _n("seat"), _n("subscription"),
    _n("webhooks"),
    # what is compared of two moments
    _n("expires at"), _n("gives"), _n("known by"), _n("label"), _n("licensed"), _n("occupied at"),
    _n("over"), _n("reason"), _n("seats"), _n("source"), _n("started at"), _n("status"),
    _n("tier"), _n("used"), _n("activation key"), _n("no active subscription"),
    # why Stripe is not told, and why a claim is not followed
    _n("unknown price"), _n("unknown quantity"), _n("no price"), _n("no period"), _n("metered"),
    _n("other items"), _n("claimed"), _n("unproven"), _n("held"),
    # fields of forms
    _n("approval above"), _n("change"), _n("code"), _n("count"), _n("cursor"), _n("customer"),
    _n("days"), _n("event"), _n("expires at"), _n("from"), _n("month"), _n("months"), _n("order"),
    _n("product"), _n("redeem by"), _n("role"), _n("stripe subscription"), _n("to"), _n("what"),
)  # fmt: skip
