"""Processes that send messages to webhooks and do nothing else: to be killed at any moment.

They are forked from one that has imported all that they need, so that many can be killed in a row.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from tests.store.processes import start_clean
from web.server import webhook_sender


@contextmanager
def sender(environ: Mapping[str, str]) -> Iterator[BaseProcess]:
    """Start a process that sends, with these settings, and kill it in the end."""
    ours, theirs = multiprocessing.Pipe()
    process = start_clean(_send, dict(environ), theirs)
    theirs.close()
    try:
        assert ours.recv() == "sending"
        yield process
    finally:
        process.kill()
        process.join()
        ours.close()


def _send(environ: Mapping[str, str], pipe: Connection) -> None:
    os.environ.update(environ)
    with webhook_sender.running():
        pipe.send("sending")
        pipe.recv()
