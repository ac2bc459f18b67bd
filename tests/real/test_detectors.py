"""Detectors for real: threads that hang, on the wall clock, and a language model that is asked."""

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator

import pytest

from vivace.flow.scope import AbandonedTask
from vivace.machines.sighting import Sighting
from vivace.models import Llama, store
from vivace.part import Data, Event, Part
from vivace.processors.detect_events import EventProcessor
from vivace.processors.detect_with_model import ModelDetector
from vivace.processors.detector import Detector

pytestmark = pytest.mark.real


async def each(seconds: float, count: int) -> AsyncIterator[Part]:
    for number in range(count):
        yield Part(f"part {number}", at=number * seconds)
        await asyncio.sleep(seconds)


def test_a_thread_that_hangs_delays_nothing() -> None:
    """The stream passes while it hangs; it is told and left behind, and others go on."""
    go = threading.Event()

    def hangs(part: Part) -> None:
        go.wait(30)

    def sees(part: Part) -> Sighting:
        return Sighting(part.text)

    eye = EventProcessor([Detector(hangs, time_limit_s=0.1), sees])

    async def main() -> tuple[list[str], list[str], list[str], float]:
        clock = asyncio.get_running_loop().time
        passed, events, failed, latest, before = [], [], [], 0.0, clock()
        async for part in eye(each(0.05, 10)):
            match part.body:
                case str(text):
                    passed.append(text)
                    latest, before = max(latest, clock() - before), clock()
                case Event(type=type):
                    events.append(type)
                case Data(value=news):
                    failed.append(news["event"])
        return passed, events, failed, latest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AbandonedTask)
        passed, events, failed, latest = asyncio.run(main())
    go.set()
    print(f"\nlongest between two parts: {latest * 1000:.0f} ms of 50")
    assert passed == [f"part {number}" for number in range(10)]
    assert set(events) == set(passed)
    assert failed[0] == "failed"
    assert failed.count("failed") <= 3


def test_a_thread_that_hangs_is_named() -> None:
    """Where it hangs, in a warning."""
    go = threading.Event()

    async def main() -> None:
        async for _ in EventProcessor([Detector(lambda part: go.wait(30), time_limit_s=0.1)])("a"):
            pass
        # The thread has half a second to end by itself.
        await asyncio.sleep(0.6)

    with pytest.warns(AbandonedTask, match=r"detector detector was cancelled.*left behind at"):
        asyncio.run(main())
    go.set()


def test_a_language_model_as_a_detector() -> None:
    """Held to its schema, the smallest model answers in it, whatever it thinks."""
    store.pull(["smollm2"])
    types = ["greeting", "order", "question"]
    schema = ModelDetector(Llama.load(), "?", types=types).json_schema
    detector = ModelDetector(
        Llama.load(schema=schema), "What kind of sentence is it?", types=types, time_limit_s=60
    )
    eye = EventProcessor([detector])

    async def main() -> list[Part]:
        parts = []
        for text in ("Hello there!", "Go forward ten meters."):
            parts += [part async for part in eye(text) if part.text != text]
        return parts

    parts = asyncio.run(main())
    events = [part.body for part in parts if isinstance(part.body, Event)]
    print(f"\n{[(event.type, event.latency_s) for event in events]}")
    assert len(parts) == len(events), "nothing failed"
    assert {event.type for event in events} <= set(types)
    assert (eye.totals.detections, eye.totals.failures) == (2, 0)
