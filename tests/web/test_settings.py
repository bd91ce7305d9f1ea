"""What the settings refuse: the variable is named, and what will do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from web.app import settings
from web.app.clock import test_clock as clock_of
from web.app.setting_names import VARIABLES
from web.app.settings import FILE_BYTES_MAX, SettingError, read_file, read_settings

WITH_FILES = ("KEYFOLD_CATALOG", "KEYFOLD_ENV_FILE")


def refused(environ: Mapping[str, str]) -> str:
    with pytest.raises(SettingError) as caught:
        read_settings(environ)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{next(iter(environ))} ")
    return str(caught.value)


def strange_files(folder: Path) -> dict[str, str]:
    """Return files that no setting may name, each with a word of the mend."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "huge").write_text("#" * (FILE_BYTES_MAX + 1))
    (folder / "program").write_bytes(b"\x7fELF\x02\x01\x01\xff\xfe" * 100)
    (folder / "link").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")
    named = {
        "folder": "regular file",
        "pipe": "regular file",
        "link": "regular file",
        "huge": f"up to {FILE_BYTES_MAX} bytes",
        "program": "UTF-8",
        "loop": "cannot be read",
        "nowhere": "No such file",
        "a" * 300: "cannot be read",
        "a\0b": "no path has a NUL",
    }
    files = {str(folder / name): mend for name, mend in named.items()}
    return {**files, "/dev/zero": "regular file", "/dev/null": "regular file"}


def test_a_setting_names_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    for file, mend in strange_files(tmp_path).items():
        for variable in WITH_FILES:
            assert mend in refused({variable: file})
        with pytest.raises(SettingError, match=r"^KEYFOLD_TEST_CLOCK ") as caught:
            clock_of(Path(file))()
        assert mend in str(caught.value)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "full.env").write_text("#" * FILE_BYTES_MAX)
    assert len(read_file("KEYFOLD_ENV_FILE", tmp_path / "full.env")) == FILE_BYTES_MAX
    (tmp_path / "link").symlink_to(tmp_path / "full.env")
    read_settings({"KEYFOLD_ENV_FILE": str(tmp_path / "link")})


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_test_clock_in_a_year_that_utc_has_not_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "clock").write_text(text)
    with pytest.raises(SettingError, match=r"^KEYFOLD_TEST_CLOCK must hold a time in the years"):
        clock_of(tmp_path / "clock")()


@pytest.mark.parametrize("name", ["folder", "pipe", "link"])
def test_a_sqlite_database_is_a_regular_file_or_none_yet(tmp_path: Path, name: str) -> None:
    strange_files(tmp_path)
    assert "regular file" in refused({"KEYFOLD_DATABASE_URL": f"sqlite:///{tmp_path / name}"})
    for there in ("none", "huge"):
        read_settings({"KEYFOLD_DATABASE_URL": f"sqlite:///{tmp_path / there}"})


def test_a_sqlite_database_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = refused({"KEYFOLD_DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/below/keyfold.db"})
    assert f"names a folder that does not exist: {tmp_path}/nowhere/below: make it" in said


@pytest.mark.parametrize("path", ["/keys", "/keys/", "/a/b"])
def test_a_public_url_with_a_path_is_refused(path: str) -> None:
    said = refused({"KEYFOLD_PUBLIC_URL": f"https://example.com{path}"})
    assert "must have no path: give Keyfold a host name of its own" in said
    assert read_settings({"KEYFOLD_PUBLIC_URL": "https://keys.example.com/"}).public_url == (
        "https://keys.example.com"
    )


def test_names_that_are_no_settings_are_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("KEYFOLD_RETURN_URL=https://portal.example\nPATH_OF_OTHERS=x\n")
    given = {
        "KEYFOLD_DATABSE_URL": "sqlite:///secret-name.db",
        "KEYFOLD_ENV_FILE": str(file),
        "KEYFOLD_COLOUR": "red",
        "KEYFOLD_TEST_DATABASE_URL": "ours, of the tests",
    }
    none = "is no setting of Keyfold's, and is not read"
    assert settings.warnings(given) == [
        f"KEYFOLD_COLOUR {none}",
        f"KEYFOLD_DATABSE_URL {none}: did you mean KEYFOLD_DATABASE_URL?",
        f"KEYFOLD_RETURN_URL {none}: did you mean KEYFOLD_RETURN_URLS?",
    ]


