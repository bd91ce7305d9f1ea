"""Is a request one that Stripe takes? Parameters read by the SDK's own TypedDicts.

A form carries strings, a call in process Python's values; both come out typed: whole numbers, truth
values, lists, dictionaries. What the SDK does not know, Stripe does not take.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from typing import Any

from tests.stripe_server.annotations import (
    Shape,
    fields_of,
    literal_values,
    members,
    params_shape,
    resolve,
)
from tests.stripe_server.errors import ApiError, invalid, missing_parameter, unknown_parameter

Read = Callable[[Any, str], Any]


def read(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, typed; refuse what Stripe does not know."""
    return dict_reader(params_shape(kind))(params, "")


class DictReader:
    """The reader of a TypedDict; its fields are looked up at the first use."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    @cached_property
    def fields(self) -> dict[str, Read]:
        """The readers of the fields."""
        return {name: make_reader(one, self.shape) for name, one in fields_of(self.shape).items()}

    @cached_property
    def required(self) -> list[str]:
        """The fields that must be given."""
        return [
            name
            for name, annotation in fields_of(self.shape).items()
            if not ast.unparse(annotation).startswith("NotRequired[")
        ]

    def __call__(self, value: Any, path: str) -> Any:
        """Read a dictionary."""
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {path}", path)
        typed = {}
        for name, below in value.items():
            place = f"{path}[{name}]" if path else name
            if name not in self.fields:
                raise unknown_parameter(place)
            typed[name] = self.fields[name](below, place)
        for name in self.required:
            if name not in typed:
                raise missing_parameter(f"{path}[{name}]" if path else name)
        return typed


@cache
def dict_reader(shape: Shape) -> Read:
    """Return the reader of a TypedDict."""
    return DictReader(shape)


def make_reader(annotation: ast.expr, at: Shape) -> Read:
    """Return the reader of an annotation."""
    options = members(annotation)
    if len(options) > 1:
        return _union(options, at)
    node = options[0]
    if isinstance(node, ast.Subscript):
        return _generic(ast.unparse(node.value), node, at)
    name = ast.unparse(node)
    if name in PLAIN:
        return PLAIN[name]
    found = resolve(name, at)
    assert isinstance(found, Shape), f"{found} in {at}"
    return dict_reader(found)


def _union(options: list[ast.expr], at: Shape) -> Read:
    """Try the members in turn; a listed value is one of the list even where any text would do."""
    values = [
        one
        for option in options
        if ast.unparse(option).startswith("Literal[")
        for one in literal_values(option)
    ]
    written = [ast.unparse(option) for option in options]
    closed = any(value != "" for value in values)
    readers = [
        make_reader(option, at)
        for option, text in zip(options, written, strict=True)
        if not text.startswith("Literal[")
        and not (text == "str" and closed)
        and not text.startswith("UntypedStripeObject")
    ]

    def reader(value: Any, path: str) -> Any:
        if value in values:
            return value
        refusal: ApiError | None = None
        for one in readers:
            try:
                return one(value, path)
            except ApiError as error:
                # The member that got furthest into the value is the one that was meant.
                if refusal is None or len(error.body["param"]) > len(refusal.body["param"]):
                    refusal = error
        listed = ", ".join(str(one) for one in values)
        raise refusal or invalid(f"Invalid {path}: must be one of {listed}", path)

    return reader


def _generic(name: str, node: ast.Subscript, at: Shape) -> Read:
    if name == "Literal":
        values = literal_values(node)

        def literal(value: Any, path: str) -> Any:
            if value not in values:
                listed = ", ".join(str(one) for one in values)
                raise invalid(f"Invalid {path}: must be one of {listed}", path)
            return value

        return literal
    if name in {"Optional", "NotRequired"}:
        return make_reader(node.slice, at)
    if name in {"Dict", "UntypedStripeObject"}:
        return _texts
    assert name == "List", name
    inner = make_reader(node.slice, at)

    def elements(value: Any, path: str) -> Any:
        if isinstance(value, dict) and all(key.isdigit() for key in value):
            value = [value[key] for key in sorted(value, key=int)]
        if not isinstance(value, list | tuple):
            raise invalid(f"Invalid array: {path}", path)
        return [inner(one, f"{path}[{number}]") for number, one in enumerate(value)]

    return elements


def _texts(value: Any, path: str) -> Any:
    """Read metadata and its like: any names, texts as values."""
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {path}", path)
    return {name: _text(one, f"{path}[{name}]") for name, one in value.items()}


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid(f"Invalid string: {path}", path)
    return str(value)


def _whole(value: Any, path: str) -> int:
    if not isinstance(value, bool) and str(value).lstrip("-").isdigit():
        return int(value)
    raise ApiError(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)


def _truth(value: Any, path: str) -> bool:
    text = str(value).lower()
    if text not in {"true", "false"}:
        raise invalid(f"Invalid boolean: {value}", path)
    return text == "true"


def _number(value: Any, path: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise invalid(f"Invalid decimal: {value}", path) from None


def _decimal(value: Any, path: str) -> str:
    try:
        return format(Decimal(str(value)).normalize(), "f")
    except InvalidOperation:
        raise invalid(f"Invalid decimal: {value}", path) from None


PLAIN: dict[str, Read] = {
    "str": _text,
    "int": _whole,
    "bool": _truth,
    "float": _number,
    "Decimal": _decimal,
    "Any": lambda value, _path: value,
}
