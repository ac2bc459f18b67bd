"""OpenAI: a language model behind any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, TypeAlias

import msgspec

from vivace.errors import ModelError
from vivace.flow.processor import Processor
from vivace.models.messages import (
    Conversation,
    Turn,
    conversation,
    result_text,
    skipped_note,
    spoken,
    wav,
)
from vivace.models.remote import (
    CONNECT_S,
    MAX_CONNECTIONS,
    SILENCE_S,
    PerLoop,
    broke_off,
    no_answer,
    package,
    refused,
)
from vivace.part import Audio, Call, Image, Part, Response

__all__ = ["OpenAI"]

Json: TypeAlias = dict[str, Any]

_NO_RESULT = "(no result yet)"


class OpenAI(Processor):
    """A turn model: reads the whole prompt, then yields the reply as the server streams it.

    base_url: as `https://api.openai.com/v1` or `http://127.0.0.1:8080/v1`.
    api_key: else OPENAI_API_KEY; local servers mostly need none.
    tools: functions as `{"name": …, "description": …, "parameters": JSON schema}`.
    images, audio: whether the model reads them. What it does not read is left out of the prompt,
        and a `status` part says so; sound then counts by the words that it carries.
    options: further fields of the request, as `{"temperature": 0.7, "max_tokens": 200}`.

    A tool call is yielded whole, after the text. Raises ModelUnreachable if the server cannot be
    reached or refuses, ModelError if it does not accept the prompt or breaks off, ModelMissing if
    the SDK is not installed. Nothing is tried again here.
    """

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        images: bool = False,
        audio: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._sdk = package("openai", "openai")
        self._http = package("httpx2", "openai")
        self._where = f"{model} at {base_url}"
        self._base_url = base_url
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        # Made once and here: loading the certificates takes 30 ms, too long for a running loop.
        self._tls = self._http.create_ssl_context()
        self._clients = PerLoop(self._client, self._close)
        self._reads = {Call, Response, *([Image] if images else []), *([Audio] if audio else [])}
        self._request: Json = {"model": model, "stream": True, **(options or {})}
        self._add_tools(tools)

    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> OpenAI:
        """The same, over the same connections, with these tools as well."""
        other = copy(self)
        other._add_tools(tools)
        return other

    def _add_tools(self, tools: Sequence[Mapping[str, Any]]) -> None:
        functions = [{"type": "function", "function": dict(tool)} for tool in tools]
        if functions:
            known = self._request.get("tools", [])
            self._request = {**self._request, "tools": [*known, *functions]}

    async def aclose(self) -> None:
        """Close the connections of this loop now, rather than when the loop ends."""
        await self._clients.aclose()

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Read the prompt, then yield the reply: texts first, tool calls last."""
        talk = conversation([part async for part in stream], reads=self._reads)
        if talk.skipped:
            yield skipped_note(self._where, talk.skipped)
        calls = _Calls(self._where)
        finished = begun = False
        try:
            async with await self._open(talk) as reply:
                async for chunk in reply:
                    begun = True
                    for choice in chunk.choices[:1]:
                        calls.feed(choice.delta.tool_calls or ())
                        finished = finished or choice.finish_reason is not None
                        if text := choice.delta.content or choice.delta.refusal:
                            yield Part(text, role="model")
        except self._sdk.APIError as error:
            raise self._told(error, begun) from error
        if not finished:
            raise broke_off(self._where)
        for call in calls.done():
            yield call

    async def _open(self, talk: Conversation) -> Any:
        client = await self._clients.get()
        return await client.chat.completions.create(messages=_messages(talk), **self._request)

    def _client(self) -> Any:
        http = self._http
        timeout = http.Timeout(SILENCE_S, connect=CONNECT_S, pool=CONNECT_S)
        transport = http.AsyncClient(
            verify=self._tls,
            timeout=timeout,
            follow_redirects=True,
            limits=http.Limits(max_connections=MAX_CONNECTIONS),
        )
        return self._sdk.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key,
            timeout=timeout,
            max_retries=0,
            http_client=transport,
        )

    @staticmethod
    async def _close(client: Any) -> None:
        await client.close()

    def _told(self, error: Exception, begun: bool) -> ModelError:
        if isinstance(error, self._sdk.APIStatusError):
            return refused(self._where, error.status_code, error.message, "OPENAI_API_KEY")
        if begun:
            return broke_off(self._where, error.__cause__ or error)
        if isinstance(error, self._sdk.APIConnectionError):
            return no_answer(self._where, error.__cause__ or error)
        return ModelError(f"{self._where} failed: {error}")


