"""Parts of `genai-processors` and ours: what one becomes over there, and that it comes back."""

import copy
import dataclasses
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.errors import AudioError, PartError
from vivace.part import (
    Audio,
    Call,
    Data,
    Event,
    Held,
    Image,
    InputEnded,
    Interrupted,
    Part,
    Played,
    PlayedTo,
    Playing,
    Reset,
    Response,
    Resumed,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)
from vivace.processors.genai_bodies import RAW
from vivace.processors.genai_parts import KEEP, NOTE, from_genai_part, to_genai_part

from .stages import content, package

speech_events = package("genai_processors.core.speech_events")
types = package("google.genai.types")
PIL_Image = package("PIL.Image")

# -- parts of ours, of every kind

texts = st.text(max_size=20)
seconds = st.floats(0, 1e6, allow_nan=False)
turns = st.integers(0, 2**40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
args = st.dictionaries(texts, json_values, max_size=3)
mimetypes = st.sampled_from(
    "application/json|application/json; type=Order|application/octet-stream|application/pdf|"
    "application/x-protobuf; type=a.b.C|audio/wav|audio/mpeg|video/mp4|text/csv|text/plain|"
    "text/x-exception|image/png|audio/pcm;rate=8000|application/json; type=StartOfSpeech|"
    "application/x-vivace-held|x/y".split("|")
) | st.just(RAW)


@st.composite
def audios(draw: st.DrawFn) -> Audio:
    fmt = AudioFormat(
        draw(st.sampled_from([8_000, 16_000, 24_000, 44_100])),
        draw(st.sampled_from([1, 2])),
        draw(st.sampled_from([1, 2, 3, 4])),
    )
    frames = draw(st.integers(0, 40))
    return Audio(
        draw(st.binary(min_size=frames, max_size=frames)) * fmt.frame_bytes, fmt, draw(texts)
    )


signals: st.SearchStrategy[Signal] = st.one_of(
    st.builds(SpeechStarted, seconds),
    st.builds(SpeechEnded, seconds, st.booleans()),
    st.builds(TurnEnded, seconds),
    st.builds(TurnComplete, turns, st.sampled_from(["done", "failed", "interrupted", "timeout"])),
    st.builds(InputEnded),
    st.builds(Interrupted, turns, texts),
    st.builds(Reset, turns),
    st.builds(Held, turns),
    st.builds(Resumed, turns),
    st.builds(Playing, turns),
    st.builds(Played, turns),
    st.builds(PlayedTo, turns, seconds),
)
bodies = st.one_of(
    texts,
    audios(),
    st.builds(Image, st.binary(max_size=9), st.sampled_from(["image/png", "image/jpeg", "x/y"])),
    st.builds(Data, json_values, mimetypes),
    st.builds(Data, st.none(), mimetypes, st.binary(max_size=9)),
    st.builds(Data, json_values, mimetypes, st.binary(max_size=9)),
    st.builds(Call, texts, texts, args),
    st.builds(Response, texts, texts, json_values | st.just({"result": 1}), texts),
    st.builds(Event, texts, texts, data=json_values),
    st.builds(Data, json_values, st.just("application/x-vivace-event")),
    signals,
)
keys = st.sampled_from(
    ["note", "id", "turn_complete", "interrupted", "is_file", NOTE + "turn", NOTE + "signal", KEEP]
)
metadatas = st.dictionaries(
    keys, json_values | st.sampled_from([3, True, '{"type":"reset"}', {"role": ""}]), max_size=3
)
ours = st.builds(
    Part,
    bodies,
    st.sampled_from(["user", "model", "system", "narrator", ""]),
    st.sampled_from(["", "debug", "status", "ui", "status/x", "debugging", "realtime"]),
    turns,
    st.none() | seconds,
    metadatas,
)


@given(ours)
@example(Part("", metadata={"turn_complete": True}))
@example(Part(TurnEnded(0.0), metadata={"turn_complete": True}))
@example(Part(Data({}, "application/json; type=StartOfSpeech")))
@example(Part(Data({"text": "hi"}, RAW)))
@example(Part(Data({"function_call": {"name": "f"}}, RAW)))
@example(Part(Data(None, "audio/pcm", b"odd")))
@example(Part(Data(float("inf"))))
@example(Part(Call("", "f"), metadata={"id": "c1"}))
@example(Part("a", metadata={KEEP: {"role": "", "mimetype": "text/html"}}))
@example(Part("a", metadata={KEEP: {"part": {"text": "", "thought": True}}}))
@example(Part("a", metadata={KEEP: {"part": {"no": "field"}}}))
@example(Part(Data(None, "x/y", b"\xff"), metadata={KEEP: {"part": {"text": ""}}}))
@example(Part.audio(b"\0\0", metadata={KEEP: {"mimetype": "audio/pcm;channels=2"}}))
@example(Part(Data({"no": "field"}, RAW)))
def test_ours_there_and_back(part: Part) -> None:
    """A part of ours that goes there and comes back is the same part, whatever it holds."""
    theirs = to_genai_part(part)
    assert from_genai_part(theirs) == part
    assert theirs.substream_name == part.substream


@given(ours)
def test_ours_there_and_back_as_json(part: Part) -> None:
    """It is the same also if it was written down as their JSON in between."""
    written = json.dumps(to_genai_part(part).to_dict())
    assert from_genai_part(content.ProcessorPart.from_dict(data=json.loads(written))) == part


@given(ours)
def test_going_there_leaves_the_part_alone(part: Part) -> None:
    """What theirs does to its part is not seen in ours: nothing that is written is shared."""
    before = copy.deepcopy(part)
    theirs = to_genai_part(part)
    theirs.metadata["capture_time"] = 1.0
    theirs.metadata.pop(NOTE + "metadata", None)
    if theirs.function_call is not None:
        theirs.function_call.args["more"] = 1
    assert part == before


# -- parts of theirs, of every kind


@dataclasses.dataclass
class Order:
    dish: str
    count: int = 1


def picture() -> Any:
    return PIL_Image.new("RGB", (4, 2), (200, 10, 10))


def processor_part(value: Any, **fields: Any) -> Any:
    return content.ProcessorPart(value, **fields)


def genai_part(**fields: Any) -> Any:
    return types.Part(**fields)


THEIRS: dict[str, Any] = {
    "text": processor_part("hello", role="user"),
    "empty text": processor_part(""),
    "html": processor_part("<b>", mimetype="text/html"),
    "charset": processor_part("é", mimetype="text/plain; charset=utf-8"),
    "exception": processor_part("An error", mimetype="text/x-exception", substream_name="status"),
    "control token": processor_part("<ctrl99>", mimetype="application/x-control-token"),
    "empty token": processor_part("", mimetype="application/x-control-token"),
    "text of a strange kind": processor_part("a", mimetype="image/png"),
    "thought": processor_part(genai_part(text="Hm.", thought=True), role="model"),
    "signed": processor_part(genai_part(text="Yes.", thought_signature=b"\xff\x00"), role="model"),
    "signature alone": processor_part(genai_part(thought_signature=b"\xff"), role="model"),
    "nothing": processor_part(genai_part()),
    "json": processor_part('{"a": 1}', mimetype="application/json"),
    "compact json": processor_part('{"a":1}', mimetype="application/json"),
    "twice the key": processor_part('{"a":1,"a":2}', mimetype="application/json"),
    "not a number": processor_part("[NaN]", mimetype="application/json"),
    "half a json": processor_part('{"a":', mimetype="application/json"),
    "no json": processor_part("", mimetype="application/json"),
    "dataclass": content.ProcessorPart.from_dataclass(dataclass=Order("soup"), role="user"),
    "json file": processor_part(
        genai_part(inline_data=types.Blob(data=b"{}", mime_type="application/json"))
    ),
    "pcm": processor_part(b"\1\2" * 8, mimetype="audio/pcm", role="user"),
    "pcm of a rate": processor_part(b"\1\2" * 8, mimetype="audio/pcm;rate=24000"),
    "pcm with a space": processor_part(b"\1\2" * 8, mimetype="audio/pcm; rate=24000"),
    "l16": processor_part(b"\1\2" * 8, mimetype="audio/l16;rate=24000", substream_name="realtime"),
    "wav": processor_part(b"RIFF1234", mimetype="audio/wav"),
    "png": processor_part(b"\x89PNG", mimetype="image/png"),
    "PIL": processor_part(picture()),
    "PIL as jpeg": processor_part(picture(), mimetype="image/jpeg"),
    "video": processor_part(
        genai_part(
            inline_data=types.Blob(data=b"mp4", mime_type="video/mp4"),
            video_metadata=types.VideoMetadata(fps=2.0),
        )
    ),
    "named": processor_part(
        genai_part(inline_data=types.Blob(data=b"%", mime_type="application/pdf", display_name="p"))
    ),
    "two names": processor_part(
        genai_part(inline_data=types.Blob(data=b"%", mime_type="application/pdf")), mimetype="x/y"
    ),
    "no data": processor_part(genai_part(inline_data=types.Blob(mime_type="x/y"))),
    "proto": processor_part(b"\x0a\x00", mimetype="application/x-protobuf; type=a.b.C"),
    "csv": processor_part(b"a,b", mimetype="text/csv"),
    "csv file": processor_part(genai_part(inline_data=types.Blob(data=b"a", mime_type="text/csv"))),
    "uri": content.ProcessorPart.from_uri(file_uri="gs://a/b", mimetype="video/mp4", role="user"),
    "file": processor_part(types.File(name="f", uri="https://f", mime_type="application/pdf")),
    "code": content.ProcessorPart.from_executable_code(code="1+1", language=types.Language.PYTHON),
    "result of code": content.ProcessorPart.from_code_execution_result(
        outcome=types.Outcome.OUTCOME_OK, output="2"
    ),
    "call": content.ProcessorPart.from_function_call(name="f", args={"a": [1, {"b": None}]}),
    "call without args": processor_part(genai_part(function_call=types.FunctionCall(name="f"))),
    "call with an id": processor_part(
        genai_part(function_call=types.FunctionCall(id="c1", name="f", args={})), role="model"
    ),
    "call of the live model": content.ProcessorPart.from_function_call(
        name="f", args={}, role="model", metadata={"id": "c2"}
    ),
    "call that goes on": processor_part(
        genai_part(function_call=types.FunctionCall(id="c", name="f", will_continue=True))
    ),
    "response": content.ProcessorPart.from_function_response(
        name="f", response={"a": 1}, function_call_id="c1", role="user"
    ),
    "response to come": content.ProcessorPart.from_function_response(
        name="f", response="wait", function_call_id="c1", will_continue=True,
        scheduling=types.FunctionResponseScheduling.SILENT,
    ),
    "failed response": content.ProcessorPart.from_function_response(
        name="f", response="no such thing", is_error=True
    ),
    "structured failure": content.ProcessorPart.from_function_response(
        name="f", response={"code": 4}, is_error=True
    ),
    "empty failure": content.ProcessorPart.from_function_response(
        name="f", response="", is_error=True
    ),
    "response with a picture": content.ProcessorPart.from_function_response(
        name="f", response=picture()
    ),
    "plain response": processor_part(
        genai_part(function_response=types.FunctionResponse(name="f", response={"a": 1, "b": 2}))
    ),
    "output": processor_part(
        genai_part(function_response=types.FunctionResponse(name="f", response={"output": 3}))
    ),
    "no response": processor_part(genai_part(function_response=types.FunctionResponse(name="f"))),
    "tool cancellation": content.ProcessorPart.from_tool_cancellation(function_call_id="c1"),
    "end of turn": content.ProcessorPart.end_of_turn(),
    "end of turn with facts": content.ProcessorPart.end_of_turn("s", {"a": 1}),
    "end of the model's turn": processor_part("", role="model", metadata={"turn_complete": True}),
    "text that ends a turn": processor_part("bye", metadata={"turn_complete": True}),
    "no end of turn": processor_part("00:01", metadata={"turn_complete": False}),
    "end of turn by another value": processor_part("", metadata={"turn_complete": 1}),
    "interrupted": processor_part("", role="model", metadata={"interrupted": True}),
    "speech starts": content.ProcessorPart.from_dataclass(
        dataclass=speech_events.StartOfSpeech(), substream_name="input_endpointing"
    ),
    "speech ends": content.ProcessorPart.from_dataclass(dataclass=speech_events.EndOfSpeech()),
    "role None": processor_part("a", role=None),
    "usage": processor_part("a", role="model", metadata={"usage_metadata": object()}),
    "our key": processor_part("a", role="user", metadata={KEEP: "mine"}),
    "our key, and odd": processor_part("a", mimetype="text/html", metadata={KEEP: "mine"}),
}  # fmt: skip


def facts(part: Any) -> tuple[Any, ...]:
    return part.role, part.substream_name, part.mimetype, part.bytes, part.metadata


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_here_and_back(name: str) -> None:
    """A part of theirs that comes here and goes back is equal in all that it says."""
    theirs = THEIRS[name]
    before = copy.deepcopy(theirs.part), facts(theirs), dict(theirs.metadata)
    again = to_genai_part(from_genai_part(theirs))
    assert (again.part, facts(again)) == (theirs.part, facts(theirs))
    assert (theirs.part, facts(theirs), theirs.metadata) == before


@given(
    st.sampled_from(sorted(THEIRS)),
    st.sampled_from(["", "user", "model"]),
    st.sampled_from(["", "status", "debug/x", "input_transcription"]),
    st.dictionaries(st.sampled_from(["a", "id", "turn_complete", KEEP]), json_values, max_size=2),
)
def test_theirs_here_and_back_under_any_name(
    name: str, role: str, substream: str, metadata: dict[str, Any]
) -> None:
    """Role, substream, metadata, mimetype and bytes stay, whatever the part holds."""
    theirs = content.ProcessorPart(
        THEIRS[name].part,
        role=role,
        substream_name=substream,
        mimetype=THEIRS[name].mimetype,
        metadata=metadata,
    )
    again = to_genai_part(from_genai_part(theirs))
    assert facts(again) == facts(theirs)
    assert again.part == theirs.part


@given(st.binary(max_size=64), st.sampled_from(["audio/l16;rate=24000", "audio/wav", "image/gif"]))
def test_bytes_of_theirs_stay(data: bytes, mimetype: str) -> None:
    """Bytes come back byte for byte, and are the bytes of our part."""
    if mimetype.startswith("audio/l16"):
        data = data * 2
    theirs = content.ProcessorPart(data, mimetype=mimetype)
    part = from_genai_part(theirs)
    assert part.bytes == to_genai_part(part).bytes == data


# -- what stands for what


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("text", "hello"),
        ("html", "<b>"),
        ("exception", "An error"),
        ("control token", Data(None, "application/x-control-token", b"<ctrl99>")),
        ("thought", Data({"text": "Hm.", "thought": True}, RAW)),
        ("signed", "Yes."),
        ("nothing", ""),
        ("compact json", Data({"a": 1})),
        ("half a json", Data(None, "application/json", b'{"a":')),
        ("dataclass", Data({"dish": "soup", "count": 1}, "application/json; type=Order")),
        ("pcm", Audio(b"\1\2" * 8)),
        ("l16", Audio(b"\1\2" * 8, AudioFormat(24_000))),
        ("wav", Data(None, "audio/wav", b"RIFF1234")),
        ("png", Image(b"\x89PNG", "image/png")),
        ("proto", Data(None, "application/x-protobuf; type=a.b.C", b"\x0a\x00")),
        ("csv", "a,b"),
        ("csv file", Data(None, "text/csv", b"a")),
        ("call with an id", Call("c1", "f")),
        ("call of the live model", Call("c2", "f")),
        ("response", Response("c1", "f", {"a": 1})),
        ("output", Response("", "f", 3)),
        ("plain response", Response("", "f", {"a": 1, "b": 2})),
        ("failed response", Response("", "f", None, "no such thing")),
        ("structured failure", Response("", "f", None, '{"code": 4}')),
        ("end of turn", TurnEnded(2.5)),
        ("end of the model's turn", TurnComplete(0)),
        ("text that ends a turn", "bye"),
        ("interrupted", ""),
        ("speech starts", SpeechStarted(2.5)),
        ("speech ends", SpeechEnded(2.5)),
    ],
)
def test_what_theirs_becomes_here(name: str, body: Any) -> None:
    """Each kind of theirs becomes the body of ours that says the same."""
    assert from_genai_part(THEIRS[name], at=2.5).body == body


