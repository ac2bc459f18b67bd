"""Llama for real: llama.cpp inside the process, with the weights of SmolLM2.

Numbers that depend on the machine are printed, not asserted (`pytest -s -m real` shows them).
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vivace.errors import ModelError
from vivace.flow.processor import Processor
from vivace.models import store
from vivace.models.llama import Llama, _Ending
from vivace.models.messages import conversation
from vivace.models.spec import turn_model
from vivace.part import Part

pytestmark = pytest.mark.real


async def said(model: Processor, *prompt: Part) -> list[Part]:
    return [part async for part in model(list(prompt))]


def real(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


@pytest.fixture(scope="session")
def llama() -> Llama:
    store.pull(["smollm2"])
    return Llama.load()


def test_llama_answers(llama: Llama) -> None:
    """A spoken answer: one or two whole sentences, on one line, from the first letter on."""

    async def main() -> tuple[list[Part], float, float]:
        clock = asyncio.get_running_loop().time
        begun, first, parts = clock(), 0.0, []
        async for part in llama([Part("Tell me about the sea.")]):
            first = first or clock() - begun
            parts.append(part)
        return parts, first, clock() - begun

    parts, first, whole = real(main)
    answer = "".join(part.text for part in parts)
    rate = (len(parts) - 1) / (whole - first)
    print(f"\nfirst token {first * 1000:.0f} ms, {rate:.0f} tokens/s: {answer}")
    assert all(part.role == "model" for part in parts)
    assert len(parts) > 5
    assert answer == answer.strip()
    assert "\n" not in answer
    assert 1 <= sum(answer.count(mark) for mark in ".!?") <= 2


def test_llama_stops_when_nobody_listens(llama: Llama) -> None:
    """Whoever asks next does not wait for the reply, nor the prompt, that was given up."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        long = Llama.load(max_tokens=400, sentences=99)
        async with long.run([Part("Tell me a long story about the rain.")]) as parts:
            await anext(parts)
        reading = asyncio.ensure_future(said(llama, Part("the sea and the sky, " * 200)))
        await asyncio.sleep(0.3)
        reading.cancel()
        await asyncio.wait([reading])
        begun = clock()
        await said(llama, Part("What is rain?"))
        print(f"\nnext whole answer after {clock() - begun:.2f} s")
        assert clock() - begun < 5  # reading the long prompt to its end alone takes longer

    real(main)


def test_llama_serves_several_at_once(llama: Llama) -> None:
    async def main() -> list[list[Part]]:
        questions = ["What is rain?", "Hello!", "Who was Newton?", "Why do cats purr?", "And you?"]
        return await asyncio.gather(*(said(llama, Part(text)) for text in questions))

    assert all("".join(part.text for part in reply) for reply in real(main))


def test_llama_skips_openly(llama: Llama) -> None:
    async def main() -> list[Part]:
        return await said(llama, Part.image(b"jpeg"), Part("Hello."))

    status, *reply = real(main)
    assert (status.substream, status.text) == (
        "status",
        "the language model does not read 1 × image (image/jpeg)",
    )
    assert reply


def test_llama_refuses_what_does_not_fit(llama: Llama) -> None:
    async def main() -> None:
        await said(llama, Part("word " * 9000))

    with pytest.raises(ModelError, match=r"could not answer: .*exceeds .*context.*history_turns"):
        real(main)


def test_llama_is_loaded_once(llama: Llama, tmp_path: Path) -> None:
    """Also under another name."""
    link = tmp_path / "link.gguf"
    link.symlink_to(store.path("smollm2"))
    own = Llama.load(link, max_tokens=5)
    assert own._engine is llama._engine


def test_llama_refuses_damaged_files(tmp_path: Path) -> None:
    """The right first bytes and then nonsense, or nothing: an error, not a crash."""
    for name, data in {"short": b"GGUF", "noise": b"GGUF" + os.urandom(100_000)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match="cannot be loaded: it is damaged"):
            Llama.load(tmp_path / name)


def test_llama_is_quiet_and_closed(llama: Llama) -> None:
    """Nothing on stdout or stderr, no port open; and a reply under way does not delay the exit."""
    script = """
import asyncio, pathlib
from vivace.models.llama import Llama
from vivace.part import Part

def ports():
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[1] for line in lines if line[3] == "0A"}

async def main():
    before = ports()
    model = Llama.load(max_tokens=400, sentences=99)
    stream = model([Part("Tell me a long story.")])
    await anext(stream)
    assert ports() <= before, "a port was opened"

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_llama_by_its_spec(llama: Llama) -> None:
    """A file of one's own gets no examples, and all of the conversation."""
    own = turn_model(f"gguf:{store.path('smollm2')}")
    assert isinstance(turn_model("smollm2"), Llama)
    assert isinstance(own, Llama)
    prompt = [Part(f"Remember number {n}.") for n in range(3)]
    assert real(lambda: said(own, *prompt))


def test_llama_reads_examples_and_history(llama: Llama) -> None:
    """What it copies shows what it read: the examples, and no more history than it should."""
    talk = [Part("a"), Part("b", role="model"), Part("c"), Part("d", role="model"), Part("e")]
    echo = Llama.load(system="Echo.", examples=[("x", "y")], history_turns=1)
    request = echo._request(conversation(talk))
    assert [message["content"] for message in request["messages"]] == [
        "Echo.",
        "x",
        "y",
        "c",
        "d",
        "e",
    ]


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        ("I met Mrs. Smith. She is nice. And more.", "I met Mrs. Smith. She is nice."),
        ('It is 3.5 m, e.g. here. "Yes!" he said. No', 'It is 3.5 m, e.g. here. "Yes!"'),
        ("One. Two.", "One. Two."),
    ],
)
def test_an_answer_ends_after_two_sentences(written: str, passed: str) -> None:
    """A full stop after a title or within a number ends none; how the tokens come is the same."""
    for step in (1, 3, 100):
        ending = _Ending(2)
        tokens = [written[start : start + step] for start in range(0, len(written), step)]
        said = ""
        for token in tokens:
            said += ending.feed(token)
            if ending.reached:
                break
        assert said.rstrip() == passed
        assert ending.reached == (written != passed)
