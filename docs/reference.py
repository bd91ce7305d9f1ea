"""`./dev python docs/reference.py [FOLDER]`: writes docs/reference out of the program itself.

Commands out of the command line, the API out of its OpenAPI document, refusals and metrics out of
where they are declared. A test holds what is committed to what this writes.
"""

from __future__ import annotations

import base64
import inspect
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from ledger.events import Sealed
from ledger.store import schema
from ledger.streams.webhooks import Webhook
from projections.lists.overview import Attention
from projections.lists.webhook_deliveries import Backlog
from web.app.errors import PROBLEM_TYPES, REFUSED
from web.app.metrics import Metrics
from web.app.services import wire
from web.app.settings import read_settings
from web.cli.main import keyfold
from web.create_app import create_app

HERE: Final = Path(__file__).parent / "reference"
MADE: Final = "% Made by docs/reference.py: change the program, and run it.\n\n"


def pages() -> dict[str, str]:
    """Return the pages of the reference by their names."""
    document = _openapi()
    return {
        "commands.md": "\n".join(_commands()),
        "api.md": "\n".join(_api(document)),
        "refusals.md": "\n".join(_refusals(document)),
        "metrics.md": "\n".join(_metrics()),
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if found:
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in found)
        yield ""


# Commands


def _commands() -> Iterator[str]:
    yield f"{MADE}# Commands\n"
    yield "`keyfold COMMAND --help` says the same in the terminal.\n"
    yield from _group(keyfold, "keyfold", None)


def _group(group: click.Group, path: str, above: click.Context | None) -> Iterator[str]:
    context = click.Context(group, info_name=path.rpartition(" ")[2], parent=above)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        own = f"{path} {name}"
        if isinstance(command, click.Group):
            yield f"## {own}\n"
            yield f"{_text(command.help)}\n"
            yield from _group(command, own, context)
        else:
            yield from _command(command, own, context)


def _command(command: click.Command, path: str, above: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=above)
    yield f"##{'#' * (path.count(' ') > 1)} {path}\n"
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```\n"
    yield f"{_text(command.help)}\n"
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    records = [one.get_help_record(context) for one in options]
    told = [f"- `{names}`: {said}" for names, said in filter(None, records)]
    yield "\n".join([*told, ""])
    examples: Sequence[str] = getattr(command, "_examples", ())
    if examples:
        yield "```sh\n" + "\n".join(examples) + "\n```\n"


def _text(said: str | None) -> str:
    lines = (line.strip() for line in (said or "").replace("\b", "").splitlines())
    return "\n".join(lines).strip()


# The API


def _openapi() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/keyfold.db"
        schema.upgrade(url)
        secret = base64.b64encode(bytes(32)).decode()
        with closing(
            wire(read_settings({"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": secret}))
        ) as wiring:
            found: dict[str, Any] = create_app(wiring).test_client().get("/openapi.json").json
            return found


def _api(document: dict[str, Any]) -> Iterator[str]:
    yield f"{MADE}# The API\n"
    yield (
        "Every operation, out of `/openapi.json`, which has every field of every answer as well,"
        " and from which the clients are made (`./dev clients`). What each no means stands under"
        " [refusals](refusals.md).\n"
    )
    for tag in document["tags"]:
        yield f"## {tag['name'].capitalize()}\n"
        yield f"{tag['description']}\n"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(document, method.upper(), path, operation)
    yield from _objects(document)


def _objects(document: dict[str, Any]) -> Iterator[str]:
    yield "## Objects\n"
    yield "What is sent and answered. A field without a word in the middle may be left out.\n"
    for name, described in sorted(document["components"]["schemas"].items()):
        schema: dict[str, Any] = described
        yield f"### {name}\n"
        yield f"{schema.get('description', '')}\n"
        required = schema.get("required", ())
        yield from _table(
            ("field", "", ""),
            (
                (
                    f"`{field}`",
                    f"{_kind(its)}{', always' if field in required else ''}",
                    str(its.get("description", "")),
                )
                for field, its in schema.get("properties", {}).items()
            ),
        )


def _kind(schema: dict[str, Any]) -> str:
    """Return what a field is, as the reader of a table needs it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "enum" in schema:
        return " / ".join(f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(schema.get("format", kinds))


def _operation(
    document: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"```text\n{method} {path}\n```\n"
    yield f"`{operation['operationId']}`. {operation.get('description', '')}\n"
    parameters = [_resolved(document, one) for one in operation.get("parameters", ())]
    yield from _table(
        ("parameter", "in", ""),
        ((f"`{one['name']}`", one["in"], one.get("description", "")) for one in parameters),
    )
    content = operation.get("requestBody", {}).get("content", {})
    for described in content.values():
        schema = _resolved(document, described.get("schema", {}))
        required = schema.get("required", ())
        yield from _table(
            ("field", "", ""),
            (
                (f"`{name}`", "needed" if name in required else "", _said(document, field))
                for name, field in schema.get("properties", {}).items()
            ),
        )
        break
    answers = []
    for status, answer in operation["responses"].items():
        said = _resolved(document, answer)["description"]
        codes = [line[2:].partition(":")[0] for line in said.splitlines() if line[:2] == "- "]
        schema = next(iter(_resolved(document, answer).get("content", {}).values()), {})
        what = f" {_kind(schema['schema'])}" if schema.get("schema") and not codes else ""
        answers.append((status, ", ".join(_linked(code) for code in codes) or said + what))
    yield from _table(("status", ""), answers)


def _linked(code: str) -> str:
    bare = code.strip("`")
    return f"[`{bare}`](refusals.md#{bare.replace('_', '-')})"


