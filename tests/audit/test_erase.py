"""After an erasure nobody reads the account's texts any more, and everything else is as it was."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from msgspec.structs import replace

from commands.assign_subscription import assign_subscription
from commands.change_subscription import terminate_subscription
from commands.clear_attempts import clear_attempts
from commands.erase_account import UnknownAccount, erase_account
from commands.issue_keys import issue_keys
from commands.link_customer import link_customer, unlink_customer
from commands.occupy_seat import Sitting, occupy_seat
from commands.open_portal_session import end_portal_sessions
from commands.record_stripe_event import record_event
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.reveal_codes import reveal_code
from commands.services import Services
from ledger.book import Book
from ledger.events import RequestContext, Sealed
from ledger.refusals import InvalidRequest
from ledger.store.contract import StreamRow
from ledger.streams.account.facts import (
    AccountErased,
    SeatOccupied,
    SeatPassedOn,
    SeatRelabelled,
    SubscriptionTerminated,
)
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import BlockLifted
from ledger.streams.batch import CodesRevealed
from ledger.streams.key import KeyReissued
from ledger.stripe.objects import read_event
from projections.audit.export import plan
from projections.views.account_at import Moment, account_at
from tests.audit.ledgers import exported
from tests.cli.program import Program
from tests.postgres_server import OwnServer
from tests.proof.auditors import Auditor
from tests.stripe import payloads
from tests.worlds import (
    DAY,
    MINUTE,
    NOON,
    POS_ORDER,
    Watched,
    another_worker,
    context,
    issue,
    recorded,
    services,
    watched,
)  # fmt: skip

LATER = NOON + DAY
REASON = "Request 4711"


def sit(world: Services, label: str | None, holder: str = "till-1", account: str = "acme") -> None:
    occupy_seat(world, context(), Sitting(account, "cloud_pos", None, holder, label))


def inhabited(world: Services, account: str = "acme") -> str:
    """Give an account a subscription, and answer its id."""
    return redeem_key(world, context(), Try(account, "s-1", issue(world).code)).subscription


def texts_of(world: Services, account: str = "acme") -> list[str | None]:
    """Return the texts of an account's events, as far as they can be read."""
    sealed: list[Sealed | None] = []
    for event in world.book.history(ACCOUNT, account)[1]:
        match event.fact:
            case SeatOccupied(label=text) | SeatPassedOn(label=text) | SeatRelabelled(label=text):
                sealed.append(text)
            case SubscriptionTerminated(reason=text):
                sealed.append(text)
    return world.texts.open_all(sealed)


def test_all_texts_of_the_account_are_gone_and_no_others(world: Services) -> None:
    subscription = inhabited(world)
    inhabited(world, "beta")
    sit(world, "Front desk")
    sit(world, "Back desk")
    terminate_subscription(world, context(), "acme", subscription, "Moved away")
    sit(world, "Bar", account="beta")
    assert texts_of(world) == ["Front desk", "Back desk", "Moved away"]
    erased = erase_account(world, context(LATER), "acme", REASON)
    assert texts_of(world) == [None, None, None]
    assert texts_of(world, "beta") == ["Bar"]
    assert erased == (3, LATER, world.book.head())


def test_why_its_key_was_reissued_and_its_block_lifted_is_gone_too(world: Services) -> None:
    key = issue(world)
    redeem_key(world, context(), Try("acme", "s-1", key.code))

    def spoken() -> list[str | None]:
        new = reissue_key(world, context(), newest[-1], "Ms Smith gave it away")
        newest.append(new.id)
        clear_attempts(world, context(), "acme", "Ms Smith called")
        facts = [event.fact for event in recorded(world)]
        told = [one for one in facts if isinstance(one, KeyReissued | BlockLifted)]
        return world.texts.open_all(one.reason for one in told)

    newest = [key.id]
    assert spoken() == ["Ms Smith gave it away", "Ms Smith called"]
    erase_account(world, context(LATER), "acme", REASON)
    assert spoken() == [None, None, "Ms Smith gave it away", "Ms Smith called"]
    head = world.book.head()
    again = erase_account(world, context(LATER + DAY), "acme", REASON)
    assert (again.position, again.erased_at) == (head + 1, LATER + DAY)
    assert spoken()[:4] == [None] * 4


