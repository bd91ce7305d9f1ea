"""What is read of a standby that lags: never older than it says, nor than was asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.pairs import Pair, wait_until
from tests.web.api import POS, RESELLER, Api, Got, api_over, stored_api
from tests.worlds import NOON, SECRET, services
from web.app.context import EXTENSION
from web.app.services import wire
from web.app.settings import Settings


class World(NamedTuple):
    """A ledger behind two servers.

    Attributes:
        writer: of the primary.
        reader: of the standby, whatever its tables hold.
        key, webhook, order: of before the standby stopped to follow.
    """

    pair: Pair
    writer: Api
    reader: Api
    key: str
    webhook: str
    order: str

    def reads(self) -> list[str]:
        """Return every address of the API that takes a position."""
        values = {
            "account": "acme",
            "product": "cloud_pos",
            "holder": "till-1",
            "key": self.key,
            "reseller": RESELLER,
            "webhook": self.webhook,
            "order": self.order,
        }
        queries = {
            "/v1/proofs/inclusion": "position=1&",
            "/v1/proofs/consistency": "from=1&",
            "/v1/timeline": "ref=acme&",
            "/v1/accounts/{account}/diff": "from=2020-01-01T00:00:00Z&",
            "/v1/events": "after=0&limit=500&",
            "/v1/resellers/{reseller}/statement": f"month={NOON:%Y-%m}&",
        }
        found = []
        for path, operations in self.writer.document["paths"].items():
            names = {one.get("name") for one in operations.get("get", {}).get("parameters", ())}
            if "min_position" in names:
                filled = re.sub(r"\{(\w+)\}", lambda name: values[name[1]], path)
                found.append(f"{filled}?{queries.get(path, '')}")
        assert len(found) > 15
        return found

    def change(self) -> int:
        """Record something that every one of these reads tells; return the position."""
        self.writer.redeem()
        self.writer.sit("till-1")
        self.writer.sit("till-2")
        assert (
            self.writer.post("admin", f"/v1/keys/{self.key}/reissue", {"reason": "lost"}).status
            == 201
        )
        return self.writer.head


def read(api: Api, path: str, at_least: int | None = None) -> Got:
    return api.get("admin", path if at_least is None else f"{path}min_position={at_least}")


def told(got: Got) -> Any:
    """Return what an answer says, and of what position it is where a header says that."""
    return got.body if got.body is not None else got.raw, got.headers.get("Keyfold-Position")


@contextmanager
def world_of(pair: Pair, reader_url: str) -> Iterator[World]:
    with stored_api(pair.url) as writer:
        key = writer.issue()
        assert writer.try_code(key["code"]).status == 201
        writer.sit("till-1")
        webhook = {"url": "https://1.1.1.1/hook", "kinds": ["account.changed"]}
        added = writer.post("admin", "/v1/webhooks", webhook)
        assert added.status == 201
        grant = {"product": "cloud_pos", "seats": 100, "reason": "Spring"}
        assert writer.post("admin", f"/v1/resellers/{RESELLER}/grants", grant).status == 201
        limits = {"approval_above": 1}
        assert writer.put("admin", f"/v1/resellers/{RESELLER}/limits", limits).status == 200
        waits = writer.post("reseller", "/v1/keys", POS)
        assert waits.status == 202
        pair.wait_for_standby(writer.head)
        wiring = wire(
            Settings(reader_url, SECRET, services().catalog, "http://127.0.0.1:8000", None, 100)
        )
        with closing(wiring):
            yield World(
                pair,
                writer,
                api_over(wiring._replace(clock=writer.clock), writer),
                key["id"],
                added.body["id"],
                waits.body["order"],
            )


@pytest.fixture
def world(pair: Pair) -> Iterator[World]:
    with world_of(pair, pair.standby_url) as world:
        yield world


def fill_tables(world: World) -> None:
    """Read everything once where tables can be filled, and wait until the standby has them."""
    for path in world.reads():
        assert read(world.writer, path).status == 200, path
    (lsn,) = ask_primary(world.pair, "SELECT pg_current_wal_lsn()::text")
    wait_until(
        lambda: (
            world.pair.ask_standby(f"SELECT pg_last_wal_replay_lsn() >= '{lsn[0]}'") == [(True,)]
        )
    )


def ask_primary(pair: Pair, statement: str) -> list[tuple[Any, ...]]:

    with psycopg.connect(pair.primary.admin_url, autocommit=True) as session:
        return session.execute(statement.encode()).fetchall()


def test_a_standby_that_lags_answers_every_read_of_where_it_is(world: World) -> None:
    fill_tables(world)
    before = {path: read(world.writer, path) for path in world.reads()}
    first = world.writer.head
    world.pair.pause()
    second = world.change()
    for path, got in before.items():
        for at_least in (None, first):
            answer = read(world.reader, path, at_least)
            assert (answer.status, told(answer)) == (200, told(got)), path
        late = read(world.reader, path, second)
        assert (late.status, late.code) == (503, "position_not_reached"), path
        assert late.headers["Retry-After"] == "1"
        assert read(world.writer, path, second).status == 200, path
    world.pair.go_on()
    world.pair.wait_for_standby(second)
    fill_tables(world)
    for path in before:
        want, answer = read(world.writer, path, second), read(world.reader, path, second)
        assert (answer.status, told(answer)) == (200, told(want)), path


def test_a_standby_whose_tables_are_behind_its_events_says_so(world: World) -> None:
    fill_tables(world)
    before = {path: read(world.writer, path) for path in world.reads()}
    first, second = world.writer.head, world.change()
    world.pair.wait_for_standby(second)
    for path, got in before.items():
        answer = read(world.reader, path)
        assert answer.status == 200, (path, answer.body)
        assert read(world.reader, path, first).status == 200, path
        late = read(world.reader, path, second)
        if late.status == 503:
            # From a table that only the primary can fill: its answer is the one of before.
            assert late.code == "position_not_reached", path
            assert told(answer) == told(got), path
        else:
            assert told(late) == told(read(world.writer, path, second)), path


def forget_connections(api: Api) -> None:
    """Have the next reads choose a server anew."""
    wiring: Any = api.app.extensions[EXTENSION].wiring
    sessions = wiring.services.book.store.datastore._sessions()  # noqa: SLF001
    for connections in (sessions.readers, sessions.others, wiring.tables._sessions()):  # noqa: SLF001
        connections.drop_idle()


def test_of_two_servers_behind_one_address_no_read_is_older_than_was_asked_for(
    pair: Pair,
) -> None:
    """Connections lead to either, as they come: what one has seen the other may not have yet."""
    with world_of(pair, f"{pair.any}?load_balance_hosts=random") as world:
        fill_tables(world)
        world.pair.pause()
        second = world.change()
        want = {path: read(world.writer, path, second) for path in world.reads()}
        seen: Counter[int] = Counter()
        for path, wanted in want.items():
            for _ in range(4):
                forget_connections(world.reader)
                got = read(world.reader, path, second)
                seen[got.status] += 1
                if got.status == 200:
                    assert told(got) == told(wanted), path
                else:
                    assert (got.status, got.code) == (503, "position_not_reached"), (path, got.body)
        assert seen[200] > 0
        assert seen[503] > 0
        world.pair.go_on()
