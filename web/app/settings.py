"""Settings: environment variables, each also readable from the file that KEYFOLD_ENV_FILE names.

What is set in the environment wins over the file. docs/settings.md describes every variable.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, MutableMapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from commands.gateways.webhook_addresses import AllowedHosts
from ledger import permissions
from ledger.catalog import Catalog, CatalogError, builtin, parse
from ledger.permissions import PERMISSIONS, Permission
from ledger.secret import Secret
from ledger.store.sqlite.datastore import path_of
from ledger.streams.account.seat_sync import QUIET_DEFAULT_S
from ledger.streams.token import Role
from web.app.brand import BrandError, Logo, check_accent, read_logo
from web.app.oidc_settings import OidcSettings, OidcSettingsError, read_oidc_settings
from web.app.return_urls import origin
from web.app.setting_names import unknown_settings
from web.app.token_limits import LIMITS_DEFAULT, TokenLimitsError, parse_limits

DATABASE_URL_DEFAULT = "sqlite:///keyfold.db"
PUBLIC_URL_DEFAULT = "http://127.0.0.1:8000"
MEMO_STREAMS_DEFAULT = 10_000
SEAT_SYNC_QUIET_S_MAX = 600
WEBHOOK_SECRETS_MAX = 2
FILE_BYTES_MAX = 1024 * 1024
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
        checkpoint_log: the file in which what was signed is kept as well; None for no such file.
        return_origins: where customers may be sent, beside the public URL's own origin.
        logo: the vendor's, which the catalog names.
        portal_permissions: of links to the hosted pages that are asked for without any.
        seat_sync_quiet_s: for how long seats must not have moved before Stripe is told of them.
        webhook_hosts: what messages may be sent to although it is not of the internet.
        oidc: how people sign in at a provider; None where they do not.
        token_limits: how many requests a minute a token of a role may make, where that is limited.
    """

    database_url: str
    secret: Secret | None
    catalog: Catalog
    public_url: str
    test_clock: Path | None
    memo_streams: int
    checkpoint_secrets: tuple[Secret, ...] = ()
    checkpoint_log: Path | None = None
    stripe: StripeSettings = StripeSettings()
    return_origins: tuple[str, ...] = ()
    seat_sync_quiet_s: int = QUIET_DEFAULT_S
    portal_permissions: tuple[Permission, ...] = permissions.DEFAULT
    logo: Logo | None = None
    webhook_hosts: AllowedHosts = AllowedHosts()
    token_limits: Mapping[Role, int] = LIMITS_DEFAULT
    oidc: OidcSettings | None = None

    @property
    def is_https(self) -> bool:
        """Return whether the links that are handed out are https."""
        return self.public_url.lower().startswith("https:")

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Return the origins that customers may be sent to: our own, and the listed ones."""
        own = origin(self.public_url)
        return frozenset({*self.return_origins, *([own] if own else [])})


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return every setting, checked; the environment counts before KEYFOLD_ENV_FILE.

    Raises:
        SettingError: for the first one that is wrong.
    """
    values = all_values(environ)
    secret = values.get("KEYFOLD_SECRET")
    test_clock = values.get("KEYFOLD_TEST_CLOCK")
    return Settings(
        database_url=_database_url(values.get("KEYFOLD_DATABASE_URL") or DATABASE_URL_DEFAULT),
        secret=_secret(secret) if secret else None,
        catalog=(catalog := _catalog(values.get("KEYFOLD_CATALOG"))),
        logo=_logo(catalog, values.get("KEYFOLD_CATALOG")),
        public_url=_public_url(values.get("KEYFOLD_PUBLIC_URL") or PUBLIC_URL_DEFAULT),
        test_clock=Path(test_clock) if test_clock else None,
        memo_streams=_memo_streams(values.get("KEYFOLD_MEMO_STREAMS")),
        checkpoint_secrets=_checkpoint_secrets(values.get("KEYFOLD_CHECKPOINT_SECRETS")),
        checkpoint_log=_checkpoint_log(values.get("KEYFOLD_CHECKPOINT_LOG")),
        stripe=StripeSettings(
            api_key=_stripe_key(values.get("STRIPE_API_KEY")),
            webhook_secrets=_webhook_secrets(values.get("STRIPE_WEBHOOK_SECRET")),
            api_base=_stripe_base(values.get("STRIPE_API_BASE")),
        ),
        return_origins=_return_origins(values.get("KEYFOLD_RETURN_URLS")),
        seat_sync_quiet_s=_seat_sync_quiet_s(values.get("KEYFOLD_SEAT_SYNC_QUIET_S")),
        portal_permissions=_portal_permissions(values.get("KEYFOLD_PORTAL_PERMISSIONS")),
        webhook_hosts=_webhook_hosts(values.get("KEYFOLD_WEBHOOK_HOSTS")),
        token_limits=_token_limits(values.get("KEYFOLD_TOKEN_LIMITS")),
        oidc=_oidc(values),
    )


