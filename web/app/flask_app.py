"""Flask, with what it leaves open: forms with NUL characters, and where redirects lead."""

from __future__ import annotations

from functools import cached_property
from typing import NoReturn
from urllib.parse import urlsplit

from flask import Flask, Request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.routing import RequestRedirect


class KeyfoldRequest(Request):
    """A request whose form holds only what a database can take."""

    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """Return what a form has sent; one with a NUL, which no database takes, is refused."""
        found: ImmutableMultiDict[str, str] = super().form
        if any("\0" in name or "\0" in value for name, value in found.items(multi=True)):
            raise BadRequest("the form has a NUL character")
        return found


class KeyfoldFlask(Flask):
    """Flask whose redirects name neither host nor scheme.

    Behind a proxy we know neither, and a caller may make one up. Flask's own sessions need a secret
    key, which is never set: whoever uses one is told so.
    """

    request_class = KeyfoldRequest

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise what the routing has found wrong; a redirect leads to the host that was asked."""
        exception = request.routing_exception
        if isinstance(exception, RequestRedirect):
            wanted = urlsplit(exception.new_url)
            path = "/" + wanted.path.lstrip("/")
            exception.new_url = f"{path}?{wanted.query}" if wanted.query else path
            raise exception
        super().raise_routing_exception(request)
