"""What a customer is told who cannot be let in, or not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.permissions import NotPermitted
from ledger.streams.portal_session import LinkExpired, LinkInvalid, LinkUsed
from web.html.error_pages import Raised, Said
from web.html.languages import lazy_gettext as _
from web.portal.magic_link import NoCookies
from web.portal.session import NoVisit, VisitOver

_ASK_FOR_A_LINK: Final = _("Go back to where you came from and open these pages again from there.")


def _over(error: VisitOver) -> Said:
    return Said(403, _("Your visit is over"), _ASK_FOR_A_LINK, error.return_url)


def _not_permitted(error: NotPermitted) -> Said:
    advice = {
        "buy": _("It does not permit buying. Ask somebody who may buy for this account."),
        "manage_billing": _(
            "It does not permit managing payments. Ask somebody who may do that for this account."
        ),
        "manage_users": _("It is for admins with the Manage Users permission. Ask one of them."),
    }
    return Said(403, _("Your link does not permit this"), advice[error.permission])


RAISED: Final[Mapping[type[Exception], Raised]] = {
    NoVisit: Said(403, _("Please come in by a link"), _ASK_FOR_A_LINK),
    VisitOver: _over,
    NotPermitted: _not_permitted,
    LinkInvalid: Said(403, _("This link is not valid"), _ASK_FOR_A_LINK),
    LinkExpired: Said(410, _("This link has expired"), _ASK_FOR_A_LINK),
    LinkUsed: Said(410, _("This link was opened already"), _ASK_FOR_A_LINK),
    NoCookies: Said(
        403,
        _("Your browser keeps no cookies"),
        _("Allow cookies for this site, then open the link again. It was not used up."),
    ),
}
