"""Decide again when another writer came between: a bounded number of times."""

from __future__ import annotations

import pytest

from commands import retry as deciding_module
from commands.retry import TRIES_MAX, LedgerBusy, retry_on_conflict
from ledger.store.contract import VersionConflict


class Attempt:
    """Loses so many rounds to others, then goes through."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.rounds = 0

    def __call__(self) -> str:
        self.rounds += 1
        if self.rounds <= self.losses:
            raise VersionConflict("account-acme", 2, 2)
        return "done"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("commands.retry.time.sleep", slept.append)
    return slept


@pytest.mark.parametrize("losses", [0, 1, 2, TRIES_MAX - 1])
def test_a_lost_round_is_decided_again(losses: int, pauses: list[float]) -> None:
    attempt = Attempt(losses)
    assert retry_on_conflict(attempt) == "done"
    assert attempt.rounds == losses + 1
    assert len(pauses) == losses
    assert all(0 <= pause <= deciding_module.PAUSE_MAX_S for pause in pauses)
    assert pauses[:1] in ([], [0])  # the first loss is answered at once


def test_at_last_it_gives_up(pauses: list[float]) -> None:
    attempt = Attempt(TRIES_MAX)
    with pytest.raises(LedgerBusy):
        retry_on_conflict(attempt)
    assert attempt.rounds == TRIES_MAX


def test_what_is_refused_is_not_tried_again(pauses: list[float]) -> None:
    rounds: list[int] = []

    def attempt() -> None:
        rounds.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        retry_on_conflict(attempt)
    assert rounds == [1]
