"""What libpq would refuse of an address of PostgreSQL's, before anything connects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from psycopg import ProgrammingError, conninfo, pq

LAST_PORT: Final = 65535
LIBPQ_NUMBERS: Final = (
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
    "tcp_user_timeout",
)  # fmt: skip


def problem_of(url: str) -> str | None:
    """Return why an address will not do, in words that follow the setting's name; None if it will.

    Nothing is asked of a server.
    """
    try:
        given = conninfo.conninfo_to_dict(url)
    except (ProgrammingError, ValueError) as error:
        # What libpq says may quote the password, but for a parameter's name.
        named = re.search(r'invalid URI query parameter: ("[^"]{1,100}")', str(error))
        what = f"it knows no parameter {named[1]}" if named else "look at its percent-encoding"
        return f"is no address that PostgreSQL's libpq can read: {what}"
    wrong = _wrong_value(given)
    return wrong and f"has a value that PostgreSQL's libpq does not take: {wrong}"


def _wrong_value(given: Mapping[str, Any]) -> str | None:
    """Return what is wrong with its values, which libpq looks at only when it connects."""
    ports = str(given.get("port") or "").split(",")
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    if any(port and not _is_port(port) for port in ports):
        return f"look at the port, which is a number from 1 to {LAST_PORT}"
    if len(ports) not in (1, len(hosts)):
        return "look at the ports: give one for all hosts, or one for each"
    for name in LIBPQ_NUMBERS:
        if not re.fullmatch(r" *-?[0-9]{0,9} *", str(given.get(name) or "")):
            return f"look at {name}, which is a whole number"
    # The rest libpq checks before it connects: here to a socket that is not there, since what would
    # hold it is no folder.
    encryption = given.get("gssencmode")
    elsewhere = {
        **given,
        "host": "/dev/null/none",
        "hostaddr": "",
        "port": "1",
        # No socket has it, a server may.
        "gssencmode": "prefer" if encryption == "require" else encryption or "disable",
    }
    with _without_defaults():
        tried = pq.PGconn.connect_start(conninfo.make_conninfo("", **elsewhere).encode())
    message = tried.error_message.decode("utf-8", "replace")
    tried.finish()
    if tried.status != pq.ConnStatus.BAD or message.startswith("connection to server"):
        return None
    named = re.search(r'invalid "?(\w+)"? value', message)
    return f"look at {named[1] if named else 'its parameters'}"


@contextmanager
def _without_defaults() -> Iterator[None]:
    """Keep libpq from taking what an address does not say from the environment.

    Threads must not be reading that: settings are read before there are any.
    """
    names = [option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar]
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}", text)) and 1 <= int(text) <= LAST_PORT
