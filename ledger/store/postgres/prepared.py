"""Running a prepared statement with the least work between us and the server.

A cursor of psycopg's costs four times what libpq needs to send a statement and to take its answer:
as much time as the server takes for a look-up by primary key. So here libpq is called as psycopg
calls it, but without a cursor. Types are still adapted by psycopg.

It waits for the socket and not inside libpq, so that Ctrl-C is heard.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult


class NoAnswer(psycopg.OperationalError):
    """The server has not answered in time; whether it did what it was asked is not known."""


_GOOD = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Session:
    """A connection in autocommit that runs prepared statements; one thread at a time uses it.

    Args:
        answer_s: how long to wait for an answer. The server's own time limits are none: it does not
            keep them when it is stopped itself, or its machine is gone.

    Attributes:
        is_on_standby: whether its server was a standby when it was opened.
    """

    def __init__(self, connection: psycopg.Connection[Any], answer_s: float) -> None:
        self.connection = connection
        self.is_on_standby = False
        self._answer_s = answer_s
        self._libpq = connection.pgconn
        self._adapted = Transformer(connection)
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._arrival = select.poll()
        self._arrival.register(connection.fileno(), select.POLLIN)

    def run(self, statement: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that has `%b` for its parameters, and return its rows.

        Raises:
            psycopg.Error: a fault; see `is_free` and `is_broken` for what is left of the session.
        """
        adapted = self._adapted
        values = adapted.dump_sequence(params, [PyFormat.BINARY] * len(params))
        return self._run(statement, adapted.types or (), values, adapted.formats or ())

    def run_encoded(self, statement: str, values: Sequence[bytes | None]) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with encoded parameters, of the types that it asks for.

        Raises:
            psycopg.Error: as `run` does.
        """
        return self._run(statement, (), values, [Format.BINARY] * len(values))

    def _run(
        self,
        statement: str,
        types: tuple[int, ...],
        values: Sequence[Buffer | None],
        formats: Sequence[Format],
    ) -> list[tuple[Any, ...]]:
        key = (statement, types)
        name = self._prepared.get(key) or self._prepare(key)
        self._libpq.send_query_prepared(name, values, formats, Format.BINARY)
        answer = self._answer()
        adapted = self._adapted
        try:
            adapted.set_pgresult(answer)
            return adapted.load_rows(0, answer.ntuples, tuple)
        finally:
            adapted.set_pgresult(None)  # or it would be kept until the next

    def _prepare(self, key: tuple[str, tuple[int, ...]]) -> bytes:
        statement, types = key
        sql, *rest = statement.split("%b")
        for number, part in enumerate(rest, 1):
            sql += f"${number}{part}"
        name = b"keyfold_%d" % len(self._prepared)
        self._libpq.send_prepare(name, sql.encode(), types)
        self._answer()
        self._prepared[key] = name
        return name

    def _answer(self) -> PGresult:
        """Wait for the answer to what was sent; answer its first result, or raise any fault.

        A commit that fails does so after the statement has succeeded.
        """
        libpq = self._libpq
        until = time.monotonic() + self._answer_s
        if libpq.flush():
            self._send_the_rest(until)
        answer: PGresult | None = None
        while True:
            while libpq.is_busy():
                _wait(self._arrival, until)
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:
                break
            if answer is None or result.status not in _GOOD:
                answer = result
        if answer is None:
            raise psycopg.OperationalError("the server answered nothing")
        if answer.status not in _GOOD:
            raise error_from_result(answer, encoding="utf-8")
        return answer

    def _send_the_rest(self, until: float) -> None:
        """Send what did not go out at once, and read meanwhile, or both sides might wait."""
        both = select.poll()
        both.register(self.connection.fileno(), select.POLLIN | select.POLLOUT)
        while self._libpq.flush():
            ((_, events),) = _wait(both, until)
            if events & ~select.POLLOUT:
                self._libpq.consume_input()

    @property
    def is_free(self) -> bool:
        """Return whether it was open and between transactions when it was last used."""
        return self._libpq.transaction_status == TransactionStatus.IDLE

    @property
    def is_sound(self) -> bool:
        """Return whether it can be used now.

        Nothing arrives on an idle connection but the news that the server has closed it, so a look
        at the socket finds most broken ones before a statement is lost on them.
        """
        return self.is_free and not self._arrival.poll(0)

    @property
    def is_broken(self) -> bool:
        """Return whether the server has not said that it is done with what it was last asked."""
        return self._libpq.status != ConnStatus.OK or not self.is_free

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _wait(for_what: select.poll, until: float) -> list[tuple[int, int]]:
    left_s = until - time.monotonic()
    found = for_what.poll(left_s * 1000) if left_s > 0 else []
    if not found:
        raise NoAnswer("the server does not answer")
    return found
