"""What error pages say to a customer: who cannot be let in, or not here, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ledger.permissions import NotPermitted
from ledger.streams.portal_session import LinkExpired, LinkInvalid, LinkUsed
from web.app.errors import ProblemType
from web.html.csrf import FormRefused
from web.html.error_pages import ErrorMessage
from web.html.languages import lazy_gettext as _
from web.portal.session import NoCookies, NoSession, SessionOver

_ASK_FOR_A_LINK: Final = _(
    "Go back to the portal that brought you here, and open these pages again from there."
)
_BACK: Final = _("Go back")

_TYPED: Final = {
    "code": _("What you typed as an activation key"),
    "name": _("What you typed as a name"),
}

_OUR_FAULT: Final = 500
_OF_STATUS: Final[Mapping[int, tuple[object, object]]] = {
    404: (_("There is no such page"), _("Choose a page from the menu.")),
    413: (_("What you sent is too large"), _("It was not kept. Send a smaller file.")),
    503: (_("We cannot reach our records"), _("Nothing was changed. Try again in a moment.")),
    500: (
        _("Something went wrong on our side"),
        _("Try again. If it keeps happening, tell us the reference below."),
    ),
}
_OTHERWISE: Final = _("That did not work"), _("Nothing was changed. Go back and try again.")

_NOT_PERMITTED: Final = {
    "buy": _("It does not permit buying. Ask somebody who may buy for this account."),
    "manage_billing": _(
        "It does not permit managing payments. Ask somebody who may do that for this account."
    ),
    "manage_users": _("It is for admins with the Manage Users permission. Ask one of them."),
}


def of_kind(kind: ProblemType) -> ErrorMessage:
    """Return the page's texts for a kind of problem, by its status."""
    title, advice = _OF_STATUS.get(kind.status, _OTHERWISE)
    return ErrorMessage(kind.status, title, advice, reference=kind.status >= _OUR_FAULT)


def _over(error: SessionOver) -> ErrorMessage:
    back = (error.return_url, _BACK) if error.return_url else None
    typed = [(_TYPED[name], text) for name, text in error.typed.items()]
    return ErrorMessage(403, _("Your visit is over"), _ASK_FOR_A_LINK, back, typed=typed)


def _always(status: int, title: object, advice: object) -> Callable[[Exception], ErrorMessage]:
    return lambda _error: ErrorMessage(status, title, advice)


OF_EXCEPTIONS: Final[Mapping[type[Exception], Callable[[Any], ErrorMessage]]] = {
    NoSession: _always(403, _("Please come in by a link"), _ASK_FOR_A_LINK),
    SessionOver: _over,
    NotPermitted: lambda error: ErrorMessage(
        403, _("Your link does not permit this"), _NOT_PERMITTED[error.permission]
    ),
    LinkInvalid: _always(403, _("This link is not valid"), _ASK_FOR_A_LINK),
    LinkExpired: _always(410, _("This link has expired"), _ASK_FOR_A_LINK),
    LinkUsed: _always(410, _("This link was opened already"), _ASK_FOR_A_LINK),
    NoCookies: _always(
        403,
        _("Your browser does not accept cookies"),
        _("Allow cookies for this site, then open the link again. It was not used up."),
    ),
    FormRefused: _always(
        403,
        _("This form cannot be taken"),
        _("It belongs to another session, and nothing was changed. Open the page again."),
    ),
}
