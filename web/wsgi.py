"""What a WSGI server loads: `web.wsgi:app`.

`app` is made when it is first asked for, so that importing this opens nothing; and again in a
process that was forked after that, since connections must not cross a fork.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from flask import Flask

from web.api import stripe_webhook
from web.app import tracing
from web.app.context import EXTENSION, AppState
from web.app.logs import log_to_stderr
from web.create_app import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ForkAwareApplication:
    """A WSGI application that each process makes for itself, also after a fork."""

    def __init__(self) -> None:
        self.application = _make()
        self._is_ours = True
        self._lock = Lock()
        os.register_at_fork(after_in_child=self._forked)

    @property
    def state(self) -> AppState:
        """Return what this process has for all of its requests."""
        found: AppState = self.application.extensions[EXTENSION]
        return found

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._is_ours:
            with self._lock:
                if not self._is_ours:
                    self.application = _make()
                    self._is_ours = True
        return self.application(environ, start_response)

    def _forked(self) -> None:
        self._is_ours = False
        self._lock = Lock()  # another thread may have held it, which is not here to let it go


def _make() -> Flask:
    log_to_stderr()
    app = create_app()
    wiring = app.extensions[EXTENSION].wiring
    stripe_webhook.warm_up(wiring)
    # Here, in each process: what sends traces is a thread, and would not come through a fork.
    if (spans := tracing.start(wiring.settings.database_url)) is not None:
        spans.trace_requests(app)
    # What was made so far is there to stay: let no collection look through it again.
    gc.collect()
    gc.freeze()
    return app


_apps: list[ForkAwareApplication] = []


def __getattr__(name: str) -> ForkAwareApplication:
    if name != "app":
        raise AttributeError(name)
    return application()


def application() -> ForkAwareApplication:
    """Return `app`, made at the first call that succeeds.

    Raises:
        SettingError: a setting, the schema or the secret will not do.
        PersistenceError: the database does not answer.
    """
    if not _apps:
        _apps.append(ForkAwareApplication())
    return _apps[0]
