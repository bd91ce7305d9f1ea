"""The addresses that a link to notices is handed out as."""

from __future__ import annotations

from typing import NamedTuple


class FeedUrls(NamedTuple):
    """Of a link's feed, and of its calendar."""

    atom: str
    ics: str


def feed_urls(public_url: str, text: str) -> FeedUrls:
    """Return the addresses of a link.

    Args:
        text: that opens it.
    """
    base = f"{public_url}/v1/notices/feeds/{text}"
    return FeedUrls(f"{base}/atom.xml", f"{base}/calendar.ics")
