"""Record spans and metrics of the run and of each call through the OpenTelemetry API.

They are recorded only if the process has imported ``opentelemetry`` before the run starts, as an instrumented program
does. Otherwise this module imports nothing, and no call passes through it.
"""

import sys
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING

from orchestrator.engine.ports import Tenant
from orchestrator.errors import CallError
from orchestrator.model import ActionState
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.trace import Span

NAME = "mass_stop"


def find_telemetry() -> "Telemetry | None":
    """Return the telemetry of this process, or None if it has not imported OpenTelemetry."""
    if "opentelemetry" not in sys.modules:
        return None
    try:
        return Telemetry()
    except ImportError:  # another package in the same namespace
        return None


def run_span(run_id: str, command: str) -> AbstractContextManager["Span | None"]:
    """Return a span around the run, the parent of the spans of its calls. Its value is None without telemetry."""
    telemetry = find_telemetry()
    return nullcontext(None) if telemetry is None else telemetry.run(run_id, command)


class Telemetry:
    """The tracer, counter and histogram. Raises ImportError without the OpenTelemetry API."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace

        self._trace = trace
        self._tracer = trace.get_tracer(NAME, VERSION)
        meter = metrics.get_meter(NAME, VERSION)
        self._calls = meter.create_counter(
            f"{NAME}.calls", "{call}", "Calls to the tenant, by call and result."
        )
        self._seconds = meter.create_histogram(f"{NAME}.call.duration", "s", "Duration of calls.")

    def run(self, run_id: str, command: str) -> AbstractContextManager["Span"]:
        """Return the span of :func:`run_span`."""
        attributes = {f"{NAME}.run": run_id, f"{NAME}.command": command}
        return self._tracer.start_as_current_span(
            f"{NAME} {command}", attributes=attributes, record_exception=False
        )

    @contextmanager
    def call(self, name: str, **attributes: str) -> Iterator["Span"]:
        """Open a span around one call to the tenant. At its end, record the call's result and duration in seconds.

        ``attributes`` are added to the span. The result is ``ok``, the kind of the failure, or ``cancelled``.
        """
        started, result = monotonic(), "ok"
        with self._tracer.start_as_current_span(
            f"{NAME} {name}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={f"{NAME}.{key}": value for key, value in attributes.items()},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                result = _result_of(error)
                span.set_attribute("error.type", result)
                if isinstance(error, CallError):
                    known = {
                        "http.response.status_code": error.http_status,
                        f"{NAME}.code": error.code,
                        f"{NAME}.request_id": error.request_id,
                    }
                    span.set_attributes({key: value for key, value in known.items() if value is not None})
                if result != "cancelled":
                    span.set_status(self._trace.StatusCode.ERROR)
                raise
            finally:
                labels = {"call": name, "result": result}
                self._calls.add(1, labels)
                self._seconds.record(monotonic() - started, labels)


def _result_of(error: BaseException) -> str:
    if isinstance(error, CallError):
        return error.kind.value
    return "cancelled" if isinstance(error, CancelledError) else type(error).__name__


class TracedTenant:
    """Wraps a tenant and records spans and metrics of its calls."""

    def __init__(self, tenant: Tenant, telemetry: Telemetry) -> None:
        self.authenticate = tenant.authenticate
        self.redact = tenant.redact
        self._tenant = tenant
        self._call = telemetry.call

    @property
    def has_token(self) -> bool:
        return self._tenant.has_token

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        with self._call("stop", bulk_key=bulk_key, track_id=track_id) as span:
            request_id = await self._tenant.stop(bulk_key, track_id)
            if request_id is not None:
                span.set_attribute(f"{NAME}.request_id", request_id)
            return request_id

    async def status(self, bulk_key: str, track_id: str) -> ActionState:
        with self._call("status", bulk_key=bulk_key, track_id=track_id) as span:
            state = await self._tenant.status(bulk_key, track_id)
            span.set_attribute(f"{NAME}.status", state.status.value)
            return state

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object],
    ) -> None:
        with self._call("file", track_id=track_id):
            await self._tenant.download(address, track_id, write, on_headers)

    async def archived(self, address: str, track_id: str) -> str | None:
        with self._call("file_status", track_id=track_id):
            return await self._tenant.archived(address, track_id)
