"""People who sign in at the console at their own provider, by OpenID Connect.

Stream:    `people-<of what>`, where `all` is all there is: they are few, and at each request it is
           asked whether one may come in
Facts:     PersonAdmitted, PersonSessionsEnded, PersonLockedOut, PersonLetIn
Invariant: who is locked out is nobody's caller until let in again; and what was begun, or granted,
           before a lockout stays over after it.

A person is known by a keyed digest of its provider and of what the provider calls it: no name and
no address is in the ledger. A person need not have been admitted to be locked out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.codes import digest
from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import PersonNotFound
from ledger.streams.token import Role

ID: Final = "all"
PREFIX: Final = "kfu_"


# Facts


class PersonAdmitted(Fact, frozen=True):
    """Somebody signed in for the first time, or in another role than the last time.

    Attributes:
        person: a digest of the provider and of what it calls the person.
        reseller: the one name that a person of role `reseller` is bound to; None for the others.
    """

    person: str
    role: Role
    reseller: str | None = None


class PersonSessionsEnded(Fact, frozen=True):
    """All sessions of a person at the console ended."""

    person: str
    reason: Sealed | None = None


class PersonLockedOut(Fact, frozen=True):
    """A person is let in no more; its sessions ended, and so did what it had granted."""

    person: str
    reason: Sealed | None = None


class PersonLetIn(Fact, frozen=True):
    """A person who was locked out may sign in again; what had ended stays over."""

    person: str
    reason: Sealed | None = None


# State


class Person(Struct, frozen=True):
    """A person as its facts make it.

    Attributes:
        known_since: the position at which it was heard of first.
        role, admitted_at: None for one who was locked out before ever signing in.
        role, reseller: as of the last time it signed in.
        sessions_ended_at: the position up to which its sessions are over.
        grants_ended_at: the position up to which what it granted is.
    """

    id: str
    known_since: int
    role: Role | None = None
    reseller: str | None = None
    admitted_at: datetime | None = None
    locked_out_at: datetime | None = None
    sessions_ended_at: int = 0
    grants_ended_at: int = 0

    def valid(self, _at: datetime) -> bool:
        """Return whether the person is let in; a token may be out of date, a person is not."""
        return self.locked_out_at is None


# By id.
People = Map[str, Person]


# Fold


def fold(people: People, events: Iterable[AnyOccurrence]) -> People:
    """Return all people after these events."""
    for event in events:
        fact, at = event.fact, event.position
        assert isinstance(
            fact, PersonAdmitted | PersonSessionsEnded | PersonLockedOut | PersonLetIn
        )
        person = people.get(fact.person, Person(fact.person, at))
        match fact:
            case PersonAdmitted(role=role, reseller=reseller):
                first = person.admitted_at or event.occurred_at
                person = replace(person, role=role, reseller=reseller, admitted_at=first)
            case PersonSessionsEnded():
                person = replace(person, sessions_ended_at=at)
            case PersonLockedOut():
                person = replace(person, locked_out_at=event.occurred_at)
                person = replace(person, sessions_ended_at=at, grants_ended_at=at)
            case PersonLetIn():
                # What came between the lockout and its being seen is over, too.
                person = replace(person, locked_out_at=None)
                person = replace(person, sessions_ended_at=at, grants_ended_at=at)
        people = people.set(person.id, person)
    return people


# Decisions


class LockedOut(Exception):
    """This person was locked out."""


def admit(people: People, id: str, role: Role, reseller: str | None) -> list[Fact]:
    """Return the fact that a person signs in in a role; none if it did so the last time.

    Raises:
        LockedOut: until let in again.
    """
    person = people.get(id)
    if person is not None and person.locked_out_at is not None:
        raise LockedOut
    if person is not None and (person.role, person.reseller) == (role, reseller):
        return []
    return [PersonAdmitted(person=id, role=role, reseller=reseller)]


def end_sessions(people: People, id: str, reason: Sealed | None = None) -> list[Fact]:
    """Return the fact that ends all sessions of a person.

    Raises:
        PersonNotFound: it never signed in.
    """
    person = people.get(id)
    if person is None or person.admitted_at is None:
        raise PersonNotFound
    return [PersonSessionsEnded(person=id, reason=reason)]


def lock_out(people: People, id: str, reason: Sealed | None = None) -> list[Fact]:
    """Return the fact that locks a person out, who need not have signed in; none if it is."""
    person = people.get(id)
    if person is not None and person.locked_out_at is not None:
        return []
    return [PersonLockedOut(person=id, reason=reason)]


def let_in(people: People, id: str, reason: Sealed | None = None) -> list[Fact]:
    """Return the fact that lets a person sign in again; none if it may.

    Raises:
        PersonNotFound: neither signed in nor locked out ever.
    """
    person = people.get(id)
    if person is None:
        raise PersonNotFound
    return [] if person.locked_out_at is None else [PersonLetIn(person=id, reason=reason)]


PEOPLE: Stream[People] = Stream(
    kind="people",
    facts={
        "people.admitted@1": PersonAdmitted,
        "people.sessions_ended@1": PersonSessionsEnded,
        "people.locked_out@1": PersonLockedOut,
        "people.let_in@1": PersonLetIn,
    },
    initial=Map(),
    fold=fold,
)


def person_id(key: bytes, issuer: str, subject: str) -> str:
    """Return the id that the ledger knows a person by: a keyed digest, which tells nothing of it.

    Args:
        issuer: the provider's name for itself, as the setting has it.
        subject: what the provider calls the person (`sub`), which it never gives to another.
    """
    return PREFIX + digest(key, issuer, subject)


def is_person(actor: str) -> bool:
    """Return whether an actor is a person."""
    return actor.startswith(PREFIX)
