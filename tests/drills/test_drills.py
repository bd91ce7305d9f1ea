"""Each drill briefly: what it is about holds, and it finds the faults that are planted."""

from __future__ import annotations

import pytest

from clients.build import operations_with_key
from tests.drills.__main__ import DRILLS, SEED
from tests.drills.writes import ELSEWHERE, WRITES
from tests.web.api import memory_api


# They start many servers: how long that takes is the machine's affair.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name, drill in DRILLS.items() if drill.in_tests])
def test_it_holds_and_what_is_planted_is_found(name: str) -> None:
    report = DRILLS[name].run(quick=True, seed=SEED, planted=True)
    print(report.figures)
    assert not report.faults
    assert report.planted
    assert report.not_found == []


def test_every_write_that_may_be_repeated_is_failed_in_every_way() -> None:
    document = memory_api().get("admin", "/openapi.json").body
    keyed = {
        document["paths"][path][method.lower()]["operationId"]
        for method, path in operations_with_key(document)
    }
    assert keyed - WRITES.keys() == ELSEWHERE.keys()
