"""Where messages about accounts and keys are sent: the webhooks of whoever wants to hear of them.

Stream:    `webhooks-<of what>`, where `all` is all there is
Facts:     WebhookAdded, WebhookSecretRotated, WebhookTested, WebhookReplayed, WebhookDisabled,
           WebhookRemoved
Invariant: what is sent follows from these facts and the ledger; of a removed webhook nothing is.

There are few of them, and who sends must know of all: so they are one stream, which is read at a
glance. What was sent is not recorded here, or each message would make another event: that is kept
beside the ledger (`projections.lists.webhook_queue`).

A secret is made of the ledger's own and a random salt, which is what is recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger import reseller_names
from ledger.codes import letters
from ledger.events import AnyEvent, AnyOccurrence, Fact, Sealed, Stream
from ledger.notice_kinds import NOTICE_KINDS
from ledger.refusals import WebhookNotFound, WebhookNotSending

ID: Final = "all"
SALT_BYTES: Final = 32
DIGEST_LETTERS: Final = 12  # of an event, in the id of a message
# How long what a secret was signs as well, after another took its place.
OVERLAP: Final = timedelta(days=1)

ACCOUNT_CHANGED: Final = "account.changed"
KEY_CHANGED: Final = "key.changed"
TEST: Final = "webhook.test"
NOTICE: Final = "notice."
# All there is to be told; and whatever else may be asked for, single kinds of notices.
ALL: Final = (ACCOUNT_CHANGED, KEY_CHANGED, f"{NOTICE}*")
KINDS: Final = (*ALL, *(f"{NOTICE}{kind}" for kind in NOTICE_KINDS))

WhyDisabled = Literal["failing"]


# Facts


class WebhookAdded(Fact, frozen=True):
    """Messages are sent to an address from now on.

    Attributes:
        url: sealed, since whoever knows such an address may send to it.
        host: of the address, for people.
        kinds: of messages; `notice.*` is all that begin so, `notice.` and a kind those of that one.
        salt: of the secret, in hex.
        reseller: whose keys, and what they gave, the messages are about; None for all.
        after: messages are about what was recorded after this position; None for from now on.
    """

    webhook: str
    url: Sealed
    host: str
    kinds: tuple[str, ...]
    salt: str
    reseller: str | None = None
    after: int | None = None


class WebhookSecretRotated(Fact, frozen=True):
    """Messages are signed with a new secret; for a day, with the old one as well."""

    webhook: str
    salt: str


class WebhookTested(Fact, frozen=True):
    """A message was asked for that says nothing."""

    webhook: str


class WebhookReplayed(Fact, frozen=True):
    """What was recorded after a position is sent once more. A disabled webhook sends again."""

    webhook: str
    after: int


class WebhookDisabled(Fact, frozen=True):
    """Nothing is sent any more, until a replay is asked for.

    Attributes:
        why: `failing`, a message was not taken for days.
        message: the one that was not taken.
    """

    webhook: str
    why: WhyDisabled
    message: str


class WebhookRemoved(Fact, frozen=True):
    """The webhook is gone."""

    webhook: str


# State


class WebhookSecret(Struct, frozen=True):
    """What a secret is derived with; `until` is when it stops signing, None for the newest."""

    salt: str
    since: datetime
    until: datetime | None = None


class Webhook(Struct, frozen=True):
    """A webhook as its facts make it.

    Attributes:
        added_at: the position of the event that added it.
        begins_after: the position after which its messages begin.
        secrets: the newest first.
        disabled: why nothing is sent; None while it is.
        sends_since: the position of the event that made it send: it was added, or replayed after
            it had been disabled.
    """

    id: str
    url: Sealed
    host: str
    kinds: tuple[str, ...]
    reseller: str | None
    added_at: int
    begins_after: int
    created_at: datetime
    secrets: tuple[WebhookSecret, ...]
    sends_since: int
    disabled: WhyDisabled | None = None
    disabled_at: datetime | None = None

    def salts(self, at: datetime) -> list[str]:
        """Return what the secrets are derived with that sign at a moment, the newest first."""
        return [one.salt for one in self.secrets if one.until is None or at < one.until]

    def wants(self, kind: str) -> bool:
        """Return whether it is sent messages of a kind."""
        return kind == TEST or any(
            kind.startswith(one[:-1]) if one.endswith("*") else kind == one for one in self.kinds
        )

    @property
    def wants_notices(self) -> bool:
        """Return whether it is sent notices of any kind."""
        return any(one.startswith(NOTICE) for one in self.kinds)

    def is_about(self, reseller: str | None) -> bool:
        """Return whether it hears of what is a reseller's, in whatever spelling, or nobody's."""
        if self.reseller is None:
            return True
        return reseller is not None and reseller_names.same(self.reseller, reseller)


# By id, in no order.
Webhooks = Map[str, Webhook]


# Fold


def fold(webhooks: Webhooks, events: Iterable[AnyOccurrence]) -> Webhooks:
    """Return the webhooks after these events."""
    for event in events:
        fact = event.fact
        if isinstance(fact, WebhookAdded):
            webhooks = webhooks.set(fact.webhook, _added(fact, event))
            continue
        known = webhooks.get(getattr(fact, "webhook", ""))
        if known is None:
            continue
        match fact:
            case WebhookSecretRotated(salt=salt):
                webhooks = webhooks.set(known.id, _rotated(known, salt, event.occurred_at))
            case WebhookReplayed() if known.disabled:
                sending = replace(
                    known, disabled=None, disabled_at=None, sends_since=event.position
                )
                webhooks = webhooks.set(known.id, sending)
            case WebhookDisabled(why=why):
                disabled = replace(known, disabled=why, disabled_at=event.occurred_at)
                webhooks = webhooks.set(known.id, disabled)
            case WebhookRemoved():
                webhooks = webhooks.delete(known.id)
    return webhooks


def _added(fact: WebhookAdded, event: AnyOccurrence) -> Webhook:
    return Webhook(
        fact.webhook,
        fact.url,
        fact.host,
        fact.kinds,
        fact.reseller,
        event.position,
        event.position if fact.after is None else fact.after,
        event.occurred_at,
        (WebhookSecret(fact.salt, event.occurred_at),),
        event.position,
    )


def _rotated(webhook: Webhook, salt: str, at: datetime) -> Webhook:
    until = at + OVERLAP
    older = [
        one if one.until is not None else replace(one, until=until)
        for one in webhook.secrets
        if one.until is None or at < one.until
    ]
    return replace(webhook, secrets=(WebhookSecret(salt, at), *older))


# Decisions


def known(webhooks: Webhooks, id: str) -> Webhook:
    """Return the webhook with an id.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    found = webhooks.get(id)
    if found is None:
        raise WebhookNotFound
    return found


