"""Who may come in: a token, or a session that one was given for, looked up."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ledger.book import Book
from ledger.loaded import Loaded
from ledger.streams import granters, portal_session, signing_keys, token
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.console_session import CONSOLE_SESSION, ConsoleSession
from ledger.streams.granters import Granter
from ledger.streams.portal_access import PORTAL_ACCESS
from ledger.streams.portal_session import PORTAL_SESSION, PortalSession
from ledger.streams.signing_keys import SIGNING_KEYS, Salts
from ledger.streams.token import TOKEN, Role, Token


class SeenPortalSession(NamedTuple):
    """A customer's session as the ledger has it, with all that it rests on.

    Attributes:
        granter: who made its link; None where that was neither a token nor a person.
        access_ended_at: the position at which staff last ended the account's sessions.
        salts: of the keys that its cookie may be signed with.
        head: the ledger's last position when all of this was read.
    """

    session: PortalSession
    granter: Granter | None
    access_ended_at: int
    salts: Salts
    head: int


class SeenConsoleSession(NamedTuple):
    """A session of staff as the ledger has it; as `SeenPortalSession`."""

    session: ConsoleSession
    holder: Granter | None
    salts: Salts
    head: int


class SessionHolder(NamedTuple):
    """Whose a session at the console is: a token's, or a person's, with what it lets them do."""

    id: str
    role: Role
    reseller: str | None


def valid_token(book: Book, token_key: bytes, secret: str, now: datetime) -> Token | None:
    """Return the token that a secret belongs to, if it lets anybody in now; else None."""
    found = look_up(book, token.token_id(token_key, secret), now)
    return found.state if found else None


def look_up(
    book: Book, id: str, now: datetime, account: str | None = None
) -> Loaded[Token | None] | None:
    """Return the token with this id, as the ledger has it, if it lets anybody in now; else None.

    Args:
        account: that will be asked about next, if known. When it is remembered, what is new of it
            is read in the same look, and `Book.load` has it without another.
    """
    stream = TOKEN, token.stream_id(id)
    if account is not None and book.remembers(*stream) and book.remembers(ACCOUNT, account):
        found, _ = book.load_all(stream, (ACCOUNT, account))
    else:
        found = book.load(*stream)
    return found if found.state is not None and found.state.valid(now) else None


def look_up_portal_session(book: Book, id: str) -> SeenPortalSession | None:
    """Return a customer's session, with what it rests on; None if there is none with this id.

    All is read in one look, and what is new of the account as well, if that is remembered. What a
    session is for never changes, so what is remembered of it says where to look.

    Args:
        id: as in the name of its stream.
    """
    session = book.load(PORTAL_SESSION, id, reached=0).state
    if session is None:
        return None
    account = session.account
    found, granter, access, keys, *_ = book.load_all(
        (PORTAL_SESSION, id),
        granters.stream_of(session.granted_by),
        (PORTAL_ACCESS, account),
        (SIGNING_KEYS, signing_keys.ID),
        *([(ACCOUNT, account)] if book.remembers(ACCOUNT, account) else []),
    )
    made_by = granters.granter_of(session.granted_by, granter.state)
    return SeenPortalSession(found.state, made_by, access.state, keys.state, found.head)


def look_up_console_session(book: Book, id: str) -> SeenConsoleSession | None:
    """Return a session of staff, with what it rests on; as `look_up_portal_session`."""
    session = book.load(CONSOLE_SESSION, id, reached=0).state
    if session is None:
        return None
    found, holder, keys = book.load_all(
        (CONSOLE_SESSION, id),
        granters.stream_of(session.holder),
        (SIGNING_KEYS, signing_keys.ID),
    )
    who = granters.granter_of(session.holder, holder.state)
    return SeenConsoleSession(found.state, who, keys.state, found.head)


def console_session_holder(
    seen: SeenConsoleSession, cookie_digest: str, now: datetime
) -> SessionHolder | None:
    """Return whose a session is, if it goes on for a browser; else None.

    A token is asked what it lets do; of a person the session says so, as the provider did when it
    began.
    """
    session, holder = seen.session, seen.holder
    if holder is None or not holder.valid(now) or not session.stands(cookie_digest, now):
        return None
    if isinstance(holder, Token):
        return SessionHolder(holder.id, holder.role, holder.reseller)
    if session.role is None or session.opened_at <= holder.sessions_ended_at:
        return None
    return SessionHolder(holder.id, session.role, session.reseller)


def portal_session_stands(seen: SeenPortalSession, cookie_digest: str, now: datetime) -> bool:
    """Return whether a session goes on for a browser: neither it nor what it rests on has ended."""
    return (
        portal_session.stands(seen.session, cookie_digest, now)
        and seen.session.made_at > seen.access_ended_at
        and granters.grant_stands(seen.session.granted_by, seen.granter, seen.session.made_at, now)
    )
