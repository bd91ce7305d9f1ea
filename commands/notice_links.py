"""Make a link by which people read notices, and take it back.

The link holds its id and a random secret, signed, so that what is no link of ours is known without
a look at the ledger; the ledger has a digest of the secret. The key that it is signed with is not
rotated: those who follow a feed would lose it, and a signature alone opens nothing.

    <signed JSON {"id", "secret"}>
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from commands import validation
from commands.reseller_spelling import kept_spelling
from commands.retry import decide
from commands.services import Services
from ledger import signing
from ledger.events import Fact, RequestContext
from ledger.loaded import Loaded
from ledger.notice_kinds import NOTICE_KINDS
from ledger.refusals import FieldError, NoticeLinkNotFound
from ledger.streams import granters, notice_links
from ledger.streams.notice_links import NOTICE_LINKS, NoticeLink, NoticeLinkMade, NoticeLinks

SECRET_BYTES: Final = 32
PURPOSE: Final = "notice link"
LANGUAGES: Final = ("en", "de")
_OWN_BYTES: Final = 7


class WantedNoticeLink(NamedTuple):
    """What is asked for.

    Attributes:
        account, reseller: whose notices it shows; with both, what is about both; neither for all.
        kinds: of notices that it shows; none for all.
    """

    account: str | None = None
    reseller: str | None = None
    kinds: Sequence[str] = ()
    language: str = LANGUAGES[0]


class MadeNoticeLink(NamedTuple):
    """A new link; `text` is what is in its address, shown now and never again."""

    link: NoticeLink
    text: str
    position: int


class _Signed(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    secret: str


def make_notice_link(
    services: Services,
    key: bytes,
    context: RequestContext,
    wanted: WantedNoticeLink,
    *,
    granted_by: str | None = None,
) -> MadeNoticeLink:
    """Make a link, and return it with the text that opens it.

    Args:
        key: what links are signed with.
        granted_by: whose access it rests on, if it is not the one that asks.

    Raises:
        InvalidRequest: fields that do not fit.
        TooManyNoticeLinks: whoever it is for has as many as there may be.
    """
    validation.refuse_if(_errors(services, wanted))
    reseller = kept_spelling(services, wanted.reseller) if wanted.reseller else None
    owner = notice_links.owner_id(wanted.account, reseller)
    drawn = base64.b32encode(services.random_bytes(_OWN_BYTES)).decode().lower()
    secret = services.random_bytes(SECRET_BYTES).hex()
    made = NoticeLinkMade(
        link=notice_links.link_id(owner, drawn[: notice_links.OWN_LENGTH]),
        granted_by=granted_by or context.actor,
        link_digest=signing.digest(secret),
        language=wanted.language,
        account=wanted.account,
        reseller=reseller,
        kinds=tuple(sorted(set(wanted.kinds))),
    )

    def decision(loaded: Loaded[NoticeLinks]) -> list[Fact]:
        by = granters.look_up(
            services.book.load_all, {one.granted_by for one in loaded.state.values()}
        )
        return notice_links.make(loaded.state, made, by)

    decided = decide(services, context, NOTICE_LINKS, owner, decision)
    text = signing.sign(key, PURPOSE, _Signed(made.link, secret)).rstrip("=")
    return MadeNoticeLink(decided.loaded.state[made.link], text, decided.position)


def revoke_notice_link(services: Services, context: RequestContext, id: str) -> int:
    """Have a link show nothing any more, and return the position; it may be revoked already.

    Raises:
        NoticeLinkNotFound: never made.
    """
    return decide(
        services,
        context,
        NOTICE_LINKS,
        notice_links.owner_of(id),
        lambda loaded: notice_links.revoke(loaded.state, id),
    ).position


def open_notice_link(services: Services, key: bytes, text: str) -> NoticeLink:
    """Return the link that a text is of.

    Raises:
        NoticeLinkNotFound: it is of none.
        NoticeLinkIsRevoked: it was revoked, or so was its maker's access.
    """
    padded = text + "=" * (-len(text) % 4)
    signed = signing.read([key], PURPOSE, padded, _Signed)
    if signed is None:
        raise NoticeLinkNotFound
    owner = notice_links.owner_of(signed.id)
    link = services.book.load(NOTICE_LINKS, owner).state.get(signed.id)
    granted_by = link.granted_by if link else ""
    links, granted = services.book.load_all((NOTICE_LINKS, owner), granters.stream_of(granted_by))
    granter = granters.granter_of(granted_by, granted.state)
    return notice_links.opened(links.state.get(signed.id), granter, signing.digest(signed.secret))


def _errors(services: Services, wanted: WantedNoticeLink) -> list[FieldError]:
    errors = []
    if wanted.account is not None:
        errors += validation.account(wanted.account)
        errors += validation.no_code(services, "/account", wanted.account)
    if wanted.reseller is not None:
        errors += validation.name(services, "/reseller", wanted.reseller)
    errors += [
        FieldError(f"/kinds/{place}", f"must be one of {', '.join(NOTICE_KINDS)}")
        for place, kind in enumerate(wanted.kinds)
        if kind not in NOTICE_KINDS
    ]
    if wanted.language not in LANGUAGES:
        errors.append(FieldError("/language", f"must be one of {', '.join(LANGUAGES)}"))
    return errors