def test_every_setting_is_in_the_documentation_and_every_documented_one_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    cells = " ".join(row.split("|")[1] for row in re.findall(r"(?m)^\| .*", page))
    names = set(re.findall(r"`((?:KEYFOLD|STRIPE)_[A-Z_]+)`", cells))
    assert names == set(VARIABLES)


def test_a_sqlite_path_without_sense_is_refused() -> None:
    assert "NUL" in refused({"KEYFOLD_DATABASE_URL": "sqlite:///a\0b"})


@pytest.mark.parametrize(
    ("rest", "mend"),
    [
        ("h:port/db", "look at the port"),
        ("h:0/db", "look at the port"),
        ("h:-1/db", "look at the port"),
        ("h:99999/db", "look at the port"),
        ("h:5432,b:6,c:port/db", "look at the port"),
        ("h/db?port=5432,port", "look at the port"),
        ("h/db?port=1,2", "one for all hosts"),
        ("h/db?sslmode=bogus", "look at sslmode"),
        ("h/db?target_session_attrs=writable", "look at target_session_attrs"),
        ("h/db?connect_timeout=soon", "look at connect_timeout"),
        ("h/db?keepalives_idle=x", "look at keepalives_idle"),
        ("h/db?ssl_min_protocol_version=2", "look at ssl_min_protocol_version"),
        ("h/db?service=nowhere", "look at"),
        ("h/db?gssencmode=never", "look at gssencmode"),
    ],
)
def test_a_postgresql_address_is_held_to_what_libpq_takes(rest: str, mend: str) -> None:
    told = refused({"KEYFOLD_DATABASE_URL": f"postgresql://u:hush@{rest}"})
    assert mend in told
    assert "hush" not in told


@pytest.mark.parametrize(
    "rest",
    [
        "h/db",
        "u:p%40ss@h:5432/db",
        "a:1,b:2,c/db?target_session_attrs=read-write",
        "a,b/db?port=5433&connect_timeout=3",
        "/db?host=/run/postgresql",
        "[::1]:5432/db?sslmode=disable",
        "h/db?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
        "h/db?application_name=keyfold&options=-c%20geqo%3Doff",
        "?host=h&user=u&keepalives=1&load_balance_hosts=random",
        "h/db?gssencmode=require",
        "h/db?sslmode=require&gssencmode=disable",
        "h/db?sslrootcert=system",
    ],
)
def test_every_address_that_libpq_takes_is_taken(rest: str) -> None:
    url = f"postgresql://{rest}"
    assert read_settings({"KEYFOLD_DATABASE_URL": url}).database_url == url


ENVIRONMENT = {
    "PGSSLMODE": "bogus",
    "PGTARGETSESSIONATTRS": "bogus",
    "PGGSSENCMODE": "require",
    "PGHOST": "x" * 200,
    "PGPORT": "bogus",
}


def test_a_postgresql_address_is_looked_at_without_its_server_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        service = tmp_path / "services"
        service.write_text(f"[here]\nhostaddr=127.0.0.1\nport={server.getsockname()[1]}\n")
        named = {"PGHOSTADDR": "127.0.0.1", "PGSERVICEFILE": str(service), "PGSERVICE": "here"}
        for name, value in {**ENVIRONMENT, **named}.items():
            monkeypatch.setenv(name, value)
        for rest in ("h/db", f"127.0.0.1:{server.getsockname()[1]}/db", "h/db?service=here"):
            read_settings({"KEYFOLD_DATABASE_URL": f"postgresql://{rest}"})
        with pytest.raises(BlockingIOError):
            server.accept()


def test_where_keyfold_is_installed_says_nothing_of_an_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "web"
    deep.parent.mkdir()
    shutil.copytree(Path(settings.__file__).parents[1], deep)
    root = Path(settings.__file__).parents[2]
    program = (
        "from web.app import settings; print(settings.__file__);"
        "settings.read_settings({'KEYFOLD_DATABASE_URL': 'postgresql://h/db'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{deep.parent}:{root}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(deep / "app" / "settings.py")
