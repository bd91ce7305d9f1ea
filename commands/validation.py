"""What a command holds its input against before it looks at the ledger.

Each function returns the field errors it found, so that a request is told all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from commands.services import Services
from ledger import codes
from ledger.catalog import Catalog, Product
from ledger.events import RequestContext
from ledger.limits import (
    ACCOUNT_ID,
    HOLDER_ID,
    NAME_LENGTH_MAX,
    SESSION_ID,
    TEXT_LENGTH_MAX,
    unreadable,
)
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams import key
from ledger.streams.key import KEY
from ledger.translation import gettext as _
from ledger.translation import noted as _n

IS_CODE = _n("must not hold an activation code")
HOLDS_CODE = _n("must not hold an activation code: name the key by its id or its masked code")
# As many are looked up for one text; one that may have more has been made to.
POSSIBLE_CODES_MAX: Final = 200
# What makes a spreadsheet take a cell for a formula; some read the full-width forms, too.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def refuse_if(errors: Iterable[FieldError]) -> None:
    """Raise InvalidRequest when there are any errors."""
    found = tuple(errors)
    if found:
        raise InvalidRequest(*found)


def account(value: str) -> list[FieldError]:
    """Return what is wrong with an account's id."""
    return _matches("/account", value, ACCOUNT_ID)


def holder(value: str, pointer: str = "/holder") -> list[FieldError]:
    """Return what is wrong with a holder's id."""
    return _matches(pointer, value, HOLDER_ID)


def session(value: str) -> list[FieldError]:
    """Return what is wrong with a session's id."""
    return _matches("/session", value, SESSION_ID)


def no_code(services: Services, pointer: str, value: str) -> list[FieldError]:
    """Return an error for an id that has a whole code in it, however it is spelled.

    The ledger shows ids to everybody who may see the account. What is recorded under such an id
    already can be read, given back and erased.
    """
    return [FieldError(pointer, _(IS_CODE))] if id_holds_code(services, value) else []


def id_holds_code(services: Services, value: str) -> bool:
    """Return whether an id, or a part of an address, has a whole code in it, however spelled.

    With dashes its shape is enough; ids may look like any other spelling, and then what tells is
    whether the ledger has such a key. Whoever must not learn that must not be told the answer.
    """
    found = codes.whole_codes(services.catalog.prefixes).search(value)
    return found is not None or _has_key(services, value)


def text_holds_code(services: Services, value: str, reseller: str | None = None) -> bool:
    """Return whether a text has a whole code in it.

    Its shape tells, or, where that is like words, that the ledger has such a key.

    Args:
        reseller: who asks; only its own keys count, so that it does not learn which others there
            are. None for the vendor.
    """
    return codes.holds_code(value, services.catalog.prefixes) or _has_key(services, value, reseller)


def without_codes(services: Services, value: str) -> str:
    """Return a text that its writer cannot change, with the codes in it masked.

    Which those are is told as for `text_holds_code`, so what is returned is a text without codes.
    """
    return codes.mask_possible(value, services.catalog.prefixes, partial(_known, services))


def any_known(services: Services, possible: Iterable[str], reseller: str | None = None) -> bool:
    """Return whether the ledger has a key of any of these codes, with one look-up for all of them.

    Of more than `POSSIBLE_CODES_MAX` it is not asked: somebody made them up, and they are refused.

    Args:
        reseller: whose keys count; None for all.
    """
    distinct: set[str] = set()
    for code in possible:
        distinct.add(code)
        if len(distinct) > POSSIBLE_CODES_MAX:
            return True
    return bool(_known(services, distinct, reseller))


def _has_key(services: Services, value: str, reseller: str | None = None) -> bool:
    return any_known(services, codes.possible_codes(value, services.catalog.prefixes), reseller)


def _known(
    services: Services, possible: Collection[str], reseller: str | None = None
) -> Collection[str]:
    """Return those codes that the ledger has a key of; of very many, all."""
    if not possible or len(possible) > POSSIBLE_CODES_MAX:
        return possible
    streams = {code: key.stream_id(services.codes.key_id(code)) for code in possible}
    found = services.book.load_many(KEY, sorted(streams.values()))
    counts = {
        stream
        for stream, loaded in found.items()
        if loaded.state is not None and loaded.state.belongs_to(reseller)
    }
    return {code for code, stream in streams.items() if stream in counts}


