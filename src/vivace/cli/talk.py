"""`vivace talk`: recorded speech into the local agent, at natural speed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from vivace.cli import output, weights
from vivace.cli.caller import Caller
from vivace.cli.files import check_folder
from vivace.cli.interrupt import interruptible
from vivace.cli.lines import read_lines
from vivace.cli.recording import USER_RATE, Recording
from vivace.cli.terminal import stderr, stdout
from vivace.cli.view import View, view
from vivace.errors import ModelError
from vivace.flow.clock import now, sleep_until
from vivace.flow.observe import LagReport, LoopLag
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.models.spec import turn_model
from vivace.part import Part
from vivace.processors.rate_limit import AudioRateLimiter

__all__ = ["hold", "talk"]

_CHUNK_S = 0.02
_LONGEST_GOODBYE_S = 30.0  # whoever goes on, or is stuck, for so long after the last sound is left


def talk(files: Sequence[str], out: Path, spec: str, live: str = "") -> None:
    """Hold the conversation, show it, and write what came of it to `out`.

    live: the model on a server that is talked to, in place of the local agent with model `spec`.
    """
    lines = read_lines(files)
    check_folder(out)
    pacer = AudioRateLimiter()
    agent = _load_live(live, pacer) if live else _load(spec, pacer)
    spec = live or spec
    caller, recording = Caller(lines), Recording()
    lag = asyncio.run(hold(agent, caller, recording, view(stdout(), recording, spec)))
    with interruptible() as check, _status("drawing the timeline …"):
        facts = output.Facts(spec, lag, pacer, tuple(caller.spoken), bool(live))
        output.write(out, recording, facts, check)
    stdout().print(f"written to {out}: conversation.wav, timeline.png, report.json", soft_wrap=True)


async def hold(agent: Processor, caller: Caller, recording: Recording, shown: View) -> LagReport:
    """One conversation, to its end, which comes 30 s after the caller's last sound at the latest.

    Raises ModelError if the model cannot answer.
    """
    zero = now()

    async def microphone() -> AsyncIterator[Part]:
        nonlocal zero
        # The run's own zero, so that the user's media time and the agent's are one.
        zero = current_run().bus.started_at
        for index in itertools.count(1):
            await sleep_until(zero + index * _CHUNK_S)
            if not limit.expired():
                limit.reschedule(now() + _LONGEST_GOODBYE_S)
            pcm = caller.chunk(index * _CHUNK_S)
            if pcm is None:
                break
            recording.hear_user(pcm)
            shown.tick(now() - zero)
            yield Part.audio(pcm, USER_RATE, at=round((index - 1) * _CHUNK_S, 6))

    limit = asyncio.timeout(_LONGEST_GOODBYE_S)
    with shown:
        async with LoopLag() as lag:
            # It also holds while the run is closed, so that the microphone can always move it.
            with _until(limit):
                async with limit, agent.run(microphone()) as parts:
                    async for part in parts:
                        at = now() - zero
                        caller.feed(part, at)
                        recording.feed(part, at)
                        _check(recording)
                        shown.feed(part, at)
                        shown.tick(at)
        recording.end(recording.duration)
    return lag.report()


@contextmanager
def _until(limit: asyncio.Timeout) -> Iterator[None]:
    """Ends quietly when `limit` is reached."""
    try:
        yield
    except TimeoutError:
        if not limit.expired():
            raise


def _check(recording: Recording) -> None:
    failure = next((f for f in recording.failures if f.what == "reply"), None)
    if failure is not None:
        raise ModelError(failure.error)


def _load(spec: str, pacer: AudioRateLimiter) -> Processor:
    """Everything there, checked in the order of what costs least."""
    # A wrong or foreign model is noticed before anything is fetched.
    is_own = spec.strip() == "smollm2"
    with _status("loading the model …"), interruptible():
        model = None if is_own else turn_model(spec)
    weights.ensure([*weights.EARS, *(["smollm2"] if is_own else [])])
    with _status("loading the models …"), interruptible() as check:
        from vivace.cli.agent import build

        model = model or turn_model(spec)
        check()
        return build(model, pacer, check)


def _load_live(spec: str, pacer: AudioRateLimiter) -> Processor:
    """Ears that tell when the user makes a sound, and a model that does all else."""
    from vivace.live.live_spec import live_model

    with _status("loading the model …"), interruptible():
        model = live_model(spec)
    weights.ensure(["silero"])
    with _status("loading the models …"), interruptible():
        from vivace.models.silero import Silero
        from vivace.processors.detect_speech import DetectSpeech

        return DetectSpeech(Silero.load()) + model + pacer


def _status(text: str) -> AbstractContextManager[object]:
    console = stderr()
    return console.status(f"[dim]{text}[/]") if console.is_terminal else nullcontext()
