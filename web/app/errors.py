"""Every "no" over HTTP: which status it has, and its problem document (RFC 9457).

    {"type": "/docs#no_seat_available", "title": "No seat is free", "status": 409,
     "detail": "3 of 3 seats are taken.", "instance": "/v1/accounts/acme/seats/cloud_pos/till-4",
     "code": "no_seat_available", "request_id": "req_…", "seats": 3, "used": 3}

`code` is stable; `type` is where /docs explains it. What a problem repeats of the request is looked
through for codes and tokens first.

Source: RFC 9457.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

from flask import Flask, Response, current_app, g, request
from msgspec import UNSET, Meta, UnsetType
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from commands.gateways.stripe_responses import (
    StripeKeyRefused,
    StripeNotConfigured,
    StripeRefused,
    StripeUnavailable,
)
from commands.many_keys import PartlyDone
from commands.retry import LedgerBusy
from commands.sign_checkpoint import NEXT_STEP, CannotSign
from ledger import refusals
from ledger.book import ClockWrong, LedgerUnavailable
from ledger.min_position import PositionNotReached
from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.store.contract import RestoreBegun
from ledger.store.eventsourcing_adapter import InterfaceError, OperationalError
from projections.answer import Answer, Time, doc
from projections.audit.tree import TreeDamaged
from web.app.causes import cause_of, hint_of
from web.app.context import app_state, request_id
from web.app.json_encoding import encode
from web.app.redaction import Redactor

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
SET_UP_S: Final = 300
ALTERED_RETRY_AFTER_S: Final = 60
# In an environ: the code that the server wants the request refused with.
REFUSED_BY_SERVER: Final = "keyfold.refused"
ERRORS_MAX: Final = 50
PAGES: Final = "keyfold.problem_pages"
TEXT_LENGTH_MAX: Final = 500

REFUSED: Final[Mapping[type[Refusal], int]] = {
    refusals.InvalidRequest: 422,
    refusals.TooManyAttempts: 429,
    refusals.InvalidKeyFormat: 422,
    refusals.WrongProduct: 422,
    refusals.KeyAlreadyYours: 409,
    refusals.KeyNotAvailable: 409,
    refusals.IdempotencyKeyReused: 422,
    refusals.KeyNotFound: 404,
    refusals.KeyAlreadyRedeemed: 409,
    refusals.KeyAlreadyRevoked: 409,
    refusals.KeyLapsed: 409,
    refusals.ResellerNotFound: 404,
    refusals.ResellerSuspended: 409,
    refusals.AllowanceExceeded: 409,
    refusals.AllowanceSpent: 409,
    refusals.OrderNotFound: 404,
    refusals.OwnOrder: 403,
    refusals.OrderDecided: 409,
    refusals.BatchNotFound: 404,
    refusals.CodesNotDerivable: 409,
    refusals.ReceiptNotReady: 409,
    refusals.VersionMismatch: 412,
    refusals.HolderInOtherTier: 409,
    refusals.HolderAlreadySeated: 409,
    refusals.NoSeatAvailable: 409,
    refusals.ProductNotFound: 404,
    refusals.SeatNotOccupied: 404,
    refusals.SubscriptionNotFound: 404,
    refusals.SubscriptionEnded: 409,
    refusals.SubscriptionNotStarted: 409,
    refusals.SubscriptionIsSuspended: 409,
    refusals.SubscriptionElsewhere: 409,
    refusals.ManagedInStripe: 409,
    refusals.CustomerLinkedElsewhere: 409,
    refusals.CustomerNotLinked: 409,
    refusals.StripeSubscriptionElsewhere: 409,
    refusals.StripeSubscriptionNotFound: 404,
    refusals.SubscriptionNotChangeable: 409,
    refusals.SeatsFollowHolders: 409,
    refusals.PurchasePriceChanged: 409,
    refusals.NoStripeCustomer: 409,
    refusals.CustomerShared: 409,
    refusals.TokenNotFound: 404,
    refusals.PersonNotFound: 404,
    refusals.NoticeLinkNotFound: 404,
    refusals.NoticeLinkIsRevoked: 410,
    refusals.TooManyNoticeLinks: 409,
    refusals.WebhookNotFound: 404,
    refusals.WebhookNotSending: 409,
}


class ProblemType(NamedTuple):
    """A type of problem (RFC 9457): `code` is stable, and `title` is for people."""

    code: str
    status: int
    title: str


# Renders a problem as a page for people, with these headers.
ErrorPage = Callable[[ProblemType, Mapping[str, str]], Response]

MALFORMED = ProblemType("malformed_request", 400, "The request cannot be read")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "A valid token is needed")
FORBIDDEN = ProblemType("forbidden", 403, "This token may not do that")
NOT_FOUND = ProblemType("not_found", 404, "There is no such page")
METHOD_NOT_ALLOWED = ProblemType("method_not_allowed", 405, "This method is not for this page")
TOO_LARGE = ProblemType("payload_too_large", 413, "The body is too large")
UNSUPPORTED = ProblemType("unsupported_media_type", 415, "The body is of another type")
CODE_IN_URL = ProblemType("code_in_url", 422, "An activation code must not be in a URL")
INTERNAL_ERROR = ProblemType("internal_error", 500, "Something went wrong on our side")
POSITION_NOT_REACHED = ProblemType("position_not_reached", 503, "The ledger has not got there yet")
UNAVAILABLE = ProblemType("ledger_unavailable", 503, "The ledger cannot be reached")
BUSY = ProblemType("ledger_busy", 503, "Too many are writing to the same place")
WEBHOOK_REFUSED = ProblemType("webhook_refused", 400, "This delivery is not taken")
STRIPE_NOT_CONFIGURED = ProblemType("stripe_not_configured", 503, "Stripe is not set up")
STRIPE_UNAVAILABLE = ProblemType("stripe_unavailable", 503, "Stripe cannot be reached")
STRIPE_REFUSED = ProblemType("stripe_refused", 502, "Stripe refuses the call")
PAYMENT_FAILED = ProblemType("payment_failed", 402, "The payment did not go through")
PARTLY_DONE = ProblemType("partly_done", 503, "Only a part of it was done")
QUOTA_EXCEEDED = ProblemType("quota_exceeded", 429, "This token asks too often")
OVERLOADED = ProblemType("overloaded", 503, "Too much is asked at once")
ALTERED = ProblemType("ledger_altered", 503, "The ledger is not what it was")

_OURS = (
    MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, UNSUPPORTED,
    CODE_IN_URL, INTERNAL_ERROR, POSITION_NOT_REACHED, UNAVAILABLE, BUSY, OVERLOADED, ALTERED,
    PARTLY_DONE, QUOTA_EXCEEDED,
    WEBHOOK_REFUSED, STRIPE_NOT_CONFIGURED, STRIPE_UNAVAILABLE, STRIPE_REFUSED, PAYMENT_FAILED,
)  # fmt: skip


def problem_type(refusal: type[Refusal]) -> ProblemType:
    """Return the type of problem that a refusal is told as."""
    return ProblemType(refusal.code, REFUSED[refusal], refusal.__new__(refusal).title)


PROBLEM_TYPES: Final[Mapping[str, ProblemType]] = {
    kind.code: kind for kind in (*map(problem_type, REFUSED), *_OURS)
}
_BY_STATUS: Final = {
    kind.status: kind
    for kind in (MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TOO_LARGE, UNSUPPORTED)
}

_log = logging.getLogger("keyfold.errors")


class HttpProblem(Exception):
    """The request is answered with a problem that is none of the ledger's refusals."""

    def __init__(
        self, kind: ProblemType, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}


