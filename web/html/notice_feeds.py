"""Notices for people's own programs: an Atom feed (RFC 4287), and a calendar (RFC 5545).

What is in them follows from the ledger and the day alone, so that a reader who has it already is
told so. Ids are made of the notices': a notice that is read again is the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET  # it writes XML here, and reads none

from ledger.catalog import Catalog
from ledger.streams.notice_links import NoticeLink
from projections.lists.notices import NoticeView
from web.app.times import iso
from web.html.languages import format_datetime
from web.html.notice_texts import notice_title, on_one_line

ATOM_TYPE: Final = "application/atom+xml; charset=utf-8"
CALENDAR_TYPE: Final = "text/calendar; charset=utf-8"
REFRESH: Final = timedelta(hours=1)
DEFAULT_TITLE: Final = "Keyfold"
# Of the ids of feeds and entries; never to be changed.
_NAMESPACE: Final = UUID("0d3f2c1e-6c0b-5c3e-9a57-3f1d1f0b7a64")
_ATOM: Final = "http://www.w3.org/2005/Atom"
_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"

ET.register_namespace("", _ATOM)


class Feed(NamedTuple):
    """What both are made of.

    Attributes:
        url: its own address.
        catalog: with its texts in the link's language.
    """

    link: NoticeLink
    url: str
    catalog: Catalog
    notices: Sequence[NoticeView]

    @property
    def brand(self) -> str:
        """Return what the vendor is called."""
        return on_one_line(self.catalog.brand.name or DEFAULT_TITLE)

    @property
    def title(self) -> str:
        """Return what it is called among a reader's others."""
        owner = " · ".join(filter(None, (self.link.account, self.link.reseller)))
        return on_one_line(f"{self.brand}: {owner}") if owner else self.brand


def atom(feed: Feed) -> bytes:
    """Return the notices as an Atom feed."""
    root = ET.Element(f"{{{_ATOM}}}feed", {_XML_LANG: feed.link.language})
    _add(root, "id", _urn(feed.link.id))
    _add(root, "title", feed.title)
    _add(root, "updated", iso(max((one.at for one in feed.notices), default=feed.link.made_at)))
    _add(_add(root, "author"), "name", feed.brand)
    _add(root, "link", rel="self", type="application/atom+xml", href=feed.url)
    _add(root, "generator", "Keyfold")
    for notice, title in _titled(feed):
        entry = _add(root, "entry")
        _add(entry, "id", _urn(notice.id))
        _add(entry, "title", title)
        _add(entry, "updated", iso(notice.at))
        _add(entry, "published", iso(notice.at))
        _add(entry, "category", term=notice.kind)
        _add(entry, "content", f"{title} ({_moment(notice.at)})", type="text")
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def calendar(feed: Feed) -> bytes:
    """Return the notices as a calendar: each a moment, in the reader's own zone, at no length.

    A day would be another one in some zones: what ends at midnight in one ends the day before in
    the next.
    """
    from icalendar import Calendar, Event

    found = Calendar()
    found.add("prodid", "-//Keyfold//Notices//EN")
    found.add("version", "2.0")
    found.calendar_name = feed.title
    found.add("refresh-interval", REFRESH, {"value": "DURATION"})
    found.add("x-published-ttl", "PT1H")
    for notice, title in _titled(feed):
        event = Event()
        event.add("uid", notice.id)
        event.add("dtstamp", notice.known_at)
        event.add("dtstart", notice.at)
        event.add("summary", title)
        event.add("categories", [notice.kind])
        event.add("transp", "TRANSPARENT")
        found.add_component(event)
    written: bytes = found.to_ical()
    return written


def _titled(feed: Feed) -> Iterable[tuple[NoticeView, str]]:
    for notice in feed.notices:
        title = notice_title(notice, feed.catalog)
        whose = [notice.account] if feed.link.account is None else []
        if feed.link.reseller is None and feed.link.account is None:
            whose.append(notice.reseller)
        yield notice, on_one_line(" · ".join([title, *filter(None, whose)]))


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    child.text = text
    return child


def _urn(id: str) -> str:
    return uuid5(_NAMESPACE, id).urn


def _moment(at: datetime) -> str:
    return f"{format_datetime(at, 'medium')} UTC"
