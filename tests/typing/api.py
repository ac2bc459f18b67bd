"""What a type checker says of programs that use Vivace. Checked, never run.

Both mypy and basedpyright read this file, strictly: `assert_type` says what an expression is, and
each line with two `ignore`s is a mistake that both have to find, since an `ignore` that nothing
needs is an error too.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never, assert_type

import vivace
import vivace.models
import vivace.testing
from vivace import (
    PASSTHROUGH_ALWAYS,
    PASSTHROUGH_FALLBACK,
    Ask,
    Audio,
    AudioFormat,
    AudioRateLimiter,
    AudioTriggerMode,
    Cached,
    CacheStatistics,
    Call,
    ConfirmRules,
    Data,
    DetectionReport,
    Detector,
    DetectSpeech,
    DetectTurn,
    Event,
    EventProcessor,
    FloorRules,
    Held,
    Image,
    Inhibit,
    InputEnded,
    Interrupt,
    Interrupted,
    KeepAll,
    KeywordDetector,
    Keywords,
    LastTurns,
    LiveModelProcessor,
    LiveProcessor,
    MaxAge,
    McpServer,
    ModelDetector,
    MotionDetector,
    Overlap,
    PacingReport,
    Part,
    PartProcessor,
    Played,
    PlayedTo,
    Playing,
    Pressure,
    PressureRules,
    Processor,
    PromptStatistics,
    RealTimeMetrics,
    Resample,
    Reset,
    Response,
    Resumed,
    RollingPrompt,
    Say,
    SceneDetector,
    Sighting,
    Signal,
    SoundDetector,
    Spans,
    Speak,
    SpeechEnded,
    SpeechSignals,
    SpeechStarted,
    Stream,
    TokenBudget,
    Tool,
    Toolbox,
    Tools,
    Trace,
    Transcribe,
    Transition,
    TurnComplete,
    TurnEnded,
    TurnLog,
    TurnSpans,
    VivaceError,
    WakePhraseDetector,
    add_hook,
    as_json,
    as_table,
    buffer,
    camera,
    chain,
    concat,
    drive,
    export_to_opentelemetry,
    export_to_prometheus,
    film,
    filter_parts,
    from_genai_part,
    from_genai_processor,
    map_parts,
    merge,
    microphone,
    observe,
    parallel,
    part_processor,
    pass_through,
    pressure_level,
    processor,
    read_audio,
    remove_hook,
    screen,
    slice_pcm,
    source,
    split,
    switch,
    to_genai_part,
    to_genai_processor,
    tool,
    trace,
    window,
    write_wav,
)
from vivace.flow.records import Record
from vivace.machines.machine import Machine
from vivace.part import Body
from vivace.testing import Deadlock, VirtualLoop, run_virtual

# -- parts


def make_parts() -> None:
    assert_type(Part("text", role="model"), Part)
    assert_type(Part.audio(b"12", rate=24_000, words="hi", at=1.0), Part)
    assert_type(Part.image(b"jpeg"), Part)
    assert_type(Part.call("search", {"query": "x"}, id="1"), Part)
    assert_type(Part.response("search", [1, 2], id="1"), Part)
    assert_type(Part.of({"a": 1}, role="system"), Part)
    assert_type(Part("a").derive(turn=1), Part)
    Part(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part(b"bytes")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part("a", turn="1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part("a", at="now")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part("a", metadata=[1])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part("a", color="red")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Part()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Part.audio("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part.call("search")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def read_parts(part: Part) -> None:
    assert_type(part.body, Body)
    assert_type(part.text, str)
    assert_type(part.bytes, bytes)
    assert_type(part.mimetype, str)
    assert_type(part.seconds, float)
    assert_type(part.at, float | None)
    assert_type(part.role, str)
    assert_type(part.turn, int)
    assert_type(part.metadata, Mapping[str, Any])
    assert_type(part.function_call, Call | None)
    assert_type(part.function_response, Response | None)
    part.body = "other"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    part.metadata["a"] = 1  # type: ignore[index] # pyright: ignore[reportIndexIssue]
    _ = part.txt  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    _ = part.at + 1.0  # type: ignore[operator] # pyright: ignore[reportOptionalOperand, reportUnknownVariableType]


def every_body_is_known(part: Part) -> str:
    body = part.body
    match body:
        case str() as text:
            return text
        case Audio(pcm=pcm, format=fmt, words=words):
            assert_type((pcm, fmt, words), tuple[bytes, AudioFormat, str])
            return words
        case Image(data=data, mimetype=mimetype):
            assert_type((data, mimetype), tuple[bytes, str])
            return mimetype
        case Data() as data:
            return data.mimetype
        case Event(type=kind, confidence=confidence):
            return f"{assert_type(kind, str)} {assert_type(confidence, float)}"
        case Call(name=name) | Response(name=name):
            return name
        case SpeechStarted(at=at) | SpeechEnded(at=at) | TurnEnded(at=at):
            return f"{assert_type(at, float)}"
        case TurnComplete(turn=turn) | Played(turn=turn):
            return f"{assert_type(turn, int)} {body.reason}"
        case Interrupted(turn=turn, heard=heard):
            return f"{turn}: {assert_type(heard, str)}"
        case Say(text=text):
            return assert_type(text, str)
        case InputEnded() | Reset() | Held() | Resumed() | Playing() | Ask():
            return "signal"
        case PlayedTo(seconds=seconds):
            return f"{assert_type(seconds, float)}"
        case _:
            assert_never(body)


def a_body_that_is_forgotten_is_found(body: Audio | Image | Call) -> str:
    match body:
        case Audio() | Image():
            return "media"
        case _:
            assert_never(body)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def signals_are_signals(signal: Signal) -> None:
    assert_type(TurnComplete(1, "done"), TurnComplete)
    TurnComplete(1, "over")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    TurnComplete("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Part(signal)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def audio(fmt: AudioFormat) -> None:
    assert_type(fmt.frames(0.02), int)
    assert_type(fmt.silence(0.02), bytes)
    assert_type(AudioFormat.parse("audio/pcm;rate=16000"), AudioFormat)
    assert_type(slice_pcm(b"", fmt, 0.02), Iterator[bytes])
    assert_type(read_audio("a.wav"), bytes)
    assert_type(read_audio(Path("a.wav"), rate=24_000), bytes)
    write_wav("a.wav", [b"", b""], 16_000)
    write_wav("a.wav", ["text"], 16_000)  # type: ignore[list-item] # pyright: ignore[reportArgumentType]


# -- processors


@processor
async def louder(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        yield part


@part_processor
def shout(part: Part) -> str:
    return part.text.upper()


@part_processor
async def think(part: Part) -> Part | None:
    return part if part.text else None


@part_processor
async def repeat(part: Part) -> AsyncIterator[Part | str]:
    yield part
    yield "again"


@part_processor(match=lambda part: part.text, concurrency=2, yield_exceptions_as_parts=True)
async def look_up(part: Part) -> list[Part]:
    return [part]


class Numbered(Processor):
    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            yield part


class Driven(Processor):
    def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        return assert_type(drive(stream, Machine(), capacity=4), AsyncIterator[Part])


class Wrong(Processor):
    def call(self, stream: AsyncIterator[Part]) -> list[Part]:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        return []


def two_arguments(part: Part, other: Part) -> Part:
    raise NotImplementedError


def of_text(part: str) -> str:
    raise NotImplementedError


async def no_generator(stream: AsyncIterator[Part]) -> Part:
    raise NotImplementedError


def no_stream(stream: list[Part]) -> list[Part]:
    raise NotImplementedError


def make_processors() -> None:
    assert_type(louder, Processor)
    assert_type(shout, PartProcessor)
    assert_type(think, PartProcessor)
    assert_type(look_up, PartProcessor)
    part_processor(two_arguments)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    part_processor(of_text)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    part_processor("shout")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    part_processor(concurrency="two")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    processor(no_generator)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    processor(no_stream)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    drive([], Machine())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def compose() -> None:
    assert_type(louder + shout, Processor)
    assert_type(shout + louder, Processor)
    assert_type(shout + think, PartProcessor)
    assert_type(chain([louder, shout, Numbered()]), Processor)
    assert_type(shout // think, PartProcessor)
    assert_type(shout // think // PASSTHROUGH_ALWAYS, PartProcessor)
    assert_type(parallel([shout, think, PASSTHROUGH_FALLBACK]), PartProcessor)
    louder + 3  # type: ignore[operator] # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    shout + "text"  # type: ignore[operator] # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    louder // shout  # type: ignore[operator] # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    shout // louder  # type: ignore[operator] # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    chain(["x"])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    chain(louder)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    chain([no_generator])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    parallel([louder])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]


def buffers_and_windows() -> None:
    assert_type(louder + buffer(16, seconds=0.5, full="drop_oldest") + shout, Processor)
    assert_type(window(louder, max_parts=10, stride=2), Processor)
    assert_type(filter_parts(lambda part: part.text), PartProcessor)
    assert_type(map_parts(lambda part: part.text.upper()), PartProcessor)
    assert_type(map_parts(finished_text) // shout, PartProcessor)
    buffer("16")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    buffer(full="drop")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    window(finished_text)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    filter_parts(of_text)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    map_parts(two_arguments)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def finished_text(part: Part) -> str:
    raise NotImplementedError


def failures(agent: Processor) -> None:
    assert_type(agent.fallback(louder, on=(TimeoutError, VivaceError)), Processor)
    assert_type(agent.timeout(first_s=1.0).retry(on=OSError), Processor)
    agent.fallback("louder")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    agent.fallback(louder, on="error")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    agent.timeout(1.0)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def among_others(theirs: Any, part: Part) -> None:
    assert_type(from_genai_processor(theirs) + louder, Processor)
    assert_type(from_genai_part(theirs), Part)
    to_genai_processor(louder)
    to_genai_part(part)
    to_genai_processor("louder")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    to_genai_part("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- running


async def run(agent: Processor) -> None:
    assert_type(agent("text"), Stream)
    async for part in agent(["text", Part("a"), {"a": 1}]):
        assert_type(part, Part)
    async with agent.run(microphone("a.wav")) as parts:
        assert_type(parts, Stream)
        assert_type(await anext(parts), Part)
        assert_type([part.text async for part in parts], list[str])
    agent()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    agent(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    list(agent("text"))  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    with agent.run("text"):  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues]
        pass
    await agent("text")  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]


async def several_streams(agent: Processor) -> None:
    assert_type(merge(agent("a"), ["b"], ends="first"), Stream)
    assert_type(concat(agent("a"), "b"), Stream)
    left, right = split(agent("a"), 2)
    assert_type(await anext(left), Part)
    async with right as parts:
        assert_type([part async for part in parts], list[Part])
    merge("a", ends="never")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    merge(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    split("a")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def ways() -> None:
    assert_type(switch((lambda part: part.text, shout)), PartProcessor)
    assert_type(switch((lambda part: part.text, shout), default=pass_through), PartProcessor)
    assert_type(switch((lambda part: part.text, louder), default=pass_through), Processor)
    assert_type(switch((lambda part: part.text, louder), (pass_through.matches, shout)), Processor)
    switch(shout)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    switch((shout, pass_through.matches))  # type: ignore[type-var] # pyright: ignore[reportArgumentType]
    switch((of_text, shout))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@source
async def ticks(every_s: float, *, count: int = 3) -> AsyncIterator[str]:
    for _ in range(count):
        yield f"{every_s}"


@source(ends="first")
async def clock() -> AsyncIterator[Part]:
    yield Part("tick")


def own_parts() -> None:
    assert_type(ticks(0.5), Processor)
    assert_type(ticks(0.5, count=2) + shout, Processor)
    assert_type(clock(), Processor)
    ticks("fast")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ticks(0.5, counts=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    ticks + shout  # type: ignore[operator] # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    source(no_generator)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- a conversation


def loud(audio: Audio) -> bool:
    raise NotImplementedError


class Ears:
    """A detector of one's own: it needs no base class."""

    rate = 16_000
    frame = 512

    def session(self) -> Callable[[bytes], Awaitable[float]]:
        raise NotImplementedError


