"""The people who sign in at the provider; they are few, so the list needs no table."""

from __future__ import annotations

from ledger.book import Book
from ledger.streams.people import ID, PEOPLE, Person


def list_people(book: Book) -> list[Person]:
    """Return all who signed in, or were locked out, the newest first."""
    people = book.load(PEOPLE, ID).state.values()
    return sorted(people, key=lambda one: one.known_since, reverse=True)
