"""What one commit records in the streams of accounts, Stripe's customers and Stripe's objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from commands.services import Services
from ledger.book import Appended, Change, Dated
from ledger.events import Fact, RequestContext, Stream
from ledger.loaded import Loaded
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER, StripeCustomer
from ledger.streams.stripe_object import STRIPE_OBJECT, StripeObject
from ledger.stripe.facts import StripeSubscriptionGivenUp

StateT = TypeVar("StateT")
_Key = tuple[str, str]  # a stream's kind, and the id in it


class Draft:
    """Facts on their way to several streams, in one commit; each stream is loaded once."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._loaded: dict[_Key, Loaded[Any]] = {}
        self._facts: dict[_Key, list[Fact | Dated]] = {}
        self.owners: dict[str, str] = {}
        self.linked: dict[str, str] = {}
        self.taken: set[tuple[str, int]] = set()
        self.noted: set[tuple[str, str]] = set()
        self.given_up: dict[str, datetime] = {}

    def load(self, stream: Stream[StateT], id: str) -> Loaded[StateT]:
        """Return a stream, which is loaded once, without the draft's own facts."""
        key = stream.kind, id
        if key not in self._loaded:
            self._loaded[key] = self.services.book.load(stream, id)
        return self._loaded[key]

    def load_all(self, *wanted: tuple[Stream[Any], str]) -> tuple[Loaded[Any], ...]:
        """Load in one reading what is going to be asked for one by one, and return it, in order."""
        found = self.services.book.load_all(*wanted)
        self._loaded.update({_key(loaded): loaded for loaded in found})
        return found

    def account(self, id: str) -> Loaded[Account]:
        """Return an account, as `load` does."""
        return self.load(ACCOUNT, id)

    def customer(self, id: str) -> Loaded[StripeCustomer]:
        """Return a customer of Stripe's, as `load` does."""
        return self.load(STRIPE_CUSTOMER, id)

    def object(self, id: str) -> Loaded[StripeObject]:
        """Return an object of Stripe's, as `load` does."""
        return self.load(STRIPE_OBJECT, id)

    def owner(self, id: str) -> str | None:
        """Return whose an object is, with what was decided here."""
        return self.owners.get(id) or self.object(id).state.account

    def link_of(self, customer: str) -> str | None:
        """Return the account that a customer is linked to, with what was decided here."""
        return self.linked.get(customer) or self.customer(customer).state.account

    def add(self, loaded: Loaded[Any], *facts: Fact | Dated) -> None:
        self._loaded.setdefault(_key(loaded), loaded)
        if facts:
            self._facts.setdefault(_key(loaded), []).extend(facts)

    def since(self, id: str) -> datetime | None:
        """Return when an object was given up last, with what was decided here; None if never."""
        return self.given_up.get(id) or self.object(id).state.since

    def next_version(self, loaded: Loaded[Any]) -> int:
        """Return the version that the next fact of a stream is going to have."""
        return loaded.version + len(self._facts.get(_key(loaded), ())) + 1

    def put_first(self, loaded: Loaded[Any]) -> None:
        """Record a stream's facts before all others, whenever they are added."""
        self._loaded[_key(loaded)] = loaded
        self._facts[_key(loaded)] = []

    def changes_accounts(self) -> bool:
        """Return whether anything is recorded on an account, and not only whose something is."""
        return any(kind == ACCOUNT.kind for kind, _ in self._facts)

    def loses(self, id: str) -> list[str]:
        """Return the accounts that give a subscription up."""
        return [
            account
            for (_, account), facts in self._facts.items()
            for one in facts
            if isinstance(
                fact := one.fact if isinstance(one, Dated) else one, StripeSubscriptionGivenUp
            )
            and fact.stripe_subscription == id
        ]

    def append(self, context: RequestContext, causation: str | None = None) -> Appended:
        """Record everything, if nothing that was read for it has changed meanwhile.

        Return the position of the last event, and the changed streams just after.

        So an account gets nothing of an object that has just left it, whether or not the move, or
        this, is on record in the account's own stream.

        Args:
            causation: of what is recorded in all streams but the first.

        Raises:
            VersionConflict: a stream that this was decided on has moved.
        """
        changes = [
            Change(self._loaded[key], facts, causation if number else None, required=True)
            for number, (key, facts) in enumerate(self._facts.items())
        ]
        if not any(change.facts for change in changes):
            return Appended(self.services.book.head(), ())
        only_read = (one for key, one in self._loaded.items() if key not in self._facts)
        return self.services.book.append(
            context, *changes, *(Change(one, (), required=True) for one in only_read)
        )


def _key(loaded: Loaded[Any]) -> _Key:
    return loaded.stream.kind, loaded.id
