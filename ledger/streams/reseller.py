"""One reseller, by whatever spelling of its name.

Stream:    `reseller-<folded name>` (`ledger.reseller_names`)
Facts:     ResellerNamed
Invariant: one spelling is kept, the first that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.reseller_names import folded

# Facts


class ResellerNamed(Fact, frozen=True):
    """Something was arranged with a reseller for the first time: how its name is spelled."""

    reseller: str


# State


class Reseller(Struct, frozen=True):
    """A reseller as its facts make it.

    Attributes:
        name: in the spelling that is kept; None while nobody has named it.
    """

    name: str | None = None


# Fold


def fold(reseller: Reseller, events: Iterable[AnyOccurrence]) -> Reseller:
    """Return the reseller after these events."""
    for event in events:
        match event.fact:
            case ResellerNamed(reseller=name):
                reseller = Reseller(name)
    return reseller


# Decisions


def name(reseller: Reseller, kept: str) -> list[Fact]:
    """Return the fact that keeps a spelling; none if one is kept."""
    return [] if reseller.name is not None else [ResellerNamed(reseller=kept)]


RESELLER: Stream[Reseller] = Stream(
    kind="reseller",
    facts={"reseller.named@1": ResellerNamed},
    initial=Reseller(),
    fold=fold,
)


def stream_id(name: str) -> str:
    """Return the id in the stream's name for a reseller's name."""
    return folded(name)
