"""Spans that a test collects instead of sending them away."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

H = TypeVar("H")


class Collected(Generic[H]):
    """Where the spans of a hook go, and what came."""

    def __init__(self, hook: Callable[[TracerProvider], H]) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hook = hook(self.provider)

    @property
    def tracer(self) -> Tracer:
        return self.provider.get_tracer("the program")

    @property
    def all(self) -> Sequence[ReadableSpan]:
        finished: Sequence[ReadableSpan] = self.exporter.get_finished_spans()
        return finished

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.all if span.name == name)
        return found
