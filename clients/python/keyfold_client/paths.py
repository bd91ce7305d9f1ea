"""What stands in a path."""

from urllib.parse import quote as quoted

from keyfold_client import Problem


def quote(part: str, safe: str = "") -> str:
    """Return a part of a path as it is written.

    Raises:
        Problem: "." or "..", which lead to another place however they are written.
    """
    if part in (".", ".."):
        raise Problem(422, "invalid_request", "Invalid request", "no id is '.' or '..'")
    return quoted(part, safe=safe)
