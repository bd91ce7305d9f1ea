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

import re
import tomllib
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
Prefix = Annotated[str, Meta(pattern=r"^[A-Z]{2,8}\Z")]
StripeId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,200}\Z")]
Interval = Literal["month", "year"]
Colour = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}\Z")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")]
WebAddress = Annotated[str, Meta(pattern=r"^https?://[!-~]{1,500}\Z")]
MailAddress = Annotated[str, Meta(pattern=r"^[^\s@<>?&]{1,64}@[^\s@<>?&]{1,190}\Z")]

# Before an end.
Days = Annotated[int, Meta(ge=1, le=365)]
NOTICES_DEFAULT: Final = (30, 7, 1)

_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_ENGLISH: Final = "en"


class CatalogError(ValueError):
    """The catalog cannot be used; the message names the place and the mend."""


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """A price of Stripe's that sells a product or a tier; known by one of its first three fields.

    Attributes:
        price: Stripe's id of it.
        lookup_key: the vendor's own name for it, which can move to another price.
        stripe_product: whatever price of this Stripe product it is.
        interval: how often it is paid; needed to sell by it.
        seats: that each unit of it gives.
        base: whether it is the plan that further seats are billed on top of; it gives the
            product's `included` seats.
    """

    price: StripeId | None = None
    lookup_key: StripeId | None = None
    stripe_product: StripeId | None = None
    interval: Interval | None = None
    seats: Annotated[int, Meta(ge=1, le=100_000)] = 1
    base: bool = False


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """A level of a product, with limits of its own.

    Attributes:
        limits: what the tier allows, shown to customers as it stands, e.g. `invoices_per_month`.
        prices: what Stripe sells it by.
    """

    id: Id
    name: Name
    limits: dict[str, int | str | bool] = {}
    prices: tuple[Price, ...] = ()


class Product(Struct, frozen=True, forbid_unknown_fields=True):
    """Something a customer has seats of.

    Attributes:
        prefix: what the product's activation codes begin with.
        seat: what takes a seat, in the singular: `certificate`, `connection`, `user`.
        tiers: in the order in which they are shown; empty for a product without tiers.
        limits: limits of a product without tiers.
        prices: what Stripe sells a product without tiers by.
        seats: `capped`, so that nobody is let in beyond them; or `billed`, by the number of
            holders.
        included: how many seats come with a base plan, where seats are billed.
    """

    id: Id
    name: Name
    prefix: Prefix
    seat: Name
    tiers: tuple[Tier, ...] = ()
    limits: dict[str, int | str | bool] = {}
    prices: tuple[Price, ...] = ()
    seats: Literal["capped", "billed"] = "capped"
    included: Annotated[int, Meta(ge=0, le=100_000)] = 0

    @property
    def billed(self) -> bool:
        """Return whether Stripe bills the seats by their holders, so that they have no end."""
        return self.seats == "billed"

    @property
    def tier_ids(self) -> list[str | None]:
        """Return the ids of the tiers in their order; `[None]` for a product without."""
        return [tier.id for tier in self.tiers] or [None]

    def tier(self, id: str | None) -> Tier | None:
        """Return the tier with this id, or None."""
        return next((tier for tier in self.tiers if tier.id == id), None)

    def tier_name(self, id: str | None) -> str | None:
        """Return what customers read for a tier; an id that left the catalog stands for itself."""
        tier = self.tier(id)
        return tier.name if tier else id

    def prices_of(self, tier_id: str | None) -> tuple[Price, ...]:
        """Return what Stripe sells a tier by, or the product when it has none."""
        tier = self.tier(tier_id)
        return tier.prices if tier else self.prices

    def limits_of(self, tier_id: str | None) -> dict[str, int | str | bool]:
        """Return the limits that hold in a tier, or in the product when it has none."""
        tier = self.tier(tier_id)
        return tier.limits if tier else self.limits


class Brand(Struct, frozen=True, forbid_unknown_fields=True):
    """What the pages show of the vendor; each is None where they do without.

    Attributes:
        logo: a file beside the catalog.
        accent: of buttons and links.
        support_url, support_email: where customers get help.
    """

    name: Name | None = None
    logo: FileName | None = None
    accent: Colour | None = None
    support_url: WebAddress | None = None
    support_email: MailAddress | None = None


class Sold(NamedTuple):
    """What a price of Stripe's sells."""

    product: Product
    tier: str | None
    price: Price


