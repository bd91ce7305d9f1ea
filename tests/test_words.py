"""The code's words: docstrings say what comes back, a name means one thing, imports go one way."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "projections", "commands", "examples", "web")

# "See `Recorder.head`." is enough where a protocol's docstring says it.
SAYS_WHAT = re.compile(r"\b(?:returns?|yields?)\b|^See `", re.IGNORECASE)
NOTHING = {"", "None", "NoReturn"}
SAID_ELSEWHERE = {
    "override",
    "overload",
    "setter",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "route",
}

When = Literal["at once", "in a function", "for types only"]


class Import(NamedTuple):
    module: str
    when: When


@functools.cache
def _modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            parts = file.relative_to(CHECKOUT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_modules()[module].read_text("utf-8"))


def _functions(body: list[ast.stmt], where: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield functions and methods, those of public names, but none within a function."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{where}.{node.name}")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{where}.{node.name}", node


def _is_exempt(function: ast.FunctionDef) -> bool:
    """Return whether it returns nothing, or something else says what: a route, another overload."""
    returned = ast.unparse(function.returns) if function.returns else ""
    calls = [one.func if isinstance(one, ast.Call) else one for one in function.decorator_list]
    decorators = {ast.unparse(one).rpartition(".")[2] for one in calls}
    return returned in NOTHING or bool(SAID_ELSEWHERE & decorators)


def test_public_functions_say_what_they_return() -> None:
    silent = [
        name
        for module in _modules()
        for name, function in _functions(_tree(module).body, module)
        if not _is_exempt(function) and not SAYS_WHAT.search(ast.get_docstring(function) or "")
    ]
    assert silent == []


def test_no_docstring_begins_with_answer() -> None:
    found = [
        f"{module}.{node.name}"
        for module in _modules()
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and (ast.get_docstring(node) or "").startswith("Answer")
    ]
    assert found == []


def test_a_public_class_has_a_name_of_its_own() -> None:
    where = defaultdict(list)
    for module in _modules():
        for node in _tree(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(module)
    twice = {name: modules for name, modules in where.items() if len(modules) > 1}
    assert twice == {}


# Imports


def _imports(node: ast.AST, when: When) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(one.name, when) for one in names if one.name in _modules())
            case ast.ImportFrom(module=str(module), names=names):
                for one in names:
                    whole = f"{module}.{one.name}"
                    yield Import(whole if whole in _modules() else module, when)
            case ast.FunctionDef():
                yield from _imports(child, "in a function" if when == "at once" else when)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _imports(child, "for types only")
            case _:
                yield from _imports(child, when)


@functools.cache
def _graph(*kinds: When) -> dict[str, set[str]]:
    return {
        module: {
            one.module
            for one in _imports(_tree(module), "at once")
            if one.when in kinds and one.module in _modules() and one.module != module
        }
        for module in _modules()
    }


def _circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the modules that reach each other, circle by circle."""
    beyond = {module: _reached(graph, module) for module in graph}
    circles: list[set[str]] = []
    for module in graph:
        circle = {other for other in beyond[module] if module in beyond[other]}
        if circle and circle not in circles:
            circles.append(circle)
    return circles


def _reached(graph: dict[str, set[str]], module: str) -> set[str]:
    found: set[str] = set()
    left = [module]
    while left:
        for other in graph[left.pop()] - found:
            found.add(other)
            left.append(other)
    return found


def test_a_circle_is_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert _circles(graph) == [{"b", "c"}]


@pytest.mark.parametrize(
    "kinds",
    [("at once",), ("at once", "in a function")],
)
def test_imports_go_in_no_circle(kinds: tuple[When, ...]) -> None:
    assert _circles(_graph(*kinds)) == []
