"""How an answer is declared: one struct, with what its fields mean.

JSON, /openapi.json and the command line's `--json` all come from it. An answer is named after what
it is; where JSON has another name for a field, such as `from`, the struct says `rename`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct


class Answer(Struct, frozen=True):
    """A JSON object, which may have more fields some day: the document does not close it."""


def doc(description: str | None = None, *examples: Any, **schema: Any) -> Meta:
    """Return what the document says of a field: its meaning, examples, and more JSON Schema."""
    return Meta(
        description=description, examples=list(examples) or None, extra_json_schema=schema or None
    )


Time = Annotated[
    datetime,
    doc(
        None,
        "2026-03-01T09:00:00.000000Z",
        format="date-time",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$",
    ),
]
Count = Annotated[int, Meta(ge=0)]
Position = Annotated[Count, doc("The ledger's position that this was answered at.", 1234)]
Next = Annotated[str | None, doc("`cursor` of the next page; null on the last.")]
AccountId = Annotated[str, doc(None, "acme")]
ProductId = Annotated[str, doc(None, "cloud_pos")]
SubscriptionId = Annotated[str, doc(None, "kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m")]
KeyId = Annotated[str, doc(None, "key_c5nfx2ynqk7tq3bd5xw4a6bl7m")]
BatchId = Annotated[str, doc(None, "bat_2vqk7tq3bd5xw4a6bl7mc5nfx2")]
WebhookId = Annotated[str, doc(None, "kfwh_c5nfx2ynqk7tq3bd5xw4a6bl7m")]
NoticeLinkId = Annotated[str, doc(None, "kfnl_c5nfx2ynqk7tq3bd5xw4a6bl7mxk2pd7tq4c")]
Masked = Annotated[str, doc(None, "POS-••••-••••-7K2M")]
Seats = Annotated[Count, doc(None, 5)]
Used = Annotated[Count, doc(None, 2)]
Positions = Annotated[
    list[int], doc("Of the events that did it: each is in the timeline.", [12, 34])
]


class AccountAnswer(Answer, frozen=True):
    """What every answer about an account begins with."""

    account: AccountId
    as_of: Time
    known_at: Time
    position: Position
