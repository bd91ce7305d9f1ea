"""Is an answer such as Stripe sends? Checks made from the SDK's annotations.

A check takes a value and answers None, or what is wrong and where: `.items.data[0].price: …`.
Stripe's enums are open in the SDK (`Literal[…] | str`) so that a new value does not break old
clients; a stand-in has no such excuse, so only the listed values pass.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from tests.stripe_server.annotations import (
    Shape,
    fields_of,
    literal_values,
    members,
    object_shape,
    resolve,
)

Check = Callable[[Any], str | None]

# Seen in every real answer of the current versions, and in no specification.
UNDOCUMENTED = {Shape("stripe._subscription", ("Subscription",)): {"plan", "quantity"}}
PAGE = {"object", "data", "has_more", "url", "total_count"}
DECIMAL = re.compile(r"^-?\d+(\.\d+)?$")


class ShapeDeviation(AssertionError):
    """The stand-in sent what Stripe does not."""


def deviation(value: Any) -> str | None:
    """Say what is wrong with an API object or a list of them; None if nothing is."""
    if type(value) is not dict or type(value.get("object")) is not str:
        return f"not an API object: {value!r:.80}"
    name = value["object"]
    if name == "list":
        return _check_page(value)
    try:
        wrong = object_check(name)(value)
    except LookupError:
        return f"no object of Stripe's: {name}"
    if wrong is None and name == "event":
        return deviation(value["data"]["object"])
    return None if wrong is None else name + wrong


def _check_page(value: dict[str, Any]) -> str | None:
    if set(value) - PAGE:
        return f"list: unknown fields {sorted(value)}"
    if type(value.get("data")) is not list or type(value.get("has_more")) is not bool:
        return "list: no data or has_more"
    for number, one in enumerate(value["data"]):
        wrong = deviation(one)
        if wrong is not None:
            return f"list.data[{number}] {wrong}"
    return None


@cache
def object_check(name: str) -> Check:
    """Return the check of an API object."""
    return class_check(object_shape(name))


class ClassCheck:
    """The check of a class; its fields are looked up at the first use, since classes refer to
    each other.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.extras = UNDOCUMENTED.get(shape, set())

    @cached_property
    def fields(self) -> dict[str, Check]:
        """The checks of the fields."""
        return {name: make_check(one, self.shape) for name, one in fields_of(self.shape).items()}

    @cached_property
    def required(self) -> list[str]:
        """The fields that are always there."""
        return [
            name
            for name, annotation in fields_of(self.shape).items()
            if not ast.unparse(annotation).strip("'\"").startswith("Optional[")
        ]

    def __call__(self, value: Any) -> str | None:
        """Say what is wrong with a value."""
        if type(value) is not dict:
            return f": not an object but {value!r:.60}"
        fields = self.fields
        if "deleted" in fields and value.get("deleted") is True:
            return None if value.keys() >= {"id", "object"} else ": a stub without id"
        for name, below in value.items():
            inner = fields.get(name)
            if inner is None:
                if name not in self.extras:
                    return f".{name}: unknown field"
            elif (wrong := inner(below)) is not None:
                return f".{name}{wrong}"
        missing = next((name for name in self.required if name not in value), None)
        return None if missing is None else f".{missing}: missing"


@cache
def class_check(shape: Shape) -> Check:
    """Return the check of a class."""
    return ClassCheck(shape)


def make_check(annotation: ast.expr, at: Shape) -> Check:
    """Return the check of an annotation written in a class."""
    options = members(annotation)
    if len(options) > 1:
        return _union([make_check(option, at) for option in options], options)
    node = options[0]
    if isinstance(node, ast.Subscript):
        return _generic(ast.unparse(node.value), node, at)
    if isinstance(node, ast.Constant) and node.value is None:
        return lambda value: None if value is None else ": not null"
    return _named(ast.unparse(node), at)


def _union(checks: list[Check], options: list[ast.expr]) -> Check:
    written = [ast.unparse(option) for option in options]
    if "str" in written and any(text.startswith("Literal[") for text in written):
        checks = [one for one, text in zip(checks, written, strict=True) if text != "str"]

    def check(value: Any) -> str | None:
        wrong = None
        for one in checks:
            wrong = one(value)
            if wrong is None:
                return None
        return wrong

    return checks[0] if len(checks) == 1 else check


def _generic(name: str, node: ast.Subscript, at: Shape) -> Check:
    if name == "Literal":
        allowed = frozenset(literal_values(node))
        return lambda value: (
            None
            if type(value) in (str, bool) and value in allowed
            else f": {value!r} is none of {sorted(map(str, allowed))[:6]}"
        )
    if name == "Dict":
        assert isinstance(node.slice, ast.Tuple)
        return _values(make_check(node.slice.elts[1], at))
    inner = make_check(node.slice, at)
    if name == "Optional":
        return lambda value: None if value is None else inner(value)
    if name == "ExpandableField":
        return lambda value: None if type(value) is str else inner(value)
    if name == "ListObject":
        return _page(inner)
    if name == "UntypedStripeObject":
        return _values(inner)
    assert name == "List", name
    return _elements(inner)


def _elements(inner: Check) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is not list:
            return f": not a list but {value!r:.60}"
        for number, one in enumerate(value):
            if (wrong := inner(one)) is not None:
                return f"[{number}]{wrong}"
        return None

    return check


def _page(inner: Check) -> Check:
    elements = _elements(inner)

    def check(value: Any) -> str | None:
        if type(value) is not dict or value.get("object") != "list":
            return ": not a list object"
        if type(value.get("has_more")) is not bool or type(value.get("url")) is not str:
            return ": a list without has_more or url"
        if unknown := value.keys() - PAGE:
            return f".{min(unknown)}: unknown field"
        wrong = elements(value.get("data"))
        return None if wrong is None else f".data{wrong}"

    return check


def _values(inner: Check) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is not dict:
            return f": not an object but {value!r:.60}"
        for name, one in value.items():
            if (wrong := inner(one)) is not None:
                return f"[{name}]{wrong}"
        return None

    return check


def _plain(kinds: tuple[type, ...]) -> Check:
    title = " or ".join(kind.__name__ for kind in kinds)
    return lambda value: None if type(value) in kinds else f": {value!r:.60} is no {title}"


PLAIN: dict[str, Check] = {
    "str": _plain((str,)),
    "int": _plain((int,)),
    "bool": _plain((bool,)),
    "float": _plain((float, int)),
    "Any": lambda _value: None,
    "object": lambda _value: None,
    "Decimal": lambda value: (
        None if type(value) is str and DECIMAL.match(value) else f": {value!r:.60} is no decimal"
    ),
}


def _named(name: str, at: Shape) -> Check:
    if name in PLAIN:
        return PLAIN[name]
    found = resolve(name, at)
    assert isinstance(found, Shape), f"{found} in {at}"
    return class_check(found)