def test_why_the_code_of_its_key_was_shown_again_is_gone_too(world: Services) -> None:
    key = issue(world)
    second = reissue_key(world, context(), key.id, "lost in the mail")
    reveal_code(world, context(), key.id, "the shop asked")
    redeem_key(world, context(), Try("acme", "s-1", second.code))
    third = reissue_key(world, context(), second.id, "Ms Smith gave it away")
    for id in (key.id, second.id, third.id):
        reveal_code(world, context(), id, "read out to Ms Smith")
    erased = erase_account(world, context(LATER), "acme", REASON)
    told = [one.fact.reason for one in recorded(world) if isinstance(one.fact, CodesRevealed)]
    # The first was shown before anybody had redeemed it.
    assert world.texts.open_all(told) == ["the shop asked", None, None, None]
    assert erased.texts == 4


class Busy(Watched):
    """A recorder of an account whose seats change whenever its whole history is read."""

    change: Callable[[], object] | None = None

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        change, self.change = self.change, None
        found = super().read_stream(stream, after, limit, seen)
        if change and stream == "account-acme" and not after:
            change()
        self.change = change
        return found


def test_an_account_whose_seats_change_all_the_while_is_erased() -> None:
    store = Busy()
    book = Book("memory:", memo_streams=10_000)
    book.store = store
    world, other = services(book), another_worker(services(book))
    inhabited(world)
    sit(world, "Front desk")
    numbers = count(1)
    store.change = lambda: sit(other, f"Till {next(numbers)}", "till-2")
    erased = erase_account(world, context(LATER), "acme", REASON)
    store.change = None
    assert erased.texts == next(numbers) > 1
    assert not any(texts_of(world))


def test_every_text_that_could_be_read_is_counted_in_whichever_stream_it_is(
    world: Services,
) -> None:
    key = issue(world)
    redeem_key(world, context(), Try("acme", "s-1", key.code))
    sit(world, "Front desk")
    for wanted in ("Out of order", None):
        release_seat(world, context(), "acme", "cloud_pos", "till-1", wanted)
        sit(world, None)
    newest = reissue_key(world, context(), key.id, "Ms Smith gave it away")
    reissue_key(world, context(), newest.id, "Once more")
    clear_attempts(world, context(), "acme", "Ms Smith called")
    end_portal_sessions(world, context(), "acme", "Her laptop was stolen")
    link_customer(world, context(), "acme", "cus_1", "She said so")
    unlink_customer(world, context(), "acme", "cus_1", "It was another one")
    told = payloads.event("customer.subscription.created", payloads.subscription(account=None))
    record_event(world, context(), read_event(told), "webhook")
    assign_subscription(world, context(), "acme", "sub_1", "Her card")
    # Of others, or erased with another account.
    inhabited(world, "beta")
    sit(world, "Bar", account="beta")
    issue_keys(world, context(), replace(POS_ORDER, note="For the fair"))
    assert erase_account(world, context(LATER), "acme", REASON).texts == 9
    fact = recorded(world)[-1].fact
    assert isinstance(fact, AccountErased)
    assert fact.texts == 9
    assert erase_account(world, context(LATER), "acme", REASON).texts == 0
    clear_attempts(world, context(), "acme", "Ms Smith called again")
    assert erase_account(world, context(LATER), "acme", REASON).texts == 1


@pytest.mark.parametrize("deed", [clear_attempts, end_portal_sessions])
def test_an_account_that_has_a_text_and_no_past_of_its_own_can_be_erased(
    world: Services, deed: Callable[[Services, RequestContext, str, str], object]
) -> None:
    deed(world, context(), "acme", "Ms Smith called")
    assert erase_account(world, context(LATER), "acme", REASON).texts == 1


