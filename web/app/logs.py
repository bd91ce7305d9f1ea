"""Logs: one JSON object a line, on standard error.

    {"at": "2026-03-01T09:00:00.000000Z", "level": "info", "message": "request", "method": "GET",
     "route": "/v1/accounts/<account>/subscriptions", "status": 200, "ms": 1.91,
     "request_id": "req_…", "actor": "kft_…"}

No path, query, header or body is ever in one.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import msgspec

from web.app.causes import without_credentials
from web.app.times import iso

STDERR: Final = 2
_log = logging.getLogger("keyfold.process")
_FIELDS = ("method", "route", "status", "ms", "request_id", "actor", "trace_id")


class RequestLine(logging.LogRecord):
    """A record of INFO, with fields of its own.

    An ordinary one finds out about its thread, process and place in the code, which takes longer
    than all the rest, and which no line of ours tells.
    """

    def __init__(self, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        vars(self).update(_BLANK, name=logger, msg=message, created=time.time(), **fields)


_BLANK: Final = vars(logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO"}))


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, with the fields that ours have."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        return self.encoded(record).decode()

    def encoded(self, record: logging.LogRecord) -> bytes:
        """Return a record as one line of JSON in UTF-8, without its line end."""
        given = vars(record)
        message = record.getMessage()
        if record.name.partition(".")[0] != "keyfold":
            # A library's: which one, and on one line.
            message = f"{record.name}: {without_credentials(message)}"
        line = {
            "at": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": message,
        }
        if record.exc_info and record.exc_info[1]:
            line["message"] += f": {crash_line(record.exc_info[1])}"
        line |= {name: given[name] for name in _FIELDS if name in given}
        return msgspec.json.encode(line)


class Stderr(logging.Handler):
    """Writes each line at once and as a whole, so that no thread waits for another's."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = JsonLines()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record to standard error without a lock or a buffer; return True."""
        try:
            os.write(STDERR, self._lines.encoded(record) + b"\n")
        except OSError:
            pass  # whoever was to read it may have gone: no reason to answer nobody any more
        except Exception:
            self.handleError(record)
        return True


def log_to_stderr() -> None:
    """Let this process's Keyfold loggers write to standard error."""
    ours = logging.getLogger("keyfold")
    ours.handlers = [Stderr()]
    ours.propagate = False
    ours.setLevel(logging.INFO)


def log_all_to_stderr() -> None:
    """Let all that a process of our own server has to say be lines of JSON on standard error.

    Also what libraries log and warn of, and what ends a thread or the process, which Python would
    print as it likes. Under another server that is for it to arrange.
    """
    log_to_stderr()
    others = logging.getLogger()
    others.handlers = [Stderr()]
    others.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash
    sys.unraisablehook = _log_unraisable


def crash_line(error: BaseException | None) -> str:
    """Return the type of an error and where it was raised; what it says is for no log."""
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"


def _log_crash(
    kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    if issubclass(kind, Exception):
        _log.error("the process fails: %s", crash_line(error))


def _log_thread_crash(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and isinstance(found.exc_value, Exception):
        name = found.thread.name if found.thread else "?"
        _log.error("thread %s fails: %s", name, crash_line(found.exc_value))


def _log_unraisable(found: sys.UnraisableHookArgs) -> None:
    _log.error("something fails unheard: %s", crash_line(found.exc_value))
