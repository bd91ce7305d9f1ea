"""Settings: environment variables, each also readable from the file that KEYFOLD_ENV_FILE names.

What is set in the environment wins over the file. docs/settings.md describes every variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ledger import permissions
from ledger.catalog import Catalog, CatalogError, builtin, parse
from ledger.permissions import PERMISSIONS, Permission
from ledger.seat_sync import QUIET_DEFAULT_S
from ledger.secret import Secret
from web.return_urls import origin

DATABASE_URL_DEFAULT = "sqlite:///keyfold.db"
PUBLIC_URL_DEFAULT = "http://127.0.0.1:8000"
MEMO_STREAMS_DEFAULT = 10_000
SEAT_SYNC_QUIET_S_MAX = 600
WEBHOOK_SECRETS_MAX = 2
ENV_FILE_BYTES_MAX = 1024 * 1024
DIGITS_MAX = 9
SHOWN_LENGTH_MAX = 40

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class SettingError(Exception):
    """A setting is missing or wrong; the message is one line that names it and the mend."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable} {problem}")
        self.variable = variable


class StripeSettings(NamedTuple):
    """What Stripe is reached with.

    Attributes:
        api_key: None when nothing is asked of Stripe.
        webhook_secrets: what deliveries are signed with; two while one replaces the other, none
            when no deliveries are taken.
        api_base: where Stripe is, if not where it always is.
    """

    api_key: str | None = None
    webhook_secrets: tuple[str, ...] = ()
    api_base: str | None = None


