"""Properties that hold for a few drawn examples in every run, and for many in the long one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy


def holds_for(few: int, many: int, *drawn: SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Return a decorator as `given` does, of a test that runs with so many examples."""

    def decorated(test: Any) -> Any:
        @pytest.mark.parametrize(
            "examples",
            [few, pytest.param(many, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
        )
        @wraps(test)
        def held(examples: int, **others: Any) -> None:
            settings(max_examples=examples, deadline=None)(given(*drawn)(test))(**others)

        others = inspect.signature(given(*drawn)(test)).parameters.values()
        examples = inspect.Parameter("examples", inspect.Parameter.KEYWORD_ONLY)
        vars(held)["__signature__"] = inspect.Signature([*others, examples])
        return held

    return decorated
