"""Reading the fields of Stripe's objects, one by one, and only into what they should be.

Nothing is copied: a value comes out of here as an id, a time, an amount or a word of the kind that
was asked for, or it does not come out. So no text of a person's reaches the ledger, even where
Stripe one day puts one into a field that used to hold something else.

    subscription = StripeObjectReader(
        {"id": "sub_1", "customer": {"id": "cus_1", "email": …}, "quantity": "many"}
    )
    subscription.id("customer")      # 'cus_1': ids come as texts or as whole objects
    subscription.number("quantity")  # None, and 'quantity' is in subscription.problems

What is read of a kind of object is listed in a table: by our name, how Stripe's field is read.

    FIELDS = {"customer": id_of, "reason": at("cancellation_details", "reason", read=word)}
    subscription.read(FIELDS)        # {"customer": 'cus_1', "reason": None}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ledger.limits import ACCOUNT_ID
from ledger.stripe.facts import StripeReport

ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
CURRENCY: Final = re.compile(r"[a-z]{3}")
EVENT_TYPE: Final = re.compile(r"[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40}){0,5}")
API_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d(\.[a-z0-9_]{1,40})?")
INVOICE_NUMBER: Final = re.compile(r"[A-Za-z0-9]{1,32}(-[A-Za-z0-9]{1,32}){0,3}")
DECIMAL: Final = re.compile(r"-?\d{1,20}(\.\d{1,12})?")

# In the metadata of what is made for an account: its id.
ACCOUNT_FIELD: Final = "keyfold_account"
ACCOUNT: Final = re.compile(ACCOUNT_ID)

NUMBER_MAX: Final = 2**53
# The end of the year 8999: what is reckoned from a time has to fit into the calendar, too.
TIME_MAX: Final = 221_845_391_999


class Origin(NamedTuple):
    """Where a report comes from.

    Attributes:
        source: the event's type, or `retrieved`.
        created: by Stripe's clock.
        retrieved_at: by ours, when it was asked for.
    """

    source: str
    created: datetime
    stripe_event: str | None = None
    retrieved_at: datetime | None = None


class Read(NamedTuple):
    """What was read of an object.

    Attributes:
        report: None for an object that is not reported, or that has not even an id.
        account: that the object's metadata name.
        wanted: whether it is of a type that is reported.
        claimed: a Checkout session's `client_reference_id`: a browser can set it to any account's.
        payments: ids of the charge and the payment intent of an invoice or a session; of a refund
            or a dispute that of the subscription that was paid, if that is known.
        invoice: that the payments are of, where nothing else is told: no report, but they belong
            together.
    """

    report: StripeReport | None
    account: str | None
    problems: tuple[str, ...]
    wanted: bool = True
    claimed: str | None = None
    payments: tuple[str, ...] = ()
    invoice: str | None = None


class StripeObjectReader:
    """One JSON object of Stripe's, read field by field.

    A field that is absent or null is None and no problem; one that is there and does not fit is
    None, and its path is in `problems`, which all parts of an object share. A path has names of
    ours and numbers in it, and nothing of Stripe's.
    """

    def __init__(self, fields: Any, path: str = "", problems: list[str] | None = None) -> None:
        self.problems: list[str] = [] if problems is None else problems
        self.path = path
        if not isinstance(fields, dict):
            self.misfit("")
            fields = {}
        self._fields: dict[str, Any] = fields

    def read(self, fields: Mapping[str, FieldReader]) -> dict[str, Any]:
        """Return fields by our names, read in the order of a table."""
        return {name: read(self, name) for name, read in fields.items()}

    @property
    def found_problems(self) -> tuple[str, ...]:
        """Return the fields that did not fit so far, each once, in the order they were read."""
        return tuple(dict.fromkeys(self.problems))

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def says(self, name: str) -> bool:
        """Return whether a field has something in it that is neither false nor zero nor empty."""
        return bool(self._fields.get(name))

    def misfit(self, name: str) -> None:
        """Take down that a field could not be understood."""
        self.problems.append(".".join(filter(None, (self.path, name))) or "object")

    def text(self, name: str, shape: re.Pattern[str]) -> str | None:
        """Return a text of a shape."""
        value = self._fields.get(name)
        if value is None or (isinstance(value, str) and shape.fullmatch(value)):
            return value
        self.misfit(name)
        return None

    def word(self, name: str) -> str | None:
        """Return one of Stripe's own words, e.g. a status."""
        return self.text(name, WORD)

    def id(self, name: str) -> str | None:
        """Return the id of what a field holds: the id itself, or the object that has it."""
        value = self._fields.get(name)
        return self.part(name).text("id", ID) if isinstance(value, dict) else self.text(name, ID)

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the ids in a list of ids or objects; those without one are left out."""
        found = []
        for number, value in enumerate(self.values(name)):
            one = StripeObjectReader(
                {"value": value}, f"{self.path}.{name}.{number}".lstrip("."), self.problems
            )
            found.append(one.id("value"))
        return tuple(id for id in found if id is not None)

    def number(self, name: str) -> int | None:
        """Return a whole number, e.g. an amount in minor units."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= NUMBER_MAX:
            return value
        self.misfit(name)
        return None

    def count(self, name: str, *, at_least: int = 0, at_most: int = NUMBER_MAX) -> int | None:
        """Return a whole number within bounds, both included."""
        value = self.number(name)
        if value is not None and not at_least <= value <= at_most:
            self.misfit(name)
            return None
        return value

    def decimal(self, name: str, whole: str) -> str | None:
        """Return a decimal number as a text: from a field that has one, or a whole number."""
        if name in self:
            return self.text(name, DECIMAL)
        number = self.number(whole)
        return None if number is None else str(number)

    def time(self, name: str) -> datetime | None:
        """Return a time, given in seconds since 1970; one that is out of range does not fit."""
        value = self.count(name)
        if value is None:
            return None
        if value > TIME_MAX:
            self.misfit(name)
            return None
        return datetime.fromtimestamp(value, UTC)

    def flag(self, name: str) -> bool | None:
        """Return a field that is true or false; None if it is missing, or does not fit."""
        value = self._fields.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.misfit(name)
        return None

    def part(self, *names: str) -> StripeObjectReader:
        """Return an object inside this one; an absent one has no fields."""
        inner = self
        for name in names:
            fields = inner._fields.get(name)
            inner = inner._inner({} if fields is None else fields, name)
        return inner

    def _inner(self, fields: Any, name: str) -> StripeObjectReader:
        return StripeObjectReader(fields, f"{self.path}.{name}".lstrip("."), self.problems)

    def part_if_object(self, name: str) -> StripeObjectReader:
        """Return an object inside this one, which may as well be there by its id alone."""
        return (
            self.part(name)
            if isinstance(self._fields.get(name), dict)
            else StripeObjectReader({}, name, [])
        )

    def values(self, name: str) -> list[Any]:
        """Return a list as it is, to be read further."""
        value = self._fields.get(name)
        if value is None or isinstance(value, list):
            return value or []
        self.misfit(name)
        return []

    def parts(self, name: str) -> Iterator[StripeObjectReader]:
        """Return the objects in a list."""
        for number, value in enumerate(self.values(name)):
            yield StripeObjectReader(
                value, f"{self.path}.{name}.{number}".lstrip("."), self.problems
            )

    def account_named(self) -> str | None:
        """Return the account that an object's metadata name."""
        return self.part("metadata").text(ACCOUNT_FIELD, ACCOUNT)


