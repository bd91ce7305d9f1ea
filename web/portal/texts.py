"""What the pages call a product, its seats and its pages.

The built-in catalog's products are called as their guides call them; a product of another catalog
by its own name, and by what takes its seats.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from flask import url_for

from ledger.catalog import Catalog, Product
from ledger.permissions import permits
from web.app.context import services
from web.html.languages import current
from web.html.languages import gettext as _

CERTIFICATE: Final = "certificate"

# A title and an address.
MenuLink = tuple[str, str]


def catalog() -> Catalog:
    """Return the catalog with its texts in the reader's language."""
    return services().catalog.in_language(current())


class Words(NamedTuple):
    """What one product's pages are called.

    Attributes:
        section: the part of the menu that its page is in.
        manager: the page on which seats are taken and given back.
        buy: the page on which it is bought.
        buy_plan: what the button says when there is nothing yet.
        holders: what takes the seats, in the plural.
        add, remove: what the buttons say.
        full: what to do when no seat is free.
    """

    section: str
    manager: str
    buy: str
    buy_plan: str
    holders: str
    add: str
    remove: str
    full: str


def words(product: Product) -> Words:
    """Return what a product's pages are called, in the reader's language."""
    of_seat = _words_of_seat(product.seat)
    match product.id:
        case "cloud_pos":
            names = _("POS"), _("POS Manager"), _("Buy POS License"), _("Buy Cloud POS Plan")
        case "integrations":
            names = (
                _("Integrations"),
                _("Integrations"),
                _("Buy Integration License"),
                _("Buy Integration Plan"),
            )
        case _:
            names = (
                product.name,
                _("Users") if product.seat == "user" else product.name,
                _("Buy %(product)s License", product=product.name),
                _("Buy %(product)s Plan", product=product.name),
            )
    return Words(*names, *of_seat)


def _words_of_seat(seat: str) -> tuple[str, str, str, str]:
    match seat:
        case "certificate":
            return (
                _("Certificates"),
                _("Add certificate"),
                _("Remove certificate"),
                _("Remove a certificate before adding a new one."),
            )
        case "connection":
            return (
                _("Connections"),
                _("Add connection"),
                _("Remove connection"),
                _("Remove a connection before adding a new one."),
            )
        case "user":
            return (
                _("Users"),
                _("Add user"),
                _("Deactivate user"),
                _("Deactivate a user before adding a new one."),
            )
        case _:
            return (
                _("Seats taken"),
                _("Add"),
                _("Remove"),
                _("Remove one before adding a new one."),
            )


def menu(catalog: Catalog, permissions: Collection[str]) -> list[tuple[str, list[MenuLink]]]:
    """Return the sections of the menu, each with its pages, for these permissions."""
    billing = [
        (_("Subscriptions"), _page("show_subscriptions")),
        (_("Notices"), _page("show_notices")),
    ]
    settings: list[MenuLink] = []
    managing: list[tuple[str, list[MenuLink]]] = []
    for product in catalog.products:
        if product.billed and not permits(permissions, "manage_users"):
            continue
        named = words(product)
        if permits(permissions, "buy"):
            billing.append((named.buy, _page("show_shop", product)))
        manager = named.manager, _page("show_manager", product)
        if product.billed:
            settings.append(manager)
        else:
            managing.append((named.section, [manager]))
    if permits(permissions, "manage_users"):
        settings.append((_("Billing"), _page("show_billing")))
    sections = [(_("Billing"), billing), *managing, (_("Settings"), settings)]
    return [one for one in sections if one[1]]


def _page(view: str, product: Product | None = None) -> str:
    return url_for(f"portal.{view}", product=product.id if product else None)
