"""Connections of one process: made when first needed, few, and never carried over a fork.

A forked child that goes on with its parent's connections mixes both of their words on one socket,
or drops the parent's file locks. So what holds connections is itself held in a `PerProcess`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Generic, Protocol, TypeVar

from eventsourcing.persistence import InterfaceError, OperationalError

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
        """Answer this process's own, made at its first use."""
        pid = os.getpid()
        try:
            return self._made[pid]
        except KeyError:
            return self._made.setdefault(pid, self._make())

    def made(self) -> T | None:
        """Answer this process's own if it has been used."""
        return self._made.get(os.getpid())


class Closable(Protocol):
    """Whatever can be closed."""

    def close(self) -> None:
        """Close it."""


ConnectionT = TypeVar("ConnectionT", bound=Closable)


class Connections(Generic[ConnectionT]):
    """At most `most` connections, each lent to one thread at a time; the last used is lent first.

    Args:
        connect: makes a connection.
        is_sound: whether a connection that nobody uses can be lent.
        most: how many may be open at once.
        patience_s: how long to wait for one when all are lent.
    """

    def __init__(
        self,
        connect: Callable[[], ConnectionT],
        is_sound: Callable[[ConnectionT], bool],
        most: int,
        patience_s: float,
    ) -> None:
        self._connect = connect
        self._is_sound = is_sound
        self._patience_s = patience_s
        self._free = BoundedSemaphore(most)
        self._idle: list[ConnectionT] = []
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[ConnectionT]:
        """Lend a connection for the length of a `with` block.

        Raises:
            InterfaceError: they have been closed.
            OperationalError: all were lent for too long.
        """
        if not self._free.acquire(timeout=self._patience_s):
            raise OperationalError(f"no connection came free within {self._patience_s} s")
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def _take(self) -> ConnectionT:
        if self._closed:
            raise InterfaceError("the store has been closed")
        while (connection := self._pop_idle()) is not None:
            if self._is_sound(connection):
                return connection
            connection.close()
        return self._connect()

    def _pop_idle(self) -> ConnectionT | None:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have been quicker, so there is no asking first
            return None

    def _put_back(self, connection: ConnectionT) -> None:
        if self._is_sound(connection) and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()

    def drop_idle(self) -> None:
        """Close those that are not lent: after a fault they are likely to be broken too."""
        while (connection := self._pop_idle()) is not None:
            connection.close()

    def close(self) -> None:
        """Close the idle ones now, and those that are lent when they come back."""
        self._closed = True
        self.drop_idle()
