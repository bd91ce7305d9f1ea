"""Stripe's own description of its objects and requests: the annotations of the installed SDK.

The SDK is generated from Stripe's specification, so its sources can stand in for that. They are
read with `ast`, not imported: most names exist for type checkers alone.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SPEC = find_spec("stripe")
assert SPEC is not None
assert SPEC.origin is not None
ROOT = Path(SPEC.origin).parent

NAMES = {
    "checkout.session": "stripe.checkout._session",
    "billing_portal.session": "stripe.billing_portal._session",
    "invoiceitem": "stripe._invoice_item",
    "line_item": "stripe._invoice_line_item",
    "item": "stripe._line_item",
    "card": "stripe._card",
    "test_helpers.test_clock": "stripe.test_helpers._test_clock",
}


class Module(NamedTuple):
    """One file of the SDK: its classes and what its other names stand for."""

    name: str
    classes: dict[str, ast.ClassDef]
    imported: dict[str, tuple[str, str]]
    aliases: dict[str, ast.expr]


class Shape(NamedTuple):
    """A class of the SDK where it stands: the outer classes are where its names are looked up."""

    module: str
    path: tuple[str, ...]


@cache
def module_of(name: str) -> Module:
    """Read one module of the SDK."""
    path = ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    aliases = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return Module(name, classes, imported, aliases)


@cache
def node_of(shape: Shape) -> ast.ClassDef:
    """Return the class itself."""
    node = module_of(shape.module).classes[shape.path[0]]
    for name in shape.path[1:]:
        node = _inner(node)[name]
    return node


def _inner(node: ast.ClassDef) -> dict[str, ast.ClassDef]:
    return {below.name: below for below in node.body if isinstance(below, ast.ClassDef)}


@cache
def fields_of(shape: Shape) -> dict[str, ast.expr]:
    """Return the annotated fields of a class, those of its bases in the SDK's params first."""
    node = node_of(shape)
    fields: dict[str, ast.expr] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id.endswith("Params"):
            found = resolve(base.id, shape)
            fields |= fields_of(found) if isinstance(found, Shape) else {}
    for below in node.body:
        if isinstance(below, ast.AnnAssign) and isinstance(below.target, ast.Name):
            annotation = below.annotation
            if not ast.unparse(annotation).startswith("ClassVar"):
                fields[below.target.id] = annotation
    return fields


def resolve(name: str, at: Shape) -> Shape | str:
    """Find the class a name means at a place; a name of `typing` is answered as it is."""
    for depth in range(len(at.path), 0, -1):
        outer = Shape(at.module, at.path[:depth])
        if name in _inner(node_of(outer)):
            return Shape(at.module, (*outer.path, name))
    module = module_of(at.module)
    if name in module.classes:
        return Shape(at.module, (name,))
    if name in module.imported:
        source, original = module.imported[name]
        if source.startswith("stripe.") and source not in {
            "stripe._stripe_object",
            "stripe._expandable_field",
            "stripe._list_object",
        }:
            return Shape(source, (original,))
        return original
    return name


@cache
def object_shape(name: str) -> Shape:
    """Find the class of an API object by what its field `object` says."""
    module = NAMES.get(name) or f"stripe._{name}"
    for title, node in module_of(module).classes.items():
        for below in node.body:
            if (
                isinstance(below, ast.AnnAssign)
                and isinstance(below.target, ast.Name)
                and below.target.id == "OBJECT_NAME"
                and ast.unparse(below.annotation) == f"ClassVar[Literal[{name!r}]]"
            ):
                return Shape(module, (title,))
    raise LookupError(name)


@cache
def params_shape(name: str) -> Shape:
    """Find the parameters of a request, as `subscription_create` or `checkout.session_create`."""
    folder, _, tail = name.rpartition(".")
    module = ".".join(filter(None, ("stripe.params", folder, f"_{tail}_params")))
    title = "".join(part.title() for part in tail.split("_")) + "Params"
    return Shape(module, (title,))


def literal_values(node: ast.expr) -> list[object]:
    """Return what a `Literal[…]` allows."""
    assert isinstance(node, ast.Subscript)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return [below.value for below in inner if isinstance(below, ast.Constant)]


def members(node: ast.expr) -> list[ast.expr]:
    """Return the members of a union, whichever way it is written, quoted or not."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return members(ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*members(node.left), *members(node.right)]
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Union":
        assert isinstance(node.slice, ast.Tuple)
        return [one for below in node.slice.elts for one in members(below)]
    return [node]
