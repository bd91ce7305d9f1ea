"""What every test stands on: an environment of no one's own, PostgreSQL, and a browser.

Only the environment; the parts of Keyfold have their fixtures beside their tests.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright

from ledger.store import schema
from tests import postgres_binaries
from tests.pairs import Pair
from tests.portal import chromium
from tests.postgres_binaries import NoPostgres
from tests.postgres_server import (
    URL_VARIABLE,
    OwnServer,
    Server,
    Session,
    open_session,
    own_server,
    shared_server,
)

SESSION = pytest.StashKey[Session]()
SESSION_FOLDER = pytest.StashKey[Path]()

TEMPORARY = "PYTEST_DEBUG_TEMPROOT"  # pytest's own variable for where its folders are
MEMORY = "/dev/shm"
MEMORY_BYTES_MIN = 2 * 1024**3

# How long one example takes is the machine's affair.
hypothesis.settings.register_profile("keyfold", deadline=None, print_blob=True)
hypothesis.settings.load_profile("keyfold")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--payloads", metavar="FOLDER", help="Events and objects of Stripe's to test privacy with."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Leave the settings of whoever runs the tests outside, and open the session's folder."""
    chromium.install_if_asked()
    _forget_settings()
    _install_signal_handlers()
    _keep_files_in_memory()
    worker = getattr(config, "workerinput", None)
    if worker is None:
        config.stash[SESSION] = session = open_session()
        config.stash[SESSION_FOLDER] = session.folder
    else:
        config.stash[SESSION_FOLDER] = Path(worker["session_folder"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse two tests of one name: pytest-xdist would run only one of them."""
    for name, times in Counter(item.nodeid for item in items).items():
        if times > 1:
            raise pytest.UsageError(f"{times} tests are called {name}: give each a name of its own")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a browser where there is none: in one place, so that pytest counts them."""
    if "browser" in getattr(item, "fixturenames", ()) and chromium.find() is None:
        pytest.skip(chromium.NONE)


def _install_signal_handlers() -> None:
    """Let Ctrl-C be heard: a shell has what it starts in the background ignore it for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _keep_files_in_memory() -> None:
    """Let temporary folders be in memory, where there is room.

    SQLite waits for the disk at each commit, and no test of ours cuts the power.
    """
    if (
        TEMPORARY not in os.environ
        and os.access(MEMORY, os.W_OK)
        and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    ):
        os.environ[TEMPORARY] = MEMORY


def _forget_settings() -> None:
    """Forget Keyfold's and Stripe's variables; libpq's too, unless they go with a given server."""
    forgotten = ["KEYFOLD_", "STRIPE_"]
    if URL_VARIABLE not in os.environ:
        forgotten.append("PG")
    for name in list(os.environ):
        if name.startswith(tuple(forgotten)) and name != URL_VARIABLE:
            del os.environ[name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests of servers wait for most of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist the folder that all of them share."""
    node.workerinput["session_folder"] = str(node.config.stash[SESSION_FOLDER])  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running and nothing behind."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.close()


def pytest_report_header() -> list[str]:
    """Say which PostgreSQL and which browser the tests will use."""
    return [f"PostgreSQL: {_postgres()}", f"browser: {chromium.find() or 'none'}"]


def _postgres() -> str:
    if URL_VARIABLE in os.environ:
        return f"the one {URL_VARIABLE} names"
    try:
        binaries = postgres_binaries.find()
    except NoPostgres:
        return "none"
    return f"{binaries.version}, from {binaries.folder}"


@pytest.fixture(scope="session")
def session_folder(pytestconfig: pytest.Config) -> Path:
    """Return the folder in which this test session keeps its PostgreSQL servers."""
    return pytestconfig.stash[SESSION_FOLDER]


@pytest.fixture(scope="session")
def postgres_server(session_folder: Path) -> Server:
    """Return the session's PostgreSQL, shared by all tests; it does not sync to disk."""
    try:
        return shared_server(session_folder)
    except NoPostgres as none:
        raise pytest.fail.Exception(str(none), pytrace=False) from None


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """Return the URL of an empty database, dropped after the test."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _ledger_database(postgres_server: Server) -> Iterator[str]:
    name = postgres_server.create_database()
    schema.upgrade(postgres_server.url(name))
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_ledger_url(postgres_server: Server, _ledger_database: str) -> Iterator[str]:
    """Return the URL of a database with the tables of an empty ledger, dropped after the test."""
    name = postgres_server.create_database(_ledger_database)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def durable_postgres_server(session_folder: Path) -> Iterator[OwnServer]:
    """Return a PostgreSQL of this test's own, which syncs every commit and may be killed."""
    try:
        server = own_server(session_folder)
    except NoPostgres as none:
        raise pytest.fail.Exception(str(none), pytrace=False) from None
    yield server
    server.remove()


@pytest.fixture
def pair(durable_postgres_server: OwnServer, session_folder: Path) -> Iterator[Pair]:
    """Return a primary with the ledger's tables, and a standby that follows it."""
    pair = Pair(durable_postgres_server, session_folder)
    try:
        schema.upgrade(pair.url)
        yield pair
    finally:
        pair.standby.remove()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a Chromium: one for all tests of this process, which can have no second."""
    executable = chromium.find()
    assert executable, "a test that needs a browser is skipped without one"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=executable, args=list(chromium.ARGUMENTS)
        )
        yield found
        found.close()
