"""Texts for people, in English or in the language of whoever reads them.

A text stands in English where it is made, inside `gettext` (`_`), with its values by name. What
shows texts to people says once who reads (`follow`), and then they come in that reader's language;
the API, the command line and whatever is done unasked stay in English. Nothing that is recorded
is made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from gettext import NullTranslations
from typing import Final, NamedTuple


class TextLanguage(NamedTuple):
    """A language, and its texts."""

    code: str
    texts: NullTranslations


ENGLISH: Final = TextLanguage("en", NullTranslations())
_of_reader: list[Callable[[], TextLanguage]] = [lambda: ENGLISH]


def follow(of_reader: Callable[[], TextLanguage]) -> None:
    """Let texts come in the language that this returns whenever one is made."""
    _of_reader[:] = [of_reader]


def language() -> str:
    """Return the code of the language that texts come in now."""
    return _of_reader[0]().code


def gettext(message: str, **values: object) -> str:
    """Return a text with its values, in the reader's language."""
    text = _of_reader[0]().texts.gettext(message)
    return text % values if values else text


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """Return a text about a number of things, `num` in it, in the reader's language."""
    return _of_reader[0]().texts.ngettext(one, many, num) % {"num": num, **values}


def noted(message: str) -> str:
    """Return a text as it is: marked, to be put into the reader's language where it is shown."""
    return message
