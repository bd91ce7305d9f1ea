"""Messages to webhooks, sent for as long as a server runs.

    with webhook_sender.running():
        …

One thread of each server looks after it, and of all servers that share a ledger one at a time sends
(`ledger.store.exclusive_lock`). It remembers nothing that counts: what there is to send, and how
far that was sent, is on record. Of each webhook one message is under way at a time, and it is on
record before the next is sent; so one that is killed sends at most that one again. What messages
say is read for many of them at once, and a connection is kept for as long as there are more.

Eight webhooks are sent to at once. While others wait, each has a turn of some messages, or of two
seconds, and those that have waited longest are next.

Of an account messages are sent in order: one that is not taken keeps those after it waiting, and no
other account's. It is tried again after growing pauses, for three days.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple, Self

from standardwebhooks.webhooks import Webhook as Signer

from commands.add_webhook import secret_of, url_of
from commands.change_webhook import disable_webhook
from commands.gateways.webhook_addresses import (
    AddressRefused,
    AddressUnknown,
    Target,
    find_target,
)
from ledger.durations import Work, tell
from ledger.store.exclusive_lock import open_exclusive_lock
from ledger.streams.webhooks import ID, WEBHOOKS, Webhook
from projections.lists.account_states import AccountsAtPositions
from projections.lists.webhook_deliveries import (
    Attempt,
    drop_old_attempts,
    record_attempt,
)
from projections.lists.webhook_messages import WebhookMessage, messages_of
from projections.lists.webhook_queue import (
    Clocks,
    DueMessage,
    due_messages,
    forget_removed,
    queue_messages,
    wait_less,
    wait_no_longer,
)
from web.app.causes import cause_of
from web.app.clock import system_clock
from web.app.json_encoding import encode
from web.app.logs import log_to_stderr
from web.app.request_hooks import new_request_id
from web.app.services import Wiring, wire
from web.app.settings import Settings, read_settings
from web.server.webhook_client import Client, Response

ACTOR: Final = "webhooks"
LOCK: Final = "webhooks"
GIVE_UP_AFTER: Final = timedelta(days=3)
PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 6 * 3_600.0
PAUSE_GROWTH: Final = 2
_GROWTHS_MAX: Final = 16
# So many failures in a row, and it is not the message: the receiver is left alone for a while.
FAILED_MAX: Final = 3
REST_S_MAX: Final = 60.0
ROUND_S: Final = 0.5
IDLE_S: Final = 2.0
BACK_OFF_S_MAX: Final = 60.0
CLOCK_CHECK_S: Final = 60.0
WEBHOOKS_AT_ONCE: Final = 8
# So much is read at once: of so many accounts so many messages in a row.
LANES: Final = 25
MESSAGES_EACH: Final = 10
# What a receiver is sent in a turn, and for how long, while another one waits for its own.
TURN_MESSAGES: Final = 100
TURN_S: Final = 2.0
# How long what may change while messages are sent is taken for true: the webhook, and who sends.
FRESH_S: Final = 0.05
DROP_AFTER: Final = 100
STOP_S_MAX: Final = 5.0

_log = logging.getLogger("keyfold.webhooks")


@contextmanager
def running(settings: Settings | None = None) -> Iterator[None]:
    """Return a context in which messages are sent to webhooks."""
    settings = settings or read_settings()
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(settings, stop), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_S_MAX + 1)


def _run(settings: Settings, stop: threading.Event) -> None:
    log_to_stderr()
    sender: Sender | None = None
    failed, pause_s = 0, ROUND_S
    while not stop.wait(pause_s * random.uniform(0.8, 1.2)):  # noqa: S311
        try:
            sender = sender or Sender(wire(settings), stop)
            pause_s = ROUND_S if sender.start_due() else IDLE_S
            failed = 0
        except Exception as error:  # whatever it is: nobody else sends these messages
            if not failed:
                _log.warning("messages to webhooks wait: %s", cause_of(error))
            failed += 1
            pause_s = min(ROUND_S * (1 << min(failed, _GROWTHS_MAX)), BACK_OFF_S_MAX)
    if sender is not None:
        sender.close()


class Sender:
    """Sends what is due to each webhook, several webhooks at once.

    Args:
        stop: set when nothing more is to be begun.
    """

    def __init__(self, wiring: Wiring, stop: threading.Event) -> None:
        self._wiring = wiring
        self._stop = stop
        self._tls = ssl.create_default_context()
        self._lock = open_exclusive_lock(wiring.settings.database_url, LOCK)
        self._lock_use = threading.Lock()
        self._receivers: dict[str, _Receiver] = {}
        self.others_wait = False
        self._version = 0
        self._clock_checked_at = 0.0
        self._test_clock_said: datetime | None = None

    def start_due(self) -> bool:
        """Queue what is new and begin sending what is due; return whether there is anything to do.

        There is not while another server sends.
        """
        wiring = self._wiring
        loaded = wiring.services.book.load(WEBHOOKS, ID)
        if not loaded.version:
            return False
        with self._lock_use:
            if not loaded.state and self._version == loaded.version:
                self._lock.release()
                return False
            if not self._lock.acquire():
                return False
        # Whoever had it may have seen later ones, and begun with them.
        loaded = wiring.services.book.load(WEBHOOKS, ID)
        if loaded.version != self._version:
            forget_removed(wiring.tables, loaded.state)
            self._version = loaded.version
        active = [one for one in loaded.state.values() if not one.disabled]
        queue_messages(
            wiring.services.book,
            wiring.tables,
            wiring.services.catalog.notices,
            active,
            Clocks(wiring.clock(), system_clock()),
        )
        self._check_clock(active)
        self._follow_test_clock(active)
        self._receivers = {
            one.id: self._receivers.get(one.id) or _Receiver(wiring, one.id) for one in active
        }
        self._begin_turns()
        return bool(loaded.state)

    def _begin_turns(self) -> None:
        """Begin to send to as many as may be at once, those first that have waited longest."""
        every = self._receivers.values()
        free = WEBHOOKS_AT_ONCE - sum(one.is_busy for one in every)
        waiting = sorted(
            (one for one in every if one.wants_to_send), key=lambda one: one.last_turn_at
        )
        for receiver in waiting[:free]:
            receiver.start(self)
        self.others_wait = len(waiting) > free

    def _check_clock(self, active: list[Webhook]) -> None:
        if time.monotonic() < self._clock_checked_at + CLOCK_CHECK_S and self._clock_checked_at:
            return
        self._clock_checked_at = time.monotonic()
        longest = timedelta(seconds=2 * PAUSE_S_MAX)
        for webhook in active:
            wait_no_longer(self._wiring.tables, webhook.id, system_clock(), longest)

    def _follow_test_clock(self, active: list[Webhook]) -> None:
        """Let as much of what is waited for pass as a test clock was put forward by."""
        if self._wiring.settings.test_clock is None:
            return
        now, before = self._wiring.clock(), self._test_clock_said
        self._test_clock_said = now
        if before is None or now <= before:
            return
        for webhook in active:
            wait_less(self._wiring.tables, webhook.id, system_clock(), now - before)
        for receiver in self._receivers.values():
            receiver.rest_no_longer()

    def may_send(self) -> bool:
        """Return whether this server still is the one that sends."""
        if self._stop.is_set():
            return False
        with self._lock_use:
            return self._lock.is_held()

    def messages_of(
        self, webhook: Webhook, due: Sequence[DueMessage], accounts: AccountsAtPositions
    ) -> Iterator[WebhookMessage]:
        """Yield what messages say."""
        services = self._wiring.services
        queued = [one.message for one in due]
        return messages_of(services.book, services.catalog, accounts, webhook, queued)

    def find(self, url: str) -> Target:
        """Return where an address leads now."""
        return find_target(url, self._wiring.settings.webhook_hosts)

    def client(self) -> Client:
        """Return what sends to one webhook."""
        return Client(tls=self._tls)

    def close(self) -> None:
        """Wait a little for what is under way, and let another server send."""
        until = time.monotonic() + STOP_S_MAX
        for receiver in self._receivers.values():
            receiver.join(until)
        with self._lock_use:
            self._lock.release()
        self._wiring.close()


class _Checked(NamedTuple):
    """A webhook as it was when it was looked at, by this process's clock.

    Attributes:
        url: None when it cannot be read: the key it was sealed with is gone.
        signers: by each secret, the newest first.
    """

    webhook: Webhook
    url: str | None
    signers: tuple[Signer, ...]
    at: float


class _Encoded(NamedTuple):
    """A message as it is sent."""

    id: str
    body: bytes


class _Ahead:
    """Messages, of which the next can be made before it is asked for."""

    def __init__(self, messages: Iterator[WebhookMessage]) -> None:
        self._encoded = (_Encoded(one.id, encode(one)) for one in messages)
        self._made: _Encoded | Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Encoded:
        made, self._made = self._made, None
        if isinstance(made, Exception):
            raise made
        return made or next(self._encoded)

    def prepare(self) -> None:
        """Make the next message; what that raises is raised when it is asked for."""
        try:
            self._made = next(self._encoded)
        except Exception as error:  # a StopIteration, too
            self._made = error


class _Receiver:
    """One webhook's messages: sent one after the other, by a thread that ends when none is due."""

    def __init__(self, wiring: Wiring, id: str) -> None:
        self._wiring = wiring
        self._id = id
        self._accounts = AccountsAtPositions(wiring.services.book)
        self._thread: threading.Thread | None = None
        self._checked: _Checked | None = None
        self._recorded = 0
        self._failed = 0
        self._errors = 0
        self._rests_until = 0.0
        self.last_turn_at = 0.0
        self._sent = 0

    @property
    def is_busy(self) -> bool:
        """Return whether messages are under way."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def wants_to_send(self) -> bool:
        """Return whether something is due, and nothing under way."""
        if self.is_busy or time.monotonic() < self._rests_until:
            return False
        return bool(due_messages(self._wiring.tables, self._id, system_clock(), 1))

    def rest_no_longer(self) -> None:
        self._rests_until = 0.0

    def start(self, sender: Sender) -> None:
        self.last_turn_at = time.monotonic()
        self._sent = 0
        self._thread = threading.Thread(target=self._run, args=(sender,), daemon=True)
        self._thread.start()

    def join(self, until: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self, sender: Sender) -> None:
        client = sender.client()
        try:
            while self._send_some(sender, client):
                pass
        except Exception as error:  # what is due stays due
            # It may have been taken and is not on record: each try may send it once more.
            _log.warning("messages to a webhook wait: %s", cause_of(error))
            self._errors += 1
            rest_s = min(ROUND_S * (1 << min(self._errors, _GROWTHS_MAX)), BACK_OFF_S_MAX)
            self._rests_until = time.monotonic() + rest_s
        finally:
            client.close()

    def _send_some(self, sender: Sender, client: Client) -> bool:
        """Send what is due, if it is not too much; return whether there may be more."""
        tables = self._wiring.tables
        due = due_messages(tables, self._id, system_clock(), LANES, MESSAGES_EACH)
        self._checked = None
        checked = self._check(sender)
        if not due or checked is None:
            return False
        held_up: set[str] = set()
        messages = _Ahead(sender.messages_of(checked.webhook, due, self._accounts))
        for one, message in zip(due, messages, strict=True):
            if one.message.lane in held_up:
                continue
            checked = self._check(sender)
            if checked is None or self._is_over(sender):
                return False
            if not self._send(sender, client, checked, one, message, messages.prepare):
                held_up.add(one.message.lane)
        return True

    def _is_over(self, sender: Sender) -> bool:
        """Return whether to stop for now: the receiver rests, or it is another one's turn."""
        now = time.monotonic()
        has_had_its_turn = self._sent >= TURN_MESSAGES or now >= self.last_turn_at + TURN_S
        return now < self._rests_until or (sender.others_wait and has_had_its_turn)

    def _check(self, sender: Sender) -> _Checked | None:
        """Return the webhook as it is, if messages are to be sent to it by this server."""
        now = time.monotonic()
        if self._checked is not None and now < self._checked.at + FRESH_S:
            return self._checked
        services = self._wiring.services
        webhook = services.book.load(WEBHOOKS, ID).state.get(self._id)
        if webhook is None or webhook.disabled or not sender.may_send():
            return None
        salts = webhook.salts(self._wiring.clock())
        signers = tuple(Signer(secret_of(services.webhook_key, salt)) for salt in salts)
        self._checked = _Checked(webhook, url_of(services, webhook), signers, now)
        return self._checked

    def _send(
        self,
        sender: Sender,
        client: Client,
        checked: _Checked,
        due: DueMessage,
        message: _Encoded,
        meanwhile: Callable[[], None],
    ) -> bool:
        """Send a message and keep what came of it; return whether the next of its lane is due."""
        began = time.monotonic()
        at = self._wiring.clock()
        response = _post(sender, client, checked, message, meanwhile)
        _tell(self._id, due.attempts, response, time.monotonic() - began)
        now = system_clock()
        retry_at = None
        if response.problem is not None:
            pause_s = max(_pause_s(due.attempts), response.retry_after_s)
            retry_at = now + timedelta(seconds=pause_s)
        tried = Attempt(
            due.message,
            message.id,
            due.attempts + 1,
            at,
            int((time.monotonic() - began) * 1000),
            response.status,
            response.problem,
            retry_at,
        )
        goes_on = record_attempt(self._wiring.tables, tried, now)
        self._errors = 0
        self._sent += 1
        self._recorded += 1
        if self._recorded % DROP_AFTER == 0:
            drop_old_attempts(self._wiring.tables, self._id)
        self._note(response)
        failing_since = due.failing_since or at
        is_over = self._wiring.clock() - failing_since >= GIVE_UP_AFTER
        if goes_on and response.problem is not None and is_over:
            self._disable(checked.webhook, tried.message_id)
        elif response.problem is not None and not due.attempts:
            _log.warning("a message to %s was not taken: %s", self._id, response.problem)
        return goes_on and response.problem is None

    def _note(self, response: Response) -> None:
        """Leave the receiver alone for a while after several failures in a row."""
        if response.problem is None:
            self._failed = 0
        elif response.status is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failed += 1
            if self._failed >= FAILED_MAX:
                doublings = min(self._failed - FAILED_MAX, _GROWTHS_MAX)
                rest_s = min(PAUSE_S_MIN * (1 << doublings), REST_S_MAX)
                self._rests_until = time.monotonic() + rest_s

    def _disable(self, webhook: Webhook, message: str) -> None:
        context = self._wiring.request_context(ACTOR, new_request_id())
        disable_webhook(self._wiring.services, context, webhook, message)
        _log.error("webhook %s is disabled: nothing is sent until a replay", webhook.id)


