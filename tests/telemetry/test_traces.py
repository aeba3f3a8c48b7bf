"""One trace from upload to estimate, as a collector receives it."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from config.tracing import sampler, trace_of
from tests.telemetry.conftest import Watched
from tests.tenants import Tenant

STEPS = {"gather", "transcribe", "look", "draft", "price", "total", "save"}


def _spans(arrived: list[tuple[str, bytes]]) -> list[tuple[str, Any]]:
    """Return (service, span) of everything exported so far."""
    found = []
    for path, body in arrived:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            found += [(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
    return found


def _trace(watched: Watched, trace_id: int) -> list[tuple[str, Any]]:
    """Wait until the job's own span, the last to end, has arrived; return all of the trace."""
    wanted = trace_id.to_bytes(16)

    def whole(arrived: list[tuple[str, bytes]]) -> list[tuple[str, Any]] | None:
        spans = [(service, span) for service, span in _spans(arrived) if span.trace_id == wanted]
        names = [span.name for _, span in spans]
        # A request's span ends, and leaves, after those below it: the upload's and the one that asked for the job.
        return spans if {"job estimate", "keep a medium"} <= set(names) and names.count("HTTP POST") > 1 else None

    return watched.traces.until(whole)


async def test_upload_and_estimate_are_one_trace(watched: Watched, tenant: Tenant) -> None:
    """Two requests that know nothing of each other, and the worker; a job hangs below the request that asked for it."""
    visit_id = await watched.estimate(tenant)
    spans = await asyncio.to_thread(_trace, watched, trace_of(visit_id))
    by_id = {span.span_id: span for _, span in spans}
    services = {span.name: service for service, span in spans}
    assert (services["keep a medium"], services["job estimate"]) == ("scopekit-gateway", "scopekit-worker")
    parents = {span.name: by_id[span.parent_span_id].name for _, span in spans if span.parent_span_id in by_id}
    assert (parents["keep a medium"], parents["job estimate"]) == ("HTTP POST", "HTTP POST")
    assert {name.removeprefix("step ") for name, parent in parents.items() if parent == "job estimate"} == STEPS


async def test_a_callers_own_trace_is_followed(watched: Watched, tenant: Tenant) -> None:
    """A phone that traces sends `traceparent`, and finds our part below its own."""
    trace_id = 0x0AF7651916CD43DD8448EB211C80319C
    await watched.estimate(tenant, traceparent=f"00-{trace_id:032x}-b7ad6b7169203331-01")
    spans = await asyncio.to_thread(_trace, watched, trace_id)
    assert {service for service, _ in spans} == {"scopekit-gateway", "scopekit-worker"}


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_caller_cannot_have_more_traced_than_our_share(ratio: float) -> None:
    """That it takes its own trace is no reason for us to; the share of traces is."""
    caller = SpanContext(7, 7, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    found = sampler(ratio).should_sample(set_span_in_context(NonRecordingSpan(caller)), 7, "HTTP GET")
    assert (found.decision is Decision.RECORD_AND_SAMPLE) == bool(ratio)


def test_without_a_collector_nothing_is_loaded() -> None:
    """Neither OpenTelemetry nor a span: what is off costs one comparison."""
    script = """
import sys
from config.tracing import span, trace_context, visit_span
import gateway.app, jobs.worker.worker
assert span("a") is visit_span("b", "c") and trace_context() is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")], sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
