"""What stands in a path."""

from urllib.parse import quote as quoted


def quote(part: str, safe: str = "") -> str:
    """Return a part of a path as it is written.

    Raises:
        ValueError: "." or "..", which lead to another place however they are written.
    """
    if part in (".", ".."):
        raise ValueError("no id is '.' or '..'")
    return quoted(part, safe=safe)
