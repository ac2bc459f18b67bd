"""Messages of Gemini Live, from the SDK's records to ours and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from vivace.audio import AudioFormat
from vivace.machines.outbound import (
    ActivityEnd,
    ActivityStart,
    AudioEnd,
    Message,
    Result,
    SendAudio,
    SendContent,
    SendImage,
    SendResults,
    SendText,
)
from vivace.machines.server_message import ServerMessage
from vivace.machines.tools import Scheduling, ToolRules
from vivace.models.live_facts import LiveFacts
from vivace.part import Audio, Call

__all__ = ["declared", "read", "send"]

_RATE = 24_000  # of the model's sound, where it does not say
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_ACTIVITY = {"ACTIVITY_START": "start", "ACTIVITY_END": "end"}
_DONE = ("TURN_COMPLETE_REASON_UNSPECIFIED",)


def read(message: Any) -> ServerMessage:
    """Read a `LiveServerMessage`. Raises ValueError and kin for what makes no sense."""
    fields: dict[str, Any] = {}
    if (content := message.server_content) is not None:
        fields |= _content(content)
    if (called := message.tool_call) is not None:
        fields["calls"] = tuple(
            Call(call.id or "", call.name or "", dict(call.args or {}))
            for call in called.function_calls or ()
        )
    if (cancelled := message.tool_call_cancellation) is not None:
        fields["cancelled"] = tuple(cancelled.ids or ())
    if (away := message.go_away) is not None:
        left = _SECONDS.fullmatch(away.time_left or "")
        fields |= {"go_away": True, "left_s": None if left is None else float(left[1])}
    if (update := message.session_resumption_update) is not None:
        fields |= {"handle": update.new_handle or "", "resumable": bool(update.resumable)}
    if message.usage_metadata is not None:
        dumped = message.usage_metadata.model_dump(mode="json", exclude_none=True)
        fields["usage"] = {key: it for key, it in dumped.items() if isinstance(it, int)}
    if (voice := message.voice_activity) is not None and voice.voice_activity_type is not None:
        fields["activity"] = _ACTIVITY.get(voice.voice_activity_type.value, "")
    return ServerMessage(**fields)


def _content(content: Any) -> dict[str, Any]:
    parts = content.model_turn.parts or () if content.model_turn is not None else ()
    heard, said = content.input_transcription, content.output_transcription
    interim, status = content.interim_input_transcription, content.interaction_status
    reason = content.turn_complete_reason
    told = "" if reason is None or reason.value in _DONE else reason.value
    return {
        "sound": tuple(_audio(it.inline_data) for it in parts if it.inline_data is not None),
        "text": _text("".join(it.text for it in parts if it.text and not it.thought)),
        "said": _text(said.text) if said is not None else "",
        "heard": _text(heard.text) if heard is not None else "",
        "finished": heard is not None and bool(heard.finished),
        "interim": _text(interim.text) if interim is not None else "",
        "interrupted": bool(content.interrupted),
        "generation_complete": bool(content.generation_complete),
        "turn_complete": bool(content.turn_complete),
        "reason": told,
        "waiting": bool(content.waiting_for_input),
        "busy": status is not None and status.value == "IN_PROGRESS",
    }


def _text(text: str | None) -> str:
    """Raises ValueError for half a character, which nobody could write down."""
    if text:
        text.encode()
    return text or ""


def _audio(blob: Any) -> Audio:
    return Audio(blob.data or b"", _format(blob.mime_type or "audio/pcm"))


@lru_cache(16)  # a server has one format, and says so with each message
def _format(mimetype: str) -> AudioFormat:
    return AudioFormat.parse(mimetype, _RATE)


async def send(session: Any, message: Message, types: Any) -> None:
    """Send a message by an `AsyncSession`. types: the SDK's module of that name."""
    match message:
        case SendAudio(pcm=pcm):
            blob = types.Blob(data=pcm, mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=blob)
        case SendImage(data=data):
            blob = types.Blob(data=data, mime_type="image/jpeg")
            await session.send_realtime_input(video=blob)
        case SendText(text=text):
            await session.send_realtime_input(text=text)
        case ActivityStart():
            await session.send_realtime_input(activity_start=types.ActivityStart())
        case ActivityEnd():
            await session.send_realtime_input(activity_end=types.ActivityEnd())
        case AudioEnd():
            await session.send_realtime_input(audio_stream_end=True)
        case SendContent(turns=turns, complete=complete):
            said = [types.Content(role=role, parts=[types.Part(text=text)]) for role, text in turns]
            await session.send_client_content(turns=said, turn_complete=complete)
        case SendResults(results=results):
            answers = [_answer(it, types) for it in results]
            await session.send_tool_response(function_responses=answers)


def _answer(result: Result, types: Any) -> Any:
    response = result.response
    if response.error:
        answer: dict[str, Any] = {"error": response.error}
    elif isinstance(response.result, dict):
        answer = dict(response.result)
    else:
        answer = {"output": response.result}
    return types.FunctionResponse(
        id=result.given_id,
        name=response.name,
        response=answer,
        scheduling=result.scheduling or None,
    )


def declared(
    declarations: Iterable[Mapping[str, Any]],
    rules: Mapping[str, ToolRules | None],
    facts: LiveFacts,
) -> Sequence[dict[str, Any]]:
    """The `function_declarations` for these tools. What a model does by itself is not said."""
    made = []
    for declaration in declarations:
        fields = dict(declaration)
        # Plain JSON schema; the SDK's field of the same name takes a dialect of it.
        fields["parameters_json_schema"] = fields.pop("parameters")
        if facts.tools == "non_blocking":
            of_tool = rules[fields["name"]]
            waits = of_tool is None or of_tool.scheduling == Scheduling.BLOCKING
            fields["behavior"] = "BLOCKING" if waits else "NON_BLOCKING"
        made.append(fields)
    return made
