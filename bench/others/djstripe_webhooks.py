"""Taking Stripe's events with dj-stripe: its own view, its own handlers, the signature checked.

    python -m bench.others.djstripe_webhooks postgresql://… CLIENTS NAME EVENT OBJECT

What it does with an update of a subscription, as of its release 2.11: it inserts the request,
checks the signature, inserts the event, and *asks Stripe for the subscription*, since an event may
be old; it brings the rows of the subscription and of its item up to date, and last the request's
own. These are three commits and some thirty statements.

Stripe would take some 100 ms to answer. Here the answer is there at once: it is put into stripe's
client beforehand, so that neither a socket nor a server of ours is measured. No middleware is
installed, and whatever else the events refer to has been fetched before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import stripe

from bench.deliveries import ACCOUNTS, SECRET, Deliveries, Pattern, post
from bench.others.django_set_up import set_up, with_connection
from bench.programs import serve
from bench.rounds import Work

KEY = "sk_test_" + 24 * "0"
APPS = ["django.contrib.contenttypes", "django.contrib.auth", "djstripe"]


class Stripe(stripe.HTTPClient):
    """Returns what it is asked at once.

    Attributes:
        subscriptions: in JSON, by id.
    """

    name = "at once"

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions: dict[str, str] = {}

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        kind, *rest = url.partition("/v1/")[2].partition("?")[0].split("/")
        if kind == "subscriptions":
            return self.subscriptions[rest[0]], 200, {}
        return json.dumps(_object(kind, rest)), 200, {}

    def close(self) -> None:
        """Hold nothing that could be closed."""


def _object(kind: str, rest: list[str]) -> dict[str, Any]:
    """Return what dj-stripe asks for once, and then has."""
    common = {"livemode": False, "created": 1_700_000_000, "metadata": {}}
    match kind, rest:
        case "account", []:
            return {"id": "acct_1", "object": "account", "business_profile": {}, "settings": {}}
        case "customers", [id]:
            return {**common, "id": id, "object": "customer", "default_source": None}
        case "products", [id]:
            return {**common, "id": id, "object": "product", "name": id, "type": "service"}
        case "products", [_, "features"]:
            return {"object": "list", "data": [], "has_more": False, "url": "/v1/…"}
    raise AssertionError(f"dj-stripe asks for {kind} {rest}")


def make(url: str, name: str, pattern: Pattern) -> Work:
    set_up(
        url,
        APPS,
        ALLOWED_HOSTS=["localhost"],
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
        MIDDLEWARE=[],
        # The tables at once, not by the steps of all its releases, which takes a minute.
        MIGRATION_MODULES=dict.fromkeys(("auth", "contenttypes", "djstripe")),
        ROOT_URLCONF="djstripe.urls",
        STRIPE_LIVE_MODE=False,
        STRIPE_TEST_SECRET_KEY=KEY,
    )
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from djstripe.models import SubscriptionItem, WebhookEndpoint

    if "djstripe_event" not in connection.introspection.table_names():
        call_command("migrate", run_syncdb=True, verbosity=0)
    stripe.api_key = KEY
    stripe.default_http_client = standing = Stripe()
    endpoint = WebhookEndpoint.objects.create(
        id=f"we_{name}", secret=SECRET, livemode=False, enabled_events=["*"], status="enabled"
    )
    application = get_wsgi_application()
    deliveries = Deliveries(pattern, name)

    def work(client: int) -> None:
        with_connection(client)
        delivery = deliveries.next()
        standing.subscriptions[f"sub_{delivery.id}"] = delivery.object
        post(application, f"/webhook/{endpoint.djstripe_uuid}/", delivery)

    for _ in range(ACCOUNTS):
        work(0)
    found = SubscriptionItem.objects.filter(subscription__id__startswith=f"sub_{name}")
    assert [item.quantity for item in found] == [1] * ACCOUNTS, "it has taken the events in"
    return work


if __name__ == "__main__":
    url, clients, name, event, object = sys.argv[1:]
    serve(lambda: make(url, name, Pattern(event, object)), int(clients))
