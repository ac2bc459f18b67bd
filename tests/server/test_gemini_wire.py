"""What a frame of a Gemini Live client may look like, and in what words another one is refused."""

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from vivace.models.live_facts import facts_of
from vivace.server.gemini_order import Order
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    AudioHeard,
    Content,
    Refused,
    Setup,
    TextHeard,
    ToolAnswer,
    ToolAnswers,
    Turn,
    parse,
)


def read(**frame: Any) -> Any:
    return parse(json.dumps(frame))


def test_both_spellings_mean_the_same() -> None:
    """`client_content` and `clientContent`, `turn_complete` and `turnComplete`."""
    turn = {"role": "model", "parts": [{"text": "a"}, {"text": "b"}, {}]}
    wanted = Content((Turn("model", "ab"),), complete=True)
    assert read(client_content={"turns": [turn], "turn_complete": True}) == wanted
    assert read(clientContent={"turns": [turn], "turnComplete": True}) == wanted
    assert read(client_content={}) == Content((), complete=False)


def test_both_alphabets_of_base64() -> None:
    """`-_` and `+/`, with and without the signs that fill up."""
    for data in ("-_8=", "+/8=", "-_8", "+/8"):
        blob = {"data": data, "mime_type": "audio/pcm;rate=8000"}
        assert read(realtime_input={"audio": blob}) == AudioHeard(b"\xfb\xff", 8000)


def test_a_set_up_is_read_whole() -> None:
    """Names of the caller's own are left as they are."""
    declared = {"name": "look_up", "parameters_json_schema": {"properties": {"my_key": {}}}}
    setup = read(
        setup={
            "model": "models/m",
            "system_instruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"function_declarations": [declared]}, {"google_search": {}}],
            "session_resumption": {"handle": "h1"},
            "history_config": {"initial_history_in_client_content": True},
            "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
        }
    )
    assert (setup.model, setup.system, setup.handle) == ("m", "Be brief.", "h1")
    assert setup.tools == {"look_up": declared}
    assert (setup.resumption, setup.history, setup.automatic) == (True, True, False)
    plain = read(setup={"model": "m"})
    assert (plain.resumption, plain.handle, plain.automatic) == (False, "", True)


def test_tool_answers() -> None:
    """What a function returned is nobody's to respell."""
    answer = {"id": "f1", "name": "a", "response": {"my_key": 1}, "scheduling": "SILENT"}
    wanted = ToolAnswers((ToolAnswer("f1", "a", {"my_key": 1}, "SILENT"),))
    assert read(tool_response={"function_responses": [answer]}) == wanted


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ("{", "Unexpected token"),
        ('{"clientContent": {"turnComplete": NaN}}', "Unexpected token"),
        ("[1]", "An object was expected"),
        ("{}", "this one has 0"),
        ('{"setup": {}, "clientContent": {}}', "this one has 2"),
        ('{"setup": 1}', "Invalid value at 'setup'"),
        ('{"hello": {}}', "Unknown name 'hello'"),
        ('{"setup": {"model": "m", "voice": 1}}', "Unknown name 'voice' at 'setup'"),
        ('{"setup": {}}', "setup.model is required"),
        (
            '{"setup": {"model": "m", "tools": [{"functionDeclarations": [{}]}]}}',
            "name is required",
        ),
        ('{"realtimeInput": {}}', "this one has []"),
        ('{"realtimeInput": {"mediaChunks": []}}', "media_chunks is deprecated"),
        ('{"realtimeInput": {"text": 1}}', "'realtime_input.text': a text was expected"),
        ('{"realtimeInput": {"text": "\\ud800"}}', "it is not valid UTF-8"),
        ('{"realtimeInput": {"audio": {"data": 1}}}', "TYPE_BYTES"),
        ('{"realtimeInput": {"audio": {"data": "a"}}}', "Base64 decoding failed"),
        ('{"realtimeInput": {"audio": {"data": "AA=="}}}', "1 bytes"),
        ('{"realtimeInput": {"audio": {"mimeType": "audio/pcm;x=1"}}}', "Unsupported audio"),
        ('{"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=0"}}}', "rate from 8000 to 192"),
        ('{"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=9999999"}}}', "Unsupported"),
        ('{"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=-1"}}}', "Unsupported audio"),
        ('{"realtimeInput": {"video": {"mimeType": "text/plain"}}}', "Unsupported video"),
        ('{"clientContent": {"turns": [{"role": "system"}]}}', "valid role"),
        ('{"toolResponse": {}}', "no function_responses"),
        ('{"toolResponse": {"functionResponses": [{"response": 1}]}}', "an object was expected"),
    ],
)
def test_what_is_refused(frame: str, told: str) -> None:
    """1007, and what is wrong with it."""
    with pytest.raises(Refused) as caught:
        parse(frame)
    assert caught.value.code == 1007
    assert told in caught.value.reason


