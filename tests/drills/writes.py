"""Every write, failed in every way: done once, and asked again it answers as it first did.

The store fails before it records, or after it without a word; another worker comes between with the
same request; the database stays away; the process is killed at either moment. Then the request is
repeated, with the same key: what it is answered, and how much is on record, is what one that
nothing befell leaves. Calls to Stripe are failed in `tests/stripe`, messages in `tests/webhooks`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import Any, Final, NamedTuple, NoReturn

from commands.amend_key import Amendment, amend_key
from commands.arrange_reseller import (
    grant_seats,
    resume_reseller,
    set_limits,
    suspend_reseller,
)
from commands.change_subscription import (
    Changed,
    extend_subscription,
    resume_subscription,
    start_subscription,
    suspend_subscription,
    terminate_subscription,
    transfer_subscription,
)
from commands.clear_attempts import clear_attempts
from commands.issue_keys import Issued, Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.open_portal_session import Granted, end_portal_sessions, make_link
from commands.order_keys import order_keys
from commands.record_stripe_event import record_event
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger import book as book_module
from ledger.book import LedgerUnavailable
from ledger.events import RequestContext
from ledger.refusals import InvalidKeyFormat, SeatNotOccupied, TooManyAttempts
from ledger.store.contract import OutcomeUnknown
from ledger.store.eventsourcing_adapter import OperationalError
from ledger.streams.reseller import LimitsSet
from ledger.stripe.objects import read_event
from projections.audit import integrity
from projections.audit.table_differences import differences
from projections.lists.keys import KEY_LIST
from projections.lists.stores import Tables
from tests.drills.faulty_store import FaultyStore, Insert
from tests.drills.places import KINDS, Place, place
from tests.drills.report import Report
from tests.projections.faulty import Faulty
from tests.store.processes import start
from tests.stripe.payloads import changed, subscription
from web.app import many_keys
from web.app.services import Wiring, wire
from web.app.settings import read_settings

RESELLER: Final = "Northwind"
ROUNDS: Final = 20
EVERY_QUICK: Final = 3


class World(NamedTuple):
    """Where a write is done: what commands need, and who asks."""

    services: Services
    context: RequestContext
    wiring: Wiring


class Write(NamedTuple):
    """A write.

    Attributes:
        prepare: what must be there before; returns the subject, by a name of its own.
        do: asks for it with a key; returns what is answered.
    """

    prepare: Callable[[World, str], Any]
    do: Callable[[World, Any, str], Any]


def _order(count: int = 2, reseller: str = RESELLER) -> Order:
    return Order("cloud_pos", None, 3, 12, count, reseller)


def _code(world: World, name: str) -> Any:
    return name, issue_keys(world.services, world.context, _order(1), idempotency_key=name).keys[0]


def _account(world: World, name: str) -> Any:
    _, key = _code(world, name)
    wanted = Try(name, f"s-{name}", key.code)
    return name, redeem_key(world.services, world.context, wanted).subscription


def _seated(world: World, name: str) -> Any:
    _account(world, name)
    occupy_seat(world.services, world.context, Sitting(name, "cloud_pos", None, "till-1"))
    return name


def _issue(world: World, _: Any, key: str) -> Any:
    issued = issue_keys(world.services, world.context, _order(), idempotency_key=key)
    return [one.code for one in issued.keys]


def _order_as_reseller(world: World, _: Any, key: str) -> Any:
    placed = order_keys(world.services, world.context, _order(), RESELLER, idempotency_key=key)
    assert isinstance(placed, Issued)
    return [one.code for one in placed.keys]


def _redeem(world: World, subject: Any, key: str) -> Any:
    name, issued = subject
    wanted = Try(name, f"s-{name}", issued.code)
    return redeem_key(world.services, world.context, wanted, idempotency_key=key).subscription


def _occupy(world: World, subject: Any, _: str) -> Any:
    sitting = Sitting(subject[0], "cloud_pos", None, "till-1")
    account = occupy_seat(world.services, world.context, sitting).account.state
    return account.seats["cloud_pos", "till-1"].occupied_at


def _release(world: World, subject: Any, _: str) -> Any:
    with suppress(SeatNotOccupied):  # it had been given back before
        release_seat(world.services, world.context, subject, "cloud_pos", "till-1")
    return "left"


def _extend(world: World, subject: Any, key: str) -> Any:
    name, id = subject
    done = extend_subscription(
        world.services, world.context, name, id, "Asked for", days=9, idempotency_key=key
    )
    return done.loaded.state.subscriptions[done.subscription].expires_at


def _transfer(world: World, subject: Any, key: str) -> Any:
    name, id = subject
    to = f"{name}-other"
    done = transfer_subscription(
        world.services, world.context, name, id, "Sold", to=to, idempotency_key=key
    )
    return done.loaded.state.subscriptions[done.subscription].started_at


def _grant(world: World, _: Any, key: str) -> Any:
    grant_seats(
        world.services, world.context, RESELLER, "cloud_pos", None, 60, "More", idempotency_key=key
    )
    return "granted"


def _limit(world: World, name: Any, key: str) -> Any:
    limits = LimitsSet(count=9_000)
    set_limits(world.services, world.context, name, limits, idempotency_key=key)
    return "limited"


def _reseller(world: World, name: str) -> Any:
    grant_seats(world.services, world.context, name, "cloud_pos", None, 9, "The contract")
    issue_keys(world.services, world.context, _order(2, name), idempotency_key=name)
    return name


def _suspended_reseller(world: World, name: str) -> Any:
    suspend_reseller(world.services, world.context, _reseller(world, name), "Unpaid")
    return name


def _suspend_reseller(world: World, name: Any, key: str) -> Any:
    done = suspend_reseller(world.services, world.context, name, "Unpaid", idempotency_key=key)
    return done.loaded.state.suspended


def _resume_reseller(world: World, name: Any, key: str) -> Any:
    done = resume_reseller(world.services, world.context, name, "Paid", idempotency_key=key)
    return done.loaded.state.suspended


def _revoke_reseller(world: World, name: Any, key: str) -> Any:
    return many_keys.revoke_reseller(world.wiring, world.context, name, "Not needed", key)[:2]


def _batch(world: World, name: str) -> Any:
    return issue_keys(world.services, world.context, _order(3), idempotency_key=name).batch


def _revoke_batch(world: World, batch: Any, key: str) -> Any:
    return many_keys.revoke_batch(world.wiring, world.context, batch, "Not needed", None, key)[:2]


def _reissue_batch(world: World, batch: Any, key: str) -> Any:
    done = many_keys.reissue_batch(world.wiring, world.context, batch, "Leaked", None, key)
    return [one.code for one in done.keys]


def _revoke(world: World, subject: Any, key: str) -> Any:
    revoke_key(world.services, world.context, subject[1].id, "Not needed", idempotency_key=key)
    return "revoked"


def _reissue(world: World, subject: Any, key: str) -> Any:
    return reissue_key(
        world.services, world.context, subject[1].id, "Leaked", idempotency_key=key
    ).code


def _amend(world: World, subject: Any, key: str) -> Any:
    amendment = Amendment(seats=7, reason="Asked for")
    amend_key(world.services, world.context, subject[1].id, amendment, idempotency_key=key)
    return "amended"


def _upcoming(world: World, name: str) -> Any:
    """Return an account and what begins there once what runs has ended."""
    _account(world, name)
    _, later = _code(world, f"{name}-later")
    wanted = Try(name, f"s-{name}", later.code, start="when_current_ends")
    return name, redeem_key(world.services, world.context, wanted).subscription


def _suspended(world: World, name: str) -> Any:
    name, id = _account(world, name)
    suspend_subscription(world.services, world.context, name, id, "Unpaid")
    return name, id


def _changed_by(change: Callable[..., Changed]) -> Callable[[World, Any, str], Any]:
    """Return what changes a subscription, and returns when it ends then."""

    def do(world: World, subject: Any, key: str) -> Any:
        name, id = subject
        done = change(world.services, world.context, name, id, "Asked for", idempotency_key=key)
        found = done.loaded.state.subscriptions[done.subscription]
        return found.started_at, found.expires_at

    return do


def _blocked(world: World, name: str) -> Any:
    for _ in range(5):
        with suppress(InvalidKeyFormat, TooManyAttempts):
            redeem_key(world.services, world.context, Try(name, f"s-{name}", "nonsense"))
    return name


def _clear(world: World, name: Any, key: str) -> Any:
    clear_attempts(world.services, world.context, name, "Mistyped", idempotency_key=key)
    return "cleared"


def _with_session(world: World, name: str) -> Any:
    name, _ = _account(world, name)
    make_link(world.services, world.wiring.link_key, world.context, Granted(name))
    return name


def _end_sessions(world: World, name: Any, key: str) -> Any:
    end_portal_sessions(world.services, world.context, name, "Left", idempotency_key=key)
    return "ended"


def _hear(world: World, subject: Any, _: str) -> Any:
    told = subscription(f"sub_{subject}", account=subject, customer=f"cus_{subject}")
    event = read_event(changed(told, id=f"evt_{subject}"))
    record_event(world.services, world.context, event, "webhook")
    return "heard"


def _nothing(_: World, name: str) -> Any:
    return name


# By the names of the API's operations, and what has none.
WRITES: Final[dict[str, Write]] = {
    "issue_keys": Write(_nothing, _issue),
    "an order out of an allowance": Write(_nothing, _order_as_reseller),
    "redeem_key": Write(_code, _redeem),
    "amend_key": Write(_code, _amend),
    "revoke_key": Write(_code, _revoke),
    "reissue_key": Write(_code, _reissue),
    "revoke_batch": Write(_batch, _revoke_batch),
    "reissue_batch": Write(_batch, _reissue_batch),
    "occupy_seat": Write(_account, _occupy),
    "release_seat": Write(_seated, _release),
    "start_subscription": Write(_upcoming, _changed_by(start_subscription)),
    "extend_subscription": Write(_account, _extend),
    "suspend_subscription": Write(_account, _changed_by(suspend_subscription)),
    "resume_subscription": Write(_suspended, _changed_by(resume_subscription)),
    "terminate_subscription": Write(_account, _changed_by(terminate_subscription)),
    "transfer_subscription": Write(_account, _transfer),
    "clear_attempts": Write(_blocked, _clear),
    "end_sessions": Write(_with_session, _end_sessions),
    "grant_seats": Write(_nothing, _grant),
    "set_limits": Write(_reseller, _limit),
    "suspend_reseller": Write(_reseller, _suspend_reseller),
    "resume_reseller": Write(_suspended_reseller, _resume_reseller),
    "revoke_reseller": Write(_reseller, _revoke_reseller),
    "receive_stripe_event": Write(_nothing, _hear),
}
# What takes an Idempotency-Key and is failed elsewhere.
ELSEWHERE: Final = {"start_checkout": "tests/stripe/test_checkout_failures.py"}


# How they fail. Each is given the store and what does the same at another worker's.


def _failed(store: FaultyStore, _: Callable[[], object]) -> None:
    def plan(_: Insert) -> NoReturn:
        raise OperationalError("planted: nothing was recorded")

    store.plan = plan


def _stored(store: FaultyStore, _: Callable[[], object]) -> None:
    def plan(insert: Insert) -> NoReturn:
        insert()
        raise OutcomeUnknown("planted: it was recorded, and nobody says so")

    store.plan = plan


def _away(store: FaultyStore, _: Callable[[], object]) -> None:
    def plan(_: Insert) -> NoReturn:
        store.plan = plan
        raise OperationalError("planted: the database stays away")

    store.plan = plan


def _stored_and_away(store: FaultyStore, other: Callable[[], object]) -> None:
    def plan(insert: Insert) -> NoReturn:
        insert()
        _away(store, other)
        raise OutcomeUnknown("planted: it was recorded, and the database stays away")

    store.plan = plan


def _overtaken(store: FaultyStore, other: Callable[[], object]) -> None:
    def plan(insert: Insert) -> list[int]:
        other()
        return insert()

    store.plan = plan


def _killed_before(store: FaultyStore, _: Callable[[], object]) -> None:
    def plan(_: Insert) -> list[int]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    store.plan = plan


def _killed_after(store: FaultyStore, _: Callable[[], object]) -> None:
    def plan(insert: Insert) -> list[int]:
        store.plan = plan  # a new process may have to decide again first
        insert()
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    store.plan = plan


FAILURES: Final[dict[str, Callable[[FaultyStore, Callable[[], object]], None]]] = {
    "failed": _failed,
    "stored, not told": _stored,
    "overtaken by itself": _overtaken,
    "the database stays away": _away,
    "stored, and the database stays away": _stored_and_away,
    "killed before": _killed_before,
    "killed after": _killed_after,
}


class Matrix:
    """The writes and failures on one database."""

    def __init__(self, at: Place) -> None:
        self._at = at
        self._names = count()
        self.wiring = self._wired()
        self.other = self._wired()
        self.cells = 0
        grant_seats(
            *self._world(self.other)[:2], RESELLER, "cloud_pos", None, 100_000, "The contract"
        )

    def close(self) -> None:
        self.wiring.close()
        self.other.close()

    def _wired(self) -> Wiring:
        wiring = wire(read_settings(self._at.program.settings))
        wiring.services.book.store = FaultyStore(wiring.services.book.store)
        return wiring

    def _world(self, wiring: Wiring) -> World:
        context = wiring.request_context("operator", f"req_{next(self._names)}")
        return World(wiring.services, context, wiring)

    def all_cells(self, every: int = 1) -> Iterator[str]:
        """Yield what did not hold in each cell.

        Args:
            every: of 3, each write is failed in every third way, in turn.
        """
        for number, (name, write) in enumerate(WRITES.items()):
            clean = self._events_of(lambda key, w=write: self._done(w, key))  # type: ignore[misc]
            for failure, fail in list(FAILURES.items())[number % every :: every]:
                self.cells += 1
                for wrong in self._cell(write, fail, clean):
                    yield f"{name}, {failure}: {wrong}"

    def _done(self, write: Write, key: str) -> Any:
        subject = write.prepare(self._world(self.other), key)
        head = self.other.services.book.head()
        for _ in range(2):  # that codes were shown again is on record, too
            write.do(self._world(self.wiring), subject, key)
        return head

    def _events_of(self, done: Callable[[str], int]) -> int:
        """Return how many events a write makes that nothing befalls, and its repetition."""
        return -done(f"clean-{next(self._names)}") + self.other.services.book.head()

    def _cell(
        self, write: Write, fail: Callable[[FaultyStore, Callable[[], object]], None], clean: int
    ) -> Iterator[str]:
        key = f"cell-{next(self._names)}"
        subject = write.prepare(self._world(self.other), key)
        head = self.other.services.book.head()

        def by_another() -> object:
            return write.do(self._world(self.other), subject, key)

        heard = self._befallen(write, fail, subject, key, by_another)
        answers = [write.do(self._world(self.wiring), subject, key) for _ in range(2)]
        answers.append(by_another())
        if any(one != answers[0] for one in answers) or heard not in (None, answers[0]):
            yield f"it was answered {heard}, then {answers}"
        made = self.other.services.book.head() - head
        if made != clean:
            yield f"{made} events are on record, and {clean} would have been"
        found = integrity.verify(self.other.services.book, self.other.tables, []).findings
        yield from (one.sentence for one in found)

    def _befallen(
        self,
        write: Write,
        fail: Callable[[FaultyStore, Callable[[], object]], None],
        subject: Any,
        key: str,
        by_another: Callable[[], object],
    ) -> Any:
        """Do it while it fails; return what was heard, None if nothing."""
        if fail in (_killed_before, _killed_after):
            process = start(_do_and_die, dict(self._at.program.settings), write, fail, subject, key)
            process.join(60)
            assert process.exitcode == -signal.SIGKILL, f"{key} was not killed"
            return None
        store: Any = self.wiring.services.book.store
        fail(store, by_another)
        try:
            return write.do(self._world(self.wiring), subject, key)
        except LedgerUnavailable:
            return None
        finally:
            store.plan = None

    # What is filled from events

    def lists(self) -> Iterator[str]:
        """Yield what is wrong with a table whose filling fails at each place."""
        book, tables = self.other.services.book, self.other.tables
        for failure in ("before", "halfway", "after", "killed halfway"):
            self.cells += 1
            issue_keys(*self._world(self.other)[:2], _order())
            if failure == "killed halfway":
                process = start(_fill_and_die, dict(self._at.program.settings))
                process.join(60)
                assert process.exitcode == -signal.SIGKILL, process.exitcode
            else:
                faulty = Faulty(tables)
                setattr(faulty, failure, _raise)
                with suppress(OperationalError):
                    list(differences(book, faulty, KEY_LIST))
            yield from (
                f"keys listed, {failure}: {one}" for one in differences(book, tables, KEY_LIST)
            )

    # What is planted

    def planted(self) -> dict[str, list[str]]:
        """Return what is said of a store that lies, and of a request that lost its key."""

        def acknowledge(store: FaultyStore, _: Callable[[], object]) -> None:
            store.plan = lambda _: [self.other.services.book.head() + 1]

        def do_without_key(world: World, subject: Any, key: str) -> Any:
            return _issue(world, subject, f"{key}-{next(self._names)}")

        issue = WRITES["issue_keys"]
        clean = self._events_of(lambda key: self._done(issue, key))
        found = {
            "a retry under another key": list(
                self._cell(issue._replace(do=do_without_key), _stored_and_away, clean)
            ),
        }
        try:
            lost = list(self._cell(WRITES["occupy_seat"], acknowledge, 1))
        except Exception as error:
            lost = [f"it ended in {type(error).__name__}"]
        return {**found, "an acknowledgement of what is not stored": lost}


def _raise() -> NoReturn:
    raise OperationalError("planted")


@contextmanager
def _own_wiring(settings: dict[str, str]) -> Iterator[Wiring]:
    wiring = wire(read_settings(settings))
    with closing(wiring):
        yield wiring


def _do_and_die(
    settings: dict[str, str],
    write: Write,
    fail: Callable[[FaultyStore, Callable[[], object]], None],
    subject: Any,
    key: str,
) -> None:
    with _own_wiring(settings) as wiring:
        store = FaultyStore(wiring.services.book.store)
        wiring.services.book.store = store
        fail(store, lambda: None)
        context = wiring.request_context("operator", f"req_{key}")
        world = World(wiring.services, context, wiring)
        write.do(world, subject, key)


def _fill_and_die(settings: dict[str, str]) -> None:
    with _own_wiring(settings) as wiring:
        faulty = Faulty(wiring.tables)
        faulty.halfway = lambda: os.kill(os.getpid(), signal.SIGKILL)
        tables: Tables = faulty
        list(differences(wiring.services.book, tables, KEY_LIST))


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    pause, book_module.APPEND_RETRY_S = book_module.APPEND_RETRY_S, 0.0
    try:
        for kind in KINDS:
            with place(kind) as at, closing(Matrix(at)) as matrix:
                for _ in range(1 if quick else ROUNDS):
                    wrong = (*matrix.all_cells(EVERY_QUICK if quick else 1), *matrix.lists())
                    faults += [f"{kind}: {one}" for one in wrong]
                faults += at.verified()
                figures[kind] = f"{matrix.cells} cells"
                if planted:
                    its = matrix.planted()
                    found |= {f"{kind}: {name}": said for name, said in its.items()}
    finally:
        book_module.APPEND_RETRY_S = pause
    return Report(figures, faults, found)
