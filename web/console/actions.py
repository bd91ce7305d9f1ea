"""What is changed from an account's page: seats, subscriptions, what is Stripe's, access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from flask import Response, url_for

from commands.assign_subscription import assign_subscription
from commands.clear_attempts import clear_attempts
from commands.link_customer import link_customer, unlink_customer
from commands.open_portal_session import end_portal_sessions
from commands.release_seat import release_seat
from commands.services import Services
from ledger.events import RequestContext
from ledger.refusals import Refusal, SeatNotOccupied
from ledger.streams.token import Role
from web.app.auth import ADMIN, SUPPORT
from web.app.context import request_context, services
from web.console import parameters
from web.console.accounts import show_account
from web.console.blueprint import bp
from web.console.parameters import form, text
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.html.rendering import redirect_to


class Action(NamedTuple):
    """One form of an account's page.

    Attributes:
        path: the last part of its address, and, with `_`, of its endpoint's name.
        fields: of the form, each with what reads it; in the command they are called the same.
        done: of `accounts.MESSAGES`, what is said afterwards.
    """

    path: str
    command: Callable[..., Any]
    fields: Mapping[str, Callable[[str], str | None]]
    done: str
    roles: tuple[Role, ...] = (ADMIN, SUPPORT)


def _assign(
    services: Services, context: RequestContext, account: str, reason: str, **fields: str
) -> None:
    subscription, moved_from = fields["stripe_subscription"], fields["from"] or None
    assign_subscription(services, context, account, subscription, reason, moved_from)


ACTIONS: Final = (
    Action("release", release_seat, {"product": form, "holder": form}, "released"),
    Action("link", link_customer, {"customer": text}, "linked"),
    Action("unlink", unlink_customer, {"customer": text}, "unlinked"),
    Action("assign", _assign, {"stripe_subscription": text, "from": text}, "assigned"),
    Action("end-sessions", end_portal_sessions, {}, "ended"),
    Action("clear-attempts", clear_attempts, {}, "cleared"),
)


def _carry_out(action: Action, account: str) -> Response:
    """Run an action's command, and show the account with what came of it."""
    account, done = parameters.account_id(account), action.done
    try:
        fields = {name: read(name) or "" for name, read in action.fields.items()}
        fields["reason"] = parameters.reason()
        action.command(services(), request_context(), account, **fields)
    except SeatNotOccupied:
        done = "gone"
    except Refusal as refusal:
        return show_account(account, refusal_message(refusal))
    return redirect_to(url_for("console.show_account", account=account, done=done))


for _action in ACTIONS:
    bp.add_url_rule(
        f"/accounts/<account>/{_action.path}",
        _action.path.replace("-", "_"),
        roles_required(*_action.roles)(partial(_carry_out, _action)),
        methods=["POST"],
    )
