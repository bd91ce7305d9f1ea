"""The rules of webhooks: which secrets sign, and what stops and starts sending."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger.events import Sealed
from ledger.refusals import WebhookNotFound, WebhookNotSending
from ledger.streams import webhooks
from ledger.streams.webhooks import (
    OVERLAP,
    WEBHOOKS,
    WebhookAdded,
    WebhookDisabled,
    WebhookRemoved,
    WebhookReplayed,
    WebhookSecretRotated,
)
from tests.worlds import NOON, folded

HOUR = timedelta(hours=1)
ADDED = WebhookAdded(
    webhook="kfwh_a",
    url=Sealed(owner="webhooks", box=""),
    host="hooks.example",
    kinds=("account.changed", "notice.*"),
    salt="01",
    reseller="Kassen Böhm",
)


def rotated(salt: str) -> WebhookSecretRotated:
    return WebhookSecretRotated(webhook="kfwh_a", salt=salt)


def test_an_old_secret_signs_for_a_day_more_however_often_it_is_rotated() -> None:
    state = folded(
        WEBHOOKS, (NOON, ADDED), (NOON + HOUR, rotated("02")), (NOON + 2 * HOUR, rotated("03"))
    )
    webhook = state["kfwh_a"]
    assert webhook.salts(NOON + 3 * HOUR) == ["03", "02", "01"]
    assert webhook.salts(NOON + HOUR + OVERLAP) == ["03", "02"]
    assert webhook.salts(NOON + 2 * HOUR + OVERLAP) == ["03"]
    late = NOON + 2 * HOUR + OVERLAP
    state = WEBHOOKS.fold(state, [])
    assert [one.salt for one in state["kfwh_a"].secrets] == ["03", "02", "01"]
    again = folded(WEBHOOKS, (NOON, ADDED), (NOON + HOUR, rotated("02")), (late, rotated("03")))
    assert again["kfwh_a"].salts(late) == ["03", "02"]


def test_a_replay_sends_again_and_what_failed_before_it_disables_nothing() -> None:
    disabled = WebhookDisabled(webhook="kfwh_a", why="failing", message="msg_a_1")
    state = folded(WEBHOOKS, (NOON, ADDED), (NOON, disabled))
    assert state["kfwh_a"].disabled == "failing"
    with pytest.raises(WebhookNotSending):
        webhooks.ask_for_test(state, "kfwh_a")
    before = state["kfwh_a"].sends_since
    assert webhooks.disable(state, "kfwh_a", "msg_a_1", before) == []
    replayed = WebhookReplayed(webhook="kfwh_a", after=0)
    state = folded(WEBHOOKS, (NOON, ADDED), (NOON, disabled), (NOON, replayed))
    assert state["kfwh_a"].disabled is None
    assert webhooks.disable(state, "kfwh_a", "msg_a_1", before) == []
    now = state["kfwh_a"].sends_since
    assert webhooks.disable(state, "kfwh_a", "msg_a_1", now) == [disabled]


def test_a_removed_webhook_is_none() -> None:
    state = folded(WEBHOOKS, (NOON, ADDED), (NOON, WebhookRemoved(webhook="kfwh_a")))
    for ask in (webhooks.ask_for_test, webhooks.remove):
        with pytest.raises(WebhookNotFound):
            ask(state, "kfwh_a")
    assert webhooks.disable(state, "kfwh_a", "msg_a_1", 10) == []


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("account.changed", True),
        ("key.changed", False),
        ("notice.subscription.ending", True),
        ("notices", False),
        ("webhook.test", True),
    ],
)
def test_it_is_sent_what_it_asked_for_and_tests(kind: str, wanted: bool) -> None:
    assert folded(WEBHOOKS, (NOON, ADDED))["kfwh_a"].wants(kind) is wanted


def test_it_may_ask_for_single_kinds_of_notices() -> None:
    added = replace(ADDED, kinds=("notice.subscription.ending",))
    webhook = folded(WEBHOOKS, (NOON, added))["kfwh_a"]
    assert webhook.wants_notices
    assert webhook.wants("notice.subscription.ending")
    assert not webhook.wants("notice.subscription.ended")


def test_it_is_about_one_reseller_in_whatever_spelling() -> None:
    webhook = folded(WEBHOOKS, (NOON, ADDED))["kfwh_a"]
    assert webhook.is_about("KASSEN BO\u0308HM")
    assert not webhook.is_about("Kassen")
    assert not webhook.is_about(None)
