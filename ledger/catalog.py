"""The catalog: which products there are, their tiers, prefixes and limits.

    >>> catalog = builtin()
    >>> catalog.product("integrations").tier("growth").limits["invoices_per_month"]
    3000
    >>> catalog.by_prefix("POS").id
    'cloud_pos'

A catalog is read once at start and never changes while the program runs. What an event means is
stored with the event, so another catalog tomorrow changes no history.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
Prefix = Annotated[str, Meta(pattern=r"^[A-Z]{2,8}\Z")]


class CatalogError(ValueError):
    """The catalog cannot be used; the message names the place and the mend."""


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """A level of a product, with limits of its own.

    Attributes:
        limits: what the tier allows, shown to customers as it stands, e.g. `invoices_per_month`.
    """

    id: Id
    name: Name
    limits: dict[str, int | str | bool] = {}


class Product(Struct, frozen=True, forbid_unknown_fields=True):
    """Something a customer has seats of.

    Attributes:
        prefix: what the product's activation codes begin with.
        seat: what takes a seat, in the singular: `certificate`, `connection`, `user`.
        tiers: in the order in which they are shown; empty for a product without tiers.
        limits: limits of a product without tiers.
    """

    id: Id
    name: Name
    prefix: Prefix
    seat: Name
    tiers: tuple[Tier, ...] = ()
    limits: dict[str, int | str | bool] = {}

    @property
    def tier_ids(self) -> list[str | None]:
        """The ids of the tiers in their order; `[None]` for a product without."""
        return [tier.id for tier in self.tiers] or [None]

    def tier(self, id: str | None) -> Tier | None:
        """Answer the tier with this id, or None."""
        return next((tier for tier in self.tiers if tier.id == id), None)

    def tier_name(self, id: str | None) -> str | None:
        """Answer what customers read for a tier; an id that left the catalog stands for itself."""
        tier = self.tier(id)
        return tier.name if tier else id

    def limits_of(self, tier_id: str | None) -> dict[str, int | str | bool]:
        """Answer the limits that hold in a tier, or in the product when it has none."""
        tier = self.tier(tier_id)
        return tier.limits if tier else self.limits


class Catalog(Struct, frozen=True, forbid_unknown_fields=True):
    """All products, in the order in which they are shown."""

    products: tuple[Product, ...]

    def product(self, id: str) -> Product | None:
        """Answer the product with this id, or None."""
        return next((product for product in self.products if product.id == id), None)

    def by_prefix(self, prefix: str) -> Product | None:
        """Answer the product whose codes begin with this prefix, or None."""
        return next((product for product in self.products if product.prefix == prefix), None)

    @property
    def prefixes(self) -> frozenset[str]:
        return frozenset(product.prefix for product in self.products)


def parse(text: str) -> Catalog:
    """Read a catalog from TOML.

    Raises:
        CatalogError: not TOML, a field missing, unknown or out of shape, or an id or prefix twice.
    """
    try:
        catalog = msgspec.convert(tomllib.loads(text), Catalog)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogError(str(error)) from error
    if not catalog.products:
        raise CatalogError("`products` is empty: name at least one product")
    _refuse_repeats("products.id", [product.id for product in catalog.products])
    _refuse_repeats("products.prefix", [product.prefix for product in catalog.products])
    for product in catalog.products:
        _refuse_repeats(f"products.{product.id}.tiers.id", [tier.id for tier in product.tiers])
    return catalog


def builtin() -> Catalog:
    """Answer the catalog that comes with Keyfold: Cloud POS, and Integrations in three tiers."""
    return parse(resources.files("ledger").joinpath("catalog.toml").read_text("utf-8"))


def _refuse_repeats(place: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise CatalogError(f"`{place}` has {value!r} twice: give each its own")