class _Calls:
    """Tool calls come in pieces, several at a time; this puts them together."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._pieces: dict[int, list[str]] = {}  # by place: id, name, arguments

    def feed(self, deltas: Sequence[Any]) -> None:
        """One chunk's pieces."""
        for delta in deltas:
            piece = self._pieces.setdefault(delta.index, ["", "", ""])
            piece[0] += delta.id or ""
            if delta.function is not None:
                piece[1] += delta.function.name or ""
                piece[2] += delta.function.arguments or ""

    def done(self) -> Iterator[Part]:
        """The calls. Raises ModelError if the arguments of one are no JSON object."""
        for _, (id, name, text) in sorted(self._pieces.items()):
            try:
                args = msgspec.json.decode(text or "{}", type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise ModelError(
                    f"{self._where} called {name} with {text[:100]!r}, which is no JSON object; "
                    "ask again, or choose a model that is better with tools"
                ) from error
            # Some local servers leave the id out; it must only be unique within the conversation.
            yield Part.call(name, args, id=id or secrets.token_hex(6))


# -- the prompt ----------------------------------------------------------------------------------


def _messages(talk: Conversation) -> list[Json]:
    messages: list[Json] = []
    if talk.system:
        messages.append({"role": "system", "content": talk.system})
    for index, turn in enumerate(talk.turns):
        if turn.role == "model":
            messages += _model_messages(turn, talk.results_after(index))
        elif content := _user_content(turn, talk.calls_before(index)):
            messages.append({"role": "user", "content": content})
    return messages


def _model_messages(turn: Turn, results: Mapping[str, Response]) -> Iterator[Json]:
    """The model's message, and right after it, as the interface demands, an answer to each call."""
    calls = turn.calls
    message: Json = {"role": "assistant", "content": turn.text or None}
    if calls:
        message["tool_calls"] = [_tool_call(call) for call in calls]
    yield message
    for call in calls:
        result = results.get(call.id)
        content = _NO_RESULT if result is None else result_text(result)
        yield {"role": "tool", "tool_call_id": call.id, "content": content}


def _tool_call(call: Call) -> Json:
    arguments = msgspec.json.encode(dict(call.args)).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _user_content(turn: Turn, called: set[str]) -> str | list[Json]:
    """Plain text where there is only text: not every server takes a list."""
    content = [piece for part in spoken(turn.parts) for piece in _piece(part, called)]
    if all(piece["type"] == "text" for piece in content):
        return "\n".join(piece["text"] for piece in content)
    return content


def _piece(part: Part, called: set[str]) -> Iterator[Json]:
    match part.body:
        case str() as text:
            yield {"type": "text", "text": text}
        case Image(data, mimetype):
            url = f"data:{mimetype};base64,{base64.b64encode(data).decode()}"
            yield {"type": "image_url", "image_url": {"url": url}}
        case Audio() as audio:
            data64 = base64.b64encode(wav(audio)).decode()
            yield {"type": "input_audio", "input_audio": {"data": data64, "format": "wav"}}
        case Response() as result if result.id not in called:
            # Its call is further back, or has left the prompt; a result alone would be refused.
            yield {"type": "text", "text": f"({result.name} answered: {result_text(result)})"}
        case _:
            return
