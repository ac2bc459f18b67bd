import asyncio
from pathlib import Path

import pytest

from vivace.errors import ModelError, ModelMissing
from vivace.flow.clock import now
from vivace.models.scripted import Scripted
from vivace.part import Part


def say(model: Scripted, *prompt: Part) -> list[str]:
    async def collect() -> list[str]:
        return [part.text async for part in model(list(prompt)) if part.role == "model"]

    return asyncio.run(collect())


def test_words_come_one_by_one_and_join_to_the_answer() -> None:
    answer = "Well, hello there.  Bye. "
    words = say(Scripted([answer]), Part("Hi."))
    assert words == ["Well,", " hello", " there.", "  Bye. "]
    assert "".join(words) == answer


def test_the_answer_follows_from_the_replies_in_the_prompt() -> None:
    """Each call begins anew: nothing is remembered between conversations."""
    model = Scripted(["one", "two"])
    first, reply = Part("a"), Part("one", role="model")
    assert say(model, first) == ["one"]
    assert say(model, first, reply, Part("b")) == ["two"]
    assert say(model, first, reply, Part("b"), reply, Part("c")) == ["one"]
    assert say(model, first) == ["one"]


def test_pictures_and_sound_are_an_occasion_to_speak_too() -> None:
    assert say(Scripted(["hm"]), Part.audio(b"\0\0")) == ["hm"]


def test_a_file_holds_one_answer_a_line(tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    file.write_text("# a comment\n\nHello there.\n  Bye.  \n")
    model = Scripted.load(file)
    assert say(model, Part("a")) == ["Hello", " there."]
    assert say(model, Part("a"), Part("x", role="model"), Part("b")) == ["Bye."]


def test_no_answer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ModelError, match="at least one answer"):
        Scripted([])
    with pytest.raises(ModelError, match="not 'hello'"):
        Scripted("hello")
    with pytest.raises(ModelError, match="holds no answer"):
        Scripted.load(tmp_path / "empty.txt")
    with pytest.raises(ModelError, match="cannot be read"):
        Scripted.load(tmp_path / "bytes.txt")
    with pytest.raises(ModelMissing, match="does not exist"):
        Scripted.load(tmp_path / "none.txt")


async def test_it_can_be_slow() -> None:
    """In virtual time, so that tests are quick and exact."""
    model = Scripted(["one two three"], delay_s=0.3, token_s=0.1)
    assert [(now(), part.text) async for part in model([Part("Hi.")])] == [
        (0.3, "one"),
        (0.4, " two"),
        (0.5, " three"),
    ]
