"""End the sessions of a person who signs in at the provider, lock one out, and let one in again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from commands import validation
from commands.give_access import TEXTS_OWNER
from commands.retry import Decided, decide
from commands.services import Services
from ledger.events import Fact, RequestContext, Sealed
from ledger.refusals import FieldError
from ledger.streams import people
from ledger.streams.people import PEOPLE, People
from ledger.translation import gettext as _

_ID: Final = re.compile(rf"{people.PREFIX}[a-z2-7]{{26}}")

_Decision = Callable[[People, str, Sealed | None], list[Fact]]


def end_sessions(
    services: Services, context: RequestContext, person: str, reason: str | None = None
) -> Decided[People]:
    """End all sessions of a person at the console, and return all people just after.

    Raises:
        InvalidRequest: no person's id, or a reason that does not fit.
        PersonNotFound: it never signed in.
    """
    return _decide(services, context, person, reason, people.end_sessions)


def lock_out(
    services: Services, context: RequestContext, person: str, reason: str | None = None
) -> Decided[People]:
    """Let a person in no more, end what it began and granted, and return all people just after.

    Raises:
        InvalidRequest: no person's id, or a reason that does not fit.
    """
    return _decide(services, context, person, reason, people.lock_out)


def let_in(
    services: Services, context: RequestContext, person: str, reason: str | None = None
) -> Decided[People]:
    """Let a person sign in again who was locked out, and return all people just after.

    Raises:
        InvalidRequest: no person's id, or a reason that does not fit.
        PersonNotFound: neither signed in nor locked out ever.
    """
    return _decide(services, context, person, reason, people.let_in)


def _decide(
    services: Services,
    context: RequestContext,
    person: str,
    reason: str | None,
    decision: _Decision,
) -> Decided[People]:
    errors = validation.text(services, "/reason", reason)
    if not _ID.fullmatch(person):
        errors = [FieldError("/person", _("must be a person's id, kfu_…")), *errors]
    validation.refuse_if(errors)
    return decide(
        services,
        context,
        PEOPLE,
        people.ID,
        lambda loaded: decision(
            loaded.state, person, services.texts.seal(TEXTS_OWNER, reason, context.now)
        ),
    )