class Settings(NamedTuple):
    """The settings as the program uses them.

    Attributes:
        secret: None when it is to be read from the file beside a SQLite database.
        test_clock: the file that holds the time, or None for the real clock.
        memo_streams: how many streams' states a process remembers.
        checkpoint_secrets: what the keys are derived from that sign checkpoints; none for `secret`.
        return_origins: where customers may be sent, beside the public URL's own origin.
        portal_permissions: of links to the hosted pages that are asked for without any.
        seat_sync_quiet_s: for how long seats must not have moved before Stripe is told of them.
    """

    database_url: str
    secret: Secret | None
    catalog: Catalog
    public_url: str
    test_clock: Path | None
    memo_streams: int
    checkpoint_secrets: tuple[Secret, ...] = ()
    stripe: StripeSettings = StripeSettings()
    return_origins: tuple[str, ...] = ()
    seat_sync_quiet_s: int = QUIET_DEFAULT_S
    portal_permissions: tuple[Permission, ...] = permissions.DEFAULT

    @property
    def is_https(self) -> bool:
        """Whether the links that are handed out are https."""
        return self.public_url.lower().startswith("https:")


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check every setting.

    Raises:
        SettingError: for the first one that is wrong.
    """
    values = {**_env_file(environ), **environ}
    secret = values.get("KEYFOLD_SECRET")
    test_clock = values.get("KEYFOLD_TEST_CLOCK")
    return Settings(
        database_url=_database_url(values.get("KEYFOLD_DATABASE_URL") or DATABASE_URL_DEFAULT),
        secret=_secret(secret) if secret else None,
        catalog=_catalog(values.get("KEYFOLD_CATALOG")),
        public_url=_public_url(values.get("KEYFOLD_PUBLIC_URL") or PUBLIC_URL_DEFAULT),
        test_clock=Path(test_clock) if test_clock else None,
        memo_streams=_memo_streams(values.get("KEYFOLD_MEMO_STREAMS")),
        checkpoint_secrets=_checkpoint_secrets(values.get("KEYFOLD_CHECKPOINT_SECRETS")),
        stripe=StripeSettings(
            api_key=_stripe_key(values.get("STRIPE_API_KEY")),
            webhook_secrets=_webhook_secrets(values.get("STRIPE_WEBHOOK_SECRET")),
            api_base=_stripe_base(values.get("STRIPE_API_BASE")),
        ),
        return_origins=_return_origins(values.get("KEYFOLD_RETURN_URLS")),
        seat_sync_quiet_s=_seat_sync_quiet_s(values.get("KEYFOLD_SEAT_SYNC_QUIET_S")),
        portal_permissions=_portal_permissions(values.get("KEYFOLD_PORTAL_PERMISSIONS")),
    )


def _env_file(environ: Mapping[str, str]) -> dict[str, str]:
    name = environ.get("KEYFOLD_ENV_FILE")
    if not name:
        return {}
    if not Path(name).is_file():
        raise SettingError("KEYFOLD_ENV_FILE", f"names no file: {name}")
    try:
        with Path(name).open("rb") as file:
            text = file.read(ENV_FILE_BYTES_MAX + 1).decode("utf-8")
    except OSError as error:
        raise SettingError(
            "KEYFOLD_ENV_FILE", f"cannot be read: {error.strerror}: {name}"
        ) from None
    except UnicodeDecodeError:
        raise SettingError("KEYFOLD_ENV_FILE", f"is no text in UTF-8: {name}") from None
    if len(text.encode()) > ENV_FILE_BYTES_MAX or "\0" in text:
        raise SettingError(
            "KEYFOLD_ENV_FILE",
            f"must name a text of lines NAME=VALUE, up to {ENV_FILE_BYTES_MAX} bytes: {name}",
        )
    # Only here: most starts have no such file, and pay nothing for reading one.
    from dotenv import dotenv_values

    values = dotenv_values(stream=StringIO(text))
    return {key: value for key, value in values.items() if value is not None}


def _database_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest.strip("/"):
        return url
    if scheme in ("postgresql", "postgres") and rest:
        _hold_to_libpq(url)
        return url
    raise SettingError(
        "KEYFOLD_DATABASE_URL",
        "must be sqlite:///PATH (four slashes for an absolute path) or postgresql://…",
    )


def _hold_to_libpq(url: str) -> None:
    # Only here: with SQLite nothing of psycopg is needed.
    from psycopg import ProgrammingError, conninfo

    try:
        conninfo.conninfo_to_dict(url)
    except (ProgrammingError, ValueError) as error:
        # What libpq says may quote the password, but for a parameter's name.
        named = re.search(r'invalid URI query parameter: ("[^"]{1,100}")', str(error))
        what = f"it knows no parameter {named[1]}" if named else "look at its percent-encoding"
        raise SettingError(
            "KEYFOLD_DATABASE_URL", f"is no address that PostgreSQL's libpq can read: {what}"
        ) from None


def _secret(text: str) -> Secret:
    try:
        return Secret.from_base64(text)
    except ValueError as error:
        raise SettingError(
            "KEYFOLD_SECRET", f"{error}: give 32 random bytes or more, in base64"
        ) from None


def _checkpoint_secrets(texts: str | None) -> tuple[Secret, ...]:
    if not texts:
        return ()
    try:
        return tuple(Secret.from_base64(text) for text in texts.split(","))
    except ValueError as error:
        raise SettingError(
            "KEYFOLD_CHECKPOINT_SECRETS",
            f"{error}: give 32 random bytes or more, in base64; for a rotation the new ones and the"
            " old ones, split by a comma",
        ) from None


def _catalog(name: str | None) -> Catalog:
    if not name:
        return builtin()
    try:
        return parse(Path(name).read_text("utf-8"))
    except OSError as error:
        raise SettingError("KEYFOLD_CATALOG", f"cannot be read: {error.strerror}: {name}") from None
    except (CatalogError, UnicodeDecodeError) as error:
        raise SettingError("KEYFOLD_CATALOG", f"is no catalog: {name}: {error}") from None


def _public_url(url: str) -> str:
    found = origin(url)
    if found is None or (parts := urlsplit(url)).query or parts.fragment:
        raise SettingError("KEYFOLD_PUBLIC_URL", "must be an address like https://licences.example")
    return found + parts.path.rstrip("/")


def _return_origins(text: str | None) -> tuple[str, ...]:
    origins = []
    for one in text.split(",") if text else ():
        found = origin(one.strip())
        if found is None or urlsplit(one.strip()).path not in ("", "/"):
            raise SettingError(
                "KEYFOLD_RETURN_URLS",
                "must hold addresses like https://portal.example, split by commas, not"
                f" {_shown(one)}",
            )
        origins.append(found)
    return tuple(origins)


def _memo_streams(text: str | None) -> int:
    if not text:
        return MEMO_STREAMS_DEFAULT
    number = _whole(text)
    if number is None or number < 1:
        raise SettingError(
            "KEYFOLD_MEMO_STREAMS", f"must be a whole number from 1, not {_shown(text)}"
        )
    return number


def _seat_sync_quiet_s(text: str | None) -> int:
    if not text:
        return QUIET_DEFAULT_S
    number = _whole(text)
    if number is None or number > SEAT_SYNC_QUIET_S_MAX:
        raise SettingError(
            "KEYFOLD_SEAT_SYNC_QUIET_S",
            f"must be a whole number of seconds up to {SEAT_SYNC_QUIET_S_MAX}, not {_shown(text)}",
        )
    return number


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else None


def _shown(text: str) -> str:
    """Return a value as a message can show it: in quotes, and cut when it is long."""
    return repr(text if len(text) <= SHOWN_LENGTH_MAX else f"{text[:SHOWN_LENGTH_MAX]}…")


def _portal_permissions(text: str | None) -> tuple[Permission, ...]:
    if text is None:
        return permissions.DEFAULT
    wanted = {one.strip() for one in text.split(",")} - {""}
    unknown = sorted(wanted.difference(PERMISSIONS))
    if unknown:
        raise SettingError(
            "KEYFOLD_PORTAL_PERMISSIONS",
            f"must hold {', '.join(PERMISSIONS)}, split by commas, or nothing; not {unknown[0]!r}",
        )
    return tuple(one for one in PERMISSIONS if one in wanted)


def _stripe_key(key: str | None) -> str | None:
    if not key:
        return None
    if key.startswith("pk_") or not _PRINTABLE.fullmatch(key):
        raise SettingError("STRIPE_API_KEY", "must be a secret or restricted key: sk_… or rk_…")
    return key


def _webhook_secrets(texts: str | None) -> tuple[str, ...]:
    if not texts:
        return ()
    secrets = tuple(text.strip() for text in texts.split(","))
    if len(secrets) > WEBHOOK_SECRETS_MAX or not all(map(_PRINTABLE.fullmatch, secrets)):
        raise SettingError(
            "STRIPE_WEBHOOK_SECRET",
            "must be one signing secret (whsec_…), or two split by a comma for a rotation",
        )
    return secrets


def _stripe_base(url: str | None) -> str | None:
    if not url:
        return None
    if origin(url) is None:
        raise SettingError("STRIPE_API_BASE", "must be an address like https://api.stripe.com")
    return url.rstrip("/")
