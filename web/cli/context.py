"""The ledger, opened for one command."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from commands import validation
from commands.services import Services
from ledger.events import RequestContext
from ledger.refusals import FieldError
from projections.views import seats as projected
from projections.views.account_at import AccountAt
from web.app.services import Wiring, wire
from web.cli.settings import settings_of_command

OPERATOR: Final = "operator"
REQUEST_ID_CHARACTERS: Final = 26


class CliContext(NamedTuple):
    """What a command works with.

    Attributes:
        request_context: of this one call: the clock is read once.
    """

    wiring: Wiring
    services: Services
    request_context: RequestContext

    def now(self) -> RequestContext:
        """Return the context with the clock read anew, for what goes on for long."""
        return self.wiring.request_context(OPERATOR, self.request_context.request_id)


@contextmanager
def open_ledger() -> Iterator[CliContext]:
    """Return a context with the ledger that the settings name, open.

    Raises:
        SettingError: a setting, the schema or the secret will not do.
    """
    wiring = wire(settings_of_command())
    try:
        yield CliContext(
            wiring, wiring.services, wiring.request_context(OPERATOR, new_request_id())
        )
    finally:
        wiring.close()


def check_pools(
    services: Services, state: AccountAt, product: str | None, tier: str | None = None
) -> None:
    """Hold a product and a tier that were asked for to what the catalog or the account has.

    Raises:
        InvalidRequest: neither has it, or a tier of no product.
    """
    if product is None:
        validation.refuse_if([FieldError("/tier", "needs a product")] if tier else [])
        return
    pools = projected.pools(state.account, services.catalog)
    tiers = {of_tier for of_product, of_tier in pools if of_product == product}
    if not tiers:
        validation.refuse_if(validation.product(services.catalog, product))
    if tier is not None and tier not in tiers:
        validation.refuse_if(validation.product_and_tier(services.catalog, product, tier))


def new_request_id() -> str:
    """Return a random id, to find what one run of the program has done."""
    digits = base64.b32encode(secrets.token_bytes(17)).decode().lower()
    return "req_" + digits[:REQUEST_ID_CHARACTERS]
