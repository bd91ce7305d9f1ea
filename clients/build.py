"""Makes the clients out of an OpenAPI document: `./dev clients FOLDER OPENAPI`.

OPENAPI is a file, or the address of a Keyfold's `/openapi.json`. Whose catalog it has does not
matter. Every word of a list that may grow is a plain text in the clients, so that an older client
can read what a later Keyfold answers.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
LEFT_OUT = ("/metrics", "/webhooks/stripe")  # for Prometheus and for Stripe


def build(document: dict[str, Any], folder: Path) -> None:
    """Write the Python project and the TypeScript package into folders of a folder.

    Raises:
        subprocess.CalledProcessError: the generator of the Python client failed.
    """
    loosened = loosen(document)
    for language in ("python", "typescript"):
        passed_over = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
        shutil.copytree(HERE / language, folder / language, ignore=passed_over)
    api, package = folder / "openapi.json", folder / "python" / "keyfold_client"
    api.write_text(json.dumps(loosened, indent=1), "utf-8")
    program = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    config = folder / "python" / "generator.json"
    subprocess.run(  # noqa: S603  (a program named here)
        [*program, "--path", api, "--output-path", package / "generated", "--config", config],
        check=True,
    )
    for file in (package / "generated" / "api").rglob("*.py"):
        # A part of a path that is "." or ".." would be taken out on the way: it is refused.
        text = file.read_text("utf-8").replace("from urllib.parse import", "from ....paths import")
        # Whatever is no answer is raised, so there always is one.
        text = re.sub(r"(?s)(def (?:sync|asyncio)\(.*?\) -> [^:]*?) \| None:", r"\1:", text)
        file.write_text(text, "utf-8")
    (package / "operations.py").write_text(_operations(package / "generated" / "api"), "utf-8")
    keyed = sorted(operations_with_key(loosened))
    patterns = [(method, re.sub(r"\{\w+\}", "[^/]+", path)) for method, path in keyed]
    listed = "".join(f"    ({method!r}, {pattern!r}),\n" for method, pattern in patterns)
    (package / "keyed.py").write_text(f"OPERATIONS = [\n{listed}]\n", "utf-8")
    named = json.dumps([f"{method} {path}" for method, path in keyed], indent=2)
    (folder / "typescript" / "src" / "keyed.ts").write_text(
        f"export const OPERATIONS: readonly string[] = {named};\n", "utf-8"
    )


def _operations(api: Path) -> str:
    """Return a module that has every operation under its own name, to be called at once."""
    about = '"""Every operation, by the name that /docs has: it returns what Keyfold answers."""\n'
    lines, names = [about], []
    for file in sorted(api.glob("*/[!_]*.py")):
        # Where nothing is answered but a status and headers, these are returned.
        call = "sync" if "\ndef sync(" in file.read_text("utf-8") else "sync_detailed"
        module = f".generated.api.{file.parent.name}.{file.stem}"
        lines.append(f"from {module} import {call} as {file.stem}")
        names.append(file.stem)
    return "\n".join([*lines, f"\n__all__ = {names!r}"]) + "\n"


def loosen(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without lists of words, and without problems: those are raised."""
    loosened: dict[str, Any] = json.loads(json.dumps(document))
    for path in LEFT_OUT:
        del loosened["paths"][path]
    for one in list(_dictionaries(loosened)):
        if isinstance(one.get("enum"), list):
            del one["enum"]
        if "responses" in one:
            one["responses"] = {at: a for at, a in one["responses"].items() if at[0] == "2"}
    return loosened


def operations_with_key(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of each operation that takes `Idempotency-Key`."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if any(one["name"] == "Idempotency-Key" for one in operation["parameters"]):
                yield method.upper(), path


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _dictionaries(one)


def _read(source: str) -> dict[str, Any]:
    if re.match("https?://", source):
        found: dict[str, Any] = httpx.get(source).raise_for_status().json()
    else:
        found = json.loads(Path(source).read_text("utf-8"))
    return found


if __name__ == "__main__":
    build(_read(sys.argv[2]), Path(sys.argv[1]))
