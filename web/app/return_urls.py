"""Where a customer may be sent when done: to addresses of origins that the operator has listed.

A link that sends people wherever a caller likes is of use to those who fish for passwords, so every
address that a customer is led to is held to a list: the origin of KEYFOLD_PUBLIC_URL, and those of
KEYFOLD_RETURN_URLS.

    >>> origin("https://Portal.example:443/settings?tab=2")
    'https://portal.example'
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from ledger.limits import unreadable
from ledger.refusals import FieldError, InvalidRequest

LENGTH_MAX: Final = 2000

_PORTS: Final = {"http": 80, "https": 443}


def check(allowed: Collection[str], pointer: str, url: str) -> str:
    """Return the address as it is, if its origin is one that customers may be sent to.

    Raises:
        InvalidRequest: it is none, or one of an origin that is not on the list.
    """
    found = origin(url) if len(url) <= LENGTH_MAX else None
    if found is None:
        detail = f"must be an address like https://portal.example/done, up to {LENGTH_MAX} long"
        raise InvalidRequest(FieldError(pointer, detail))
    if found not in allowed:
        detail = f"must not lead to {found}: it is not in KEYFOLD_RETURN_URLS"
        raise InvalidRequest(FieldError(pointer, detail))
    return url


def origin(url: str) -> str | None:
    """Return scheme, host and port, as a browser compares them; None when it is no such address.

    What browsers and Python read differently is no address: a backslash, a space, a control
    character, a user before the host.
    """
    if "\\" in url or " " in url or unreadable(url) or not url.isascii():
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        return None
    host = f"[{host}]" if ":" in host else host
    elsewhere = port not in (None, _PORTS[parts.scheme])
    return f"{parts.scheme}://{host}:{port}" if elsewhere else f"{parts.scheme}://{host}"
