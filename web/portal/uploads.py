"""Certificates that a customer sends, one or several at once: each takes a seat, or says why not.

One that renews another is not added: the customer is asked whether it takes the other's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from flask import request
from msgspec import Struct
from werkzeug.datastructures import FileStorage

from commands import validation
from commands.occupy_seat import Sitting, occupy_seat
from ledger import signing
from ledger.catalog import Product
from ledger.refusals import (
    HolderAlreadySeated,
    HolderInOtherTier,
    InvalidRequest,
    NoSeatAvailable,
    Refusal,
)
from projections.views.account_at import AccountAt
from web.app.context import app_state, request_context, services
from web.app.upload_limit import TRIES_MAX, TooManyUploads
from web.html.flash import FlashMessage, bad, warn
from web.html.languages import format_datetime, ngettext
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l
from web.portal import certificates, session, texts
from web.portal.certificates import Certificate, Fault, HolderLabel, NotUsable, read_label

RENEWAL: Final = "certificate renewal"
FILE_NAME_SHOWN_MAX: Final = 60

_THERE_ALREADY: Final = warn(
    _l("This certificate already has a seat."),
    _l("The same certificate counts once; nothing was added."),
    status=409,
)
_UNUSABLE: Final[Mapping[Fault, tuple[object, object]]] = {
    "empty": (_l("The file is empty."), _l("Choose a certificate in PEM or DER.")),
    "too_large": (
        _l("The file is too large for a certificate."),
        _l("A certificate in PEM or DER is a few kilobytes, 64 at most."),
    ),
    "private_key": (
        _l("This file contains a private key. Never send one to anybody."),
        _l("Upload only the certificate. If others may have this file, replace the key."),
    ),
    "other_content": (
        _l("The file contains something besides the certificate."),
        _l("Export only the certificate, and check whether a private key was in the file."),
    ),
    "chain": (
        _l("The file contains more than one certificate."),
        _l("From a chain, the till's own certificate is used. Upload a file for each till."),
    ),
    "authority": (
        _l("This is the certificate of an authority, not of a till."),
        _l("Choose the one that the authority has issued for the till."),
    ),
    "no_certificate": (
        _l("The file is not a certificate."),
        _l("Choose a certificate in PEM or DER."),
    ),
}


class SignedRenewal(Struct, frozen=True):
    """A certificate that may take another's place, as the form that asks carries it.

    Attributes:
        replaces: the holder whose seat it would take.
    """

    session: str
    product: str
    tier: str | None
    holder: str
    label: str
    replaces: str


class Renewal(NamedTuple):
    """What is asked about a certificate that may take another's place.

    Attributes:
        replaces: the holder whose seat it would take.
        gives_way: that one is of another till, has expired, and no seat is free.
    """

    new: HolderLabel
    old: HolderLabel
    replaces: str
    gives_way: bool
    signed: str


class Outcome(NamedTuple):
    """What became of the files.

    Attributes:
        messages: of those that took no seat, each with the file's name.
        retry_after_s: until further files are read, where they are not.
    """

    added: int
    messages: Sequence[tuple[str, FlashMessage]]
    renewals: Sequence[Renewal]
    retry_after_s: int | None = None

    def message(self) -> FlashMessage | None:
        """Return what is said of them all; None where there is nothing but to ask."""
        if not self.messages:
            return None
        if len(self.messages) == 1 and not self.added and not self.renewals:
            return self.messages[0][1]
        title = ngettext(
            "%(num)s file took no seat.", "%(num)s files took no seat.", len(self.messages)
        )
        if self.added:
            added = ngettext(
                "%(num)s certificate was added.", "%(num)s certificates were added.", self.added
            )
            title = f"{added} {title}"
        says = [f"{name}: {one.title} {_first(one.advice)}".strip() for name, one in self.messages]
        return bad(title, *says, status=max(one.status for _name, one in self.messages))


def _first(advice: Sequence[object]) -> str:
    return str(advice[0]) if advice else ""


def add(found: AccountAt, product: Product) -> Outcome:
    """Let the certificates that were sent take seats, and return what became of them.

    They are held against the account as it was before: nobody is asked about two files of which one
    renews the other.
    """
    files = [one for one in request.files.getlist("certificate") if one.filename]
    known = _known(found, product)
    added, messages, renewals = 0, list[tuple[str, FlashMessage]](), list[Renewal]()
    asked: Sequence[FileStorage | None] = files or [None]
    for file in asked:
        name = (file.filename or "")[:FILE_NAME_SHOWN_MAX] if file else ""
        try:
            renewal = _add(product, known, file)
        except TooManyUploads as problem:
            messages.append((name, _too_many(problem.retry_after_s)))
            return Outcome(added, messages, renewals, problem.retry_after_s)
        except _TookNoSeat as problem:
            messages.append((name, problem.message))
        else:
            if renewal is None:
                added += 1
            else:
                renewals.append(renewal)
                # Nobody is asked about one seat for two.
                del known[renewal.replaces]
    return Outcome(added, messages, renewals)


def read_renewal(signed: str, product: Product) -> SignedRenewal | None:
    """Return what a form was made to ask; None for one that is not of this session and product."""
    found = signing.read([_key()], RENEWAL, signed, SignedRenewal)
    if found is None or (found.session, found.product) != (session.id(), product.id):
        return None
    return found


class _TookNoSeat(Exception):
    def __init__(self, message: FlashMessage) -> None:
        super().__init__()
        self.message = message


def _add(
    product: Product, known: Mapping[str, KnownCertificate], file: FileStorage | None
) -> Renewal | None:
    """Let a certificate take a seat; or return what is to be asked first."""
    app_state().upload_tries.take(session.id(), request_context().now)
    data = file.stream.read(certificates.FILE_BYTES_MAX + 1) if file else b""
    try:
        # Its name cannot be written anew, so a code in it is masked and not refused.
        new = certificates.read(data, partial(validation.without_codes, services()))
    except NotUsable as problem:
        raise _TookNoSeat(_unusable(problem.fault)) from None
    if new.known_by.validity(request_context().now) == "expired":
        raise _TookNoSeat(_expired(new.known_by))
    if new.holder not in known:
        for holder, old in known.items():
            if certificates.is_renewal(new.known_by, old.label):
                app_state().upload_tries.give_back(session.id())
                # It goes by the name that the one before was given.
                known_by = new.known_by._replace(name=old.label.name)
                return _renewal(product, new._replace(known_by=known_by), holder, old.label)
    wanted = Sitting(session.account(), product.id, _tier(), new.holder, new.label)
    try:
        taken = occupy_seat(services(), request_context(), wanted)
    except Refusal as refusal:
        way = _gives_way(known) if isinstance(refusal, NoSeatAvailable) and refusal.seats else None
        if way is None:
            raise _TookNoSeat(refusal_message(product, refusal)) from None
        app_state().upload_tries.give_back(session.id())
        return _renewal(product, new, way, known[way].label, gives_way=True)
    if not taken.created:
        raise _TookNoSeat(_THERE_ALREADY)
    app_state().upload_tries.give_back(session.id())
    return None


def _tier() -> str | None:
    return request.form.get("tier") or None


class KnownCertificate(NamedTuple):
    """A certificate that holds a seat, in which tier, and what it is known by."""

    tier: str | None
    label: HolderLabel


def _known(found: AccountAt, product: Product) -> dict[str, KnownCertificate]:
    """Return what is known of the certificates that hold seats, by their holder."""
    seats = [one for one in found.account.seats.values() if one.product == product.id]
    labels = services().texts.open_all(one.label for one in seats)
    return {
        seat.holder: KnownCertificate(seat.tier, read_label(label))
        for seat, label in zip(seats, labels, strict=True)
        if label is not None
    }


def _gives_way(known: Mapping[str, KnownCertificate]) -> str | None:
    """Return the holder whose certificate expired first, if any has."""
    now = request_context().now
    expired = [
        (one.label.ends_at, holder)
        for holder, one in known.items()
        if one.tier == _tier() and one.label.ends_at and one.label.validity(now) == "expired"
    ]
    return min(expired)[1] if expired else None


def _renewal(
    product: Product, new: Certificate, holder: str, old: HolderLabel, *, gives_way: bool = False
) -> Renewal:
    renewal = SignedRenewal(session.id(), product.id, _tier(), new.holder, new.label, holder)
    signed = signing.sign(_key(), RENEWAL, renewal)
    return Renewal(new.known_by, old, holder, gives_way, signed)


def _key() -> bytes:
    return app_state().wiring.cookie_key


def refusal_message(product: Product, refusal: Refusal) -> FlashMessage:
    """Return why a holder was not let in, and what to do."""
    match refusal:
        case NoSeatAvailable(seats=0):
            return bad(_("You have no seats here yet."), *_more_seats(), status=409)
        case NoSeatAvailable(seats=seats, used=used):
            return bad(
                _("No seat is free: %(used)s of %(seats)s are taken.", used=used, seats=seats),
                texts.words(product).full,
                *_more_seats(),
                status=409,
            )
        case HolderInOtherTier(tier=tier):
            name = product.tier_name(tier)
            return bad(_("It has a seat in %(tier)s already.", tier=name), status=409)
        case HolderAlreadySeated():
            return _THERE_ALREADY
        case InvalidRequest():
            return bad(
                _("Please give it a name and, where there are tiers, a tier."),
                _("A name is one line of up to 500 characters."),
                status=422,
            )
    raise refusal


def _more_seats() -> list[str]:
    return [
        _("For more seats, choose Upgrade Plan: buy some, or activate a key from your reseller.")
    ]


def _unusable(fault: Fault) -> FlashMessage:
    title, advice = _UNUSABLE[fault]
    return bad(title, advice, _l("The file was not kept."), status=422)


def _expired(known_by: HolderLabel) -> FlashMessage:
    return bad(
        _(
            "This certificate expired on %(date)s.",
            date=format_datetime(known_by.ends_at, "d MMM yyyy"),
        ),
        _("Upload the certificate that the till uses now."),
        _("The file was not kept."),
        status=422,
    )


def _too_many(seconds: int) -> FlashMessage:
    minutes = -(-seconds // 60)
    return bad(
        _("Too many rejected files"),
        _("After %(num)s of them in ten minutes, no more files are read.", num=TRIES_MAX),
        ngettext(
            "You can try again in %(num)s minute.",
            "You can try again in %(num)s minutes.",
            minutes,
        ),
        _("The file was not kept."),
        status=429,
    )
