"""Connections of one process: made when first needed, few, and never carried over a fork.

A forked child that goes on with its parent's connections mixes both of their words on one socket,
or drops the parent's file locks. So what holds connections is itself held in a `PerProcess`.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition
from typing import Generic, Protocol, TypeVar

from ledger.store.eventsourcing_adapter import InterfaceError, OperationalError

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Something of which each process has its own.

    What a child inherits stays referenced and untouched: to close it would be to speak in the
    parent's name.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    def __call__(self) -> T:
        """Return this process's own, made at its first use."""
        pid = os.getpid()
        try:
            return self._made[pid]
        except KeyError:
            return self._made.setdefault(pid, self._make())

    def replace(self, made: T) -> None:
        """Have this process use another one from now on."""
        self._made[os.getpid()] = made

    def made(self) -> T | None:
        """Return this process's own if it has been used."""
        return self._made.get(os.getpid())


class Closable(Protocol):
    """Whatever can be closed."""

    def close(self) -> None:
        """Close it."""


ConnectionT = TypeVar("ConnectionT", bound=Closable)


def close_when_dropped(owner: object, connections: Sequence[Closable]) -> None:
    """Have connections closed when their owner is collected without having been closed.

    Python 3.13 warns of a SQLite connection that nobody has closed. Not at the end of the process:
    a forked child would close its parent's.
    """
    weakref.finalize(owner, _close_each, connections, os.getpid()).atexit = False


def _close_each(connections: Sequence[Closable], opened_by: int) -> None:
    if os.getpid() == opened_by:
        for connection in connections:
            connection.close()


class Connections(Generic[ConnectionT]):
    """At most `most` connections, each lent to one thread at a time; the last used is lent first.

    Args:
        connect: makes a connection.
        is_sound: whether a connection that nobody uses can be lent.
        most: how many may be open at once.
        patience_s: how long to wait for one when all are lent.
        is_free: whether a connection that comes back can be lent again, if that is cheaper to tell.
    """

    def __init__(
        self,
        connect: Callable[[], ConnectionT],
        is_sound: Callable[[ConnectionT], bool],
        most: int,
        patience_s: float,
        is_free: Callable[[ConnectionT], bool] | None = None,
    ) -> None:
        self._connect = connect
        self._is_sound = is_sound
        self._is_free = is_free or is_sound
        self._patience_s = patience_s
        # Whoever takes an element of one of the two may use one connection; to take one is atomic.
        self._idle: list[ConnectionT] = []
        self._unopened: list[None] = [None] * most
        self._freed = Condition()
        self._waiting = 0
        self._closed = False
        close_when_dropped(self, self._idle)

    @contextmanager
    def lend(self) -> Iterator[ConnectionT]:
        """Yield a sound connection for the length of a `with` block.

        Raises:
            InterfaceError: they have been closed.
            OperationalError: all were lent for too long.
        """
        connection = self.take_sound()
        try:
            yield connection
        finally:
            self.give_back(connection)

    def take(self) -> ConnectionT:
        """Return a connection that was in order when it came back, which was checked then only.

        It is for who can do what he does once more, and costs as little as can be. Whoever takes a
        connection gives it back.

        Raises:
            InterfaceError, OperationalError: as `lend` does.
        """
        if self._closed:
            raise InterfaceError("the store has been closed")
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have been quicker, so there is no asking first
            return self._open_or_wait()

    def take_sound(self) -> ConnectionT:
        """Return a connection that is in order now; see `take`."""
        while not self._is_sound(connection := self.take()):
            self._discard(connection)
        return connection

    def give_back(self, connection: ConnectionT) -> None:
        """Give back what was taken; it is closed unless it can be lent again."""
        if not self._is_free(connection):
            self._discard(connection)
            return
        self._idle.append(connection)
        if self._closed:
            self.drop_idle()
        if self._waiting:
            self._wake()

    def _open_or_wait(self) -> ConnectionT:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._idle.pop()
            except IndexError:
                pass
            try:
                self._unopened.pop()
            except IndexError:
                self._wait(until)
            else:
                break
        try:
            return self._connect()
        except BaseException:
            self._unopened.append(None)
            self._wake()
            raise

    def _wait(self, until: float) -> None:
        # Who waits says so and then looks once more; who gives back does so and then looks whether
        # somebody waits: one of them sees the other.
        with self._freed:
            self._waiting += 1
            try:
                if self._idle or self._unopened:
                    return
                if not self._freed.wait(until - time.monotonic()):
                    raise OperationalError(f"no connection came free within {self._patience_s} s")
            finally:
                self._waiting -= 1
        if self._closed:
            raise InterfaceError("the store has been closed")

    def _wake(self) -> None:
        with self._freed:
            self._freed.notify()

    def _discard(self, connection: ConnectionT) -> None:
        try:
            connection.close()
        finally:
            self._unopened.append(None)
            self._wake()

    def drop_idle(self) -> None:
        """Close those that are not lent: after a fault they are likely to be broken too."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self._discard(connection)

    def close(self) -> None:
        """Close the idle ones now, and those that are lent when they come back."""
        self._closed = True
        self.drop_idle()
