"""Who signs in or grants something: a token, or a person, each of which may lose access.

What a token granted ends when it is revoked; what a person granted, when that one is locked out,
and it stays over when the person is let in again: somebody else may have been at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from ledger.events import Stream
from ledger.streams import people, token
from ledger.streams.people import PEOPLE, Person
from ledger.streams.token import TOKEN, Token

Granter = Token | Person


def stream_of(id: str) -> tuple[Stream[Any], str]:
    """Return the stream that tells of a granter; of another actor, one in which is nothing."""
    return (PEOPLE, people.ID) if people.is_person(id) else (TOKEN, token.stream_id(id))


def granter_of(id: str, state: Any) -> Granter | None:
    """Return a granter out of the state of its stream; None if there is none with this id."""
    found: Granter | None = state.get(id) if people.is_person(id) else state
    return found


def look_up(
    load_all: Callable[..., Sequence[Any]], ids: Iterable[str]
) -> dict[str, Granter | None]:
    """Return granters by id, None for one who is none.

    Args:
        load_all: returns streams as they were loaded, as `Book.load_all`.
    """
    wanted = {id: stream_of(id) for id in sorted(ids)}
    streams = list(dict.fromkeys(wanted.values()))
    loaded = load_all(*streams) if streams else ()
    states = dict(zip(streams, (one.state for one in loaded), strict=True))
    return {id: granter_of(id, states[stream]) for id, stream in wanted.items()}


def is_taken_back(granted_by: str, granter: Granter | None, granted_at: int) -> bool:
    """Return whether what somebody granted was taken back together with its granter's access.

    Args:
        granted_by: the id of a granter; or another actor's, from whom nothing is taken back.
        granted_at: the position at which it was granted.
    """
    match granter:
        case Token(revoked_at=revoked_at):
            return revoked_at is not None
        case Person(locked_out_at=locked_out_at, grants_ended_at=ended_at):
            return locked_out_at is not None or granted_at <= ended_at
        case None:
            return granted_by.startswith("kft_") or people.is_person(granted_by)


def grant_stands(granted_by: str, granter: Granter | None, granted_at: int, now: datetime) -> bool:
    """Return whether what somebody granted still holds: a token that ran out ends it, too."""
    if is_taken_back(granted_by, granter, granted_at):
        return False
    return granter is None or granter.valid(now)
