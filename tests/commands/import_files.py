"""Files of codes that were issued elsewhere."""

from __future__ import annotations

from datetime import datetime

from commands.import_keys import ImportedKeys, import_keys
from commands.services import Services
from ledger.streams.key import KEY, Key, stream_id
from tests.worlds import NOON, context

HEADER = "code,product,tier,seats,months,reseller,redeem_by"
CODE = "POS-2345-ABCD-WXYZ"
LINE = f"{CODE},cloud_pos,,5,12,Northwind,"
MASKED = "POS-••••-••••-WXYZ"
INT_MASKED = "INT-••••-••••-JKLM"
INT_CODE = "INT-6789-EFGH-JKLM"
INT_LINE = f"{INT_CODE},integrations,growth,2,24,Southwind,2027-12-31"


def take_in(world: Services, *lines: str, at: datetime = NOON) -> ImportedKeys:
    return import_keys(world, context(at), [HEADER, *lines])


def key_of(world: Services, code: str) -> Key:
    state = world.book.load(KEY, stream_id(world.codes.key_id(code))).state
    assert state is not None
    return state


def codes(world: Services, count: int) -> list[str]:
    """Answer many codes that this ledger never issued."""
    return [world.codes.derive("POS", "elsewhere", index) for index in range(count)]


def lines_of(world: Services, count: int) -> list[str]:
    return [f"{code},cloud_pos,,5,12,Northwind," for code in codes(world, count)]
