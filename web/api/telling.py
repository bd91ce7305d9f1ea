"""What the timeline, the diff, the explanations and the overview answer, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger.sealing import Texts
from projections.lists.overview import Overview
from projections.lists.timeline import Entry, TimelinePage
from projections.text.formatting import ERASED, NOT_SHOWN
from projections.views.diff import Diff, Difference, Fields
from projections.views.explain import Explanation
from projections.views.whatif import WhatIf
from web.api.answers import Answer, of_account
from web.app.times import iso


def timeline(page: TimelinePage, following: str | None) -> Answer:
    return {
        "items": [entry(one) for one in page.entries],
        "next": following,
        "position": page.position,
    }


def entry(one: Entry) -> Answer:
    event = one.event
    return {
        "position": event.position,
        "event": event.name,
        "recorded_at": iso(event.recorded_at),
        "occurred_at": iso(event.occurred_at),
        "actor": event.actor,
        "actor_role": one.actor_role,
        "request_id": event.request_id,
        "causation": event.causation,
        "summary": one.summary,
        "refs": one.refs,
        "data": written(one.data),
    }


def written(value: Any) -> Any:
    """Answer a value with every time in it written out."""
    match value:
        case datetime():
            return iso(value)
        case dict():
            return {name: written(inner) for name, inner in value.items()}
        case list() | tuple():
            return [written(inner) for inner in value]
    return value


def diff(found: Diff, texts: Texts | None) -> Answer:
    """Answer the differences, with labels opened for those who may see them."""
    sealed = [fields["label"] for one in found.differences for fields in _labelled(one)]
    opened = texts.open_all(sealed) if texts else [None] * len(sealed)
    labels = dict(zip(sealed, opened, strict=True))

    def told(fields: Fields | None) -> Answer | None:
        if fields is None or fields.get("label") is None:
            return fields
        label = NOT_SHOWN if texts is None else labels[fields["label"]] or ERASED
        return {**fields, "label": label}

    return {
        "account": found.account,
        "from": iso(found.start),
        "to": iso(found.end),
        "known_at": iso(found.known_at),
        "position": found.position,
        "items": [
            {
                "thing": _thing(*one.thing),
                "was": written(told(one.was)),
                "now": written(told(one.now)),
                "summary": one.summary,
                "positions": one.positions,
            }
            for one in found.differences
        ],
    }


def explanation(found: Explanation) -> Answer:
    return {
        **of_account(found.account, found.moment, found.position),
        "answer": found.answer,
        "rule": found.rule,
        "code": found.code,
        "facts": found.facts,
        "positions": found.positions,
        "mend": found.mend,
    }


def overview(found: Overview) -> Answer:
    answer: Answer = written(
        {
            name: [one._asdict() for one in value] if isinstance(value, list) else value
            for name, value in found._asdict().items()
        }
    )
    return answer


def what_if(found: WhatIf) -> Answer:
    """Answer spans of time as seconds."""
    return {
        "policy": {"grace_days": found.policy.grace_days, "holders": found.policy.holders},
        "events": found.events,
        "accounts": found.accounts,
        "items": [
            {
                **written(one._asdict()),
                "gained": int(one.gained.total_seconds()),
                "lost": int(one.lost.total_seconds()),
            }
            for one in found.holders
        ],
        "let_in": [written(one._asdict()) for one in found.let_in],
        "next": None,
    }


def _labelled(one: Difference) -> list[Fields]:
    return [fields for fields in (one.was, one.now) if fields and fields.get("label") is not None]


def _thing(kind: str, *names: str) -> Answer:
    known = {"kind": kind, "subscription": None, "product": None, "tier": None, "holder": None}
    match kind:
        case "subscription":
            subscription, product, tier = names
            return {**known, "subscription": subscription, "product": product, "tier": tier or None}
        case "seat":
            product, holder = names
            return {**known, "product": product, "holder": holder}
        case _:
            product, tier = names
            return {**known, "product": product, "tier": tier or None}
