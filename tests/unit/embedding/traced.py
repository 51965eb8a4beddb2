"""Stop the actions of a tenant with an OpenTelemetry SDK in the process, and print its spans and metrics as JSON.

``python traced.py BASE_URL CLIENT_ID OUT KEY…``, with the client's secret in the environment. It needs its own
process, because a provider can be set only once, and other tests must not be traced.
"""

import asyncio
import json
import os
import sys
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import Secret, Settings, stop_all


def points(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], int]]]:
    """Return for each metric the labels of its points, with the number of counts or measurements."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [
            (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", 0)))
            for point in metric.data.data_points
        ]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


if __name__ == "__main__":
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    base_url, client_id, out, *keys = sys.argv[1:]
    settings = Settings(
        base_url=base_url, client_id=client_id, client_secret=Secret(os.environ["SECRET"]), out=out
    )
    report = asyncio.run(stop_all([*keys, "0" * 32], settings))
    spans = [
        {
            "name": span.name,
            "id": span.context.span_id,
            "parent": span.parent and span.parent.span_id,
            "attributes": dict(span.attributes or {}),
            "status": span.status.status_code.name,
        }
        for span in exporter.get_finished_spans()
        if span.context is not None
    ]
    calls = {name: getattr(report.summary.calls, name) for name in ("stop", "status", "file", "token")}
    print(json.dumps({"spans": spans, "points": points(reader), "calls": calls, "run": report.run.id}))