def all_values(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what is set in the environment, and in the file that KEYFOLD_ENV_FILE names.

    Raises:
        SettingError: the file cannot be read.
    """
    return {**_env_file(environ), **environ}


def warnings(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each name that is meant for a setting, and is none.

    Raises:
        SettingError: KEYFOLD_ENV_FILE cannot be read.
    """
    return [
        f"{name} is no setting of Keyfold's, and is not read"
        + (f": did you mean {near}?" if near else "")
        for name, near in unknown_settings(all_values(environ))
    ]


def let_links_lead_to(url: str, environ: MutableMapping[str, str] = os.environ) -> bool:
    """Let the links that are handed out lead to an address, unless a setting says where.

    It is set in the environment, where processes that are started find it, too. Return whether it
    was set.
    """
    if all_values(environ).get("KEYFOLD_PUBLIC_URL"):
        return False
    environ["KEYFOLD_PUBLIC_URL"] = url
    return True


def read_file(variable: str, file: Path) -> str:
    """Return the text of a file that a setting names, or that stands for one.

    It must be a regular file: a device may have no end, and a pipe may never have a beginning.

    Raises:
        SettingError: it is no such file, is too large, cannot be read or is no text.
    """
    try:
        # Without O_NONBLOCK to open a pipe would wait for its writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SettingError(variable, f"must name a regular file; this is none: {file}")
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                content = opened.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SettingError(variable, f"cannot be read: {error.strerror}: {file}") from None
    except ValueError:
        raise SettingError(variable, "must name a file; no path has a NUL") from None
    if len(content) > FILE_BYTES_MAX:
        raise SettingError(variable, f"must name a file of up to {FILE_BYTES_MAX} bytes: {file}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SettingError(variable, f"must name a text in UTF-8: {file}") from None


def _env_file(environ: Mapping[str, str]) -> dict[str, str]:
    name = environ.get("KEYFOLD_ENV_FILE")
    if not name:
        return {}
    text = read_file("KEYFOLD_ENV_FILE", Path(name))
    if "\0" in text:
        raise SettingError("KEYFOLD_ENV_FILE", f"must name a text of lines NAME=VALUE: {name}")
    # Only here: most starts have no such file, and pay nothing for reading one.
    from dotenv import dotenv_values

    values = dotenv_values(stream=StringIO(text))
    return {key: value for key, value in values.items() if value is not None}


def _database_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest.strip("/"):
        _check_file(Path(path_of(url)))
        return url
    if scheme in ("postgresql", "postgres") and rest:
        _check_with_libpq(url)
        return url
    raise SettingError(
        "KEYFOLD_DATABASE_URL",
        "must be sqlite:///PATH (four slashes for an absolute path) or postgresql://…",
    )


def _check_file(file: Path) -> None:
    """Hold what stands where a SQLite database is to be, if anything does, to being a file."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        _check_folder(file.parent)  # none yet
        return
    except OSError:
        return  # one that cannot be reached: who opens it says so
    except ValueError:
        raise SettingError("KEYFOLD_DATABASE_URL", "must name a file; no path has a NUL") from None
    if not stat.S_ISREG(mode):
        raise SettingError(
            "KEYFOLD_DATABASE_URL", f"must name a regular file; this is none: {file}"
        )


def _check_folder(folder: Path) -> None:
    """Hold the folder of a database that is yet to be made to being there."""
    try:
        folder.stat()
    except FileNotFoundError:
        raise SettingError(
            "KEYFOLD_DATABASE_URL",
            f"names a folder that does not exist: {folder}: make it (mkdir -p), or name another",
        ) from None
    except OSError:
        return


def _check_with_libpq(url: str) -> None:
    # Only here: with SQLite nothing of psycopg is needed.
    from web.app import libpq_address

    if problem := libpq_address.problem_of(url):
        raise SettingError("KEYFOLD_DATABASE_URL", problem)


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


def _checkpoint_log(name: str | None) -> Path | None:
    if not name:
        return None
    file = Path(name)
    if "\0" in name or (file.exists() and not file.is_file()) or not file.parent.is_dir():
        raise SettingError(
            "KEYFOLD_CHECKPOINT_LOG",
            "must name a file, which need not be there, in a folder that is",
        )
    return file


def _catalog(name: str | None) -> Catalog:
    if not name:
        return builtin()
    try:
        return parse(read_file("KEYFOLD_CATALOG", Path(name)))
    except CatalogError as error:
        raise SettingError("KEYFOLD_CATALOG", f"is no catalog: {name}: {error}") from None


def _logo(catalog: Catalog, name: str | None) -> Logo | None:
    """Return the logo of the catalog's brand, whose accent is looked at, too."""
    try:
        check_accent(catalog.brand)
        return read_logo(catalog.brand, Path(name).parent) if name else None
    except BrandError as error:
        raise SettingError("KEYFOLD_CATALOG", f"is no catalog: {name}: {error}") from None


def _public_url(url: str) -> str:
    found = origin(url)
    if found is None or (parts := urlsplit(url)).query or parts.fragment:
        raise SettingError("KEYFOLD_PUBLIC_URL", "must be an address like https://licences.example")
    if parts.path.strip("/"):
        # Pages and redirects name their own places from the root.
        raise SettingError(
            "KEYFOLD_PUBLIC_URL",
            f"must have no path: give Keyfold a host name of its own, like https://licences.example,"
            f" and not {_shown(parts.path)} of another's",
        )
    return found


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


def _token_limits(text: str | None) -> Mapping[Role, int]:
    try:
        return LIMITS_DEFAULT if text is None else parse_limits(text)
    except TokenLimitsError as error:
        raise SettingError("KEYFOLD_TOKEN_LIMITS", str(error)) from None


def _oidc(values: Mapping[str, str]) -> OidcSettings | None:
    try:
        return read_oidc_settings(values)
    except OidcSettingsError as error:
        raise SettingError(error.variable, str(error)) from None


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


def _webhook_hosts(text: str | None) -> AllowedHosts:
    try:
        return AllowedHosts.parse(text or "")
    except ValueError as error:
        raise SettingError(
            "KEYFOLD_WEBHOOK_HOSTS",
            "must hold names, addresses or networks like 10.0.0.0/8, split by commas, not"
            f" {_shown(str(error))}",
        ) from None


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
