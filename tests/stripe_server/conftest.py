"""The stand-in, and a shop in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stripe_server import StripeServer
from tests.stripe_server.shop import Shop, open_shop


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    """A Stripe to talk to."""
    with StripeServer() as server:
        yield server


@pytest.fixture
def shop(stripe: StripeServer) -> Shop:
    """What there is to buy."""
    return open_shop(stripe)
