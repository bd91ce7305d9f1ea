"""Keyfold's API for Python.

The operations are in `keyfold_client.operations`, by the names that /docs has; their bodies and
answers in `keyfold_client.models`. Here is what a network needs: tries again where that is safe,
the pages of a list, and messages that are verified.

Each operation is also a module of `keyfold_client.generated.api`, with `sync_detailed`, which has
status and headers beside the answer.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
from httpx_retries import Retry, RetryTransport
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from keyfold_client.generated.client import AuthenticatedClient
from keyfold_client.keyed import OPERATIONS

__all__ = ["Problem", "WebhookVerificationError", "connect", "items", "verify"]

NO_RETRY = Retry(total=0)


class _Transport(httpx.HTTPTransport):
    """Sends a request once; what is not worth waiting for ends all tries."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self._wait_s = wait_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response.

        Raises:
            Problem, httpx.HTTPStatusError: it is to be tried again later than anybody waits here.
        """
        response = super().handle_request(request)
        if (_retry_after_s(response) or 0) > self._wait_s:
            response.request = request
            _refuse(response)
        return response


class Problem(Exception):
    """Keyfold says no.

    Attributes:
        status: of HTTP.
        code: stable: what a program decides by.
        title, detail: for people.
        errors: of an invalid request: `pointer` and `detail` for each field.
        request_id: what to tell the operator; empty if the request was not even sent.
        retry_after_s: when to try again, if Keyfold said so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        request_id: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {detail}" + (f" ({request_id})" if request_id else ""))


def connect(
    url: str, token: str, *, timeout_s: float = 10.0, retries: int = 4, wait_s: float = 20.0
) -> AuthenticatedClient:
    """Return a client for a Keyfold; one serves all threads of a process.

    Reads, PUT and DELETE, and whatever takes an Idempotency-Key, are tried again after 429, 502,
    503 and 504, and when the connection fails; a key is made up where none is given. Another POST
    is sent once, and nothing is tried again that would have to wait for longer than `wait_s`. So an
    answer that was lost can be followed by one to the second try: 412 to a PUT with `if_match`, 404
    to a DELETE.

    Args:
        url: where Keyfold is, e.g. "https://licences.example.com".
        token: of a role that may do what is asked (kf_…).
        timeout_s: how long one try may take.
        retries: how often it is tried again at most.
        wait_s: how long it may wait between the tries, in all.

    What the operations raise:
        Problem: Keyfold's answer is a no; or an id cannot stand in a path.
        httpx.HTTPStatusError: an error of something between here and Keyfold.
        httpx.TransportError: no answer.
    """
    retry = Retry(
        total=retries,
        backoff_factor=0.2,
        total_timeout=wait_s,
        allowed_methods=["GET", "PUT", "DELETE", "POST", "PATCH"],
    )
    hooks = {"request": [_prepare], "response": [_refuse]}
    transport = RetryTransport(_Transport(wait_s), retry)
    return AuthenticatedClient(
        base_url=url.rstrip("/"),
        token=token,
        timeout=httpx.Timeout(timeout_s),
        raise_on_unexpected_status=True,
        httpx_args={"transport": transport, "event_hooks": hooks},
    )


def _prepare(request: httpx.Request) -> None:
    if request.method not in ("POST", "PATCH"):
        return
    if any(_is(request, method, path) for method, path in OPERATIONS):
        request.headers.setdefault("Idempotency-Key", secrets.token_hex(16))
    else:
        request.extensions["retry"] = NO_RETRY


def _is(request: httpx.Request, method: str, path: str) -> bool:
    written = request.url.raw_path.partition(b"?")[0].decode()
    return request.method == method and re.search(f"{path}$", written) is not None


def _retry_after_s(response: httpx.Response) -> int | None:
    after = response.headers.get("Retry-After", "").strip()
    return int(after) if after.isascii() and after.isdecimal() else None


def _refuse(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    found = _problem(response)
    if found is None:
        response.raise_for_status()
        return
    raise Problem(
        response.status_code,
        found["code"],
        found.get("title", ""),
        found.get("detail", ""),
        found.get("errors", []),
        found.get("request_id", ""),
        _retry_after_s(response),
    )


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    """Return what Keyfold says; None where it is not Keyfold that says no."""
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("code"), str) else None


def items(operation: Callable[..., Any], *path: str, **wanted: Any) -> Iterator[Any]:
    """Yield all of a list, page by page: `items(list_keys, client=…, status="issued")`."""
    page = operation(*path, **wanted)
    yield from page.items
    while page.next_ is not None:
        page = operation(*path, **{**wanted, "cursor": page.next_})
        yield from page.items


def verify(secret: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the message that a request to a webhook brings. It may come twice: `id` is the same.

    Args:
        secret: of the webhook (whsec_…); while it is rotated, either.
        body: as it came, before anything read it.
        headers: of the request, in whatever case.

    Raises:
        WebhookVerificationError: it is not Keyfold's, or older than five minutes.
    """
    try:
        found: dict[str, Any] = Webhook(secret).verify(body, dict(headers))
    except ValueError as error:  # what is signed, and no JSON
        raise WebhookVerificationError from error
    return found
