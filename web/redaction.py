"""Keeping codes and tokens out of URLs, answers and logs.

A URL ends up in histories, referrers and logs of others, so a whole code in one is refused; and
whatever a problem repeats of a request is looked through before it is sent.

    >>> redactor = Redactor(frozenset({"POS"}))
    >>> redactor.holds_code("/v1/keys/pos-abcd-efgh-7k2m")
    True
    >>> redactor.holds_code("/v1/keys/POS-••••-••••-7K2M")
    False
    >>> redactor.scrub("/POS-ABCD-EFGH-7K2M is unknown")
    '/POS-••••-••••-7K2M is unknown'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from ledger.codes import mask, whole_codes

_TOKEN = re.compile(r"kf_[a-z2-7]{8,}", re.IGNORECASE)
_UNQUOTED_MAX = 3
_DASHES = 3  # that every code has


class Redactor:
    """Finds whole codes of the catalog's products, and access tokens, anywhere in a text."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._code = whole_codes(frozenset(prefixes))

    def holds_code(self, text: str) -> bool:
        """Tell whether a text has a whole code in it."""
        return text.count("-") >= _DASHES and self._code.search(text) is not None

    def holds_code_quoted(self, url: str) -> bool:
        """Tell whether a URL has one, also percent-encoded, and more than once."""
        for _ in range(_UNQUOTED_MAX):
            if self.holds_code(url):
                return True
            url, quoted = unquote_plus(url), url
            if url == quoted:
                break
        return False

    def holds_secret(self, text: str) -> bool:
        """Tell whether a text has a whole code or a token in it."""
        return self.holds_code(text) or _TOKEN.search(text) is not None

    def scrub(self, text: str) -> str:
        """Answer the text with codes masked and tokens cut."""
        return _TOKEN.sub("kf_…", self._code.sub(lambda found: mask(found[0]), text))
