"""The Subscriptions view as JSON has it, spelled out by hand; the real one is brought to that form.

Times are written as in `tests.projections.telling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import asdict

from ledger.catalog import Catalog, builtin
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions
from tests.projections.telling import ACCOUNT_ID, short, told

Json = dict[str, Any]
BUILTIN = builtin()


@dataclass(frozen=True)
class Situation:
    """A ledger, a question about it, and the answer.

    Attributes:
        id: what is special about it.
        products: the answer's products, computed by hand.
        ended: whether ended rows are asked for, too (`all=true`).
    """

    id: str
    ledger: str
    moment: Moment
    products: list[Json]
    ended: bool = False
    catalog: Catalog = BUILTIN

    def answer(self) -> list[Json]:
        """Ask the program."""
        account = account_at(told(self.ledger), ACCOUNT_ID, self.moment)
        view = subscriptions(account, self.catalog, ended=self.ended)
        return [
            {
                **asdict(product),
                "rows": [_json(asdict(row)) for row in product.rows],
                "upcoming": [_json(asdict(row)) for row in product.upcoming],
            }
            for product in view.products
        ]


def _json(row: Json) -> Json:
    return {
        **row,
        "started_at": short(row["started_at"]),
        "expires_at": short(row["expires_at"]),
    }


def pos(seats: int, used: int, over: int, *rows: Json) -> Json:
    return product("cloud_pos", "Cloud POS", seats, used, over, *rows)


def integrations(seats: int, used: int, over: int, *rows: Json) -> Json:
    return product("integrations", "Integrations", seats, used, over, *rows)


def product(id: str, name: str, seats: int, used: int, over: int, *rows: Json) -> Json:
    return {
        "product": id,
        "name": name,
        "seats": seats,
        "used": used,
        "over": over,
        "rows": list(rows),
        "upcoming": [],
    }


def row(
    subscription: str,
    key: str,
    seats: int,
    used: int,
    status: str,
    started_at: str,
    expires_at: str,
    tier: str | None = None,
    tier_name: str | None = None,
) -> Json:
    """A row of a redeemed key: no key renews, and none is managed at Stripe."""
    return {
        "subscription": subscription,
        "tier": tier,
        "tier_name": tier_name,
        "seats": seats,
        "used": used,
        "source": "activation_key",
        "key": key,
        "stripe_subscription": None,
        "status": status,
        "started_at": started_at,
        "expires_at": expires_at,
        "renews": False,
        "can_manage": False,
    }


NO_POS = pos(0, 0, 0)
NO_INTEGRATIONS = integrations(0, 0, 0)
