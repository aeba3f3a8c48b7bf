"""Traces by OpenTelemetry, where OTLP_ENDPOINT is set: one trace a visit, from its first upload to its estimate.

The trace's id follows from the visit's, so unrelated requests for one visit meet in it; a caller that sends a
`traceparent` of its own is followed instead. Without the setting a span is an empty `with`, and OpenTelemetry is not
even imported.
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Tracer

    from config.settings import Settings

Value: TypeAlias = str | int | float | bool

_OFF: AbstractContextManager[None] = nullcontext()
_FLUSH_MS = 2000
# What a trace that begins now is called.
_next_trace: ContextVar[int | None] = ContextVar("next_trace", default=None)


class _On:
    """Tracing, once it is started: None in a process without the setting."""

    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


def start_tracing(settings: "Settings") -> None:
    """Send this process's spans to the collector; does nothing without OTLP_ENDPOINT."""
    if settings.otlp_endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - the extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _next_trace.get() or super().generate_trace_id()

    names = {"service.name": f"scopekit-{settings.function_name}", "deployment.environment": settings.environment}
    provider = TracerProvider(
        resource=Resource.create(names), sampler=sampler(settings.trace_ratio), id_generator=Ids()
    )
    exporter = OTLPSpanExporter(f"{settings.otlp_endpoint}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    _On.provider, _On.tracer = provider, provider.get_tracer("scopekit")


def sampler(ratio: float) -> "Sampler":
    """Take this share of traces; a caller may spare its own, but not have more taken."""
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 - the extra

    share = TraceIdRatioBased(ratio)
    return ParentBased(share, remote_parent_sampled=share)


def flush_traces() -> None:
    """Send the remaining spans; blocks for two seconds at most."""
    if _On.provider is not None:
        _On.provider.force_flush(_FLUSH_MS)


def span(name: str, **attributes: Value) -> AbstractContextManager[None]:
    """Time a part of the current trace; does nothing without one."""
    if _On.tracer is None or trace_context() is None:
        return _OFF
    return _spanned(_On.tracer, name, attributes, None)


def visit_span(
    name: str, visit_id: UUID | str | None, parent: str | None = None, **attributes: Value
) -> AbstractContextManager[None]:
    """Time work on a visit: below `parent` (a `traceparent`), the span at hand, or first in the visit's trace."""
    if _On.tracer is None:
        return _OFF
    if visit_id is None:
        return _spanned(_On.tracer, name, attributes, _context(parent))
    known = {"visit_id": str(visit_id), **attributes}
    return _spanned(_On.tracer, name, known, _context(parent), trace_of(visit_id))


def trace_context() -> str | None:
    """Return the span at hand as a W3C `traceparent`, None outside of any."""
    if _On.tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def trace_of(visit_id: UUID | str) -> int:
    """Return the id of a visit's trace; hashed, because a share of traces is taken by bits that a UUID fixes."""
    return int.from_bytes(hashlib.sha256(str(visit_id).encode()).digest()[:16])


def _context(parent: str | None) -> "Context | None":
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


@contextmanager
def _spanned(
    tracer: "Tracer", name: str, attributes: dict[str, Value], context: "Context | None", trace: int | None = None
) -> Iterator[None]:
    """Open a span. An error leaves its name on it and no more: its text may hold a customer's words."""
    from opentelemetry.trace import Status, StatusCode, use_span  # noqa: PLC0415

    token = _next_trace.set(trace)
    try:
        opened = tracer.start_span(name, context, attributes=attributes)
    finally:
        _next_trace.reset(token)
    with use_span(opened, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            opened.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