def _resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _said(document: dict[str, Any], field: dict[str, Any]) -> str:
    return str(field.get("description") or _resolved(document, field).get("description", ""))


# Refusals


def _refusals(document: dict[str, Any]) -> Iterator[str]:
    yield f"{MADE}# Refusals\n"
    yield (
        "Every no is a problem document (RFC 9457) with a `code` that is stable; its `type` is"
        " `/docs#code`. The command line says the same codes, and exits with 1.\n"
    )
    classes = {refusal.code: refusal for refusal in REFUSED}
    for code, kind in sorted(PROBLEM_TYPES.items()):
        yield f"## {code}\n"
        said = inspect.getdoc(classes[code]) if code in classes else None
        yield f"{kind.status}: {kind.title}.\n"
        if said is not None:
            yield f"{said.partition('Attributes:')[0].strip()}\n"
        of = [
            f"[`{operation['operationId']}`](api.md#{_anchor(operation['summary'])})"
            for operations in document["paths"].values()
            for operation in operations.values()
            if f"`{code}`"
            in operation["responses"].get(str(kind.status), {}).get("description", "")
        ]
        if code in classes and of:
            yield f"Answered by {', '.join(of)}.\n"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


# Metrics


def _metrics() -> Iterator[str]:
    yield f"{MADE}# Metrics\n"
    yield (
        "What `/metrics` tells. What to do at each alert stands under"
        " [what to watch](../operations.md#what-to-watch).\n"
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    sealed = Sealed("", "")
    webhook = Webhook("whk_", sealed, "", (), None, 0, 0, at, (), 0)
    text = Metrics().render(
        1,
        Attention(0, 0, 0, {}, 0, {}, 0, 0),
        [Backlog(webhook, 1, at, at, 0)],
        now=at,
        clock_ahead_s=0.0,
    )
    rows, said = [], ""
    for line in text.decode().splitlines():
        if line.startswith("# HELP "):
            said = line.split(" ", 3)[3]
        elif line.startswith("# TYPE keyfold_"):
            _, _, name, kind = line.split(" ", 3)
            rows.append((f"`{name}`", kind, said))
    yield from _table(("metric", "", ""), sorted(rows))


def main() -> None:
    """Write the pages into a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text.rstrip("\n") + "\n", "utf-8")


if __name__ == "__main__":
    main()
