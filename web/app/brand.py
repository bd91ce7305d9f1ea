"""What the catalog says of the vendor, as the pages use it: a logo's bytes, and readable colours.

An accent is for buttons with white text and for links on white paper; on dark paper links and
borders take a lighter one of the same hue.

    >>> round(contrast("#767676", WHITE), 2)
    4.54
    >>> lighter("#003366", "#181c25") > "#003366"
    True
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from ledger.catalog import Brand

WHITE: Final = "#ffffff"
DARK_PAPER: Final = "#19202a"  # of `pages.css`, as are the tokens below
BLACK: Final = "#000000"
_LINEAR_MAX: Final = 0.04045  # of sRGB; darker ones are not raised to a power
# Of text, by WCAG 2.2, 1.4.3.
CONTRAST_MIN: Final = 4.5
LOGO_BYTES_MAX: Final = 256 * 1024
LOGO_TYPES: Final = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


class BrandError(ValueError):
    """What the catalog says of the vendor cannot be shown; the message names the field."""


class Logo(NamedTuple):
    """A logo as it is sent."""

    content_type: str
    content: bytes


def read_logo(brand: Brand, folder: Path) -> Logo | None:
    """Return the logo, from the folder that the catalog is in; None for a brand without.

    Raises:
        BrandError: there is no such file, or it is too large, or of no kind that pages show.
    """
    if brand.logo is None:
        return None
    file = folder / brand.logo
    content_type = LOGO_TYPES.get(file.suffix.lower())
    if content_type is None:
        raise BrandError(f"`brand.logo` must be one of {', '.join(LOGO_TYPES)}: {brand.logo}")
    try:
        if not file.is_file():
            raise BrandError(f"`brand.logo` is no file beside the catalog: {brand.logo}")
        with file.open("rb") as opened:
            content = opened.read(LOGO_BYTES_MAX + 1)
    except OSError as error:
        raise BrandError(f"`brand.logo` cannot be read: {error.strerror}") from None
    if len(content) > LOGO_BYTES_MAX:
        raise BrandError(f"`brand.logo` has more than {LOGO_BYTES_MAX // 1024} KiB: {brand.logo}")
    return Logo(content_type, content)


def check_accent(brand: Brand) -> None:
    """Check that the accent can be read on white, and white on it.

    Raises:
        BrandError: it cannot.
    """
    if brand.accent is None:
        return
    found = contrast(brand.accent, WHITE)
    if found < CONTRAST_MIN:
        raise BrandError(
            f"`brand.accent` {brand.accent} has a contrast of {found:.1f} to 1 with white, and"
            f" needs {CONTRAST_MIN}: choose a darker one"
        )


def stylesheet(brand: Brand) -> str:
    """Return the colours of a brand with an accent, over those of the pages (`pages.css`)."""
    if brand.accent is None:
        return ""
    accent = brand.accent.lower()
    light = lighter(accent, DARK_PAPER)
    return (
        f":root {{ --accent: {accent}; --accent-strong: {_mixed(accent, BLACK, 0.2)};"
        f" --accent-paper: {_mixed(accent, WHITE, 0.92)}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {light};"
        f" --accent-strong: {_mixed(light, WHITE, 0.3)};"
        f" --accent-ink: {BLACK}; --accent-paper: {_mixed(accent, DARK_PAPER, 0.8)}; }} }}\n"
    )


def contrast(one: str, other: str) -> float:
    """Return how well one colour is seen on another, by WCAG 2: from 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lighter(colour: str, paper: str) -> str:
    """Return the colour mixed with as much white as it takes to be read on dark paper."""
    found, parts = colour, 0
    while contrast(found, paper) < CONTRAST_MIN:
        parts += 1
        found = _mixed(colour, WHITE, parts / 20)
    return found


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _mixed(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= _LINEAR_MAX else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
