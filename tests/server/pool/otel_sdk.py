"""OpenTelemetry's SDK with its readers in memory, for tests that skip themselves where it is not installed."""

from __future__ import annotations

import functools
from typing import Any

import pytest


@functools.cache
def metric_reader() -> Any:
    """The reader of the process's only meter provider: it can be set once."""
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    api = pytest.importorskip("opentelemetry.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    reader = export.InMemoryMetricReader()
    api.set_meter_provider(sdk.MeterProvider(metric_readers=[reader]))
    return reader


def metric_points() -> list[tuple[str, str, Any]]:
    """Name, unit and point of all that is exported now."""
    exported = metric_reader().get_metrics_data()
    return [
        (metric.name, metric.unit, point)
        for resource in (exported.resource_metrics if exported is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def spans_in_memory() -> tuple[Any, Any]:
    """A tracer provider, and the exporter that keeps what it is told."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    return provider, memory
