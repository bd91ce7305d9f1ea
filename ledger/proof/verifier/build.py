"""Put the verifier's modules into one file that needs nothing of Keyfold."""

from __future__ import annotations

import ast
from importlib import resources
from typing import Final

PACKAGE: Final = "ledger.proof.verifier"
FILE_NAME: Final = "keyfold_verify.py"
# In this order: each uses only what stands before it.
MODULES: Final = (
    "formats", "tree", "signed_notes", "exports", "history", "comparison", "receipt", "lines",
    "stripe_reports", "subscriptions_view", "statements", "program",
)  # fmt: skip


def build() -> str:
    """Return the program as the text of one Python file.

    The docstring of its last module is the program's; those of the others head their parts.

    Raises:
        ValueError: a module imports something of Keyfold's that is not in the program.
    """
    imports: set[tuple[str, str]] = set()
    parts: list[str] = []
    introduction = ""
    for name in MODULES:
        source = resources.files(PACKAGE).joinpath(f"{name}.py").read_text("utf-8")
        docstring, found, body = _taken_apart(name, source)
        imports |= found
        introduction = docstring
        head = "The command line." if name == MODULES[-1] else docstring
        lines = "\n".join(f"# {line}".rstrip() for line in head.splitlines())
        parts.append(f"{lines}\n\n\n{body}")
    head = f'"""{introduction}"""\n\nfrom __future__ import annotations\n\n{_written(imports)}'
    return "\n\n".join([head, *parts])


def _written(imports: set[tuple[str, str]]) -> str:
    """Return import statements for pairs of a module and a name in it, or a module and ""."""
    lines = [f"import {module}\n" for module, name in sorted(imports) if not name]
    for module in sorted({module for module, name in imports if name}):
        names = sorted((name for of, name in imports if of == module and name), key=str.lower)
        lines.append(f"from {module} import {', '.join(names)}\n")
    return "".join(lines)


def _taken_apart(name: str, source: str) -> tuple[str, set[tuple[str, str]], str]:
    """Return a module's docstring, its imports of the standard library, and the rest."""
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree, clean=False)
    assert docstring is not None
    imports: set[tuple[str, str]] = set()
    end = tree.body[0].end_lineno or 1
    for node in tree.body[1:]:
        match node:
            case ast.Import(names=names):
                imports |= {(alias.name, "") for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                if (
                    module.startswith("ledger.")
                    and module.removeprefix(f"{PACKAGE}.") not in MODULES
                ):
                    raise ValueError(f"{name} imports {module}, which is not in the program")
                if not module.startswith(("ledger.", "__future__")):
                    imports |= {(module, alias.name) for alias in names}
            case _:
                break
        end = node.end_lineno or end
    body = "".join(source.splitlines(keepends=True)[end:])
    return docstring, imports, body.strip("\n") + "\n"