WHOLE: list[dict[str, Any]] = [
    {
        "setup": {
            "model": "models/m",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "thinkingConfig": {"thinkingLevel": "LOW"},
            },
            "systemInstruction": {"parts": [{"text": "a"}]},
            "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}],
            "sessionResumption": {"handle": "h"},
            "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
            "historyConfig": {"initialHistoryInClientContent": False},
        }
    },
    {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "a"}]}]}},
    {"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/pcm;rate=16000"}}},
    {"realtimeInput": {"video": {"data": "AAA=", "mimeType": "image/jpeg"}}},
    {"realtimeInput": {"activityStart": {}}},
    {"toolResponse": {"functionResponses": [{"id": "f", "name": "a", "response": {"b": 1}}]}},
]
ODD: list[Any] = [None, True, 3, -1.5, "x", "", [], [1], [None], [[]], {}, {"a": 1}, "\ud800"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from places(value[key], (*path, key))


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    value = copy.copy(value)
    value[path[0]] = put(value[path[0]], path[1:], odd)
    return value


@pytest.mark.parametrize("frame", WHOLE, ids=lambda it: "-".join(it))
def test_rubbish_at_every_place(frame: dict[str, Any]) -> None:
    """Whatever stands there, a message is read or refused, and nothing else is raised."""
    facts, _ = facts_of("gemini-3.8-live")
    for path in places(frame):
        for odd in ODD:
            with suppress(Refused):
                message = parse(json.dumps(put(frame, path, odd)))
                setup = message if isinstance(message, Setup) else Setup("m", {})
                Order(setup, facts, resumed=False).check(message)


def test_null_is_as_if_it_were_not_there() -> None:
    """As in every message of the service."""
    config = {"sessionResumption": None, "tools": None, "generationConfig": None}
    assert read(setup={"model": "m", **config}) == read(setup={"model": "m"})


def test_order() -> None:
    """A second set-up is refused; activity is only for who turned the detection off."""
    facts, _ = facts_of("gemini-3.8-live")
    setup = Setup("gemini-3.8-live", {}, automatic=False)
    order = Order(setup, facts, resumed=False)
    order.check(ActivityStarted())
    order.check(ActivityEnded())
    with pytest.raises(Refused, match="setup may be sent once"):
        order.check(setup)


def test_a_seed_is_turns_that_ask_for_nothing() -> None:
    """A model that takes content as seed only takes it before anything else."""
    facts, _ = facts_of("gemini-3.1-flash-live-preview")
    order = Order(Setup("m", {}), facts, resumed=False)
    order.check(Content((Turn("user", "a"),), complete=False))
    order.check(TextHeard("b"))
    with pytest.raises(Refused, match="after the session has begun"):
        order.check(Content((Turn("user", "c"),), complete=False))


def test_what_is_known_of_models() -> None:
    """An unknown model is asked for with safe settings, and it is said; so is a deprecated one."""
    assert facts_of("models/gemini-3.8-live")[1] == ""
    facts, told = facts_of("gemini-9")
    assert (facts.content, facts.tools, facts.thinking_level) == ("seed", "blocking", False)
    assert "'gemini-9' is not known here" in told
    assert "gemini-3.8-live" in told
    assert "deprecated" in facts_of("gemini-live-2.5-flash-native-audio")[1]