class FieldProblem(Answer, frozen=True):
    """One thing that does not fit."""

    pointer: Annotated[
        str,
        doc("A JSON pointer to a field, or `/` and the name of a parameter or header.", "/seats"),
    ]
    detail: Annotated[str, doc(None, "must be from 1 to 100000")]


class ProblemDetails(Answer, frozen=True):
    """Why a request was not carried out (RFC 9457)."""

    type: Annotated[str, doc(None, "/docs#no_seat_available", format="uri-reference")]
    title: Annotated[str, doc(None, "No seat is free")]
    status: Annotated[int, Meta(ge=400, le=599), doc(None, 409)]
    detail: Annotated[str, doc(None, "3 of 3 seats are taken.")]
    instance: Annotated[
        str, doc(None, "/v1/accounts/acme/seats/cloud_pos/till-4", format="uri-reference")
    ]
    code: Annotated[str, doc(None, "no_seat_available")]
    request_id: Annotated[str, doc(None, "req_c5nfx2ynqk7tq3bd5xw4a6bl7m")]
    errors: list[FieldProblem] | UnsetType = UNSET
    seats: Annotated[int | UnsetType, doc("With `no_seat_available`.")] = UNSET
    used: Annotated[int | UnsetType, doc("With `no_seat_available`.")] = UNSET
    left: Annotated[
        int | UnsetType,
        doc("With `allowance_exceeded` and `allowance_spent`: seats that may still be ordered."),
    ] = UNSET
    tier: Annotated[str | UnsetType | None, doc("With `holder_in_other_tier`: where it sits.")] = (
        UNSET
    )
    version: Annotated[
        int | UnsetType, doc("With `version_mismatch`: the account's version now.")
    ] = UNSET
    subscription: Annotated[
        str | UnsetType, doc("With `key_already_yours`: what the key gave the account.")
    ] = UNSET
    account: Annotated[
        str | UnsetType, doc("With `subscription_elsewhere`: the account that it belongs to.")
    ] = UNSET
    activated_at: Annotated[
        Time | UnsetType, doc("With `key_already_yours`: when it was redeemed.")
    ] = UNSET


