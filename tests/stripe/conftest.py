"""What the tests about Stripe stand on."""

from __future__ import annotations

import pytest

from tests.stripe.payloads import TAKING
from tests.web.api import Api, memory_api


@pytest.fixture
def api() -> Api:
    """Answer the API over an empty ledger in memory, with a secret for deliveries and no key."""
    return memory_api(stripe=TAKING)
