"""What another WSGI server loads: `keyfold.wsgi:app`."""

from __future__ import annotations

from typing import Any

from keyfold import find_packages


def __getattr__(name: str) -> Any:
    # Made when it is first asked for: importing this opens nothing.
    if name != "app":
        raise AttributeError(name)
    find_packages()
    from web import wsgi

    return wsgi.app