# How a field is read, by the name that Stripe and we have for it.
FieldReader = Callable[[StripeObjectReader, str], Any]

id_of: Final[FieldReader] = StripeObjectReader.id
word: Final[FieldReader] = StripeObjectReader.word
number: Final[FieldReader] = StripeObjectReader.number
count: Final[FieldReader] = StripeObjectReader.count
time: Final[FieldReader] = StripeObjectReader.time
flag: Final[FieldReader] = StripeObjectReader.flag


def text(shape: re.Pattern[str]) -> FieldReader:
    """Return how a text of a shape is read."""
    return lambda reader, name: reader.text(name, shape)


def required(read: FieldReader) -> FieldReader:
    """Return how a field is read that has to be there: its absence is a problem."""

    def read_required(reader: StripeObjectReader, name: str) -> Any:
        if name not in reader:
            reader.misfit(name)
        return read(reader, name)

    return read_required


def decimal(name: str, whole: str) -> FieldReader:
    """Return how a decimal number is read, as a text, or the whole number in another field."""
    return lambda reader, _: reader.decimal(name, whole)


def discount_ids(reader: StripeObjectReader, _: str = "") -> tuple[str, ...]:
    """Return the ids of discounts, from a list of them or, in old shapes, from the only one."""
    one = reader.id("discount") if "id" in reader.part_if_object("discount") else None
    return tuple(dict.fromkeys(filter(None, (*reader.ids("discounts"), one))))


def first(read: FieldReader, *names: str) -> FieldReader:
    """Return how the first of several fields is read that has something in it."""
    return either(*(at(name, read=read) for name in names))


def either(*reads: FieldReader) -> FieldReader:
    """Return how a field is read that is in one of several places: in the first that has it."""
    return lambda reader, name: next(filter(None, (read(reader, name) for read in reads)), None)


def at(*path: str, read: FieldReader) -> FieldReader:
    """Return how a field is read that has another name at Stripe, or is inside another object."""
    *parts, name = path
    return lambda reader, _: read(reader.part(*parts), name)
