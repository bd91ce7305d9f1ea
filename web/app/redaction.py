"""Keeping codes and tokens out of URLs, responses and logs.

A URL ends up in histories, referrers and logs of others, so a whole code in one is refused; and
whatever a problem repeats of a request is looked through before it is sent.

A code with dashes is known by its shape. In any other spelling an id may look like one, and what
tells is whether the ledger has such a key: only those who came in with a token are told that.

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
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote_plus

from ledger.codes import mask, mask_possible, possible_codes, whole_codes

_TOKEN = re.compile(r"kf_[a-z2-7]{8,}", re.IGNORECASE)
_UNQUOTED_MAX = 3
_DASHES = 3  # that every code has
_PARTS = re.compile("[/?&=;]")


def _none_is(_codes: Iterable[str]) -> bool:
    return False


class Redactor:
    """Finds whole codes of the catalog's products, and access tokens, anywhere in a text."""

    def __init__(
        self, prefixes: Iterable[str], any_known: Callable[[Iterable[str]], bool] = _none_is
    ) -> None:
        """Begin.

        Args:
            any_known: tells whether the ledger has any of these codes, or whether they are too
                many to be looked up; it may read the ledger.
        """
        self._prefixes = frozenset(prefixes)
        self._code = whole_codes(self._prefixes)
        self._any_known = any_known

    def holds_code(self, text: str) -> bool:
        """Return whether a text has a whole code in it, with its dashes."""
        return text.count("-") >= _DASHES and self._code.search(text) is not None

    def holds_code_quoted(self, url: str) -> bool:
        """Return whether a URL has one, also percent-encoded, and more than once."""
        return any(map(self.holds_code, _unquoted(url)))

    def may_hold_code(self, text: str) -> bool:
        """Return whether a text may have a whole code in it, in whatever spelling."""
        return any(possible_codes(text, self._prefixes))

    def holds_known_code_quoted(self, url: str) -> bool:
        """Return whether a part of a URL has a code of the ledger in it, in whatever spelling.

        A part: of its path, or a name or value of its query; also percent-encoded. Most have
        nothing that may be a code, and then the ledger is not asked; else once, for all parts. One
        that was made to have very many is taken to have one.
        """
        texts = filter(self.may_hold_code, _unquoted(url))
        parts = {part for text in texts for part in _PARTS.split(text)}
        possible = {code for part in parts for code in possible_codes(part, self._prefixes)}
        return bool(possible) and self._any_known(possible)

    def holds_secret(self, text: str, *, may_learn: bool = True) -> bool:
        """Return whether a text has a whole code or a token in it, asking the ledger if need be.

        Args:
            may_learn: whether who asks may find out which codes there are; for others, what may be
                a code is one.
        """
        if self.holds_plain_secret(text):
            return True
        possible = set(possible_codes(text, self._prefixes))
        return bool(possible) and (not may_learn or self._any_known(possible))

    def holds_plain_secret(self, text: str) -> bool:
        """Return whether a text has a whole code, with its dashes, or a token in it."""
        return self.holds_code(text) or self.holds_token(text)

    def holds_token(self, text: str) -> bool:
        """Return whether a text has an access token in it."""
        return _TOKEN.search(text) is not None

    def scrub(self, text: str) -> str:
        """Return the text with codes masked, those with their dashes, and tokens cut."""
        return _TOKEN.sub("kf_…", self._code.sub(lambda found: mask(found[0]), text))

    def scrub_all(self, text: str) -> str:
        """Return the text with everything masked that may be a code, and tokens cut."""
        return self.scrub(mask_possible(text, self._prefixes, lambda codes: codes))


def _unquoted(url: str) -> Iterator[str]:
    """Return a URL as it is, and as it is when it is unquoted once, twice, …"""
    for _ in range(_UNQUOTED_MAX):
        yield url
        url, quoted = unquote_plus(url), url
        if url == quoted:
            break
