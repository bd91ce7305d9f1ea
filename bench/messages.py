"""What it costs to tell webhooks of what happened, with messages of ten thousand accounts waiting.

A process of its own sends, as a thread of `serve` does, to a receiver in another process on this
machine, which reads each message and answers 204 on connections that are kept. Each message is an
event of an account with the account as it was then, signed; it is on record before the next is
sent.

*Lag* is from the answer of the command that appended to the message at the receiver, one at a time
with nothing waiting. *Appends beside* are made by eight threads of another process, while all that
they append is sent, and while no sender runs.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import parse_headers
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from threading import Thread
from typing import Final

from eventsourcing.persistence import StoredEvent

from bench.ledgers import CLIENTS, SECRET, STATE, Bench, context, open_services
from bench.measure import QUICK, Effort, Measure, rates
from bench.rounds import Contestant, Run, Took, Work, crew, interleaved
from commands.add_webhook import WantedWebhook, add_webhook
from commands.gateways.webhook_addresses import AllowedHosts
from commands.occupy_seat import Sitting, occupy_seat
from commands.services import Services
from ledger import codec
from ledger.catalog import builtin
from ledger.events import Envelope, Fact
from ledger.months import add_months
from ledger.secret import Secret
from ledger.streams.account.facts import SeatOccupied, SubscriptionActivated
from ledger.streams.webhooks import ACCOUNT_CHANGED
from web.app.settings import Settings
from web.server import webhook_sender

ACCOUNTS: Final = 10_000
ACCOUNTS_QUICK: Final = 1_000
SEATS_TAKEN: Final = 2  # so many messages of each account tell of one
PER_S_GOAL: Final = 1_000
LAG_S_GOAL: Final = 1.0
LAGS: Final = 20
PATIENCE_S: Final = 60.0
PART_GOAL: Final = 0.9
ROUND_PART: Final = 4  # what is appended is queued twice a second
READY_S: Final = 1.0
APPEND_CHUNK: Final = 1_000
HOST: Final = "127.0.0.1"
ALLOWED: Final = AllowedHosts.parse(HOST)


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    accounts = ACCOUNTS_QUICK if effort == QUICK else ACCOUNTS
    _fill(bench.services, accounts)
    with _receiver() as receiver, _sender(bench.url) as sender:
        wanted = WantedWebhook(receiver.url, [ACCOUNT_CHANGED], after=0)
        add_webhook(bench.services, context(), wanted, ALLOWED)
        yield _rate(receiver, sender, accounts)
        yield _lag(bench.services, receiver, sender)
        yield from _appends(bench, sender, effort)


def _fill(services: Services, accounts: int) -> None:
    """Give each account a subscription and a few seats: of all accounts in turn."""
    events = _events(accounts)
    while chunk := list(islice(events, APPEND_CHUNK)):
        services.book.store.insert_events(chunk)


def _events(accounts: int) -> Iterator[StoredEvent]:
    began = context().now
    activated = SubscriptionActivated(
        subscription="kfsub_" + "b" * 26,
        key="key_" + "b" * 26,
        masked="POS-••••-••••-BBBB",
        product="cloud_pos",
        tier=None,
        seats=10,
        months=12,
        expires_at=add_months(began, 12),
    )
    for number in range(accounts):
        yield _stored(number, 1, activated)
    for version in range(2, 2 + SEATS_TAKEN):
        for number in range(accounts):
            seat = SeatOccupied(product="cloud_pos", tier=None, holder=f"till-{number}-{version}")
            yield _stored(number, version, seat)


def _stored(account: int, version: int, fact: Fact) -> StoredEvent:
    asked = context()
    envelope = Envelope(
        fact=fact,
        recorded_at=asked.now,
        occurred_at=asked.now,
        actor=asked.actor,
        request_id=asked.request_id,
    )
    state = codec.encode(envelope)
    return StoredEvent(f"account-told-{account}", version, codec.name_of(fact), state)


def _rate(receiver: _Receiver, sender: _Sender, accounts: int) -> Measure:
    """Have all that waits sent; the first message of all is the sender getting ready."""
    waiting = accounts * (1 + SEATS_TAKEN)
    with sender.sending():
        receiver.wait_for(1)
        first, began = receiver.received, time.perf_counter()
        receiver.wait_for(waiting, PATIENCE_S * 5)
        took = time.perf_counter() - began
    per_s = (waiting - first) / took
    return Measure(
        f"messages of {accounts:,} accounts sent",
        f"{PER_S_GOAL:,} a second",
        per_s / PER_S_GOAL,
        1,
        at_least=True,
        detail=f"{per_s:,.0f}/s; {waiting:,} in {took:.1f} s",
    )


def _lag(services: Services, receiver: _Receiver, sender: _Sender) -> Measure:
    lags = []
    with sender.sending():
        for number in range(LAGS):
            before = receiver.received
            occupy_seat(services, context(), Sitting(f"told-{number}", "cloud_pos", None, "late"))
            began = time.perf_counter()
            receiver.wait_for(before + 1, pause_s=0.001)
            lags.append(time.perf_counter() - began)
            time.sleep(0.05 * (number % 7))
    lag_s = statistics.median(lags)
    return Measure(
        "a message received after its command was answered, nothing else waiting",
        f"{LAG_S_GOAL:.0f} s",
        lag_s / LAG_S_GOAL,
        1,
        at_least=False,
        detail=f"median {lag_s:.2f} s, longest {max(lags):.2f} s",
    )


def _appends(bench: Bench, sender: _Sender, effort: Effort) -> Iterator[Measure]:
    for clients, goal in ((1, PART_GOAL), (CLIENTS, None)):
        with crew(partial(_appending, bench.url), 1, clients) as append:
            beside = partial(_while_sending, sender, append)
            contestants = [Contestant("beside", beside), Contestant("alone", append)]
            found = interleaved(
                contestants, rounds=effort.rounds, seconds=effort.seconds * ROUND_PART
            )
        what = "1 thread" if clients == 1 else f"{clients} threads"
        yield rates(
            f"append one event, {what}, while messages of them are sent",
            "the same, while none is",
            found["beside"],
            found["alone"],
            goal,
        )


def _while_sending(sender: _Sender, run: Run, seconds: float) -> Took:
    with sender.sending():
        time.sleep(READY_S)
        return run(seconds)


def _appending(url: str) -> Work:
    """Each append is to an account of its own, and so has a message."""
    store = open_services(url).book.store
    name, numbers = os.urandom(4).hex(), itertools.count()

    def append(_client: int) -> None:
        stream = f"account-{name}-{next(numbers)}"
        store.insert_events([StoredEvent(stream, 1, "account.seat_occupied@1", STATE)])

    return append


# The sender


class _Sender:
    """A process that sends while it is asked to."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    @contextmanager
    def sending(self) -> Iterator[None]:
        self._ask(True)
        try:
            yield
        finally:
            self._ask(False)

    def _ask(self, sends: bool) -> None:
        self._pipe.send(sends)
        self._pipe.recv()


