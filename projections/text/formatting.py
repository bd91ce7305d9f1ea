"""How the timeline, the diff and the explanations put things: seats, days, money, who it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from ledger.catalog import Catalog
from ledger.events import Sealed
from ledger.money import decimal, decimals, written
from ledger.refusals import refusals
from ledger.streams.key import KeyIssued
from ledger.translation import ENGLISH, language, ngettext
from ledger.translation import gettext as _

# Written out, since a machine's locale must not change what a sentence says.
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_UNITS: Final = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)

# What is counted in sentences; `many` where an s is not enough.
COUNTED: Final = (
    ("%(num)s code", "%(num)s codes"),
    ("%(num)s day", "%(num)s days"),
    ("%(num)s holder", "%(num)s holders"),
    ("%(num)s hour", "%(num)s hours"),
    ("%(num)s key", "%(num)s keys"),
    ("%(num)s minute", "%(num)s minutes"),
    ("%(num)s month", "%(num)s months"),
    ("%(num)s more holder", "%(num)s more holders"),
    ("%(num)s price", "%(num)s prices"),
    ("%(num)s report", "%(num)s reports"),
    ("%(num)s seat", "%(num)s seats"),
    ("%(num)s second", "%(num)s seconds"),
    ("%(num)s text", "%(num)s texts"),
    ("%(num)s try", "%(num)s tries"),
)

ERASED: Final = "(erased)"
NOT_SHOWN: Final = "(not shown)"

# What a sealed text says, to this reader: NOT_SHOWN for one that is not for them; None for a reader
# who may see none of them.
Opened = Mapping[Sealed, str] | None


class DisplayNames(NamedTuple):
    """What sentences need to know beside the event itself.

    Attributes:
        keys: as they were issued, by id.
        actors: who a token's id stands for, e.g. `portal` or `reseller Alpine Tills`.
        texts: see `Opened`; a text that is missing there was erased.
    """

    catalog: Catalog
    keys: Mapping[str, KeyIssued]
    actors: Mapping[str, str]
    texts: Opened


def day(at: datetime) -> str:
    """Return a day as people write it: `21 Nov 2027`."""
    at = at.astimezone(UTC)
    if language() != ENGLISH.code:
        from babel.dates import format_date  # `keyfold --help` needs none of it

        return format_date(at.date(), "medium", language())
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def minute(at: datetime) -> str:
    """Return a moment as people write it: `21 Nov 2027, 09:05 UTC`."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M} UTC"


def amount_of(amount: int | None, currency: str | None) -> str:
    """Return an amount in minor units as people write it: `USD 1200.50`."""
    if amount is None:
        return _("an unknown amount")
    if language() == ENGLISH.code or currency is None:
        return written(amount, currency)
    from babel.numbers import format_decimal  # as above

    code = currency.upper()
    pattern = "#,##0" + ("." + "0" * decimals(code) if decimals(code) else "")
    return f"{format_decimal(decimal(amount, code), pattern, language())} {code}"


def about(span: timedelta) -> str:
    """Return how long a while was: `3 days`, `40 minutes`."""
    for unit, name in _UNITS:
        if span >= unit:
            return counted(span // unit, name)
    return counted(int(span.total_seconds()), "second")


def counted(count: int, what: str, many: str | None = None) -> str:
    """Return `1 seat`, `2 seats`; `many` where an s is not enough.

    In other languages than English, so are those of `COUNTED` only.
    """
    return ngettext(f"%(num)s {what}", f"%(num)s {many or what + 's'}", count)


def place(catalog: Catalog, product_id: str, tier: str | None) -> str:
    """Return a product and tier by their names: `Integrations Growth`."""
    product = catalog.product(product_id)
    name = product.name if product else product_id
    if tier is None:
        return name
    return f"{name} {product.tier_name(tier) if product else tier}"


def seats(catalog: Catalog, count: int, product_id: str, tier: str | None) -> str:
    """Return `5 Cloud POS seats`."""
    return ngettext(
        "%(num)s %(place)s seat",
        "%(num)s %(place)s seats",
        count,
        place=place(catalog, product_id, tier),
    )


def a_seat(catalog: Catalog, product_id: str, tier: str | None) -> str:
    """Return `a Cloud POS seat`."""
    name = place(catalog, product_id, tier)
    if name[0] in "AEIOU":
        return _("an %(place)s seat", place=name)
    return _("a %(place)s seat", place=name)


def title(refusal: str) -> str:
    """Return the sentence of a refusal, by its code; one of another release stands for itself."""
    known = refusals().get(refusal)
    return known.__new__(known).title if known else refusal


def quoted(opened: Opened, sealed: Sealed | None) -> str | None:
    """Return a text in quotation marks, or that it was erased; None for nothing to say, or to
    this reader.
    """
    if sealed is None or opened is None:
        return None
    text = opened.get(sealed)
    if text == NOT_SHOWN:
        return None
    return _(ERASED) if text is None else _("“%(text)s”", text=text)


def who(actors: Mapping[str, str], actor: str) -> str:
    """Return who asked for an event."""
    match actor:
        case "operator":
            return _("the operator")
        case "stripe":
            return "Stripe"
        case "seat_sync" | "webhooks":
            return "Keyfold"
        case _ if actor.startswith("kfp_"):
            return _("the customer")
        case _ if actor.startswith("kfu_"):
            return _("person %(person)s", person=actor)
    found = actors.get(actor, actor)
    role, space, name = found.partition(" ")
    return _("reseller %(name)s", name=name) if role == "reseller" and space else found