def test_what_was_erased_when_and_by_whom_is_an_event(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    asked = context(LATER, actor="operator", request_id="req_9")
    erase_account(world, asked, "acme", REASON)
    event = recorded(world)[-1]
    assert isinstance(event.fact, AccountErased)
    assert (event.fact.owner, event.fact.texts) == ("account-acme", 1)
    assert (event.recorded_at, event.actor, event.request_id) == (LATER, "operator", "req_9")
    assert (event.stream, event.version) == ("account-acme", 3)


def test_the_reason_is_not_erased_with_the_rest_and_does_not_lie_open(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    for _ in range(2):
        erase_account(world, context(LATER), "acme", REASON)
        sit(world, "Front desk")
    erase_account(world, context(LATER), "acme", REASON)
    reasons = [event.fact.reason for event in recorded(world) if type(event.fact) is AccountErased]
    assert world.texts.open_all(reasons) == [REASON] * 3
    assert REASON.encode() not in exported(world.book)


def test_seats_stay_and_have_no_label_now_or_at_any_moment_before(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    erase_account(world, context(LATER), "acme", REASON)
    (seat,) = world.book.load(ACCOUNT, "acme").state.seats.values()
    assert (seat.holder, seat.label) == ("till-1", None)
    before = account_at(world.book, "acme", Moment(LATER + DAY, NOON + MINUTE, NOON + MINUTE))
    (seat,) = before.account.seats.values()
    assert seat.label is not None
    assert world.texts.open(seat.label) is None


def test_no_event_before_it_is_changed(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    before, root = exported(world.book).splitlines()[1:], plan(world.book).root
    erase_account(world, context(LATER), "acme", REASON)
    assert exported(world.book).splitlines()[1:-1] == before
    assert plan(world.book, last=len(before)).root == root


def test_texts_that_come_later_can_be_read_and_erased_again(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    erase_account(world, context(LATER), "acme", REASON)
    sit(world, "Door")
    assert texts_of(world) == [None, "Door"]
    assert erase_account(world, context(LATER), "acme", REASON).texts == 1
    assert texts_of(world) == [None, None]


def test_the_same_again_records_nothing(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    first = erase_account(world, context(LATER), "acme", REASON)
    again = erase_account(world, context(LATER + DAY), "acme", REASON)
    assert again == (0, LATER, first.position) == (0, LATER, world.book.head())


def test_the_same_again_destroys_a_key_that_a_backup_brought_back(world: Services) -> None:
    inhabited(world)
    sit(world, "Front desk")
    keys = world.book.store.text_keys
    wrapped = keys.get("account-acme")
    assert wrapped is not None
    erase_account(world, context(LATER), "acme", REASON)
    keys.put_if_absent("account-acme", wrapped, NOON.isoformat())
    assert texts_of(world) == ["Front desk"]
    erase_account(world, context(LATER), "acme", REASON)
    assert texts_of(world) == [None]


def test_of_an_account_without_texts_it_is_recorded_as_well(world: Services) -> None:
    inhabited(world)
    release = world.book.head()
    assert erase_account(world, context(LATER), "acme", REASON) == (0, LATER, release + 1)


def test_an_account_that_nobody_knows_may_be_a_mistake(world: Services) -> None:
    with pytest.raises(UnknownAccount):
        erase_account(world, context(), "acmee", REASON)
    assert world.book.head() == 0


@pytest.mark.parametrize(("account", "reason"), [("a b", REASON), ("acme", " "), ("acme", "")])
def test_what_does_not_fit_is_refused_before_anything_is_destroyed(
    account: str, reason: str
) -> None:
    world = services()
    inhabited(world)
    sit(world, "Front desk")
    with pytest.raises(InvalidRequest):
        erase_account(world, context(), account, reason)
    assert texts_of(world) == ["Front desk"]


def test_a_text_that_comes_between_is_erased_with_the_rest() -> None:
    book, store = watched()
    world, other = services(book), another_worker(services(book))
    inhabited(world)
    sit(world, "Front desk")
    store.overtake = lambda: sit(other, "Door", "till-2")
    assert erase_account(world, context(LATER), "acme", REASON).texts == 2
    assert texts_of(world) == [None, None]


def test_a_text_that_loses_to_an_erasure_is_sealed_anew() -> None:
    book, store = watched()
    world, other = services(book), another_worker(services(book))
    inhabited(world)
    sit(world, "Front desk")
    store.overtake = lambda: erase_account(other, context(LATER), "acme", REASON)
    sit(world, "Door")
    assert texts_of(world) == [None, "Door"]


def test_an_erasure_that_fails_is_not_on_record_and_can_be_repeated(
    world: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    inhabited(world)
    sit(world, "Front desk")
    keys, head = world.book.store.text_keys, world.book.head()

    def blocked(_owner: str) -> bool:
        raise OperationalError("a long read keeps its bytes")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "destroy", blocked)
        with pytest.raises(OperationalError):
            erase_account(world, context(LATER), "acme", REASON)
    assert world.book.head() == head
    assert erase_account(world, context(LATER), "acme", REASON).texts == 1


def test_a_crash_before_the_record_is_made_good_by_the_same_command(
    world: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    inhabited(world)
    sit(world, "Front desk")

    def killed(*_asked: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.book, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            erase_account(world, context(LATER), "acme", REASON)
    assert texts_of(world) == [None]
    assert erase_account(world, context(LATER), "acme", REASON).texts == 1


def test_the_row_of_the_key_is_gone(stored: Services) -> None:
    inhabited(stored)
    sit(stored, "Front desk")
    assert stored.book.store.text_keys.get("account-acme")
    erase_account(stored, context(LATER), "acme", REASON)
    assert stored.book.store.text_keys.get("account-acme") is None
    assert stored.book.store.text_keys.get("erasure-acme")


# In files

LABEL = "Zenobia's till"
MOVED = "Zenobia moved away"


def holding(folder: Path, *wanted: bytes) -> set[str]:
    """Return the files under a folder that have any of these bytes in them."""
    found = set()
    for file in folder.rglob("*"):
        # PostgreSQL renames and removes files meanwhile.
        with suppress(FileNotFoundError):
            if file.is_file() and any(one in file.read_bytes() for one in wanted):
                found.add(str(file.relative_to(folder)))
    return found


def readable(*texts: str) -> list[bytes]:
    """Return how texts could stand in a file without a key."""
    return [
        text.encode(encoding)
        for text in (*texts, "Zenobia")
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
    ] + [base64.b64encode(text.encode())[:-4] for text in texts]


@contextmanager
def lived_in(keyfold: Program) -> Iterator[Callable[[], tuple[int, str]]]:
    """Let an account write texts through a server that goes on; yields what reads one of them."""
    token = keyfold.done("tokens", "create", "--role", "admin").out.strip()
    order = ("--product", "cloud_pos", "--seats", "3", "--months", "12", "--reseller", "North")
    code = keyfold.json("keys", "issue", *order)["keys"][0]["code"]
    with keyfold.served() as server:
        redeem = {"code": code, "account": "acme", "session": "s-1"}
        status, said = server.post("/v1/keys/redeem", redeem, token)
        assert status == 201, said
        subscription = said.split('"subscription":"')[1].split('"')[0]
        seat = "/v1/accounts/acme/seats/cloud_pos/till-1"
        body = f'{{"label": "{LABEL}"}}'
        assert server.request("PUT", seat, token, body)[0] == 201
        assert LABEL in server.get(seat, token)[1]
        end = f"/v1/accounts/acme/subscriptions/{subscription}/terminate"
        assert server.post(end, {"reason": MOVED}, token)[0] == 200
        server.get("/v1/keys", token)
        keyfold.done("audit", "checkpoint", "-o", "before.txt")
        yield lambda: server.get(seat, token)


def erase(keyfold: Program) -> None:
    said = keyfold.done("erase", "acme", "--reason", REASON).out
    assert said.startswith("acme: 2 texts erased; erased at ")


def hold_proofs(keyfold: Program) -> None:
    """Hold the ledger, and an export of it, against the checkpoint from before the erasure."""
    verified = keyfold.done("audit", "verify", "--checkpoint", "before.txt").out
    assert "checkpoints that agree: 2, up to position " in verified
    keyfold.done("audit", "export", "after.jsonl")
    keyfold.done("replay", "--verify")
    auditor = Auditor(keyfold.folder)
    auditor.keeps("keys.txt", keyfold.done("audit", "keys").out)
    said = auditor.verifies("after.jsonl", "--checkpoint", "before.txt", "--key", "keys.txt")
    assert (said.code, said.good) == (0, ["before.txt was signed of the same events"])


def test_the_text_and_its_key_are_in_no_file_and_every_proof_holds(keyfold: Program) -> None:
    with lived_in(keyfold) as read:
        key = wrapped_key(keyfold.folder)
        assert holding(keyfold.folder, key)
        erase(keyfold)
        assert LABEL not in read()[1]
        hold_proofs(keyfold)
        keyfold.done("seats", "list", "acme")
        secrets = (*readable(LABEL, MOVED, REASON), key, base64.b64encode(key))
        assert holding(keyfold.folder, *secrets) == set()
    assert holding(keyfold.folder, *secrets) == set()
    assert holding(keyfold.folder, b"after.jsonl", b"till-1")


def test_in_postgresql_the_text_is_in_no_file_and_its_key_in_no_table_once_that_is_vacuumed(
    tmp_path: Path, durable_postgres_server: OwnServer
) -> None:
    """What docs/operations.md promises: the log keeps the key, wrapped, until it is recycled."""
    server = durable_postgres_server
    url = server.url(server.create_database())
    secret = base64.b64encode(b"s" * 32).decode()
    keyfold = Program(tmp_path, {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": secret})
    keyfold.done("db", "upgrade")
    texts = readable(LABEL, MOVED, REASON)
    with lived_in(keyfold) as read, psycopg.connect(url, autocommit=True) as admin:
        ((key,),) = admin.execute(
            "SELECT wrapped_key FROM keyfold_text_keys WHERE owner = 'account-acme'"
        ).fetchall()
        admin.execute("CHECKPOINT")
        assert any(name.startswith("base/") for name in holding(server.data, bytes(key)))
        erase(keyfold)
        assert LABEL not in read()[1]
        assert holding(server.folder, *texts) == set()
        admin.execute("VACUUM FULL keyfold_text_keys")
        admin.execute("CHECKPOINT")
        left = holding(server.data, bytes(key))
        assert {name.partition("/")[0] for name in left} <= {"pg_wal"}
        hold_proofs(keyfold)
    assert holding(server.folder, *texts) == set()
    assert holding(tmp_path, *texts, bytes(key), base64.b64encode(key)) == set()
    assert holding(server.data, b"till-1"), "there it would be found"


def wrapped_key(folder: Path) -> bytes:
    with sqlite3.connect(folder / "keyfold.db") as connection:
        ((key,),) = connection.execute(
            "SELECT wrapped_key FROM keyfold_text_keys WHERE owner = 'account-acme'"
        )
    connection.close()
    return bytes(key)


def test_erasing_is_told_as_json_and_a_mistake_in_one_line(filled: Program) -> None:
    told = filled.json("erase", "corner-bakery", "--reason", REASON)
    assert told["texts"] == 7
    assert filled.json("erase", "corner-bakery", "--reason", REASON) == {**told, "texts": 0}
    ran = filled.run("erase", "corner-bekery", "--reason", REASON)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "account_not_found: Nothing is recorded of corner-bekery: is its id right?\n"
