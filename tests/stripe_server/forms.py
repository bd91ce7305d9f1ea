"""Stripe's way to write nested parameters in a form: `items[0][price]=…`, `expand[]=…`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from tests.stripe_server.errors import invalid

NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def decode(form: str) -> dict[str, Any]:
    """Read a form or a query string into dictionaries, lists and strings."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True, strict_parsing=False):
        match = NAME.match(name)
        if match is None:
            raise invalid(f"Invalid parameter name: {name}", name)
        _put(tree, [match[1], *BRACKETS.findall(match[2])], value)
    return {name: _lists(value) for name, value in tree.items()}


def _put(tree: dict[str, Any], names: list[str], value: str) -> None:
    """Put a value into the tree; an empty name counts on."""
    here = tree
    for place, name in enumerate(names):
        key = name or str(len(here))
        if place == len(names) - 1:
            here[key] = value
            return
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            raise invalid(f"Invalid object: {names[0]}", names[0])
        here = below


def _lists(value: Any) -> Any:
    """Turn what is numbered 0, 1, 2 … into a list."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(below) for name, below in value.items()}
    if inner and list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner
