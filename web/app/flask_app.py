"""Flask, without the work that none of our requests needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.routing import MapAdapter, RequestRedirect

HOSTS_REMEMBERED: Final = 100
HOST_LENGTH_MAX: Final = 300  # 253 of a name, and a port; a longer one is not remembered


class LeanRequest(Request):
    """A request that looks only once which blueprints its page belongs to."""

    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """Return the fields of a form.

        Raises:
            BadRequest: one has a NUL, which no database takes.
        """
        found: ImmutableMultiDict[str, str] = super().form
        if any("\0" in name or "\0" in value for name, value in found.items(multi=True)):
            raise BadRequest("the form has a NUL character")
        return found

    @cached_property
    def blueprints(self) -> list[str]:
        """Return the names of the endpoint's blueprints; here computed once a request."""
        return super().blueprints


class NoSessions(SessionInterface):
    """There are none; whoever uses one nevertheless is told so."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return one session for all requests, which nothing can be put into."""
        return self._none


class LeanFlask(Flask):
    """Flask for views that are not asynchronous, do not differ by host, and have no session.

    The parts of a host's name are looked at once for each host, and not at each request.
    """

    request_class = LeanRequest
    session_interface = NoSessions()

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name)
        self.hosts: dict[tuple[Any, ...], str] = {}

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise what the routing has found wrong; a redirect leads to the host that was asked.

        It names neither host nor scheme: behind a proxy we know neither, and a caller may make
        one up.
        """
        exception = request.routing_exception
        if isinstance(exception, RequestRedirect):
            wanted = urlsplit(exception.new_url)
            path = "/" + wanted.path.lstrip("/")
            exception.new_url = f"{path}?{wanted.query}" if wanted.query else path
            raise exception
        super().raise_routing_exception(request)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the view as it is: none of ours is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return an adapter of the URL map; a host seen before is not looked into again."""
        if request is None:
            return super().create_url_adapter(None)
        environ = request.environ
        host = environ.get("HTTP_HOST")
        scheme = environ["wsgi.url_scheme"]
        place = host, scheme, environ.get("SERVER_NAME"), environ.get("SERVER_PORT")
        known = self.hosts.get(place)
        if known is None or environ.get("SCRIPT_NAME") or "HTTP_UPGRADE" in environ:
            adapter = super().create_url_adapter(request)
            is_new = len(host or "") <= HOST_LENGTH_MAX and len(self.hosts) < HOSTS_REMEMBERED
            if adapter and adapter.url_scheme == scheme and is_new:
                self.hosts[place] = adapter.server_name
            return adapter
        return MapAdapter(
            self.url_map,
            known,
            "/",
            "",
            scheme,
            _text(environ.get("PATH_INFO", "")),
            environ["REQUEST_METHOD"],
            _text(environ.get("QUERY_STRING", "")),
        )


def _text(of_environ: str) -> str:
    """Return a text of WSGI's, which hands bytes over as Latin 1."""
    return of_environ.encode("latin1").decode(errors="replace")
