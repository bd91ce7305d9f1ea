"""The auditors' program as it is handed out: one file, and what is in it.

Tests try the file that is built, and never the modules that it is built from.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from ledger.proof.verifier.build import FILE_NAME, build

SOURCE: Final = build()


def _loaded() -> Any:
    module = ModuleType("keyfold_verify")
    exec(compile(SOURCE, FILE_NAME, "exec"), module.__dict__)  # noqa: S102
    return module


keyfold_verify: Final = _loaded()
