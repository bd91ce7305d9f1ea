"""The message at the top of a page: what a form has done, or why not and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from flask import request

Tone = Literal["good", "warn", "bad"]


class FlashMessage(NamedTuple):
    """A message, whose texts are put into the reader's language when it is shown.

    Attributes:
        title: what happened.
        advice: what to do about it, a sentence each.
        status: of the page that shows it.
    """

    tone: Tone
    title: object
    advice: Sequence[object] = ()
    status: int = 200


def good(title: object, *advice: object) -> FlashMessage:
    """Return a message that something was done."""
    return FlashMessage("good", title, advice)


def warn(title: object, *advice: object, status: int = 200) -> FlashMessage:
    """Return a message that something is to be known or looked at."""
    return FlashMessage("warn", title, advice, status)


def bad(title: object, *advice: object, status: int = 200) -> FlashMessage:
    """Return a message that something was not done."""
    return FlashMessage("bad", title, advice, status)


def flashed(messages: Mapping[str, FlashMessage]) -> FlashMessage | None:
    """Return the message that a form has left in the address that it led to, as `?done=…`."""
    return messages.get(request.args.get("done", ""))
