"""What somebody looks up: a reference, or a whole code, which is known by its key's id."""

from __future__ import annotations

from commands.services import Services
from ledger import codes
from ledger.streams import key
from ledger.streams.key import KEY


def known_ref(services: Services, text: str, *, may_learn: bool = True) -> str:
    """Return the text as a reference; for a code, the id of its key.

    A code may be typed without dashes, and then a long id, or a word, may look like one. Such a
    text is a code only when the ledger has its key.

    Args:
        may_learn: whether who asks may find out which codes there are; for others, what may be a
            code is one.
    """
    code = codes.parse(text, services.catalog.prefixes)
    if code is None:
        return text
    key_id = services.codes.key_id(code)
    if (
        not may_learn
        or "-" in codes.tidy(text)
        or services.book.load(KEY, key.stream_id(key_id)).version
    ):
        return key_id
    return text
