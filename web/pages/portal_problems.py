"""What a customer is told who cannot be let in, or not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from commands.open_portal_session import LinkExpired, LinkInvalid
from ledger.streams.portal_session import LinkUsed
from web.pages.languages import lazy_gettext as _
from web.pages.opening import NoCookies
from web.pages.problems import Said
from web.pages.visits import NotPermitted, NoVisit, VisitOver

_ASK_FOR_A_LINK: Final = _("Go back to where you came from and open these pages again from there.")

RAISED: Final[Mapping[type[Exception], Said]] = {
    NoVisit: Said(403, _("Please come in by a link"), _ASK_FOR_A_LINK),
    VisitOver: Said(403, _("Your visit is over"), _ASK_FOR_A_LINK),
    NotPermitted: Said(
        403,
        _("Your link does not permit this"),
        _("It is for admins with the Manage Users permission. Ask one of them."),
    ),
    LinkInvalid: Said(403, _("This link is not valid"), _ASK_FOR_A_LINK),
    LinkExpired: Said(410, _("This link has expired"), _ASK_FOR_A_LINK),
    LinkUsed: Said(410, _("This link was opened already"), _ASK_FOR_A_LINK),
    NoCookies: Said(
        403,
        _("Your browser keeps no cookies"),
        _("Allow cookies for this site, then open the link again. It was not used up."),
    ),
}
