"""Connections of one process: few, lent to one thread each, and none lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from eventsourcing.persistence import InterfaceError, OperationalError

from ledger.store.connections import Connections


class Line:
    """A connection to nothing."""

    def __init__(self) -> None:
        self.is_open = True
        self.lent = threading.Lock()

    def close(self) -> None:
        self.is_open = False


class Exchange:
    """Makes connections, at most three at a time, and keeps them all."""

    def __init__(self, patience_s: float = 20.0) -> None:
        self.made: list[Line] = []
        self.is_down = False
        self.lines = Connections(self._connect, lambda line: line.is_open, 3, patience_s)

    def _connect(self) -> Line:
        if self.is_down:
            raise OSError("nobody answers")
        line = Line()
        self.made.append(line)
        assert sum(each.is_open for each in self.made) <= 3
        return line


def test_one_after_the_other_uses_one_connection() -> None:
    exchange = Exchange()
    for _ in range(5):
        with exchange.lines.lend():
            pass
    assert len(exchange.made) == 1


def test_many_threads_share_a_few_connections_and_each_has_one_alone() -> None:
    exchange = Exchange()

    def use(number: int) -> None:
        for turn in range(200):
            line = exchange.lines.take()
            assert line.lent.acquire(blocking=False), "two threads have the same connection"
            if turn % 7 == 0:
                time.sleep(0.0005)
            if (number + turn) % 40 == 0:
                line.is_open = False  # it broke
            line.lent.release()
            exchange.lines.give_back(line)

    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(use, number) for number in range(12)]:
            done.result()
    for line in [exchange.lines.take_sound() for _ in range(3)]:
        exchange.lines.give_back(line)


def test_who_finds_all_lent_waits_until_one_comes_back() -> None:
    exchange = Exchange()
    lent = [exchange.lines.take() for _ in range(3)]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(exchange.lines.take) for _ in range(2)]
        time.sleep(0.05)
        assert not any(each.done() for each in waiting)
        exchange.lines.give_back(lent[0])
        lent[1].is_open = False
        exchange.lines.give_back(lent[1])
        taken = {each.result() for each in waiting}
    assert taken == {lent[0], exchange.made[3]}


def test_who_waits_too_long_is_told_so_and_nothing_is_lost() -> None:
    exchange = Exchange(patience_s=0.02)
    lent = [exchange.lines.take() for _ in range(3)]
    with pytest.raises(OperationalError, match="no connection came free"):
        exchange.lines.take()
    for line in lent:
        exchange.lines.give_back(line)
    assert {exchange.lines.take() for _ in range(3)} == set(lent)


def test_a_connection_that_cannot_be_made_is_not_counted() -> None:
    exchange = Exchange(patience_s=0.02)
    exchange.is_down = True
    for _ in range(5):
        with pytest.raises(OSError, match="nobody answers"):
            exchange.lines.take()
    exchange.is_down = False
    assert len({exchange.lines.take() for _ in range(3)}) == 3


def test_one_that_broke_while_idle_is_replaced_if_it_is_looked_at() -> None:
    exchange = Exchange()
    with exchange.lines.lend() as line:
        pass
    line.is_open = False
    assert exchange.lines.take() is line
    exchange.lines.give_back(line)
    with exchange.lines.lend() as another:
        assert another is not line


def test_what_is_lent_while_all_are_closed_is_closed_when_it_comes_back() -> None:
    exchange = Exchange()
    with exchange.lines.lend() as first, exchange.lines.lend() as second:
        exchange.lines.close()
        assert first.is_open
        with pytest.raises(InterfaceError):
            exchange.lines.take()
    assert not first.is_open
    assert not second.is_open