def rotate(webhooks: Webhooks, id: str, salt: str) -> list[Fact]:
    """Return the fact that has messages signed with a new secret.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    return [WebhookSecretRotated(webhook=known(webhooks, id).id, salt=salt)]


def ask_for_test(webhooks: Webhooks, id: str) -> list[Fact]:
    """Return the fact that asks for a message that says nothing.

    Raises:
        WebhookNotFound: never added, or removed.
        WebhookNotSending: it is disabled.
    """
    if known(webhooks, id).disabled:
        raise WebhookNotSending
    return [WebhookTested(webhook=id)]


def replay(webhooks: Webhooks, id: str, after: int) -> list[Fact]:
    """Return the fact that has messages sent once more.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    return [WebhookReplayed(webhook=known(webhooks, id).id, after=after)]


def disable(webhooks: Webhooks, id: str, message: str, since: int) -> list[Fact]:
    """Return the fact that stops sending; none if it is stopped, gone, or was begun anew.

    Args:
        since: `Webhook.sends_since` when the message was not taken.
    """
    found = webhooks.get(id)
    if found is None or found.disabled or found.sends_since != since:
        return []
    return [WebhookDisabled(webhook=id, why="failing", message=message)]


def remove(webhooks: Webhooks, id: str) -> list[Fact]:
    """Return the fact that ends a webhook.

    Raises:
        WebhookNotFound: never added, or removed.
    """
    return [WebhookRemoved(webhook=known(webhooks, id).id)]


WEBHOOKS: Stream[Webhooks] = Stream(
    kind="webhooks",
    facts={
        "webhooks.added@1": WebhookAdded,
        "webhooks.secret_rotated@1": WebhookSecretRotated,
        "webhooks.tested@1": WebhookTested,
        "webhooks.replayed@1": WebhookReplayed,
        "webhooks.disabled@1": WebhookDisabled,
        "webhooks.removed@1": WebhookRemoved,
    },
    initial=Map(),
    fold=fold,
)


def message_id(webhook: str, about: AnyEvent | str) -> str:
    """Return the id of a webhook's message, the same at each try; it has no dot.

    A ledger that lost events has others at the same positions, so the id of an event's message
    names the event, too.

    Args:
        about: the event that the message is about, or what names a notice.
    """
    if not isinstance(about, str):
        named = (about.stream, about.version, about.name, about.request_id, about.recorded_at)
        digest = hashlib.sha256("\0".join(map(str, named)).encode()).digest()
        about = f"{about.position}_{letters(digest)[:DIGEST_LETTERS]}"
    return f"msg_{webhook.removeprefix('kfwh_')}_{about}"
