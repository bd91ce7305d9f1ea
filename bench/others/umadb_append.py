"""Appends to UmaDB, an event store with a server of its own, for `bench.stores`.

Its wheel brings the server along, which is started on a new database with its own settings. A
client has a connection, and appends one event of the bytes in $STATE to a stream of its own: with a
tag, on the condition that no event has that tag yet. UmaDB syncs twice for a commit, the data and
then the header, and commits all appends together that wait for it.

    python -m bench.others.umadb_append 8
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.programs import serve
from bench.rounds import Work

try:
    import umadb
except ImportError:  # there is no wheel for every platform
    print(json.dumps({"failed": "UmaDB is not installed"}))
    sys.exit()

START_S: Final = 10.0
# The server ends with us, however we end: then our end of the pipe is closed.
ALIVE_AS_LONG_AS_WE: Final = '"$@" & cat; kill $!; wait $!'


def main(clients: int) -> None:
    """Start a server, and append to it until our input ends."""
    with (
        tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder,
        _server(Path(folder) / "uma.db") as url,
    ):
        serve(lambda: _appending(url, clients), clients)


@contextmanager
def _server(database: Path) -> Iterator[str]:
    address = f"127.0.0.1:{_free_port()}"
    server = str(Path(sys.executable).with_name("umadb"))
    command = [server, f"--listen={address}", f"--db-path={database}"]
    with subprocess.Popen(
        ["/bin/sh", "-c", ALIVE_AS_LONG_AS_WE, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
    ):
        yield f"http://{address}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _appending(url: str, clients: int) -> Work:
    _wait_for(url)
    connections = [umadb.Client(url) for _ in range(clients)]
    state = os.environ["STATE"].encode()
    numbers = itertools.count()

    def append(client: int) -> None:
        stream = f"bench-{client}-{next(numbers)}"
        connections[client].append(
            [umadb.Event("account.seat_occupied@1", state, [stream])],
            umadb.AppendCondition(umadb.Query([umadb.QueryItem(tags=[stream])])),
        )

    append(0)
    return append


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            umadb.Client(url).head()
        except umadb.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