def within(pointer: str, value: int, largest: int) -> list[FieldError]:
    """Return what is wrong with a number that must be from 1 to the largest."""
    if 1 <= value <= largest:
        return []
    return [
        FieldError(
            pointer, _("must be from 1 to %(largest)s, not %(value)s", largest=largest, value=value)
        )
    ]


def text(
    services: Services,
    pointer: str,
    value: str | None,
    length_max: int = TEXT_LENGTH_MAX,
    *,
    reseller: str | None = None,
) -> list[FieldError]:
    """Return what is wrong with a free text; None is no text, and right.

    It must be readable, not blank, not too long, and without an activation code.

    A code in it would be readable for everybody who may read the text.

    Args:
        reseller: who asks, as for `text_holds_code`.
    """
    if value is None:
        return []
    if not value.strip():
        return [FieldError(pointer, _("must not be blank"))]
    if len(value) > length_max:
        return [
            FieldError(
                pointer, _("must have at most %(length_max)s characters", length_max=length_max)
            )
        ]
    character = unreadable(value)
    if character:
        return [
            FieldError(pointer, _("must not have the character %(character)s", character=character))
        ]
    if text_holds_code(services, value, reseller):
        return [FieldError(pointer, _(HOLDS_CODE))]
    return []


def reason(services: Services, value: str, reseller: str | None = None) -> list[FieldError]:
    """Return what is wrong with why something is done: a text that may not be left out."""
    return text(services, "/reason", value, reseller=reseller)


def name(
    services: Services, pointer: str, value: str, reseller: str | None = None
) -> list[FieldError]:
    """Return what is wrong with a name such as a reseller's: a short text with no spaces around it.

    Names end up in tables that people open in a spreadsheet, which would run one that begins like
    a formula.
    """
    if value != value.strip():
        return [FieldError(pointer, _("must not begin or end with a space"))]
    if value.startswith(FORMULA_STARTS):
        return [FieldError(pointer, _("must not begin with %(value)s", value=value[0]))]
    return text(services, pointer, value, NAME_LENGTH_MAX, reseller=reseller)


def utc(pointer: str, at: datetime | None) -> datetime | None:
    """Return a moment in UTC, as the ledger holds all of them; None stays None.

    Raises:
        InvalidRequest: without a zone, nobody knows which moment it is; or UTC has no such year.
    """
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidRequest(FieldError(pointer, _("must name its zone, as 2026-03-01T09:00:00Z")))
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(
            FieldError(pointer, _("must be in the years 1 to 9999, UTC"))
        ) from None


def product(catalog: Catalog, value: str, pointer: str = "/product") -> list[FieldError]:
    """Return an error for a product that the catalog does not have."""
    if catalog.product(value):
        return []
    known = ", ".join(product.id for product in catalog.products)
    return [FieldError(pointer, _("must be one of %(known)s", known=known))]


def tier(product: Product, value: str | None) -> list[FieldError]:
    """Return what is wrong with a tier of a product; without tiers, None alone is right."""
    known = ", ".join(tier.id for tier in product.tiers)
    if value is None:
        return (
            [FieldError("/tier", _("is missing: one of %(known)s", known=known))]
            if product.tiers
            else []
        )
    if not product.tiers:
        return [FieldError("/tier", _("must be left out: %(id)s has no tiers", id=product.id))]
    return (
        []
        if product.tier(value)
        else [FieldError("/tier", _("must be one of %(known)s", known=known))]
    )


def product_and_tier(catalog: Catalog, id: str, tier_id: str | None) -> list[FieldError]:
    """Return what is wrong with a product's id, else with the tier's."""
    found = catalog.product(id)
    return tier(found, tier_id) if found else product(catalog, id)


def _matches(pointer: str, value: str, pattern: str) -> list[FieldError]:
    if re.fullmatch(pattern, value):
        return []
    return [FieldError(pointer, _("must match %(pattern)s", pattern=pattern))]


def permit_product(catalog: Catalog, context: RequestContext, product: str) -> None:
    """Go on only if who asks may use a product: one that is billed by its users needs more.

    Raises:
        NotPermitted: it is billed so, and a session without `manage_users` asks.
    """
    found = catalog.product(product)
    if found is not None and found.billed:
        context.require("manage_users")
