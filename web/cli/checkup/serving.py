"""The address that customers use, the proxy before it, the ledger's lists, and webhooks."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from commands.sign_checkpoint import NEXT_STEP
from ledger.book import Book, MixedClocks
from ledger.catalog import Catalog
from ledger.store.eventsourcing_adapter import PersistenceError
from ledger.streams import webhooks
from ledger.streams.webhooks import WEBHOOKS
from projections.audit import tree
from projections.lists.stores import Tables, open_tables
from projections.lists.webhook_deliveries import Backlog, backlogs
from web.app.clock import system_clock
from web.app.services import signed_of
from web.app.settings import PUBLIC_URL_DEFAULT, Settings
from web.cli.checkup.database import check_ledger_time
from web.cli.checkup.result import CheckResult, fail, ok, skipped, warn

ASK_S: Final = 4.0
LAG_WARN_S: Final = 3600
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
OK: Final = 200


class _Answer(NamedTuple):
    status: int
    body: bytes


def check_public_url(settings: Settings) -> Iterator[CheckResult]:
    """Return whether the address in links leads here, and a proxy is told from a visitor."""
    url, parts = settings.public_url, urlsplit(settings.public_url)
    is_local = parts.hostname in LOOPBACK
    if is_local:
        yield warn(
            "public url",
            f"links lead to {url}, which is this machine itself",
            "set KEYFOLD_PUBLIC_URL to the address that customers use",
        )
    elif not settings.is_https:
        yield fail(
            "public url",
            f"{url} is not https: links, cookies and tokens go over the wire in the clear",
            "put a proxy with TLS before it, and say https in KEYFOLD_PUBLIC_URL",
        )
    answer = _ask(f"{url}/healthz")
    if isinstance(answer, str):
        why = f"{url}/healthz does not answer from this machine: {answer}"
        if is_local and url == PUBLIC_URL_DEFAULT:
            yield skipped("served", why)
        else:
            yield warn("served", why, "start keyfold serve, or look at the proxy and the name")
        yield skipped("proxy", "nothing answers there")
        return
    if answer.status != OK or b'"ok"' not in answer.body:
        yield fail(
            "served",
            f"{url}/healthz answers {answer.status}, and not as Keyfold does",
            "correct KEYFOLD_PUBLIC_URL, or what the proxy leads to",
        )
        yield skipped("proxy", "it is not Keyfold that answers")
        return
    yield ok("served", f"{url} leads to a Keyfold")
    yield _ready(url)
    if is_local:
        yield skipped("proxy", "there is none before an address of this machine")
        return
    yield _proxy(url)


def _ready(url: str) -> CheckResult:
    answer = _ask(f"{url}/readyz")
    if isinstance(answer, str):
        return warn("ready", f"{url}/readyz does not answer: {answer}", "look at the server's log")
    if answer.status == OK:
        return ok("ready", f"{url}/readyz says so")
    return fail(
        "ready",
        f"{url}/readyz answers {answer.status}",
        "read what it says, and look at the server's log",
    )


def _proxy(url: str) -> CheckResult:
    """Look whether /metrics, which needs no token from the machine itself, is open to everybody."""
    answer = _ask(f"{url}/metrics")
    if isinstance(answer, str):
        return skipped("proxy", f"{url}/metrics does not answer: {answer}")
    if answer.status == OK:
        return fail(
            "proxy",
            f"{url}/metrics is open to everybody: the proxy's requests look like the machine's own",
            "have the proxy set X-Forwarded-For, and pass Host on as it came",
        )
    return ok("proxy", "its requests are told from those of the machine itself")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: what is asked for is to be there."""


def _ask(url: str) -> _Answer | str:
    """Return what an address answers, or why it does not."""
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ASK_S) as response:
            return _Answer(response.status, response.read(10_000))
    except urllib.error.HTTPError as error:
        return _Answer(error.code, b"")
    except urllib.error.URLError as error:
        return " ".join(str(error.reason).split())[:160]
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__


