"""`StripeServer`: what tests use."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple, Self

import stripe as sdk

from tests.stripe_server import checkout, cycles, refunds, routes
from tests.stripe_server.calls import Answer, Kept, fail_for_good, perform
from tests.stripe_server.delivery import Delivery, in_disorder, post
from tests.stripe_server.errors import ApiError, Json
from tests.stripe_server.faults import KINDS, Fault
from tests.stripe_server.rendering import rendered
from tests.stripe_server.shapes import ShapeDeviation
from tests.stripe_server.web import HttpServer
from tests.stripe_server.world import CURRENT_VERSION, DAY, Settings, World

START = 1_767_225_600  # 1 January 2026, 00:00 UTC


class Received(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    params: Json
    idempotency_key: str | None
    version: str | None
    headers: dict[str, str]


class StripeServer:
    """A Stripe account in memory, at `url` while it is entered.

    Args:
        api_key: the only key that is not refused
        now: where its clock stands, seconds since 1970; it moves when it is told to
        seed: gives the same ids again
        port: 0 for any
        serve: False for calls in process only, without a socket
        settings: how the account is set up

    """

    def __init__(
        self,
        api_key: str = "sk_test_stand_in",
        *,
        now: int = START,
        seed: int = 0,
        port: int = 0,
        serve: bool = True,
        settings: Settings | None = None,
    ) -> None:
        self.api_key = api_key
        self.world = World(now, seed, settings or Settings())
        self.requests: list[Received] = []
        self._kept: dict[str, Kept] = {}
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._port = port
        self._serve = serve
        self._http: HttpServer | None = None

    # -- being there ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._serve:
            self._up()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._down()
        if kind is None and self.world.deviations:
            raise ShapeDeviation("; ".join(self.world.deviations))

    def _up(self) -> None:
        self._http = HttpServer(self._port, self)
        self._port = self._http.server_address[1]
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def _down(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.hang_up()
            self._http = None

    @property
    def url(self) -> str:
        """Where it is; the same when it comes up again."""
        return f"http://127.0.0.1:{self._port}"

    def client(self, **options: Any) -> sdk.StripeClient:
        """Return Stripe's own client for it."""
        options = {"max_network_retries": 0, **options}
        return sdk.StripeClient(self.api_key, base_addresses={"api": self.url}, **options)

    # -- calls ------------------------------------------------------------------------------------

    def perform(
        self,
        method: str,
        path: str,
        params: Json,
        key: str | None = None,
        version: str | None = CURRENT_VERSION,
    ) -> Answer:
        """Return a call, as over HTTP."""
        with self._lock:
            answer = perform(self.world, self._kept, method, path, params, key, version)
            cycles.advance(self.world, self.clock)
        return answer

    def fail_for_good(self, method: str, path: str, params: Json, key: str | None) -> Answer:
        """Return 500, now and whenever the idempotency key is used again."""
        with self._lock:
            return fail_for_good(self.world, self._kept, method, path, params, key)

    def _call(self, method: str, path: str, params: Json | None, key: str | None = None) -> Json:
        answer = self.perform(method, path, params or {}, key)
        if answer.status >= 400:
            wrong = dict(answer.body["error"])
            error = ApiError(answer.status, wrong["message"], kind=wrong["type"])
            error.body = wrong
            raise error
        return answer.body

    def post(self, path: str, params: Json | None = None, key: str | None = None) -> Json:
        """POST in process. Raises ApiError as the SDK raises its own."""
        return self._call("POST", path, params, key)

    def get(self, path: str, params: Json | None = None) -> Json:
        """GET in process."""
        return self._call("GET", path, params)

    def delete(self, path: str, params: Json | None = None) -> Json:
        """DELETE in process."""
        return self._call("DELETE", path, params)

    def note(self, method: str, path: str, params: Json, headers: dict[str, str]) -> None:
        """Keep a request for assertions."""
        lower = {name.lower(): value for name, value in headers.items()}
        self.requests.append(
            Received(
                method,
                path,
                params,
                lower.get("idempotency-key"),
                lower.get("stripe-version"),
                headers,
            )
        )

    # -- time -------------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        """What time it is, seconds since 1970."""
        return self.world.clock

    def advance(self, *, days: float = 0, hours: float = 0, seconds: int = 0) -> int:
        """Let time go by, with all that falls due. Returns the time it then is."""
        return self.advance_to(self.clock + int(days * DAY + hours * 3600) + seconds)

    def advance_to(self, until: int) -> int:
        """Let time go by until a moment."""
        with self._lock:
            cycles.advance(self.world, until)
        return self.clock

    # -- people -----------------------------------------------------------------------------------

    def pay(self, session: str, **choices: Any) -> Json:
        """Complete a Checkout session as a person does; see `checkout.pay`."""
        with self._lock:
            return checkout.pay(self.world, session, **choices)

    def expire(self, session: str) -> Json:
        """Let a Checkout session expire."""
        with self._lock:
            return checkout.expire(self.world, session)

    def fail_payments(self, customer: str, code: str = "card_declined") -> None:
        """Let a customer's card be refused from now on."""
        self.world.failing[customer] = code

    def mend_payments(self, customer: str) -> None:
        """Let a customer's card be good again. Open invoices are paid at their next try."""
        self.world.failing.pop(customer, None)
        self.world.without_card.discard(customer)

    def remove_card(self, customer: str) -> None:
        """Let a customer have no way to pay."""
        self.world.without_card.add(customer)

    def dispute(self, charge: str, reason: str = "fraudulent") -> Json:
        """Let a charge be disputed."""
        with self._lock:
            return refunds.open_dispute(self.world, charge, reason=reason)

    def close_dispute(self, dispute: str, *, won: bool) -> Json:
        """Let a dispute be decided."""
        with self._lock:
            return refunds.close_dispute(self.world, dispute, won=won)

    # -- failures ---------------------------------------------------------------------------------

    def fail(self, kind: str, **options: Any) -> Fault | None:
        """Let calls over HTTP fail; see `Fault`. "down" refuses connections.

        Returns the fault, None for "down". `mend` ends all of them.
        """
        assert kind in KINDS, kind
        if kind == "down":
            self._down()
            return None
        fault = Fault(kind, **options)
        self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """End all failures."""
        self._faults.clear()
        if self._http is None and self._serve:
            self._up()

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return what befalls a request."""
        with self._lock:
            return next((one for one in self._faults if one.befalls(method, path)), None)

    # -- events -----------------------------------------------------------------------------------

    @property
    def events(self) -> list[Json]:
        """Every event so far, oldest first, in the account's version."""
        return self.world.events

    @property
    def deviations(self) -> list[str]:
        """What was sent that Stripe would not; a test ends with none."""
        return self.world.deviations

    def events_as(self, version: str, *, mixed: bool = False) -> list[Json]:
        """Return the events as an endpoint of that version of the API gets them; see `rendered`."""
        return [rendered(self.world, event, version, mixed=mixed) for event in self.events]

    def deliver(
        self,
        url: str | None = None,
        secret: str | None = None,
        *,
        events: list[Json] | None = None,
        version: str | None = None,
        timestamp: int | None = None,
        timeout_s: float = 10,
        **disorder: Any,
    ) -> list[Delivery]:
        """Send events, signed, to an address, or to all registered endpoints.

        Args:
            url: where to; without it to every enabled endpoint, of the types it wants
            secret: what to sign with
            events: which; without it those not sent by `deliver` before
            version: the endpoint's version of the API
            timestamp: that of the signature; without it this server's clock
            timeout_s: how long to wait for each answer
            disorder: `seed`, `shuffle`, `duplicate`, `drop`, `delay` of `in_disorder`

        Returns:
            what was answered, in the order sent

        """
        with self._lock:
            chosen = list(self.events[self._sent :] if events is None else events)
            if events is None:
                self._sent = len(self.events)
        at = self.clock if timestamp is None else timestamp
        done = []
        for event in in_disorder(chosen, **disorder):
            for target, own_secret, own_version in self._targets(event, url, secret, version):
                shown = rendered(self.world, event, own_version) if own_version else event
                done.append(post(target, shown, own_secret, at, timeout_s))
        answered = {one.event for one in done if 200 <= one.status < 300}
        named = {event["id"] for event in chosen}
        self.world.undelivered |= named - answered
        self.world.undelivered -= answered
        return done

    _sent = 0

    def _targets(
        self, event: Json, url: str | None, secret: str | None, version: str | None
    ) -> list[tuple[str, str, str | None]]:
        if url is not None:
            assert secret is not None, "a secret to sign with"
            return [(url, secret, version)]
        found = []
        for endpoint in self.world.all("webhook_endpoint"):
            if endpoint.get("deleted") or endpoint["status"] != "enabled":
                continue
            kinds = endpoint["enabled_events"]
            if "*" in kinds or event["type"] in kinds:
                own = self.world.plans[endpoint["id"]]["secret"]
                found.append((endpoint["url"], own, version or endpoint["api_version"]))
        return found

    # -- by hand ----------------------------------------------------------------------------------

    def control(self, name: str, body: str) -> Json:
        """Do by HTTP what tests do by method: `POST /_test/advance` with `{"days": 31}`."""
        assert name in {
            "advance",
            "pay",
            "expire",
            "fail_payments",
            "mend_payments",
            "remove_card",
            "dispute",
            "close_dispute",
            "fail",
            "mend",
            "deliver",
        }, name
        options = json.loads(body) if body else {}
        result = getattr(self, name)(**options)
        return {"result": result if isinstance(result, dict | list | int) else str(result)}


ROUTES = routes.ROUTES
