"""How the console's templates show times, events by day and request, kinds and places.

Times are UTC, to the second: they are compared with each other and with what others wrote.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Final

from markupsafe import Markup, escape

from ledger.events import AnyEvent
from ledger.streams.attempts import SeatRefused
from ledger.translation import gettext as _
from projections.lists.timeline import DescribedEvent
from projections.text import formatting, words
from projections.text.formatting import counted, title
from projections.text.words import event_kind
from web.app.context import services
from web.app.times import iso
from web.console.blueprint import bp
from web.html.languages import format_date, get_locale


@bp.app_template_filter()
def utc(at: datetime) -> Markup:
    """Return a time as HTML: to the second, and on hover as exact as the ledger has it."""
    exact = at.astimezone(UTC)
    return Markup('<time title="{}">{}</time>').format(iso(exact), f"{exact:%Y-%m-%d %H:%M:%S}Z")


@bp.app_template_filter()
def field_time(at: datetime | None) -> str:
    """Return a time as a field for one has it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if at else ""


@bp.app_template_filter()
def utc_time(at: datetime) -> Markup:
    """Return the time of a day as HTML, beneath the day's heading."""
    exact = at.astimezone(UTC)
    return Markup('<time title="{}">{}</time>').format(iso(exact), f"{exact:%H:%M:%S}Z")


@bp.app_template_filter()
def day_name(day: date) -> str:
    """Return a day as people name it: `Tuesday, 3 March 2026`."""
    shown: str = format_date(day, "full" if str(get_locale()) != "en" else "EEEE, d MMMM y")
    return shown


@bp.app_template_filter()
def by_day(
    entries: Iterable[DescribedEvent],
) -> list[tuple[date, list[list[DescribedEvent]]]]:
    """Return entries by the day they were recorded on (UTC), and there by request.

    What one request recorded at once is one list, with the event that it began with first.
    """

    def day_of(one: DescribedEvent) -> date:
        return one.event.recorded_at.astimezone(UTC).date()

    def request_of(one: DescribedEvent) -> tuple[str, datetime]:
        return one.event.request_id, one.event.recorded_at

    return [
        (day, [list(events)[::-1] for _, events in groupby(of_day, key=request_of)])
        for day, of_day in groupby(entries, key=day_of)
    ]


# What an event is about, at a glance; by the kind of its stream where it is not a seat's.
_ABOUT: Final[dict[str, str]] = {
    "account": "account",
    "attempts": "refusal",
    "batch": "key",
    "console_session": "access",
    "key": "key",
    "notice_links": "access",
    "people": "access",
    "portal_access": "access",
    "portal_session": "access",
    "request": "request",
    "session": "refusal",
    "sign_ins": "access",
    "signing_keys": "audit",
    "stripe_customer": "Stripe",
    "stripe_event": "Stripe",
    "stripe_object": "Stripe",
    "token": "access",
}


@bp.app_template_filter()
def about(event: AnyEvent) -> str:
    """Return in one word what an event is about: a key, a seat, a refusal …"""
    name = event.name.partition("@")[0].partition(".")[2]
    if name.startswith("seat_") and not isinstance(event.fact, SeatRefused):
        return "seat"
    if name.startswith("subscription_"):
        return "subscription"
    stream = event.stream.partition("-")[0]
    if event.name.startswith("stripe.") or name.startswith("stripe"):
        return "Stripe"
    return _ABOUT.get(stream, stream.replace("_", " "))


@bp.app_template_filter()
def kind(name: str) -> str:
    """Return an event's name for people: `account: seat occupied`."""
    return _(event_kind(name))


@bp.app_template_filter()
def with_kind(name: str) -> tuple[str, str]:
    """Return an event's name as a list to choose from has it."""
    return name, kind(name)


@bp.app_template_filter()
def word(name: str) -> str:
    """Return a word of ours, as a status or the name of a field is, for people."""
    return words.word(name)


@bp.app_template_filter()
def with_word(name: str) -> tuple[str, str]:
    """Return a word of ours as a list to choose from has it."""
    shown = word(name)
    return name, shown[:1].upper() + shown[1:]


_TONES: Final = {
    **dict.fromkeys(("active", "issued", "trialing", "renews"), "good"),
    **dict.fromkeys(("lapsed", "scheduled", "suspended", "past_due", "unconfirmed"), "warn"),
    **dict.fromkeys(("revoked", "terminated", "expired", "canceled", "unpaid"), "bad"),
}


@bp.app_template_filter()
def tone(status: str) -> str:
    """Return the colour of a status; none for one that is neither good nor bad."""
    return _TONES.get(status, "")


@bp.app_template_filter()
def place(product: str, tier: str | None = None) -> str:
    """Return the name of a product, and of a tier of it."""
    return formatting.place(services().catalog, product, tier)


def places() -> list[tuple[str, str]]:
    """Return every product and tier as a list to choose from has them: `integrations/growth`."""
    return [
        (f"{one.id}/{tier}" if tier else one.id, place(one.id, tier))
        for one in services().catalog.products
        for tier in one.tier_ids
    ]


@bp.app_template_filter()
def gives(one: Any) -> str:
    """Return what a key gives, or each of a batch: `3 × Cloud POS for 12 months`."""
    of = place(one.product, one.tier)
    months = counted(one.months, "month") if one.months else None
    what = f"{one.seats} × {of}" if one.seats else of
    return _("%(seats)s for %(months)s", seats=what, months=months) if months else what


@bp.app_template_filter()
def month_name(start: datetime) -> str:
    """Return a month as people name it in a table: `Mar 2026`."""
    shown: str = format_date(start, "LLL y")
    return shown


bp.app_template_filter("refusal_title")(title)


# Names and ids in a page


@bp.app_template_filter()
def linked(text: str, url: str | None) -> Markup:
    """Return a text that leads to an address."""
    return Markup('<a href="{}">{}</a>').format(url, text) if url else escape(text)


@bp.app_template_filter()
def coded(id: str, url: str | None = None) -> Markup:
    """Return an id as it is typed, which leads to an address if there is one."""
    return linked(Markup('<code class="name">{}</code>').format(id), url)


@bp.app_template_filter()
def named(name: str, tag: str = "span") -> Markup:
    """Return a name that may be long, and breaks wherever it must."""
    return Markup('<{tag} class="name">{name}</{tag}>').format(tag=tag, name=name)


_CELL: Final = re.compile(r"<td\b([^>]*)>")


@bp.app_template_filter()
def labelled(cells: Markup, columns: Sequence[object], figures: Collection[object] = ()) -> Markup:
    """Return the cells of a row, each with its column's name, by which it is known when folded.

    Args:
        figures: columns of numbers, which stand below each other by their last digit.
    """
    names = iter(columns)

    def cell(found: re.Match[str]) -> str:
        name = next(names)
        is_figure = ' class="figure"' if name in figures else ""
        return f'<td data-label="{escape(name)}"{is_figure}{found[1]}><div>'

    found = _CELL.sub(cell, str(cells))
    return Markup(found.replace("</td>", "</div></td>"))  # noqa: S704
