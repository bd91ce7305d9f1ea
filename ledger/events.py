"""What the ledger is made of: facts, the envelope they are recorded in, and streams.

A *fact* says what happened and nothing else. An *event* is a fact as the ledger holds it: in which
stream, at which version and position, and how we know it (both times, actor, request, cause).
A *stream* is one history with one order, and the fold that turns it into a state. A fold is given
*occurrences*: the part of an event that a state may depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from msgspec import UNSET, Struct, UnsetType

from ledger.permissions import NotPermitted, Permission, permits

FactT = TypeVar("FactT", bound="Fact")
StateT = TypeVar("StateT")


# No fact can hold itself, so the garbage collector need not look at any (`gc=False`).
class Fact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What happened, in the past tense; the fields are what later decisions and readers need."""


class Sealed(Struct, frozen=True, gc=False):
    """Free text, readable only while the key of its owner exists.

    Attributes:
        owner: whose key it is sealed under, e.g. `account-acme`.
        box: base64 of nonce and ciphertext (`ledger.sealing`).
    """

    owner: str
    box: str


class Envelope(Struct, Generic[FactT], kw_only=True):
    """The JSON object that is stored as an event's state.

    Attributes:
        recorded_at: when the ledger wrote it, UTC; never goes back within a stream.
        occurred_at: when it became true, UTC; differs for reports of others (Stripe).
        actor: id of the token or the person that asked, `stripe`, or `operator` for the command
            line.
        request_id: the request that it was written for.
        causation: the event it follows from, as `<stream>/<version>`, if another stream's.
        test_clock: true when the times come from a test clock.
        clock: what the writer's clock said, where `recorded_at` is later: the stream was ahead of
            it. Left out otherwise.
    """

    fact: FactT
    recorded_at: datetime
    occurred_at: datetime
    actor: str
    request_id: str
    causation: str | None = None
    test_clock: bool = False
    clock: datetime | UnsetType = UNSET


class Occurrence(Struct, Generic[FactT], kw_only=True, gc=False):
    """All that a fold may look at: a fact, its two times, and its place in the order.

    Treat as frozen: only the codec and the book fill in its place.

    Attributes:
        recorded_at, occurred_at: as in `Envelope`.
        position: place in the whole ledger, from 1, without gaps.
        version: place in its stream, from 1, without gaps.
    """

    fact: FactT
    recorded_at: datetime
    occurred_at: datetime
    position: int = 0
    version: int = 0


class Event(Occurrence[FactT], Generic[FactT], kw_only=True, gc=False):
    """A fact as the ledger holds it, with all that is known about it.

    Attributes:
        actor, request_id, causation, test_clock, clock: as in `Envelope`.
        stream: `<kind>-<id>`.
        name: stored name and schema version, e.g. `account.seat_occupied@1`.
    """

    actor: str
    request_id: str
    causation: str | None = None
    test_clock: bool = False
    clock: datetime | UnsetType = UNSET
    stream: str = ""
    name: str = ""

    @property
    def is_behind(self) -> bool:
        """Return whether its stream was ahead of the clock that wrote it."""
        return self.clock is not UNSET

    @property
    def written_at(self) -> datetime:
        """Return when it was recorded, by the clock of who wrote it."""
        return self.recorded_at if self.clock is UNSET else self.clock


AnyOccurrence = Occurrence[Fact]
AnyEvent = Event[Fact]


class SnapshotFormat(NamedTuple, Generic[StateT]):
    """How a state is kept as bytes.

    Attributes:
        shape: raised when the fold or the bytes mean something else than before; what was kept in
            another shape is folded again.
    """

    shape: int
    pack: Callable[[StateT], bytes]
    unpack: Callable[[bytes], StateT]


@dataclass(frozen=True, eq=False)
class Stream(Generic[StateT]):
    """One kind of stream: its facts by stored name, the state before any, and its fold.

    `fold` takes a state and what occurred next, in order of version, and returns the new state; the
    state it was given stays valid. It never refuses: what is recorded has happened.
    """

    kind: str
    facts: dict[str, type[Fact]]
    initial: StateT
    fold: Callable[[StateT, Iterable[AnyOccurrence]], StateT]

    def name(self, id: str) -> str:
        """Return the stream's name for the thing with this id."""
        return f"{self.kind}-{id}"


class RequestContext(NamedTuple):
    """Who asks, in which request, and when: read once per request, passed down as an argument.

    Attributes:
        reached: where the ledger was seen to be since the request came in; None if nobody looked.
        permissions: of the customer's session that asks; None for one who asks for himself and is
            not held to any.
        read_at: what `time.monotonic()` said when `now` was read from this machine's clock; None
            for a time that was told by something else, such as a test clock.
    """

    now: datetime
    actor: str
    request_id: str
    test_clock: bool = False
    reached: int | None = None
    permissions: tuple[str, ...] | None = None
    read_at: float | None = None

    def require(self, permission: Permission) -> None:
        """Go on only if who asks may.

        Raises:
            NotPermitted: a customer's session without this permission.
        """
        if self.permissions is not None and not permits(self.permissions, permission):
            raise NotPermitted(permission)

    @property
    def clock(self) -> float | None:
        """Return what makes `time.monotonic()` the time by the clock that `now` was read from."""
        return None if self.read_at is None else self.now.timestamp() - self.read_at
