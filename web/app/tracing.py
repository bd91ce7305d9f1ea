"""Whether this process is traced, as OpenTelemetry's own variables say: OTEL_*.

Unless they ask for it nothing of OpenTelemetry is loaded. What is wrong with them is logged, and
nothing traced: whoever asks for a seat is answered all the same.

Source: OpenTelemetry's "Environment Variable Specification" and "OTLP Exporter Configuration".
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ledger.durations import LISTENERS
from web.app.settings import all_values

if TYPE_CHECKING:
    from web.app.spans import Spans

PREFIX: Final = "OTEL_"
PROTOCOL: Final = "http/protobuf"
# For what is yet to be sent when a process ends, be the collector as slow as it may.
STOP_S: Final = 2.0

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_log = logging.getLogger("keyfold.tracing")
_running: Final[list[Spans]] = []


def start(database_url: str) -> Spans | None:
    """Trace this process from now on, if that is asked for; return what does, or None.

    After a fork it is to be called again, in the child: the thread that sends is left behind.
    """
    for name, value in all_values().items():
        if name.startswith(PREFIX):
            os.environ.setdefault(name, value)  # where OpenTelemetry reads it
    if not is_wanted(os.environ):
        return None
    try:
        from web.app.spans import Spans

        spans = Spans(database_url)
    except ImportError:
        _log.warning("nothing is traced: pip install 'keyfold[otel]', or unset OTEL_*")
        return None
    except ValueError as error:
        _log.warning("nothing is traced: OTEL_*: %s", error)
        return None
    _running[:] = [spans]
    LISTENERS[:] = [spans.work_done]
    return spans


def stop() -> None:
    """Send what is left, for as long as `STOP_S`, and trace no more."""
    LISTENERS.clear()
    while _running:
        thread = threading.Thread(target=_running.pop().close, daemon=True)
        thread.start()
        thread.join(STOP_S)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether OTEL_* ask for traces in the way that they can be had; log it if not."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter == "none" or not (exporter or any(environ.get(name) for name in _ENDPOINTS)):
        return False
    protocol = next((found for name in _PROTOCOLS if (found := environ.get(name))), PROTOCOL)
    for variable, value, known in (
        ("OTEL_TRACES_EXPORTER", exporter or "otlp", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.strip(), PROTOCOL),
    ):
        if value != known:
            _log.warning("nothing is traced: %s must be %s, not %r", variable, known, value[:40])
            return False
    return True
