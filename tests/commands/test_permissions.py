"""What a customer's session may do is held by the commands, whichever page asks them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from commands.gateways.stripe_responses import StripeNotConfigured
from commands.occupy_seat import Sitting, occupy_seat
from commands.open_stripe_portal import open_stripe_portal
from commands.purchase import Purchase
from commands.redeem_key import Try, redeem_key, validate_key
from commands.release_seat import release_seat
from commands.services import Services
from commands.start_checkout import start_checkout
from ledger.catalog import parse
from ledger.events import RequestContext
from ledger.permissions import NotPermitted
from ledger.refusals import Refusal
from tests.worlds import context, services

CATALOG = parse(
    """
    [[products]]
    id = "pos"
    name = "POS"
    prefix = "POS"
    seat = "certificate"

    [[products]]
    id = "team"
    name = "Team"
    prefix = "TEAM"
    seat = "user"
    seats = "billed"
    included = 1
    prices = [
      { lookup_key = "team_month", interval = "month", base = true },
      { lookup_key = "team_seat_month", interval = "month" },
    ]
    """
)
PLACE = "https://portal.example/"
NEVER_ISSUED = "{prefix}-ABCD-EFGH-7K2M"

Deed = Callable[[Services, RequestContext], object]


def buy(product: str) -> Deed:
    return lambda world, by: start_checkout(
        world, by, Purchase("acme", product, None, 1, "month", PLACE, PLACE)
    )


def manage(world: Services, by: RequestContext) -> object:
    return open_stripe_portal(world, by, "acme", PLACE)


def sit(product: str) -> Deed:
    return lambda world, by: occupy_seat(world, by, Sitting("acme", product, None, "h", "H"))


def leave(product: str) -> Deed:
    return lambda world, by: release_seat(world, by, "acme", product, "h")


def redeem(product: str | None, prefix: str) -> Deed:
    code = NEVER_ISSUED.format(prefix=prefix)
    return lambda world, by: redeem_key(world, by, Try("acme", "s", code, product))


def validate(product: str | None, prefix: str) -> Deed:
    code = NEVER_ISSUED.format(prefix=prefix)
    return lambda world, by: validate_key(world, by, Try("acme", "s", code, product))


OF_TEAM = [sit("team"), leave("team"), redeem("team", "TEAM"), validate("team", "TEAM")]
OF_TEAM += [redeem(None, "TEAM"), validate(None, "TEAM"), redeem("team", "POS")]
OF_POS = [sit("pos"), leave("pos"), redeem("pos", "POS"), validate("pos", "POS")]


def is_let(deed: Deed, permissions: tuple[str, ...] | None) -> bool:
    """Tell whether a session gets past its permissions, whatever comes of it then."""
    world = services(catalog=CATALOG)
    try:
        deed(world, context()._replace(permissions=permissions))
    except NotPermitted:
        assert world.book.head() == 0
        return False
    except (Refusal, StripeNotConfigured):
        return True
    return True


ALL = [(), ("buy",), ("manage_billing",), ("buy", "manage_billing"), ("manage_users",), None]


@pytest.mark.parametrize("permissions", ALL)
def test_buying_needs_buy_and_of_what_users_are_billed_for_to_manage_users(
    permissions: tuple[str, ...] | None,
) -> None:
    users = permissions is None or "manage_users" in permissions
    assert is_let(buy("pos"), permissions) is (users or "buy" in (permissions or ()))
    assert is_let(buy("team"), permissions) is users


@pytest.mark.parametrize("permissions", ALL)
def test_stripes_portal_needs_to_manage_billing(permissions: tuple[str, ...] | None) -> None:
    may = permissions is None or not {"manage_users", "manage_billing"}.isdisjoint(permissions)
    assert is_let(manage, permissions) is may


@pytest.mark.parametrize("permissions", ALL)
def test_all_of_a_product_billed_by_its_users_needs_to_manage_users(
    permissions: tuple[str, ...] | None,
) -> None:
    users = permissions is None or "manage_users" in permissions
    assert [is_let(deed, permissions) for deed in OF_TEAM] == [users] * len(OF_TEAM)
    assert all(is_let(deed, permissions) for deed in OF_POS)