class Catalog(Struct, frozen=True, dict=True):
    """All products, in the order in which they are shown.

    Attributes:
        translations: the same products with their texts in other languages than English.
        notices: how many days before an end it is told of, the most first.
    """

    products: tuple[Product, ...]
    brand: Brand = Brand()
    translations: dict[str, Catalog] = {}
    notices: tuple[int, ...] = NOTICES_DEFAULT

    def in_language(self, language: str) -> Catalog:
        """Return the catalog as people of a language read it: what has no such text is English."""
        return self.translations.get(language, self)

    def product(self, id: str) -> Product | None:
        """Return the product with this id, or None."""
        return next((product for product in self.products if product.id == id), None)

    def by_prefix(self, prefix: str) -> Product | None:
        """Return the product whose codes begin with this prefix, or None."""
        return next((product for product in self.products if product.prefix == prefix), None)

    def sold_by(
        self, price: str | None, lookup_key: str | None, stripe_product: str | None
    ) -> Sold | None:
        """Return what a price sells: known by its id first, then its key, then its product."""
        for field, value in (
            ("price", price),
            ("lookup_key", lookup_key),
            ("stripe_product", stripe_product),
        ):
            for sold in self.sold():
                if value is not None and getattr(sold.price, field) == value:
                    return sold
        return None

    def sold(self) -> Iterator[Sold]:
        """Return all that Stripe sells, in the catalog's order."""
        for product in self.products:
            for tier in product.tier_ids:
                for price in product.prices_of(tier):
                    yield Sold(product, tier, price)

    @cached_property
    def prefixes(self) -> frozenset[str]:
        """Return the prefixes of all products' codes."""
        return frozenset(product.prefix for product in self.products)


def parse(text: str) -> Catalog:
    """Return the catalog that a TOML text describes.

    Raises:
        CatalogError: not TOML, a field missing, unknown or out of shape, or an id or prefix twice.
    """
    try:
        written = tomllib.loads(text)
        languages: set[str] = set()
        read = msgspec.convert(_in_language(written, _ENGLISH, languages), _File)
        translations = {
            language: msgspec.convert(_in_language(written, language, languages), _File)
            for language in sorted(languages - {_ENGLISH})
        }
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogError(str(error)) from error
    catalog = Catalog(
        read.products,
        read.brand,
        {language: Catalog(one.products, one.brand) for language, one in translations.items()},
        tuple(sorted(read.notices, reverse=True)),
    )
    if not catalog.products:
        raise CatalogError("`products` is empty: name at least one product")
    _refuse_repeats("products.id", [product.id for product in catalog.products])
    _refuse_repeats("products.prefix", [product.prefix for product in catalog.products])
    for product in catalog.products:
        _refuse_repeats(f"products.{product.id}.tiers.id", [tier.id for tier in product.tiers])
    _refuse_repeats("notices", [str(days) for days in catalog.notices])
    _check_prices(catalog)
    return catalog


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    products: tuple[Product, ...]
    brand: Brand = Brand()
    notices: Annotated[tuple[Days, ...], Meta(max_length=10)] = NOTICES_DEFAULT


def _in_language(written: dict[str, Any], language: str, languages: set[str]) -> dict[str, Any]:
    """Return what the file says in one language, and note which there are.

    Names of products and tiers, and what their limits are, may be tables of texts by language.
    """

    def text(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            return value
        if _ENGLISH not in value or not all(map(_LANGUAGE.fullmatch, value)):
            raise CatalogError(
                f'`{place}` must be a text, or texts by language as {{ en = "…", de = "…" }}'
            )
        languages.update(value)
        return value.get(language, value[_ENGLISH])

    def thing(one: Any, place: str) -> Any:
        if not isinstance(one, dict):
            return one
        made = dict(one)
        if "name" in one:
            made["name"] = text(one["name"], f"{place}.name")
        if isinstance(limits := one.get("limits"), dict):
            made["limits"] = {
                name: text(value, f"{place}.limits.{name}") for name, value in limits.items()
            }
        if isinstance(tiers := one.get("tiers"), list):
            made["tiers"] = [thing(tier, _place(f"{place}.tiers", tier)) for tier in tiers]
        return made

    products = written.get("products")
    if not isinstance(products, list):
        return written
    return {**written, "products": [thing(one, _place("products", one)) for one in products]}


def _place(of: str, one: Any) -> str:
    return f"{of}.{one.get('id')}" if isinstance(one, dict) else of


def builtin() -> Catalog:
    """Return the catalog that comes with Keyfold: Cloud POS, and Integrations in three tiers."""
    return parse(resources.files("ledger").joinpath("catalog.toml").read_text("utf-8"))


def _refuse_repeats(place: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise CatalogError(f"`{place}` has {value!r} twice: give each its own")
        seen.add(value)


def _check_prices(catalog: Catalog) -> None:
    for product in catalog.products:
        place = f"products.{product.id}"
        if product.tiers and product.prices:
            raise CatalogError(f"`{place}.prices` is given, but the prices are its tiers'")
        if product.tiers and product.billed:
            raise CatalogError(f"`{place}.seats` is billed: leave out its tiers")
        if product.included and not product.billed:
            raise CatalogError(f'`{place}.included` is given: that needs `seats = "billed"`')
        for tier in product.tier_ids:
            for price in product.prices_of(tier):
                _check_price(f"{place}.prices", product, price)
    for field in ("price", "lookup_key", "stripe_product"):
        known = [getattr(sold.price, field) for sold in catalog.sold()]
        _refuse_repeats(f"prices.{field}", [value for value in known if value is not None])


def _check_price(place: str, product: Product, price: Price) -> None:
    named = [price.price, price.lookup_key, price.stripe_product]
    if sum(name is not None for name in named) != 1:
        raise CatalogError(
            f"`{place}` has one that is not known by exactly one of `price`, `lookup_key` and"
            " `stripe_product`"
        )
    if price.base and not product.billed:
        raise CatalogError(f'`{place}` has a base plan: that needs `seats = "billed"`')
