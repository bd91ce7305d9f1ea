"""Form and query parameters of the console, read strictly.

A field that does not fit (too long, unreadable, no number, no time) raises an InvalidRequest with
its name, as in the API.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from flask import abort, request

from commands.validation import text_holds_code
from ledger.limits import ACCOUNT_ID, unreadable
from ledger.refusals import FieldError, InvalidRequest
from ledger.translation import gettext as _
from web.app.context import app_state, caller, services
from web.app.times import NotATime, parse_time

REF_LENGTH_MAX: Final = 256
FIELD_LENGTH_MAX: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
# What a browser's own field for a time sends: no zone, and seconds only if there are any.
_FIELD: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?P<seconds>:\d\d(\.\d{1,6})?)?")


def account_id(value: str) -> str:
    """Return a path's account; one that no account can have has no page."""
    if not re.fullmatch(ACCOUNT_ID, value):
        abort(404)
    return value


def query(name: str) -> str | None:
    """Return a parameter of the address, if there is any."""
    return _fits(name, request.args.get(name, "").strip())


def form(name: str, length_max: int = FIELD_LENGTH_MAX) -> str | None:
    """Return a field of a form, if it was filled in."""
    return _fits(name, request.form.get(name, "").strip(), length_max)


def holds_secret(text: str) -> bool:
    """Return whether a text has a code or a token in it; of codes, a reseller is told its own."""
    return app_state().redactor.holds_token(text) or text_holds_code(
        services(), text, caller().reseller
    )


def text(name: str) -> str:
    """Return free text, which must not hold a code or a token: it would be kept."""
    found = form(name) or ""
    if holds_secret(found):
        raise InvalidRequest(FieldError(f"/{name}", _("must not have a code or a token in it")))
    return found


def reason() -> str:
    """Return why something is done; at the console nothing is done without a reason."""
    found = text("reason")
    if not found:
        raise InvalidRequest(FieldError("/reason", _("is missing")))
    return found


def number(name: str) -> int:
    """Return a whole number."""
    found = form(name) or ""
    if not _NUMBER.fullmatch(found):
        raise InvalidRequest(FieldError(f"/{name}", _("must be a whole number")))
    return int(found)


def time(name: str, value: str | None) -> datetime | None:
    """Return a time, read as RFC 3339 has it, or of a field for times, which are UTC.

    None if there is none.

    Raises:
        InvalidRequest: it is no time.
    """
    if value is None:
        return None
    field = _FIELD.fullmatch(value)
    if field:
        value += "Z" if field["seconds"] else ":00Z"
    try:
        return parse_time(value)
    except NotATime as error:
        raise InvalidRequest(FieldError(f"/{name}", str(error))) from None


def _fits(name: str, value: str, length_max: int = REF_LENGTH_MAX) -> str | None:
    if len(value) > length_max:
        detail = _("must have at most %(length_max)s characters", length_max=length_max)
        raise InvalidRequest(FieldError(f"/{name}", detail))
    character = unreadable(value)
    if character:
        raise InvalidRequest(
            FieldError(
                f"/{name}", _("must not have the character %(character)s", character=character)
            )
        )
    return value or None
