"""Answers as JSON: names, times and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from projections.answer import Answer
from web.app.json_encoding import encode

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Step(Answer, frozen=True, rename={"start": "from"}):
    start: datetime
    more: int | UnsetType = UNSET


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (Step(NOON), b'{"from":"2026-03-01T12:00:00.000000Z"}'),
        (Step(NOON, 0), b'{"from":"2026-03-01T12:00:00.000000Z","more":0}'),
        (NOON.replace(microsecond=40), b'"2026-03-01T12:00:00.000040Z"'),
        (NOON.astimezone(timezone(timedelta(hours=1))), b'"2026-03-01T12:00:00.000000Z"'),
        (timedelta(days=1, milliseconds=900), b"86400"),
        ([(Step(NOON),), None, True], b'[[{"from":"2026-03-01T12:00:00.000000Z"}],null,true]'),
        ({"kept": msgspec.Raw(b'{"at": 1}')}, b'{"kept":{"at": 1}}'),
    ],
)
def test_an_answer_has_its_own_names_and_six_digits_of_a_second(answer: Any, sent: bytes) -> None:
    assert encode(answer) == sent
