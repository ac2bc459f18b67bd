"""genai-processors, used as its documentation says: decorated functions, chained."""

from __future__ import annotations

from collections.abc import AsyncIterable

from genai_processors import content_api, processor

from bench.workers.jobs import jobs_of
from bench.workers.serve import serve


def stream_stage() -> processor.Processor:
    """An async generator over the stream that passes every part on."""

    @processor.processor_function
    async def passes(
        content: processor.ProcessorStream,
    ) -> AsyncIterable[content_api.ProcessorPartTypes]:
        async for part in content:
            yield part

    return passes


def function_stage() -> processor.PartProcessor:
    """A function of one part that gives it back."""

    @processor.part_processor_function
    async def same(part: content_api.ProcessorPart) -> AsyncIterable[content_api.ProcessorPart]:
        yield part

    return same


KINDS = {"stream": stream_stage, "function": function_stage}


def chain(stages: int, kind: str = "stream") -> processor.Processor:
    """A chain of `stages` stages."""
    return processor.chain([KINDS[kind]() for _ in range(stages)])


if __name__ == "__main__":
    serve(jobs_of(chain, content_api.ProcessorPart("hello"), lambda: ["x"]), "genai-processors")