@contextmanager
def _sender(url: str) -> Iterator[_Sender]:
    with _process(_send, url) as pipe:
        yield _Sender(pipe)


def _send(pipe: Connection, url: str) -> None:
    settings = Settings(
        url, Secret(SECRET), builtin(), "http://127.0.0.1:8000", None, 1_000
    )._replace(webhook_hosts=ALLOWED)
    with suppress(EOFError):
        while pipe.recv():
            with webhook_sender.running(settings):
                pipe.send("sending")
                pipe.recv()
            pipe.send("sends no more")


# The receiver


class _Receiver:
    """A process that takes messages and counts them."""

    def __init__(self, port: int, count: Synchronized[int]) -> None:
        self.url = f"http://{HOST}:{port}/hook"
        self._count = count

    @property
    def received(self) -> int:
        return self._count.value

    def wait_for(self, count: int, patience_s: float = PATIENCE_S, pause_s: float = 0.01) -> None:
        until = time.monotonic() + patience_s
        while self.received < count:
            assert time.monotonic() < until, f"{self.received} of {count} messages came"
            time.sleep(pause_s)


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    count = multiprocessing.get_context("spawn").Value("q", 0)
    with _process(_receive, count) as pipe:
        yield _Receiver(pipe.recv(), count)


def _receive(pipe: Connection, count: Synchronized[int]) -> None:
    with socket.create_server((HOST, 0)) as listener:
        Thread(target=_accept, args=(listener, count), daemon=True).start()
        pipe.send(listener.getsockname()[1])
        with suppress(EOFError):
            pipe.recv()


def _accept(listener: socket.socket, count: Synchronized[int]) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Thread(target=_respond, args=(connection, count), daemon=True).start()


def _respond(connection: socket.socket, count: Synchronized[int]) -> None:
    """Answer each request, as long as its sender keeps the connection."""
    with connection, connection.makefile("rb") as requests, suppress(OSError):
        while requests.readline():
            headers = parse_headers(requests)
            requests.read(int(headers["Content-Length"]))
            with count.get_lock():
                count.value += 1
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            if headers["Connection"] == "close":
                return


@contextmanager
def _process(run: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run a function in a new process, given a pipe to this one; it is to end when that is shut."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()
