"""Logs: one JSON object a line, on standard error.

    {"at": "2026-03-01T09:00:00.000000Z", "level": "info", "message": "request", "method": "GET",
     "route": "/v1/accounts/<account>/subscriptions", "status": 200, "ms": 1.91,
     "request_id": "req_…", "actor": "kft_…"}

No path, query, header or body is ever in one.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from web.times import iso

_FIELDS = ("method", "route", "status", "ms", "request_id", "actor")


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, with the fields that ours have."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in _FIELDS if name in vars(record)}
        return msgspec.json.encode(line).decode()


def log_to_stderr() -> None:
    """Let this process's Keyfold loggers write to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    ours = logging.getLogger("keyfold")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(logging.INFO)