def register(app: Flask) -> None:
    """Have the application turn everything that is raised into a problem response."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HttpProblem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(LedgerBusy, _busy)
    app.register_error_handler(PartlyDone, _partly_done)
    for contradiction in (CannotSign, TreeDamaged):
        app.register_error_handler(contradiction, altered)
    for fault in (LedgerUnavailable, OperationalError, InterfaceError):
        app.register_error_handler(fault, ledger_unavailable)
    app.register_error_handler(MemoryError, _out_of_memory)
    app.register_error_handler(PositionNotReached, _not_reached)
    app.register_error_handler(StripeNotConfigured, _stripe_not_configured)
    app.register_error_handler(StripeKeyRefused, _stripe_key_refused)
    app.register_error_handler(StripeUnavailable, _stripe_unavailable)
    app.register_error_handler(StripeRefused, _stripe_refused)
    app.register_error_handler(Exception, _broken)


def show_as_pages(app: Flask, folder: str, page: ErrorPage) -> None:
    """Have problems with paths below a folder rendered as pages for people."""
    app.extensions.setdefault(PAGES, {})[folder] = page


def _refused(refusal: Refusal) -> Response:
    headers = {"Idempotency-Replayed": "true"} if refusal.replayed else {}
    members: dict[str, Any] = {}
    errors: Sequence[FieldError] = ()
    detail = str(refusal)
    match refusal:
        case InvalidRequest():
            errors = refusal.errors
            detail = "; ".join(f"{error.pointer} {error.detail}" for error in errors)
        case refusals.TooManyAttempts():
            headers["Retry-After"] = str(refusal.retry_after_s)
        case refusals.KeyAlreadyYours():
            members = {
                "subscription": refusal.subscription,
                "activated_at": refusal.activated_at,
            }
        case refusals.NoSeatAvailable():
            members = {"seats": refusal.seats, "used": refusal.used}
        case refusals.AllowanceExceeded() | refusals.AllowanceSpent():
            members = {"left": refusal.left}
        case refusals.HolderInOtherTier():
            members = {"tier": refusal.tier}
        case refusals.SubscriptionElsewhere():
            members = {"account": refusal.account}
        case refusals.VersionMismatch():
            members = {"version": refusal.version}
    kind = PROBLEM_TYPES[refusal.code]
    return _respond(kind, detail or kind.title, headers, errors, members)


def _problem(problem: HttpProblem) -> Response:
    return _respond(problem.kind, problem.detail, problem.headers)


def _http(error: HTTPException) -> Response:
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return _respond(METHOD_NOT_ALLOWED, f"Allowed: {allowed}", {"Allow": allowed})
    if error.code == TOO_LARGE.status:
        return _respond(TOO_LARGE, "a body has at most 1 MiB")
    kind = _BY_STATUS.get(error.code or 0, MALFORMED)
    return _respond(kind, kind.title)


def _busy(_error: LedgerBusy) -> Response:
    return _respond(BUSY, "nothing was recorded: try again", {"Retry-After": str(RETRY_AFTER_S)})


def _out_of_memory(error: MemoryError) -> Response:
    _log.warning("out of memory: %s", _outline(error), extra={"request_id": request_id()})
    detail = "there is no memory for it now: ask for less at once, or try again"
    return _respond(OVERLOADED, detail, {"Retry-After": str(RETRY_AFTER_S)})


def _partly_done(error: PartlyDone) -> Response:
    return _respond(PARTLY_DONE, str(error), {"Retry-After": str(RETRY_AFTER_S)})


def _not_reached(error: PositionNotReached) -> Response:
    return _respond(POSITION_NOT_REACHED, str(error), {"Retry-After": str(RETRY_AFTER_S)})


def ledger_unavailable(error: Exception) -> Response:
    """Return the response that the database does not answer, and log why."""
    _log.warning(
        "ledger unavailable: %s: %s",
        cause_of(error),
        _outline(error),
        extra={"request_id": request_id()},
    )
    if isinstance(error.__cause__, RestoreBegun):
        return unavailable(f"{error.__cause__}: nothing is recorded until it has")
    if isinstance(error, ClockWrong):
        return unavailable(f"nothing is recorded: {error}")
    hint = hint_of(error)
    return unavailable(
        f"the database: {hint}" if hint else "the database does not answer: try again"
    )


def unavailable(detail: str) -> Response:
    """Return the response that the ledger cannot be reached now."""
    return _respond(UNAVAILABLE, detail, {"Retry-After": str(RETRY_AFTER_S)})


def altered(error: Exception) -> Response:
    """Return the response that the ledger contradicts what was hashed or signed of it."""
    _log.error("ledger altered: %s", error, extra={"request_id": request_id()})
    return _respond(ALTERED, f"{error}: {NEXT_STEP}", {"Retry-After": str(ALTERED_RETRY_AFTER_S)})


def _stripe_not_configured(_error: StripeNotConfigured) -> Response:
    return stripe_not_configured("set STRIPE_API_KEY")


def _stripe_key_refused(error: StripeKeyRefused) -> Response:
    _log.error("%s", error, extra={"request_id": request_id()})
    return stripe_not_configured("Stripe does not take the key in STRIPE_API_KEY")


def stripe_not_configured(detail: str) -> Response:
    """Return the response that somebody has to set Stripe up first."""
    return _respond(STRIPE_NOT_CONFIGURED, detail, {"Retry-After": str(SET_UP_S)})


def _stripe_unavailable(error: StripeUnavailable) -> Response:
    _log.warning("%s", error, extra={"request_id": request_id()})
    return _respond(
        STRIPE_UNAVAILABLE, "nothing is half done: try again", {"Retry-After": str(RETRY_AFTER_S)}
    )


def _stripe_refused(error: StripeRefused) -> Response:
    _log.warning("Stripe refuses a call: %s", error, extra={"request_id": request_id()})
    if error.card:
        return _respond(PAYMENT_FAILED, f"Stripe says {error.code}: nothing was changed")
    return _respond(STRIPE_REFUSED, f"Stripe says {error}: nothing was changed")


def _broken(error: Exception) -> Response:
    _log.error("unexpected %s", _outline(error), extra={"request_id": request_id()})
    return _respond(INTERNAL_ERROR, "it is in the log under this request_id")


def _outline(error: BaseException) -> str:
    """Return an exception in one line: its types and places.

    Not its message, which may repeat what was sent.
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames)
    cause = error.__cause__ or error.__context__
    return f"{type(error).__name__} at {places}" + (f" from {_outline(cause)}" if cause else "")


