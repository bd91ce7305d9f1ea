"""The catalog: what comes with Keyfold, and what a mistake in another one is told."""

from __future__ import annotations

import doctest
from dataclasses import dataclass

import pytest

from ledger import catalog
from ledger.catalog import CatalogError, builtin, parse

POS = """
[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "certificate"
"""
STARTER = """
[[products.tiers]]
id = "starter"
name = "Starter"
limits = { invoices_per_month = 300 }
"""


def test_what_comes_with_keyfold_is_what_the_guides_sell() -> None:
    pos, integrations = builtin().products
    assert (pos.id, pos.name, pos.prefix, pos.seat) == (
        "cloud_pos",
        "Cloud POS",
        "POS",
        "certificate",
    )
    assert pos.tiers == ()
    assert (integrations.id, integrations.name, integrations.prefix, integrations.seat) == (
        "integrations",
        "Integrations",
        "INT",
        "connection",
    )
    assert [(tier.id, tier.name, tier.limits) for tier in integrations.tiers] == [
        ("starter", "Starter", {"invoices_per_month": 300, "sync": "Basic"}),
        (
            "growth",
            "Growth",
            {"invoices_per_month": 3_000, "sync": "Near real-time + auto retry"},
        ),
        (
            "scale",
            "Scale",
            {"invoices_per_month": 10_000, "sync": "Real-time + multi-location"},
        ),
    ]


def test_products_and_tiers_are_found() -> None:
    both = builtin()
    assert both.prefixes == {"POS", "INT"}
    assert both.product("cloud_pos") is both.by_prefix("POS")
    assert both.product("POS") is None
    assert both.by_prefix("pos") is None
    integrations = both.product("integrations")
    assert integrations is not None
    assert integrations.tier_ids == ["starter", "growth", "scale"]
    assert integrations.tier(None) is None
    assert integrations.tier_name("growth") == "Growth"
    assert integrations.tier_name("gone") == "gone"
    assert integrations.limits_of("starter")["invoices_per_month"] == 300
    assert integrations.limits_of("gone") == {}
    pos = both.product("cloud_pos")
    assert pos is not None
    assert pos.tier_ids == [None]
    assert pos.tier_name(None) is None
    assert pos.limits_of(None) == {}


def test_a_product_without_tiers_has_limits_of_its_own() -> None:
    only = parse(POS + "limits = { tills = 3, offline = true }").products[0]
    assert only.limits_of(None) == {"tills": 3, "offline": True}


@dataclass(frozen=True)
class Mistake:
    says: str
    toml: str
    told: str


MISTAKES = [
    Mistake("not TOML", "[[products]\n", "line 1"),
    Mistake("empty", "", "`products`"),
    Mistake("no products", "products = []", "`products` is empty"),
    Mistake("a field missing", POS.replace('name = "Cloud POS"', ""), "`name` - at `$.products[0]"),
    Mistake("a field too many", POS + 'colour = "red"', "`colour` - at `$.products[0]"),
    Mistake("something else at the top", 'title = "x"\n' + POS, "`title`"),
    Mistake("no text", POS.replace('"POS"', "7"), "`$.products[0].prefix`"),
    Mistake("a prefix in lower case", POS.replace('"POS"', '"pos"'), "`$.products[0].prefix`"),
    Mistake("a prefix with a digit", POS.replace('"POS"', '"P0S"'), "`$.products[0].prefix`"),
    Mistake("a prefix of one letter", POS.replace('"POS"', '"P"'), "`$.products[0].prefix`"),
    Mistake("a prefix with a line break", POS.replace('"POS"', '"POS\\n"'), "prefix`"),
    Mistake(
        "an id with a line break", POS.replace('"cloud_pos"', '"pos\\n"'), "`$.products[0].id`"
    ),
    Mistake("an id with a space", POS.replace('"cloud_pos"', '"cloud pos"'), "`$.products[0].id`"),
    Mistake("an id with a capital", POS.replace('"cloud_pos"', '"Pos"'), "`$.products[0].id`"),
    Mistake("an empty name", POS.replace('"Cloud POS"', '""'), "`$.products[0].name`"),
    Mistake("a tier's field", POS + STARTER.replace("name", "nom"), "`$.products[0].tiers[0]`"),
    Mistake(
        "a limit of another type", POS + STARTER.replace("300", "[3]"), "tiers[0].limits[...]`"
    ),
    Mistake(
        "an id twice",
        POS + POS.replace('"POS"', '"POT"'),
        "`products.id` has 'cloud_pos' twice",
    ),
    Mistake(
        "a prefix twice",
        POS + POS.replace('"cloud_pos"', '"till"'),
        "`products.prefix` has 'POS' twice",
    ),
    Mistake(
        "a tier twice",
        POS + STARTER + STARTER,
        "`products.cloud_pos.tiers.id` has 'starter' twice",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.says)
def test_a_mistake_is_told_with_its_place(mistake: Mistake) -> None:
    with pytest.raises(CatalogError) as caught:
        parse(mistake.toml)
    assert mistake.told in str(caught.value)


def test_the_examples_without_mistakes_are_fine() -> None:
    assert len(parse(POS + STARTER).products[0].tiers) == 1


def test_the_example_in_the_module_holds() -> None:
    assert doctest.testmod(catalog).failed == 0