def _post(
    sender: Sender,
    client: Client,
    checked: _Checked,
    message: _Encoded,
    meanwhile: Callable[[], None],
) -> Response:
    """Send a message, and return what came of it."""
    url = checked.url
    if url is None:
        return Response(None, "its address cannot be read: the key it was sealed with is gone")
    headers = _headers(checked.signers, message.id, message.body)
    try:
        return client.post(lambda: sender.find(url), headers, message.body, meanwhile)
    except AddressRefused as refused:
        return Response(None, f"the address {refused}")
    except AddressUnknown:
        return Response(None, "the host's name leads nowhere")


def _tell(webhook: str, attempts: int, response: Response, seconds: float) -> None:
    about: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.request.resend_count": attempts,
        "keyfold.webhook": webhook,
    }
    if response.status is not None:
        about["http.response.status_code"] = response.status
    error = response.problem and str(response.status or "no response")
    tell(Work("deliver to webhook", seconds, is_call=True, about=about, error=error))


def _headers(signers: Sequence[Signer], id: str, body: bytes) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks: a signature by each secret, the newest first."""
    at = system_clock()
    signatures = [signer.sign(id, at, body.decode()) for signer in signers]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Keyfold",
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _pause_s(attempts: int) -> float:
    """Return how long to wait after so many earlier tries and one more."""
    pause_s: float = min(PAUSE_S_MIN * PAUSE_GROWTH ** min(attempts, _GROWTHS_MAX), PAUSE_S_MAX)
    return pause_s * random.uniform(0.8, 1.2)  # noqa: S311