async def words(pcm: bytes) -> str:
    raise NotImplementedError


async def finished(pcm: bytes) -> float:
    raise NotImplementedError


async def say(text: str) -> Sequence[Audio]:
    raise NotImplementedError


def converse(model: Processor) -> None:
    pacer = AudioRateLimiter(chunk_s=0.02)
    agent = (
        DetectSpeech(Ears())
        + Transcribe(words)
        + DetectTurn(finished)
        + LiveModelProcessor(model + Speak(say), 60.0, AudioTriggerMode.END_OF_SPEECH)
        + Resample(24_000)
        + pacer
    )
    assert_type(agent, Processor)
    assert_type(pacer.chunks_played, int)
    assert_type(pacer.interruptions, int)
    assert_type(pacer.last_run, PacingReport)
    AudioRateLimiter(24_000, True, True, detector=loud)
    AudioRateLimiter("24000")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    DetectSpeech(words)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Transcribe(finished)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    DetectTurn(words)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Speak(words)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    live = LiveProcessor("key", "gemini-3.8-live", {"temperature": 0.5}, True, tools=[plain])
    assert_type(live + pacer, Processor)
    assert_type(live.active_streams, list[str])
    LiveProcessor(on_silence="wait")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    LiveModelProcessor(say)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    LiveModelProcessor(model, trigger_model_mode="text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    pacer.chunks_played = 3  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def side_talk(overlap: Overlap) -> bool:
    assert_type(overlap.speech_s, float)
    assert_type(overlap.words, int)
    return overlap.probability < 0.7 and not overlap.text


def floor_of_ones_own(model: Processor) -> Processor:
    policies = [
        Interrupt.at_once,
        Interrupt.never,
        Interrupt.after(speech_s=0.5, words=2),
        Interrupt.unless_backchannel(["en", "de"], also=["copy"], unless=side_talk),
        Interrupt.when(side_talk, looks_at_s=0.5),
    ]
    assert_type(policies, list[Interrupt])
    Interrupt.after(0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Interrupt.when("always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LiveModelProcessor(model, false_interruption="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return LiveModelProcessor(
        model,
        interrupt=policies[0],
        rules=FloorRules(hold_s=3.0),
        greeting="Hello!",
        idle_after_s=20.0,
        speculate=True,
    )


def wishes() -> list[Part]:
    Say(b"hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return [Part(Say("Your taxi is here.", protected=True)), Part(Ask())]


async def remember(part: Part) -> None:
    prompt = RollingPrompt(duration_sec=60.0, max_parts=100)
    prompt.add_part(part, "high")
    prompt.stash_part(part)
    prompt.apply_stash()
    assert_type(prompt.pending(), AsyncIterator[Part])
    assert_type(prompt.parts(), list[Part])
    assert_type(prompt.statistics(), PromptStatistics)
    assert_type(prompt.statistics().reused_share, float)
    assert_type(prompt.cut_reply(3, heard="so far"), bool)
    assert_type(prompt.snapshot(), bytes)
    prompt.restore(prompt.snapshot())
    RollingPrompt(policy=LastTurns(turns=20, down_to=10), summarizer=shout)
    RollingPrompt(policy=TokenBudget(trigger=4000, target=2000), important=[Keywords(["mayday"])])
    RollingPrompt(policy=MaxAge(60.0), count_tokens=lambda part: len(part.text))
    RollingPrompt(compression_enabled=False, policy=KeepAll(), max_tokens=8000)
    prompt.statistics().parts = 3  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    RollingPrompt(policy=20)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    RollingPrompt(summarizer="model")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    prompt.add_part("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    prompt.add_part(part, "highest")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- tools


@tool
def add(a: int, b: int = 2) -> int:
    """Adds."""
    return a + b


@tool(scheduling="when_idle", timeout_s=3, cancellable=True)
async def order(what: str) -> bool:
    """Orders."""
    return bool(what)


def plain(what: str) -> str:
    return what


async def use_tools(model: Processor) -> None:
    assert_type(add(1), int)
    assert_type(await order("pizza"), bool)
    add("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    tool(scheduling="later")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    box = Toolbox([add, order, plain, {"name": "lamp"}])
    assert_type(box["add"], Tool)
    assert_type(box.declarations, list[dict[str, Any]])
    assert_type(Tools(model, box), Tools)
    LiveModelProcessor(model, tools=[add, plain])
    Tools(model, [3])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    async with McpServer.stdio("python", "server.py", timeout_s=3) as server:
        assert_type(server.tools, list[Tool])
        Toolbox([*server, add])


# -- watching


def note(record: Record) -> None: ...


def watch(path: Path) -> None:
    with trace(path) as page, observe(note):
        assert_type(page, Trace)
        assert_type(page.html(), str)
    add_hook(note)
    add_hook(Spans())
    add_hook(Trace())
    remove_hook(note)
    add_hook(of_text)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    trace(os.sep, keep="all")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- events


def looks(part: Part) -> bool:
    return bool(part.text)


async def looks_longer(part: Part) -> Sighting | None:
    return Sighting("cat", 0.5, data={"x": 1}) if part.at else None


def detect(model: Processor) -> None:
    rules = ConfirmRules(n=2, m=3, transitions={("*", "cat"): Transition(n=2, output="A cat.")})
    detectors = [
        KeywordDetector(["stop"], name="stop", triggers_turn="over"),
        WakePhraseDetector("hey computer", similarity=0.9),
        SoundDetector(silence_s=3.0),
        SpeechSignals(),
        SceneDetector(),
        MotionDetector(area=0.02),
        ModelDetector(model, "A cat?", types=["cat"]),
        Detector(looks, on="text", rules=rules),
    ]
    eye = EventProcessor(
        [*detectors, looks_longer, model], 0.1, 5, inhibit=[Inhibit("a", ("b",), 1)]
    )
    assert_type(eye.events_detected, int)
    assert_type(eye.events_debounced, int)
    assert_type(eye.detection_latency, float | None)
    assert_type(eye.totals, DetectionReport)
    KeywordDetector(["a"], nmae="b")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Detector(looks, on="smell")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    EventProcessor([7])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]


async def watch_films() -> None:
    async for part in film("a.mp4", fps=2):
        assert_type(part, Part)
    async for part in camera(width=320):
        assert_type(part, Part)
    async for part in screen():
        assert_type(part, Part)


# -- numbers, caches, pressure


async def measure(model: Processor, shout: PartProcessor) -> None:
    metrics = RealTimeMetrics(window_size=1000)
    metrics.record_processing(0.02, latency=0.05, quality_score=0.9)
    metrics.record_interruption()
    metrics.record_error()
    assert_type(metrics.get_real_time_report(), dict[str, Any])
    assert_type(metrics.report().real_time.is_real_time_capable, bool | None)
    assert_type(as_json(metrics), bytes)
    print(as_table(metrics))
    export_to_prometheus(metrics)
    export_to_opentelemetry(metrics)
    for hook in (metrics, TurnSpans(), TurnLog()):
        add_hook(hook)
    metrics.record_processing("quick")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    cached = Cached(model, ttl_s=60.0, path=Path("answers.db"), timing=True)
    assert_type(cached.statistics(), CacheStatistics)
    assert_type(cached.hits, int)
    assert_type(Cached(shout) // shout, PartProcessor)
    Cached(len)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    async with Pressure(PressureRules(confirm=3)) as pressure:
        assert_type(pressure.level, int)
        assert_type(pressure_level(), int)
        assert_type(pressure.sheds("detectors"), bool)
        pressure.sheds("audio")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- testing


async def talk(times: int = 3) -> float:
    return 0.1 * times


def test_by_hand() -> None:
    assert_type(run_virtual(talk), float)
    assert_type(run_virtual(talk(2), seed=7), float)
    assert_type(run_virtual(lambda: talk(2), allow_unclosed=True), float)
    assert_type(VirtualLoop(7).time(), float)
    run_virtual(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    run_virtual(read_audio)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    run_virtual(talk, seed="7")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    try:
        run_virtual(talk)
    except Deadlock as error:
        assert_type(error, Deadlock)
        root: VivaceError = error
        print(root)


# -- names


def a_typo_is_found() -> None:
    assert_type(vivace.__version__, str)
    _ = vivace.Proccessor  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    _ = vivace.models.Sirelo  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    _ = vivace.testing.Deadlok  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def beside_another_package(theirs: Any) -> None:
    assert_type(from_genai_part(theirs), Part)
    assert_type(from_genai_processor(theirs), Processor)
    to_genai_part(Part("a"))
    to_genai_processor(from_genai_processor(theirs))
