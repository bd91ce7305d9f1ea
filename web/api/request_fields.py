"""Fields that take what they say and nothing near it: no "5" for 5, no true for 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from web.app.context import app_state, caller
from web.app.times import NotATime, parse_time

REQUIRED = "is missing"
NOT_NULL = "must not be null"
NO_TEXT = "must be a text"
NO_WHOLE_NUMBER = "must be a whole number"
UNKNOWN = "is not known here"
NO_OBJECT = "must be an object"
IS_A_CODE = "must not be an activation code"

NOTHING: Mapping[str, Any] = {}

_HALVES = re.compile(r"[\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]{1,19}")


class Shape(ma.Schema):
    """An object; unknown fields are refused, in our words.

    `example` is one of these, for the documentation; `together` is more JSON Schema: what is held
    of its fields together.
    """

    example: ClassVar[Mapping[str, Any]] = {}
    together: ClassVar[Mapping[str, Any]] = {}

    class Meta:
        unknown = ma.RAISE

    error_messages = {"unknown": UNKNOWN, "type": NO_OBJECT}


class Documented:
    """A field with what the document says of it.

    Args:
        optional: may be left out or null, which are the same.
        document: more JSON Schema.
    """

    def __init__(
        self,
        description: str | None = None,
        *,
        optional: bool = False,
        document: Mapping[str, Any] = NOTHING,
        **options: Any,
    ) -> None:
        said = {"description": description} if description else {}
        if optional:
            options |= {"allow_none": True, "load_default": None}
        super().__init__(metadata={**said, **document}, **options)  # type: ignore[call-arg]


class WholeNumber(Documented, ma.fields.Integer):
    """A JSON number without a fraction; 5.0 is 5."""

    default_error_messages = {
        "required": REQUIRED,
        "null": NOT_NULL,
        "invalid": NO_WHOLE_NUMBER,
    }

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class NumberText(WholeNumber):
    """A whole number in a query or header: digits and nothing else."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if not _NUMBER.fullmatch(value):
            raise self.make_error("invalid")
        return int(value)


class Text(Documented, ma.fields.String):
    """A text; half of a surrogate pair, which JSON can spell and UTF-8 cannot, is none."""

    default_error_messages = {
        "required": REQUIRED,
        "null": NOT_NULL,
        "invalid": NO_TEXT,
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        if _HALVES.search(text):
            raise self.make_error("invalid")
        return text


class ListOf(Documented, ma.fields.List[Any]):
    """Several values of one field; `listed` says what each is."""

    default_error_messages = {
        "required": REQUIRED,
        "null": NOT_NULL,
        "invalid": "must be a list",
    }

    def __init__(self, listed: ma.fields.Field[Any], description: str, **options: Any) -> None:
        super().__init__(description, cls_or_instance=listed, **options)


class Identifier(Text):
    """A text that is stored and shown as it is: so it must not be somebody's code."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        redactor = app_state().redactor
        # A reseller's names nothing but its own: what is unknown is refused, whatever there is.
        bound = caller().reseller is not None
        holds = redactor.holds_plain_secret if bound else redactor.holds_secret
        if holds(text):
            raise ma.ValidationError(IS_A_CODE)
        return text


class Time(Documented, ma.fields.DateTime):
    """A time with its zone, read into UTC."""

    default_error_messages = {"required": REQUIRED, "null": NOT_NULL, "invalid": NO_TEXT}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> datetime:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return parse_time(value)
        except NotATime as error:
            raise ma.ValidationError(str(error)) from None


class Truth(Documented, ma.fields.Boolean):
    """`true` or `false` in a body."""

    default_error_messages = {"null": NOT_NULL, "invalid": "must be true or false"}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Flag(Documented, ma.fields.Boolean):
    """`true` or `false` in a query."""

    default_error_messages = {"invalid": "must be true or false"}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return bool(value == "true")


def within(smallest: int, largest: int) -> validate.Range:
    """Return a check that a number is one of a range, ends included."""
    return validate.Range(smallest, largest, error="must be from {min} to {max}")


class Matching(validate.Regexp):
    """Hold a text to a pattern, all of it: Python's `$` would let a line break follow."""

    def __call__(self, value: Any) -> Any:
        if not self.regex.fullmatch(value):
            raise ma.ValidationError(self.error)
        return value


def matching(pattern: str) -> Matching:
    """Return a check that the whole of a text matches a pattern."""
    return Matching(f"^{pattern}$", error=f"must match {pattern}")


def one_of(*choices: str) -> validate.OneOf:
    """Return a check that a value is one of these choices."""
    return validate.OneOf(choices, error=f"must be one of {', '.join(choices)}")


def long_at_most(length: int) -> validate.Length:
    """Return a check that a text has at least one character, and not too many."""
    return validate.Length(1, length, error="must have {min} to {max} characters")
