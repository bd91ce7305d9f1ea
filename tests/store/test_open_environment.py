"""Which address means which store."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module

import pytest
from eventsourcing.persistence import NotSupportedError

from ledger.store import kind_of, open_environment
from ledger.store.sqlite.datastore import path_of
from tests.store.log import Ledger, event, open_recorder


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///keyfold.db", "sqlite"),
        ("sqlite:////var/lib/keyfold/keyfold.db", "sqlite"),
        ("postgresql://keyfold@db/keyfold", "postgres"),
        ("postgres://keyfold@db/keyfold", "postgres"),
        ("postgresql://a,b:5433/keyfold?target_session_attrs=read-write", "postgres"),
        ("postgresql:///keyfold?host=/run/postgresql", "postgres"),
        ("memory:", "memory"),
    ],
)
def test_an_address_means_a_store(url: str, kind: str) -> None:
    assert kind_of(url) == kind
    module = import_module(open_environment(url)["PERSISTENCE_MODULE"])
    assert f"{module.__name__}.".startswith(f"ledger.store.{kind}.")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keyfold.db",
        "sqlite:keyfold.db",
        "sqlite://keyfold.db",
        "sqlite:///",
        "sqlite:////",
        "mysql://root:secret@db/keyfold",
        "postgresql:keyfold",
        "postgresql://keyfold:secret@db/keyfold?nonsense=1",
        "memory:x",
        "host=db dbname=keyfold",
    ],
)
def test_any_other_address_is_refused_by_the_settings_name_and_kept_secret(url: str) -> None:
    with pytest.raises(ValueError, match="KEYFOLD_DATABASE_URL") as refused:
        open_environment(url)

    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_three_slashes_are_relative_and_four_absolute(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert path_of("sqlite:///a/b.db") == f"{tmp_path}/a/b.db"
    assert path_of("sqlite:////a/b.db") == "/a/b.db"


def test_an_application_of_the_library_finds_its_store(ledger_url: str) -> None:
    with closing(Ledger(env=open_environment(ledger_url))) as application:
        assert application.recorder.insert_events([event("a", 1)]) == [1]
        assert application.recorder.max_notification_id() == 1


def test_settings_of_the_machine_do_not_lead_elsewhere(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.popo")
    monkeypatch.setenv("KEYFOLD_DATABASE_URL", "sqlite:///elsewhere.db")
    monkeypatch.setenv("CREATE_TABLE", "y")
    with closing(Ledger(env=open_environment(ledger_url))) as application:
        application.recorder.insert_events([event("a", 1)])
    with closing(open_recorder(ledger_url)) as recorder:
        assert recorder.head() == 1


@pytest.mark.parametrize("url", ["memory:", "sqlite:///unopened.db", "postgresql://nowhere:1/x"])
def test_a_ledger_can_be_built_before_its_database_can_be_reached(url: str) -> None:
    """So that a process which forks workers opens nothing."""
    Ledger(env=open_environment(url)).close()


def test_the_library_gets_no_other_recorders_from_a_ledger() -> None:
    factory = Ledger(env=open_environment("memory:")).factory
    for make in (factory.aggregate_recorder, factory.tracking_recorder, factory.process_recorder):
        with pytest.raises(NotSupportedError):
            make()
    with pytest.raises(NotSupportedError):
        open_recorder("memory:").subscribe()  # type: ignore[attr-defined]
