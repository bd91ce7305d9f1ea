"""The endpoints that events are delivered to."""

from __future__ import annotations

from tests.stripe_server.catalog import update_fields
from tests.stripe_server.errors import Json
from tests.stripe_server.world import World


def create_endpoint(world: World, params: Json) -> Json:
    """Register where events are delivered to; the secret is told this once."""
    name = world.new_id("we")
    endpoint = world.add(
        {
            "id": name,
            "object": "webhook_endpoint",
            "api_version": params.get("api_version"),
            "application": None,
            "created": world.clock,
            "description": params.get("description"),
            "enabled_events": params["enabled_events"],
            "livemode": world.settings.livemode,
            "metadata": params.get("metadata") or {},
            "status": "enabled",
            "url": params["url"],
        }
    )
    secret = f"whsec_{world.rng.getrandbits(128):032x}"
    world.plans[name] = {"secret": secret}
    return {**endpoint, "secret": secret}


def update_endpoint(world: World, params: Json, name: str) -> Json:
    """Change an endpoint."""
    endpoint = world.get("webhook_endpoint", name)
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return update_fields(world, endpoint, params, ("url", "enabled_events", "description"))
