"""Django as in production: no debugging, connections that last."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import connections

_kept: dict[int, Any] = {}


def set_up(url: str, apps: list[str], **more: Any) -> None:
    """Configure Django for one PostgreSQL database."""
    parts = urlsplit(url)
    settings.configure(
        DEBUG=False,
        SECRET_KEY="of the benchmark",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=apps,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": parts.hostname,
                "PORT": parts.port,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "NAME": parts.path.removeprefix("/"),
                "CONN_MAX_AGE": None,
                "OPTIONS": {"server_side_binding": True, "prepare_threshold": 5},
            }
        },
        **more,
    )
    django.setup()


def with_connection(client: int) -> None:
    """Let this thread have the client's connection.

    Django keeps a connection with its thread. A server's threads live on; those of a round do not.
    """
    if client not in _kept:
        _kept[client] = connections.create_connection("default")
        _kept[client].inc_thread_sharing()
    connections["default"] = _kept[client]
