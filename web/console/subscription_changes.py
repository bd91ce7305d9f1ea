"""What is changed of a subscription that a key gave: shown first, then carried out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from flask import Response, url_for

from commands import change_subscription as commands
from commands import validation
from ledger.events import Fact
from ledger.limits import EXTENSION_DAYS_MAX
from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.streams.account import subscriptions as rules
from ledger.streams.token import Role
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.preview import preview
from web.app.auth import ADMIN, SUPPORT
from web.app.context import caller, request_context, services
from web.app.errors import FORBIDDEN, HttpProblem
from web.console import parameters
from web.console.accounts import show_account
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.html import csrf
from web.html.rendering import page, redirect_to


class _Words(NamedTuple):
    """What the page of a change is called, and its button."""

    question: str
    verb: str


class _Change(NamedTuple):
    """Something that can be done.

    Attributes:
        done: of `accounts.MESSAGES`, what is said afterwards.
    """

    command: Callable[..., commands.Changed]
    done: str
    words: Callable[[str], _Words]
    roles: tuple[Role, ...] = (ADMIN,)


def _words(question: str, verb: str) -> Callable[[str], _Words]:
    """Return what says how a change of a key's subscription is called, to the reader."""
    return lambda masked: _Words(_(question, key=masked), _(verb))


_CHANGES: Final = {
    "start": _Change(
        commands.start_subscription,
        "started",
        _words(_n("Start the subscription of key %(key)s?"), _n("Start")),
        (ADMIN, SUPPORT),
    ),
    "extend": _Change(
        commands.extend_subscription,
        "extended",
        _words(_n("Extend the subscription of key %(key)s?"), _n("Extend")),
    ),
    "suspend": _Change(
        commands.suspend_subscription,
        "suspended",
        _words(_n("Suspend the subscription of key %(key)s?"), _n("Suspend")),
    ),
    "resume": _Change(
        commands.resume_subscription,
        "resumed",
        _words(_n("Resume the subscription of key %(key)s?"), _n("Resume")),
        (ADMIN, SUPPORT),
    ),
    "transfer": _Change(
        commands.transfer_subscription,
        "transferred",
        _words(_n("Transfer the subscription of key %(key)s?"), _n("Transfer")),
        (ADMIN, SUPPORT),
    ),
    "terminate": _Change(
        commands.terminate_subscription,
        "terminated",
        _words(_n("Terminate the subscription of key %(key)s?"), _n("Terminate")),
    ),
}


class _Wanted(NamedTuple):
    """What somebody has filled in.

    Attributes:
        options: of the command: `days` or `to`, where the change has any.
    """

    change: str
    subscription: str
    reason: str
    options: dict[str, Any]


@bp.post("/accounts/<account>/subscriptions/preview")
@roles_required(ADMIN, SUPPORT)
def preview_change(account: str) -> Response:
    """Show what a change would make different, here and where it would move; change nothing."""
    account = parameters.account_id(account)
    try:
        wanted = _wanted(account)
        by_account = _differences(account, wanted)
    except Refusal as refusal:
        return show_account(account, refusal_message(refusal))
    masked = _now(account).account.subscriptions[wanted.subscription].masked
    return page(
        "console/change.html",
        account=account,
        wanted=wanted,
        words=_CHANGES[wanted.change].words(masked),
        by_account=by_account,
        once=csrf.new_idempotency_key(),
    )


@bp.post("/accounts/<account>/subscriptions/change")
@roles_required(ADMIN, SUPPORT)
def change(account: str) -> Response:
    """Carry a change out; sent twice, it is the same one."""
    account = parameters.account_id(account)
    try:
        wanted = _wanted(account)
        known = _CHANGES[wanted.change]
        known.command(
            services(),
            request_context(),
            account,
            wanted.subscription,
            wanted.reason,
            idempotency_key=f"console {csrf.idempotency_key()}",
            **wanted.options,
        )
    except Refusal as refusal:
        return show_account(account, refusal_message(refusal))
    return redirect_to(url_for("console.show_account", account=account, done=known.done))


def _wanted(account: str) -> _Wanted:
    name = parameters.form("change") or ""
    if name not in _CHANGES:
        raise InvalidRequest(
            FieldError("/change", _("must be one of %(changes)s", changes=", ".join(_CHANGES)))
        )
    if caller().role not in _CHANGES[name].roles:
        raise HttpProblem(FORBIDDEN, f"this is not for tokens of role {caller().role}")
    subscription, reason = parameters.form("subscription") or "", parameters.reason()
    options: dict[str, Any] = {}
    if name == "extend":
        options["days"] = parameters.number("days")
        validation.refuse_if(validation.within("/days", options["days"], EXTENSION_DAYS_MAX))
    if name == "transfer":
        options["to"] = to = parameters.text("to")
        validation.refuse_if(FieldError("/to", one.detail) for one in validation.account(to))
        if to == account:
            raise InvalidRequest(FieldError("/to", _("must be another account")))
    return _Wanted(name, subscription, reason, options)


def _now(account: str) -> AccountAt:
    return account_at(services().book, account, Moment(request_context().now))


def _differences(account: str, wanted: _Wanted) -> dict[str, list[str]]:
    """Return what would become different, by account."""
    found, now, id = _now(account), request_context().now, wanted.subscription
    state, catalog = found.account, services().catalog
    facts: list[Fact]
    there: dict[str, list[str]] = {}
    match wanted.change:
        case "extend":
            length = timedelta(days=wanted.options["days"])
            facts = rules.extend(state, id, length, None, now)
        case "transfer":
            to = wanted.options["to"]
            facts = rules.leave(state, id, to, None, now)
            if facts:
                target, moved = _now(to), state.subscriptions[id]
                taken = rules.take_over(moved, account, now)
                there[to] = preview(target, taken, catalog)
        case "start":
            facts = rules.start(state, id, None, now)
        case "suspend":
            facts = rules.suspend(state, id, None, now)
        case "resume":
            facts = rules.resume(state, id, None, now)
        case _:
            facts = rules.terminate(state, id, None, now)
    return {account: preview(found, facts, catalog), **there}
