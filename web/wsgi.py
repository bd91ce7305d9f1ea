"""What a WSGI server loads: `web.wsgi:app`.

`app` is made when it is first asked for, so that importing this opens nothing; and again in a
process that was forked after that, since connections must not cross a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from flask import Flask

from web import stripe_webhook
from web.app import create_app
from web.context import EXTENSION
from web.logs import log_to_stderr

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class PerProcess:
    """A WSGI application that each process makes for itself."""

    def __init__(self) -> None:
        self.application = _make()
        self._process = os.getpid()
        self._turn = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._process != os.getpid():
            with self._turn:
                if self._process != os.getpid():
                    self.application = _make()
                    self._process = os.getpid()
        return self.application(environ, start_response)


def _make() -> Flask:
    log_to_stderr()
    app = create_app()
    stripe_webhook.warm_up(app.extensions[EXTENSION].wiring)
    return app


_apps: list[PerProcess] = []


def __getattr__(name: str) -> PerProcess:
    """Answer `app`.

    Raises:
        SettingError: a setting, the schema or the secret will not do.
    """
    if name != "app":
        raise AttributeError(name)
    if not _apps:
        _apps.append(PerProcess())
    return _apps[0]
