"""genai-processors, used as its documentation says: decorated functions, chained."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

from genai_processors import content_api, processor
from genai_processors.core import live_model, window
from genai_processors.core.rate_limit_audio import RateLimitAudio

from bench.workers.jobs import jobs_of
from bench.workers.live_jobs import live_jobs
from bench.workers.pacing_jobs import RATE, Paced, pacing_jobs
from bench.workers.prompting import prompt_jobs
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


def sound(pcm: bytes) -> content_api.ProcessorPart:
    """A part of the model's sound."""
    return content_api.ProcessorPart(pcm, role="model", mimetype=f"audio/pcm;rate={RATE}")


PACED = Paced(
    limiter=lambda: RateLimitAudio(RATE),
    audio=sound,
    interrupted=lambda: content_api.ProcessorPart("", metadata={"interrupted": True}),
    seconds=lambda part: len(part.bytes) / 2 / RATE if content_api.is_audio(part.mimetype) else 0.0,
)


def prompt() -> tuple[Callable[[int], None], Callable[[], Awaitable[object]]]:
    """A rolling prompt of ten minutes, which its documentation calls the default."""
    rolling = window.RollingPrompt(duration_prompt_sec=600)
    said = (
        content_api.ProcessorPart("hello, how are you today, my friend?", role="user"),
        content_api.ProcessorPart("I am fine, thank you.", role="model"),
    )

    def add(number: int) -> None:
        rolling.add_part(said[number & 1])

    async def first() -> object:
        await rolling.finalize_pending()  # which begins the next one, with all that was said
        return await anext(aiter(rolling.pending()))

    return add, first


async def live_session(
    options: dict[str, Any], microphone: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """A live model's sound; times are in the first bytes of each part."""

    async def parts() -> AsyncIterator[content_api.ProcessorPart]:
        async for pcm in microphone:
            yield content_api.ProcessorPart(
                pcm, mimetype="audio/pcm;rate=16000", substream_name="realtime"
            )

    url = options["base_url"]
    if url not in LIVES:
        LIVES[url] = live_model.LiveProcessor(
            "key", "gemini-3.8-live", {"response_modalities": ["AUDIO"]}, http_options=options
        )
    async for part in LIVES[url](parts()):
        if part.bytes and part.mimetype.startswith("audio/"):
            yield part.bytes


LIVES: dict[str, live_model.LiveProcessor] = {}

if __name__ == "__main__":
    jobs = jobs_of(chain, content_api.ProcessorPart("hello"), lambda: ["x"])
    others = {**pacing_jobs(PACED), **prompt_jobs(prompt), **live_jobs(live_session)}
    serve({**jobs, **others}, "genai-processors")
