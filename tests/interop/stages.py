"""The package, and stages of either side, for the tests of how they go together."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from vivace.flow.drive import drive
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.machines.machine import Machine
from vivace.part import Part
from vivace.processors.genai import from_genai_processor

REASON = "needs the package genai-processors; run: make interop"


def package(name: str) -> Any:
    """A module of theirs; whoever asks is skipped without it."""
    return pytest.importorskip(name, reason=REASON)


content = package("genai_processors.content_api")
context = package("genai_processors.context")
theirs = package("genai_processors.processor")


def their_processor(function: Callable[[Any], Any]) -> Any:
    """What their decorator makes of a function; typed, which theirs is not without the package."""
    return theirs.processor_function(function)


def their_part_processor(function: Callable[[Any], Any]) -> Any:
    """The same for a function of one part."""
    return theirs.part_processor_function(function)


async def numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> AsyncIterator[Part]:
    """A source of ours that tells what was pulled, and that it was closed."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield Part(str(n))
    finally:
        log.append("closed")


async def their_numbers(log: list[str], count: int = 1000, every_s: float = 0.0) -> Any:
    """The same, of theirs."""
    try:
        for n in range(count):
            if every_s:
                await asyncio.sleep(every_s)
            log.append(f"pull {n}")
            yield content.ProcessorPart(str(n))
    finally:
        log.append("closed")


@processor
async def copy(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@part_processor
def loud(part: Part) -> Part:
    return part.derive(body=part.text + "!")


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return drive(stream, Machine(), capacity=2)


@their_processor
async def upper(stream: Any) -> Any:
    async for part in stream:
        yield content.ProcessorPart(part.text.upper(), metadata=part.metadata, role=part.role)


@their_processor
async def pass_on(stream: Any) -> Any:
    async for part in stream:
        yield part


@their_part_processor
async def same(part: Any) -> Any:
    yield part


@their_part_processor
async def double(part: Any) -> Any:
    yield part
    yield theirs.status("doubled")
    yield part


@their_part_processor
async def late(part: Any) -> Any:
    await asyncio.sleep(0.1)
    yield part


def ours_of(stage: Any) -> Processor:
    return from_genai_processor(stage)


def texts(parts: list[Any]) -> list[str]:
    return [part.text for part in parts if not part.substream]


async def gathered(agent: Processor, source: Any) -> list[Part]:
    return [part async for part in agent(source)]


async def outcome(parts: AsyncIterator[Part]) -> tuple[BaseException | None, list[str]]:
    """The error that a stream ended with, if any, and the texts that came before it."""
    seen: list[str] = []
    try:
        async for part in parts:
            seen.append(part.text)
    except Exception as error:
        return error, seen
    return None, seen


async def settled() -> None:
    """Let be closed what is left to the garbage collector."""
    gc.collect()
    await asyncio.sleep(0.001)
