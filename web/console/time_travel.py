"""Time travel: which moment an account is shown at, and which moments there are to choose from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from ledger.events import AnyEvent
from ledger.translation import gettext as _
from projections.lists.timeline import DescribedEvent
from projections.views.account_at import Moment
from web.app.context import request_context
from web.app.times import iso
from web.console import parameters
from web.console.timeline import tell

# So many are on one slider; of a longer history, those around the moment that is shown.
MOMENTS_MAX: Final = 300
_LABEL_LENGTH_MAX: Final = 100


class TimeTravel(NamedTuple):
    """The moment that an address asks for.

    Attributes:
        then: whether only what was known at that moment counts.
    """

    moment: Moment
    then: bool

    @property
    def now(self) -> bool:
        """Return whether the account is shown as it is."""
        return self.moment.as_of is None and self.moment.known_at is None


class Choice(NamedTuple):
    """A moment to choose.

    Attributes:
        value: as an address has it.
        label: when it was, and what happened.
    """

    value: str
    label: str


class Choices(NamedTuple):
    """The moments of a slider, oldest first.

    Attributes:
        chosen: the place of the one that is shown; now has the place after all of them.
        earlier, later: where there are more, as an address has it.
    """

    moments: list[Choice]
    chosen: int
    earlier: str | None
    later: str | None


def from_query() -> TimeTravel:
    """Return the moment that the address asks for.

    `then` puts what was known to the same moment; `known_at` to one of its own.

    Raises:
        InvalidRequest: a time that is none.
    """
    as_of = parameters.time("as_of", parameters.query("as_of"))
    known_at = parameters.time("known_at", parameters.query("known_at"))
    then = parameters.query("then") == "yes"
    if then and as_of is not None:
        known_at = as_of
    return TimeTravel(
        Moment(request_context().now, as_of, known_at), then or as_of == known_at is not None
    )


def choices(events: Iterable[AnyEvent], at: datetime | None) -> Choices:
    """Return the moments at which an account became different, or something of it was learnt."""
    happened: dict[datetime, AnyEvent] = {}
    learnt: dict[datetime, AnyEvent] = {}
    for event in events:
        happened[event.occurred_at] = event
        if event.recorded_at != event.occurred_at:
            learnt[event.recorded_at] = event
    moments = sorted({*happened, *learnt})
    place = len(moments) if at is None else bisect_right(moments, at)
    start = max(0, min(place - MOMENTS_MAX // 2, len(moments) - MOMENTS_MAX))
    shown = moments[start : start + MOMENTS_MAX]
    events_of = [happened.get(one) or learnt[one] for one in shown]
    return Choices(
        [
            Choice(iso(one), _label(one, told, known_late=one not in happened))
            for one, told in zip(shown, tell(events_of), strict=True)
        ],
        len(shown) if at is None else max(0, place - start - 1),
        iso(moments[start - 1]) if start else None,
        iso(moments[start + MOMENTS_MAX]) if start + MOMENTS_MAX < len(moments) else None,
    )


def _label(at: datetime, told: DescribedEvent, *, known_late: bool) -> str:
    summary = _("learnt: %(what)s", what=told.summary) if known_late else told.summary
    if len(summary) > _LABEL_LENGTH_MAX:
        summary = summary[: _LABEL_LENGTH_MAX - 1] + "…"
    return f"{at:%Y-%m-%d %H:%M:%S}Z · {summary}"