def _respond(
    kind: ProblemType,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> Response:
    g.problem = kind.code
    app_state().metrics.refused(kind.code)
    pages: Mapping[str, ErrorPage] = current_app.extensions.get(PAGES, {})
    page = pages.get(request.path.split("/")[1])
    if page is not None:
        try:
            return page(kind, headers or {})
        except Exception as error:
            # What the layout needs may be what is broken; then the problem is told without it.
            _log.error("no page for it: %s", _outline(error), extra={"request_id": request_id()})
    redactor = app_state().redactor
    path = redactor.scrub_all(request.path) if kind is CODE_IN_URL else request.path
    problem = problem_details(kind, detail, path, request_id(), redactor, errors, members)
    return Response(encode(problem), kind.status, headers=headers, content_type=CONTENT_TYPE)


def problem_details(
    kind: ProblemType,
    detail: str,
    path: str,
    request_id: str,
    redactor: Redactor,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> ProblemDetails:
    """Return the document of a problem; codes and tokens in what it repeats are masked."""

    def sendable(text: str) -> str:
        """Return a text without secrets, not endless, and without halves of surrogate pairs."""
        text = redactor.scrub(text.encode("utf-8", "replace").decode("utf-8"))
        return text if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + "…"

    told = [
        FieldProblem(sendable(one.pointer), sendable(one.detail)) for one in errors[:ERRORS_MAX]
    ]
    return ProblemDetails(
        type=f"/docs#{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=sendable(detail[:1].upper() + detail[1:].removesuffix(".") + "."),
        instance=quote(sendable(path), safe="/:@!$&'()*+,;=~"),
        code=kind.code,
        request_id=request_id,
        errors=told or UNSET,
        **(members or {}),
    )
