"""Every kind of event there is: what it says, and its fields.

Made of the facts themselves, so it cannot tell of another ledger than this program's.
`python -m projections.text.event_catalogue` prints docs/events.md.
"""

from __future__ import annotations

import re
import types
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from ledger import codec
from ledger.events import Fact, Sealed
from projections.answer import Answer, doc

_WORDS: Final[dict[Any, str]] = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    float: "number",
    datetime: "time",
    Sealed: "encrypted text",
    type(None): "null",
    Any: "anything",
}
_EVENTS: Final = {fact.__name__: name.partition("@")[0] for name, fact in codec.FACTS.items()}
_CODE: Final = re.compile(r"\b[A-Z][A-Za-z]+\b")
_ATTRIBUTE: Final = re.compile(r"^    ([a-z_]+(?:, [a-z_]+)*): (.*)$")


class EventField(Answer, frozen=True):
    """A field of an event's `fact`."""

    name: Annotated[str, doc("As it is called in `data.fact`.", "holder")]
    type: Annotated[str, doc("What it holds, in words.", "text or null")]
    description: Annotated[str | None, doc("What it says, where the name does not say it all.")]


class EventKind(Answer, frozen=True):
    """A kind of event."""

    event: Annotated[
        str, doc("Its name, with the version of its shape.", "account.seat_occupied@1")
    ]
    streams: Annotated[
        list[str], doc("How the names of the streams begin that it may be in.", ["account"])
    ]
    summary: Annotated[str, doc("What happened.", "A holder took a seat of a product and tier.")]
    fields: Annotated[list[EventField], doc("The fields of its `fact`, in order.")]


class EventKindList(Answer, frozen=True):
    """All kinds of events."""

    items: Annotated[list[EventKind], doc("In order of their names.")]


def event_kinds() -> EventKindList:
    """Return every kind of event that this program records or reads."""
    return EventKindList(
        [
            EventKind(
                name,
                [stream.kind for stream in codec.STREAMS if name in stream.facts],
                _summary(fact),
                _fields(fact),
            )
            for name, fact in sorted(codec.FACTS.items())
        ]
    )


def _summary(fact: type[Fact]) -> str:
    first = (fact.__doc__ or "").partition("\n\n")[0]
    return _as_told(" ".join(first.split()))


def _fields(fact: type[Fact]) -> list[EventField]:
    hints = get_type_hints(fact)
    told = _attributes(fact)
    return [
        EventField(one.encode_name, type_in_words(hints[one.name]), told.get(one.name))
        for one in fields(fact)
    ]


def _attributes(fact: type[Fact]) -> dict[str, str]:
    """Return what a docstring says of its attributes."""
    told: dict[str, str] = {}
    names: list[str] = []
    _, _, section = (fact.__doc__ or "").partition("Attributes:\n")
    for line in section.splitlines():
        if match := _ATTRIBUTE.match(line.removeprefix("    ")):
            names = match[1].split(", ")
            told |= dict.fromkeys(names, match[2])
        elif line.strip():
            told |= {name: f"{told[name]} {line.strip()}" for name in names}
    return {name: _as_told(text) for name, text in told.items()}


def _as_told(text: str) -> str:
    """Return a docstring's text with the names that readers of events meet."""
    return _CODE.sub(lambda found: _EVENTS.get(found[0], found[0]), text).replace("None", "null")


def type_in_words(of: Any) -> str:
    """Return what a field may hold, in words."""
    if get_origin(of) is Annotated:
        return type_in_words(get_args(of)[0])
    if of in _WORDS:
        return _WORDS[of]
    origin, inner = get_origin(of), get_args(of)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(map(type_in_words, inner))
    if origin in (tuple, list, frozenset):
        return f"list of {type_in_words(inner[0])}"
    if origin is dict or (origin is not None and issubclass(origin, types.MappingProxyType)):
        return f"object of {type_in_words(inner[1])}"
    if isinstance(of, type) and issubclass(of, Struct):
        return f"object of {', '.join(f'`{one.encode_name}`' for one in fields(of))}"
    return "object"


def as_markdown() -> str:
    """Return the catalogue as a page of the documentation."""
    lines = [
        "# Events",
        "",
        "Every kind of event, as `GET /v1/events`, exports and webhooks name it (`type`), with the",
        "fields of its `data.fact`. What all have beside those, who asked for it and when, is in",
        "[the proof format](proof-format.md). A server tells its own at `GET /v1/events/kinds`.",
        "Made by `./dev python -m projections.text.event_catalogue > docs/events.md`.",
        "",
        "A number after `@` is the version of a shape. A shape that was recorded once can be read",
        "for ever; new fields may come with a default, anything else is a new version. Encrypted",
        "text is noise once it was erased.",
    ]
    group = ""
    for kind in event_kinds().items:
        if kind.event.partition(".")[0] != group:
            group = kind.event.partition(".")[0]
            lines += ["", f"## {group}"]
        streams = ", ".join(f"`{stream}-…`" for stream in kind.streams)
        lines += ["", f"### `{kind.event}`", "", f"{kind.summary} In {streams}."]
        if kind.fields:
            lines += ["", "| field | holds | |", "|---|---|---|"]
        lines += [f"| `{one.name}` | {one.type} | {one.description or ''} |" for one in kind.fields]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201