def test_a_picture_of_theirs_is_a_file_here() -> None:
    """A PIL image arrives as the encoded file, and can be opened on both sides."""
    part = from_genai_part(THEIRS["PIL as jpeg"])
    assert isinstance(part.body, Image)
    assert part.mimetype == "image/jpeg"
    assert PIL_Image.open(io.BytesIO(part.bytes)).size == (4, 2)
    assert to_genai_part(part).pil_image.size == (4, 2)
    assert to_genai_part(Part.of(picture(), "image/png")).pil_image.size == (4, 2)


def test_a_role_that_was_not_set_is_the_users() -> None:
    """Ours has no "no role": the user's stands for it, as `Part("text")` has it."""
    part = from_genai_part(content.ProcessorPart("a"))
    assert part == Part("a", metadata={KEEP: {"role": ""}})
    assert to_genai_part(part.derive(role="model")).role == "model"


@pytest.mark.parametrize(
    ("signal", "is_it"),
    [
        (TurnEnded(1.0), content.is_end_of_turn),
        (TurnComplete(3, "failed"), content.is_end_of_turn),
        (SpeechStarted(1.0), speech_events.is_start_of_speech),
        (SpeechEnded(1.0, True), speech_events.is_end_of_speech),
        (Interrupted(2, "well"), lambda part: part.get_metadata("interrupted")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Signal) else "",
)
def test_signals_that_theirs_knows(signal: Any, is_it: Any) -> None:
    """A signal that has a counterpart is that over there, for whoever asks in their way."""
    assert is_it(to_genai_part(Part(signal)))


def test_signals_that_theirs_does_not_know() -> None:
    """Others are of a kind that nobody takes for text, sound or the end of anything."""
    silent = (Reset(1), Held(1), Resumed(1), Playing(1), Played(1), PlayedTo(1, 0.5))
    for signal in (InputEnded(), *silent):
        theirs = to_genai_part(Part(signal))
        assert theirs.mimetype == f"application/x-vivace-{signal.__struct_config__.tag}"
        assert not content.is_text(theirs.mimetype)
        assert not content.is_end_of_turn(theirs)
        assert content.as_text([theirs]) == ""


@pytest.mark.parametrize(
    ("part", "mimetype", "data"),
    [
        (Part("hi"), "text/plain", b"hi"),
        (Part.audio(b"\0\0", 24_000), "audio/pcm;rate=24000", b"\0\0"),
        (Part.image(b"\xff\xd8"), "image/jpeg", b"\xff\xd8"),
        (Part(Data({"a": 1})), "application/json", b'{"a": 1}'),
        (Part(Data(None, "x/y", b"z")), "x/y", b"z"),
    ],
)
def test_what_ours_becomes_there(part: Part, mimetype: str, data: bytes) -> None:
    """Mimetype and bytes are those of our part, and plain parts need no note."""
    theirs = to_genai_part(part)
    assert (theirs.mimetype, theirs.bytes, theirs.role) == (mimetype, data, "user")
    assert theirs.metadata == {}


def test_turn_and_media_time_are_noted() -> None:
    """They travel next to the metadata, under keys of our own."""
    part = Part.audio(b"\0\0", words="oh ", role="model", turn=7, at=1.5, metadata={"a": 1})
    assert to_genai_part(part).metadata == {
        "a": 1,
        "vivace/turn": 7,
        "vivace/at": 1.5,
        "vivace/words": "oh ",
    }


def test_parts_can_still_be_compared_over_there() -> None:
    """Theirs hashes metadata to compare parts: what we add to it can be hashed."""
    for part in (Part("", turn=1, at=0.5), Part(TurnEnded(1.0)), Part(Held(1))):
        theirs = to_genai_part(part)
        assert theirs == theirs.copy()
        assert theirs != content.ProcessorPart.end_of_turn()


@pytest.mark.parametrize(
    "entries", [{"vivace/signal": "junk"}, {"vivace/signal": 5}, {"vivace/turn": "three"}]
)
def test_what_only_looks_like_a_note_is_metadata(entries: dict[str, Any]) -> None:
    """An entry under our keys that we have not written stays what it is."""
    part = from_genai_part(content.ProcessorPart("a", role="user", metadata=entries))
    assert part == Part("a", metadata=entries)
    assert from_genai_part(to_genai_part(part)) == part


def test_calls_and_responses_keep_their_ids() -> None:
    """An id stays with its call and its response, and is none where there was none."""
    call, answer = to_genai_part(Part.call("f", {"a": 1}, id="c1")), Part.response("f", 2, id="c1")
    assert (call.function_call.id, call.function_call.args, call.role) == ("c1", {"a": 1}, "model")
    assert to_genai_part(answer).function_response.response == {"result": 2}
    assert to_genai_part(answer).function_response.id == "c1"
    assert to_genai_part(Part.call("f", id="")).function_call.id is None
    failed = to_genai_part(Part.response("f", id="c1", error="broken"))
    assert failed.function_response.response == {"error": "broken"}


# -- what a stage changes in between


def test_a_text_changed_over_there_is_the_new_one() -> None:
    """A note that was copied to a new part gives it turn and time, and nothing else."""
    theirs = to_genai_part(Part(Data({"a": 1}, "text/csv"), turn=2, at=1.0))
    new = content.ProcessorPart("summary", metadata=theirs.metadata)
    assert from_genai_part(new).derive(metadata={}) == Part("summary", turn=2, at=1.0)


@pytest.mark.parametrize("signal", [TurnEnded(1.0), Interrupted(1), Held(1), SpeechStarted(0.5)])
def test_a_signal_made_something_else_over_there_is_that(signal: Any) -> None:
    """A part that no longer looks like the signal is not taken for it."""
    theirs = to_genai_part(Part(signal))
    theirs.text = "so"
    assert not isinstance(from_genai_part(theirs).body, Signal)
    theirs = to_genai_part(Part(signal))
    for flag in ("turn_complete", "interrupted"):
        theirs.metadata.pop(flag, None)
    kept = isinstance(signal, Held | SpeechStarted)
    assert isinstance(from_genai_part(theirs).body, Signal) == kept


def test_a_body_changed_here_is_the_new_one() -> None:
    """What was kept for the old body is not put into the new one."""
    old = from_genai_part(content.ProcessorPart(b"\0\0", mimetype="audio/l16;rate=24000"))
    louder = to_genai_part(old.derive(body=Audio(b"\1\1" * 3, AudioFormat(24_000))))
    assert (louder.mimetype, louder.bytes, louder.role) == ("audio/l16;rate=24000", b"\1\1" * 3, "")
    slower = to_genai_part(old.derive(body=Audio(b"\1\1", AudioFormat(8_000))))
    assert slower.mimetype == "audio/pcm;rate=8000"
    assert to_genai_part(old.derive(body="words")).mimetype == "text/plain"
    signed = from_genai_part(THEIRS["signed"])
    assert to_genai_part(signed.derive(body="No.")).part.thought_signature == b"\xff\x00"
    assert to_genai_part(signed.derive(body=Image(b""))).part.thought_signature is None


def test_what_is_kept_can_be_written_down() -> None:
    """What is kept for the way back does not keep a part from being sent over the wire."""
    for name, theirs in THEIRS.items():
        if name not in ("usage", "not a number"):  # there is no JSON for these
            part = from_genai_part(theirs)
            assert msgspec.json.decode(msgspec.json.encode(part), type=Part) == part


# -- what cannot be


def test_half_a_frame_is_refused() -> None:
    """PCM that ends inside a frame would be noise: the error says what to do."""
    with pytest.raises(AudioError, match="keep the tail"):
        from_genai_part(content.ProcessorPart(b"\0\0\0", mimetype="audio/pcm"))


def test_what_is_no_part_of_theirs_is_refused() -> None:
    """A value, or a part of ours, is not guessed at."""
    for wrong in ("a", Part("a"), None):
        with pytest.raises(PartError, match="no ProcessorPart"):
            from_genai_part(wrong)


def test_what_json_cannot_hold_is_refused() -> None:
    """A value that has no JSON is no silent gap: the error says what to put there."""
    with pytest.raises(PartError, match="bytes into `data`"):
        to_genai_part(Part(Data({"a": object()})))
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PartError, match="an Event holds what JSON cannot"):
        to_genai_part(Part(Event("cat", data=object())))
    with pytest.raises(PartError, match="JSON cannot"):
        to_genai_part(Part(Data(loop)))


@pytest.mark.parametrize("body", [Image(b"a", ""), Data(1, ""), Data(None, "", b"a")])
def test_a_body_without_a_mimetype_is_refused(body: Any) -> None:
    """Over there nothing but the mimetype tells what bytes are."""
    with pytest.raises(PartError, match="give one"):
        to_genai_part(Part(body))


def test_json_too_deep_to_read_comes_as_bytes() -> None:
    """What our reader cannot take apart still arrives, as it is."""
    deep = "[" * 100_000 + "]" * 100_000
    part = from_genai_part(content.ProcessorPart(deep, mimetype="application/json"))
    assert part.body == Data(None, "application/json", deep.encode())
    assert to_genai_part(part).text == deep