def check_catalog(settings: Settings, wrong: frozenset[str]) -> CheckResult:
    """Return what the catalog has."""
    if "KEYFOLD_CATALOG" in wrong:
        return skipped("catalog", "it cannot be read")
    catalog: Catalog = settings.catalog
    names = ", ".join(product.id for product in catalog.products)
    return ok("catalog", f"{len(catalog.products)} products: {names}")


def check_ledger(settings: Settings) -> Iterator[CheckResult]:
    """Return how the last event, prices, and what waits to be sent are."""
    try:
        with (
            closing(
                Book(settings.database_url, test_clock=settings.test_clock is not None)
            ) as book,
            closing(open_tables(settings.database_url)) as tables,
        ):
            last = book.store.read_positions([book.head()])
            yield check_ledger_time(last[0] if last else None, time.time())
            yield _history(book, tables, settings)
            yield _unmapped(tables)
            yield from _webhooks(book, tables)
    except MixedClocks as error:
        yield fail("ledger", str(error), "see KEYFOLD_TEST_CLOCK in docs/settings.md")
    except PersistenceError as error:
        yield fail("ledger", " ".join(str(error).split())[:200], "look at the database first")


def _history(book: Book, tables: Tables, settings: Settings) -> CheckResult:
    """Return whether the ledger is what was signed of it, as far as its tree has been made."""
    last = signed_of(book, settings).newest()
    if last is None:
        return skipped("history", "nothing was signed yet")
    size, root = last.size, last.root
    head = book.head()
    if size > head:
        wrong = f"a checkpoint of {size} events was signed, and there are {head}"
    elif size <= tree.reached(tables) and tree.root(book, tables, size) != root:
        wrong = f"its first {size} events are not those of the checkpoint that was signed of them"
    else:
        return ok("history", f"begins with what was signed last, {size} events")
    return fail(
        "history",
        f"{wrong}: nothing is signed, and no backup is made without --accept-loss",
        NEXT_STEP,
    )


def _unmapped(tables: Tables) -> CheckResult:
    ((count,),) = tables.read("SELECT count(*) FROM keyfold_stripe_list_1 WHERE unmapped = 1", {})
    if count:
        return warn(
            "prices",
            f"{count} subscriptions of Stripe have a price that means nothing to the catalog",
            "add it to the catalog, and run: keyfold stripe remap",
        )
    return ok("prices", "all prices that Stripe reported mean something")


def _webhooks(book: Book, tables: Tables) -> Iterator[CheckResult]:
    found = backlogs(book, tables, book.load(WEBHOOKS, webhooks.ID).state)
    if not found:
        yield skipped("webhooks", "there are none")
        return
    bad = [result for one in found if (result := _webhook(one))]
    yield from bad
    if not bad:
        waiting = sum(one.waiting for one in found)
        yield ok("webhooks", f"{len(found)} are sent to; {waiting} messages wait")


def _webhook(one: Backlog) -> CheckResult | None:
    id = one.webhook.id
    if one.webhook.disabled:
        return warn(
            "webhooks",
            f"{id} is disabled ({one.webhook.disabled}): nothing is sent to it",
            f"mend its receiver, and run: keyfold webhooks replay {id} --after POSITION",
        )
    now = system_clock()
    if one.failing_since and (now - one.failing_since).total_seconds() > LAG_WARN_S:
        return warn(
            "webhooks",
            f"{id} has not taken its messages since {one.failing_since:%Y-%m-%dT%H:%M:%SZ};"
            f" {one.waiting} wait",
            f"keyfold webhooks deliveries {id} says why",
        )
    if one.lag(now).total_seconds() > LAG_WARN_S:
        return warn(
            "webhooks",
            f"messages to {id} wait for more than an hour: {one.waiting}",
            "is keyfold serve running?",
        )
    return None
