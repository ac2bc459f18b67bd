"""Processors of `genai-processors` among ours and ours among theirs: what comes out."""

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from vivace.flow.clock import now
from vivace.flow.part_processor import part_processor
from vivace.flow.processor import Processor, processor
from vivace.flow.run import current_run
from vivace.part import (
    Audio,
    Call,
    Data,
    Interrupted,
    Part,
    Response,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.processors.detect_turn import DetectTurn
from vivace.processors.genai import to_genai_processor
from vivace.processors.genai_parts import from_genai_part, to_genai_part
from vivace.testing.fakes import FakeTurnDetector

from .stages import (
    Driven,
    content,
    context,
    copy,
    double,
    gathered,
    late,
    loud,
    numbers,
    ours_of,
    package,
    pass_on,
    same,
    texts,
    their_part_processor,
    their_processor,
    theirs,
    upper,
)

switch = package("genai_processors.switch")
cache = package("genai_processors.cache")
audio = package("genai_processors.core.audio")
function_calling = package("genai_processors.core.function_calling")
preamble = package("genai_processors.core.preamble")
realtime = package("genai_processors.core.realtime")
speech_events = package("genai_processors.core.speech_events")
text = package("genai_processors.core.text")
timestamp = package("genai_processors.core.timestamp")
vad = package("genai_processors.core.vad")
window = package("genai_processors.core.window")
rate_limit_audio = package("genai_processors.core.rate_limit_audio")

SPEECH = Path(__file__).parents[2] / "examples" / "speech"

pytestmark = [pytest.mark.virtual, pytest.mark.usefixtures("silence")]
seeds = pytest.mark.virtual(seeds=8)

# -- what theirs does, it does here


async def _shout(part: Any) -> Any:
    yield content.ProcessorPart(part.text.upper(), role=part.role)


shout = theirs.part_processor_function(_shout, match_fn=lambda part: content.is_text(part.mimetype))


REAL: dict[str, tuple[Callable[[], Any], list[Part]]] = {
    "preamble": (lambda: preamble.Preamble(content=["You are", "kind."]), [Part("Hi")]),
    "suffix": (lambda: preamble.Suffix(content="Bye"), [Part("Hi", turn=2)]),
    "match": (
        lambda: text.MatchProcessor(pattern=r"\[.*?\]", substream_output="found"),
        [Part("a[b"), Part("c]d", turn=1, at=0.5), Part("e"), Part(TurnEnded(1.0)), Part("f")],
    ),
    "urls": (
        lambda: text.UrlExtractor(),
        [Part("see https://example.com/a, and ", metadata={"a": 1}), Part("that")],
    ),
    "html": (
        lambda: text.HtmlCleaner(),
        [from_genai_part(content.ProcessorPart("<b>bold</b>", mimetype="text/html")), Part("<i>")],
    ),
    "to wav": (
        lambda: audio.AudioToWav(),
        [Part.audio(b"\1\2", 8_000), Part.audio(b"\3\4", 8_000), Part("and"), Part.audio(b"\5\6")],
    ),
    "timestamps": (
        lambda: timestamp.add_timestamps(),
        [Part.image(b"\x89", "image/png", at=0.0), Part("hm")],
    ),
    "filter": (
        lambda: theirs.create_filter(lambda part: content.is_text(part.mimetype)),
        [Part("a"), Part.image(b""), Part("b"), Part.audio(b"")],
    ),
    "matching": (lambda: shout, [Part("a"), Part.image(b"p"), Part("b", role="model")]),
    "chain of parts": (lambda: shout + double, [Part("a"), Part("b", turn=1)]),
    "chain": (lambda: pass_on + shout + upper, [Part("a"), Part("b")]),
    "parallel": (lambda: shout // double, [Part("a"), Part("b")]),
    "parallel with a way past": (
        lambda: shout // theirs.PASSTHROUGH_ALWAYS,
        [Part("a"), Part.image(b"p")],
    ),
    "passthrough": (lambda: theirs.passthrough(), [Part("a"), Part.image(b"p")]),
    "concat": (lambda: theirs.parallel_concat([upper, pass_on]), [Part("a"), Part("b")]),
    "part switch": (
        lambda: switch.PartSwitch(content.as_text).case("a", shout).default(same),
        [Part("a"), Part("b")],
    ),
    "switch": (
        lambda: switch.Switch(content.as_text).case("a", shout).default(same),
        [Part("a"), Part("b")],
    ),
    "window": (
        lambda: window.Window(upper, compress_history=window.keep_last_n_turns(1)),
        [Part("a"), Part(TurnEnded(0.5)), Part("b"), Part(TurnEnded(1.0)), Part("c")],
    ),
    "cached": (lambda: theirs.CachedPartProcessor(shout), [Part("a"), Part("a")]),
}  # fmt: skip


def plain(parts: list[Part]) -> list[Part]:
    """Without the time at which they were captured, in the order that does not depend on chance."""
    without = [
        part.derive(metadata={k: v for k, v in part.metadata.items() if k != "capture_time"})
        for part in parts
    ]
    return sorted(without, key=repr)


@pytest.mark.parametrize("name", REAL)
@seeds
async def test_real_processors_do_here_what_they_do_there(name: str) -> None:
    """Each gives the very parts, for our stream, that it gives for theirs."""
    make, source = REAL[name]
    there = await theirs.apply_async(make(), [to_genai_part(part) for part in source])
    here = await gathered(copy + ours_of(make()) + copy, source)
    assert plain(here) == plain([from_genai_part(part) for part in there])


async def test_what_they_say_is_right() -> None:
    """The real ones do what their names say, so that the test above does not compare nothing."""
    assert texts(await gathered(ours_of(REAL["match"][0]()), REAL["match"][1])) == (
        ["a", "d", "e", "", "f"]
    )
    wavs = await gathered(ours_of(REAL["to wav"][0]()), REAL["to wav"][1])
    assert [part.mimetype for part in wavs] == ["audio/wav", "text/plain", "audio/wav"]
    urls = await gathered(ours_of(REAL["urls"][0]()), REAL["urls"][1])
    assert urls[1].body == Data(
        {"url": "https://example.com/a"}, "application/json; type=FetchRequest"
    )
    assert texts(await gathered(ours_of(REAL["html"][0]()), REAL["html"][1])) == ["bold", "<i>"]


async def test_audio_goes_through_as_it_is() -> None:
    """PCM with its format, words, turn and media time comes through a stage of theirs untouched."""
    parts = [
        Part(Audio(b"\1\2" * n, words="oh "), role="user", turn=3, at=n / 10) for n in range(9)
    ]
    assert await gathered(ours_of(pass_on), parts) == parts
    assert await gathered(ours_of(same), parts) == parts


# -- both sides in one chain


@seeds
async def test_ours_theirs_ours() -> None:
    """Theirs stands between ours like any other stage."""
    agent = loud + ours_of(upper) + loud + ours_of(double) + Driven()
    parts = await gathered(agent, [Part("a", turn=1, at=0.5), Part(TurnEnded(1.0)), "b"])
    assert [part for part in parts if part.substream != "status"] == [
        Part("A!!", turn=1, at=0.5),
        Part("A!!", turn=1, at=0.5),
        Part(TurnEnded(1.0)),
        Part("B!!"),
        Part("B!!"),
    ]
    assert [part.text for part in parts if part.substream == "status"] == ["doubled"] * 2


@seeds
async def test_theirs_ours_theirs() -> None:
    """Ours stands between theirs like any other stage, with and without their context."""
    agent = shout + to_genai_processor(loud + Driven()) + late + to_genai_processor(loud)
    assert content.as_text(await theirs.apply_async(agent, ["a", "b"])) == "A!!B!!"
    async with context.context():
        assert await agent(["a", "b"]).text() == "A!!B!!"
    assert await agent(["a", "b"]).text() == "A!!B!!"


@seeds
async def test_in_one_another() -> None:
    """Ours in theirs in ours in theirs: whoever wraps whom, the parts come through."""
    inner = to_genai_processor(loud + ours_of(upper))
    agent = copy + ours_of(pass_on + inner + to_genai_processor(copy + ours_of(late))) + copy
    assert texts(await gathered(agent, ["a", "b"])) == ["A!", "B!"]


async def test_a_nested_run_is_of_the_same_conversation() -> None:
    """A stage of ours within theirs within our run shares that run's fence and announcements."""
    seen: list[Any] = []

    @processor
    async def outer(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        seen.append(current_run().bus)
        async for part in stream:
            yield part

    await gathered(outer + ours_of(pass_on + to_genai_processor(outer) + same), ["a"])
    assert seen[0] is seen[1]
    assert len(seen) == 2


async def test_fifty_at_once() -> None:
    """One object of either side serves fifty runs at once, and they do not disturb each other."""
    agent = loud + ours_of(upper + late) + ours_of(late) + Driven() + ours_of(double)
    there = upper + to_genai_processor(loud + Driven()) + late

    async def here(name: str) -> list[str]:
        return texts(await gathered(agent, [name, name]))

    async def over_there(name: str) -> str:
        return str(content.as_text(await theirs.apply_async(there, [name, name])))

    ours = [asyncio.create_task(here(f"n{n}")) for n in range(50)]
    others = [asyncio.create_task(over_there(f"n{n}")) for n in range(50)]
    await asyncio.wait([*ours, *others])
    assert [task.result() for task in ours] == [[f"N{n}!"] * 4 for n in range(50)]
    assert [task.result() for task in others] == [f"N{n}!" * 2 for n in range(50)]


async def test_our_model_calls_their_tools() -> None:
    """Their function calling runs our model: calls and responses find each other by their ids."""
    prompts: list[list[Any]] = []

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        prompts.append([part.body async for part in stream])
        answer = next((it for it in prompts[-1] if isinstance(it, Response)), None)
        if answer is None:
            yield Part.call("price", {"dish": "soup"}, id="c1")
        else:
            yield Part(f"It is {answer.result}.", role="model")

    def price(dish: str) -> int:
        return {"soup": 4}[dish]

    tools = function_calling.FunctionCalling(to_genai_processor(model), fns=[price])
    parts = await gathered(ours_of(tools), [Part("How much is the soup?")])
    bodies = [part.body for part in parts]
    assert Call("c1", "price", {"dish": "soup"}) in bodies
    assert Response("c1", "price", 4) in bodies
    assert bodies[-1] == "It is 4."
    assert prompts[1][-2:] == [Call("c1", "price", {"dish": "soup"}), Response("c1", "price", 4)]


async def test_our_model_in_their_live_processor() -> None:
    """Their conversation takes our turn model, and knows our end of a turn for what it is."""

    @processor
    async def model(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        said = "".join([part.text async for part in stream if part.role == "user"])
        if said:
            yield Part(f"you said {said}", role="model")

    async def user() -> AsyncIterator[Part]:
        yield Part("hello")
        yield Part(TurnEnded(1.0))
        await asyncio.sleep(10.0)

    live = realtime.LiveProcessor(to_genai_processor(model))
    parts = await gathered(ours_of(live), user())
    assert texts(parts)[0] == "you said hello"
    assert parts[1] == Part(TurnComplete(0), role="model")


async def test_caches_of_theirs_tell_ours_apart() -> None:
    """Two stages of ours of the same name do not get each other's cached results."""
    stage = cache.InMemoryCache()
    one = theirs.CachedProcessor(to_genai_processor(copy + loud), default_cache=stage)
    two = theirs.CachedProcessor(to_genai_processor(loud + loud), default_cache=stage)
    for _ in range(2):
        assert content.as_text(await theirs.apply_async(one, "a")) == "a!"
        assert content.as_text(await theirs.apply_async(two, "a")) == "a!!"


# -- signals, side lanes, turns


@seeds
async def test_their_part_processors_get_no_signals() -> None:
    """Signals pass by a part processor of theirs, in their place, as by every one of ours."""
    got: list[str] = []

    @their_part_processor
    async def drops_all(part: Any) -> Any:
        got.append(part.text)
        for nothing in list[Any]():
            yield nothing

    parts = await gathered(ours_of(drops_all), ["a", Part(TurnComplete(1)), "b"])
    assert ([part.body for part in parts], got) == ([TurnComplete(1)], ["a", "b"])


async def test_their_processors_get_signals() -> None:
    """A whole processor of theirs sees signals as their own, in their place."""
    got: list[Any] = []

    @their_processor
    async def sees(stream: Any) -> Any:
        async for part in stream:
            got.append(content.is_end_of_turn(part) or speech_events.is_start_of_speech(part))
            yield part

    signals = [Part(SpeechStarted(0.1)), Part("a"), Part(TurnEnded(0.5)), Part(TurnComplete(2))]
    assert await gathered(ours_of(sees), signals) == signals
    assert got == [True, False, True, True]


@pytest.mark.parametrize("whole", [True, False], ids=["processor", "part processor"])
async def test_their_signals_happen_when_the_audio_before_them_ends(whole: bool) -> None:
    """Theirs do not say when: the media time up to which they have heard stands for it."""

    @their_part_processor
    async def detects(part: Any) -> Any:
        yield content.ProcessorPart.from_dataclass(dataclass=speech_events.StartOfSpeech())
        yield part
        yield content.ProcessorPart.from_dataclass(dataclass=speech_events.EndOfSpeech())

    stage = ours_of(detects.to_processor() if whole else detects)
    second = bytes(32_000)
    seen = await gathered(stage, [Part.audio(second, at=2.0), Part.audio(second, at=3.0)])
    at = [part.body.at for part in seen if isinstance(part.body, SpeechStarted | SpeechEnded)]
    assert at[-1] == 4.0
    assert at == ([3.0, 3.0, 4.0, 4.0] if not whole else at)
    untold = to_genai_processor(copy)([second_of("pcm") for _ in range(2)] + [END])
    assert [from_genai_part(part).body async for part in untold][-1] == TurnEnded(2.0)


async def test_their_speech_detection_before_our_turn_detection() -> None:
    """Their Vad hears a recording among our stages, and our DetectTurn knows what to make of it."""
    with wave.open(str(SPEECH / "something.wav")) as file:
        pcm = file.readframes(file.getnframes()) + bytes(64_000)
    source = [
        Part.audio(pcm[n : n + 640], at=round(n / 32_000, 6)) for n in range(0, len(pcm), 640)
    ]
    agent = ours_of(vad.Vad()) + DetectTurn(FakeTurnDetector())
    passed, signals = 0.0, list[Any]()
    async for part in agent(source):
        passed += part.seconds
        if isinstance(part.body, SpeechStarted | SpeechEnded):
            assert part.body.at == pytest.approx(passed)
            signals.append(type(part.body))
        elif isinstance(part.body, TurnEnded):
            signals.append(type(part.body))
    assert passed == pytest.approx(len(pcm) / 32_000)
    assert signals[:2] == [SpeechStarted, SpeechEnded]
    assert signals[-1] is TurnEnded


async def test_our_pacing_and_theirs() -> None:
    """Their rate limiter, on the loop's clock, paces what ours made, and cuts it as it does."""

    base: Any = rate_limit_audio.RateLimitAudio

    class Limiter(base):  # type: ignore[misc]  # only known with the package
        def _perf_counter(self) -> float:
            return now()

    source = [Part.audio(bytes(9600), 24_000, role="model", turn=1), Part("after", role="model")]
    agent = ours_of(Limiter(24_000))
    seen = [(round(now(), 3), part) async for part in agent(source)]
    assert sum(part.seconds for _, part in seen) == pytest.approx(0.2)
    assert [at for at, part in seen if part.text] == [pytest.approx(0.15)]
    assert {part.turn for _, part in seen if part.seconds} == {0}  # theirs cuts by making new parts


def second_of(kind: str) -> Any:
    return content.ProcessorPart(bytes(32_000), mimetype=f"audio/{kind}")


END = content.ProcessorPart.end_of_turn()


@seeds
async def test_side_lanes_of_theirs_are_ours() -> None:
    """Their `status`, `debug` and `ui` go straight to the output, past the stages behind."""

    @their_processor
    async def talks(stream: Any) -> Any:
        async for part in stream:
            for lane in ("status", "debug", "ui", "status/x"):
                yield content.ProcessorPart(f"about {part.text}", substream_name=lane)
            yield part

    seen: list[str] = []

    @part_processor
    def behind(part: Part) -> Part:
        seen.append(part.text)
        return part

    parts = await gathered(ours_of(talks) + behind + ours_of(upper), ["a", "b"])
    assert seen == ["a", "b"]
    lanes = [part.substream for part in parts if part.substream]
    assert lanes == ["status", "debug", "ui", "status/x"] * 2
    assert texts(parts) == ["A", "B"]
    assert texts(await gathered(ours_of(talks + upper), ["a"])) == ["A"]


@seeds
async def test_side_lanes_of_ours_are_theirs() -> None:
    """What ours says on a side lane, theirs captures; what theirs says goes past ours."""
    seen: list[str] = []

    @part_processor
    def talks(part: Part) -> list[Part]:
        seen.append(part.text)
        return [Part("news", substream="status"), Part("ui", substream="ui/x"), part]

    parts = await theirs.apply_async(double + to_genai_processor(talks) + upper, ["a"])
    assert seen == ["a", "a"]
    assert sorted(part.text for part in parts) == sorted(
        ["doubled", "news", "ui", "A", "news", "ui", "A"]
    )
    alone = await theirs.apply_async(
        to_genai_processor(talks), [theirs.status("x"), theirs.debug("y")]
    )
    assert ([part.text for part in alone], seen) == (["x", "y"], ["a", "a"])


async def test_a_name_that_only_begins_like_a_side_lane() -> None:
    """`debugging` is a side lane over there and none here: it passes their part processors by."""
    part = Part("a", substream="debugging")
    assert await gathered(ours_of(shout), [part]) == [part]
    assert await gathered(ours_of(shout.to_processor()), [part]) == [part]
    assert [it.text for it in await gathered(loud, [part])] == ["a!"]


async def test_a_side_lane_does_not_wait_for_a_slow_stage_behind() -> None:
    """News of theirs is out while the media before it are still being worked on."""

    @processor
    async def slow(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        async for part in stream:
            await asyncio.sleep(5.0)
            yield part

    seen = []
    async for part in (ours_of(double) + slow)(["a"]):
        seen.append((now(), part.text))
    assert seen == [(0.0, "doubled"), (5.0, "a"), (10.0, "a")]


async def test_side_lanes_are_bounded() -> None:
    """A stage of theirs that only talks waits, once so much of it is waiting as a run allows."""
    said: list[int] = []

    @their_processor
    async def chatters(stream: Any) -> Any:
        async for part in stream:
            for n in range(10_000):
                said.append(n)
                yield theirs.status(str(n))
            yield part

    async with ours_of(chatters).run("a") as parts:
        first = await anext(parts)
        await asyncio.sleep(10.0)
        assert (first.text, len(said)) == ("0", 66)
        assert [(await anext(parts)).text for _ in range(200)] == [str(n) for n in range(1, 201)]


def interrupts(at: float, turn: int) -> Processor:
    @processor
    async def interrupts(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        bus = current_run().bus
        asyncio.get_running_loop().call_later(at, bus.announce, Interrupted(turn))
        async for part in stream:
            yield part

    return interrupts


REPLIES = [Part(f"reply {turn}", role="model", turn=turn) for turn in (1, 2, 3)]


@seeds
async def test_void_replies_do_not_come_out() -> None:
    """What waits in theirs of an interrupted reply is stopped by its number when it comes out."""
    seen: list[str] = []

    @their_processor
    async def holds(stream: Any) -> Any:
        held = [part async for part in stream]
        await asyncio.sleep(2.0)
        for part in held:
            yield part

    @part_processor
    def behind(part: Part) -> Part:
        seen.append(part.text)
        return part

    parts = await gathered(ours_of(holds) + behind + interrupts(1.0, turn=2), REPLIES)
    assert texts([part for part in parts if part.text]) == seen == ["reply 3"]


@seeds
async def test_void_replies_that_wait_on_either_side_are_taken_out() -> None:
    """An interruption purges what waits before and behind theirs, like any other channel."""
    before: list[str] = []
    behind: list[str] = []

    @their_processor
    async def slow_start(stream: Any) -> Any:
        async for part in stream:
            before.append(part.text)
            if part.text == "reply 1":
                await asyncio.sleep(2.0)
            yield part

    @part_processor(concurrency=1)
    async def slow(part: Part) -> Part:
        behind.append(part.text)
        await asyncio.sleep(2.0)
        return part

    await gathered(ours_of(slow_start) + interrupts(1.0, turn=2), REPLIES)
    assert before == ["reply 1", "reply 3"]
    await gathered(ours_of(pass_on) + slow + interrupts(1.0, turn=2), REPLIES)
    assert behind == ["reply 1", "reply 3"]


# -- names


async def test_names() -> None:
    """A stage is called over there as it is here, and the other way round."""
    assert ours_of(text.HtmlCleaner()).name == "html_cleaner"
    assert ours_of(late).name == "late"
    assert ours_of(upper + late).name == "chain_upper_late"
    assert to_genai_processor(Driven()).trace_name == "driven"


async def test_what_does_not_match_is_not_touched() -> None:
    """A part that a part processor of theirs does not want passes by as the very same part."""
    part = Part.image(b"p", at=1.0)
    (passed,) = await gathered(ours_of(shout), [part])
    assert passed is part


# -- how far ahead


@seeds
async def test_a_generator_of_theirs_is_pulled() -> None:
    """A stage of theirs that is one generator runs no further ahead than the channels around it."""
    log: list[str] = []
    async with (copy + ours_of(pass_on) + copy).run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == 5
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == 6


@seeds
async def test_part_processors_of_theirs_take_one_part_at_a_time() -> None:
    """As a part processor, theirs is bounded and in order; as their processor, it takes all."""
    log: list[str] = []
    async with ours_of(late).run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == 1
    log.clear()
    async with ours_of(late.to_processor()).run(numbers(log)) as parts:
        await anext(parts)
        await asyncio.sleep(10.0)
        assert len(log) == 1001


async def test_their_way_works_on_all_parts_at_once() -> None:
    """Ten parts that take 0.1 s each: 1 s as a part processor of ours, 0.1 s as they run it."""
    for stage, takes_s in ((late, 1.0), (late.to_processor(), 0.1)):
        at = now()
        assert texts(await gathered(ours_of(stage), list("0123456789"))) == list("0123456789")
        assert now() - at == pytest.approx(takes_s)


async def test_results_come_as_they_are_made() -> None:
    """A part processor that yields slowly is not gathered first."""

    @their_part_processor
    async def counts(part: Any) -> Any:
        for n in range(3):
            await asyncio.sleep(1.0)
            yield str(n)

    seen = [(now(), part.text) async for part in ours_of(counts)("a")]
    assert seen == [(1.0, "0"), (2.0, "1"), (3.0, "2")]


@pytest.mark.virtual(allow_unclosed=True)  # the garbage collector closes what theirs stops reading
async def test_endless_input() -> None:
    """Input that never ends is no matter, and theirs may end before it does."""

    @their_processor
    async def takes_three(stream: Any) -> Any:
        count = 0
        async for part in stream:
            yield part
            count += 1
            if count == 3:
                return

    log: list[str] = []
    assert texts(await gathered(copy + ours_of(takes_three), numbers(log, 10**9))) == list("012")
    assert log[-1] == "closed"


@pytest.mark.parametrize("stage", [pass_on, same, upper + same], ids=["p", "part", "chain"])
async def test_empty_input(stage: Any) -> None:
    """Nothing in, nothing out."""
    assert await gathered(ours_of(stage), None) == []
    assert await theirs.apply_async(stage + to_genai_processor(copy), []) == []
