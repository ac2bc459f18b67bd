"""Gemini: Google's models, turn by turn. (Those that listen all the time are elsewhere.)"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from copy import copy
from typing import Any

from vivace.errors import ModelError, ModelUnreachable
from vivace.flow.processor import Processor
from vivace.machines.json_text import writable
from vivace.models.messages import (
    Conversation,
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

__all__ = ["Gemini"]

_READS = (Audio, Image, Call, Response)

# Newer models refuse a call of theirs that comes back without the signature they gave with it.
# This value, from the API's documentation, stands for calls that came from elsewhere.
_NO_SIGNATURE = b"skip_thought_signature_validator"


class Gemini(Processor):
    """A turn model: reads the whole prompt, with sound and pictures, and streams the reply.

    model: as `gemini-2.5-flash`. api_key: else GEMINI_API_KEY or GOOGLE_API_KEY.
    tools: functions as `{"name": …, "description": …, "parameters": JSON schema}`.
    options: further fields of the SDK's GenerateContentConfig, as `{"temperature": 0.7}`.
    http_options: fields of the SDK's HttpOptions, as `{"base_url": …}`.

    The user's sound goes in as it is, the model's own by its words. What the model thinks is not
    yielded. Raises ModelUnreachable if the service cannot be reached or refuses, ModelError if it
    does not accept the prompt or breaks off, ModelMissing if the SDK is not installed.
    """

    name = "gemini"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, Any] | None = None,
        http_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._genai = package("google.genai", "gemini")
        self._http = package("httpx2", "gemini")
        env = os.environ
        key = api_key or env.get("GEMINI_API_KEY") or env.get("GOOGLE_API_KEY")
        if not key:
            raise ModelUnreachable(
                "Gemini needs a key and has none; set GEMINI_API_KEY, or pass api_key"
            )
        self._model = model
        self._api_key = key
        self._options = dict(options or {})
        self._http_options = dict(http_options or {})
        self._tools = [_declaration(tool) for tool in tools]
        # Made once and here: loading the certificates takes 30 ms, too long for a running loop.
        self._tls = self._http.create_ssl_context()
        self._clients = PerLoop(self._client, self._close)
        self._calls: dict[asyncio.Task[Any] | None, list[Any]] = {}

    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> Gemini:
        """The same, over the same connections, with these tools as well."""
        other = copy(self)
        other._tools = [*self._tools, *map(_declaration, tools)]
        return other

    async def aclose(self) -> None:
        """Close the connections of this loop now, rather than when the loop ends."""
        await self._clients.aclose()

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Read the prompt, then yield the reply: texts and tool calls in the model's order."""
        talk = conversation([part async for part in stream], reads=_READS)
        if talk.skipped:
            yield skipped_note(self._model, talk.skipped)
        finished = begun = False
        try:
            async with self._reply(talk) as reply:
                async for chunk in reply:
                    begun = True
                    finished = finished or self._is_last(chunk)
                    for part in _parts(chunk):
                        yield part
        except (self._genai.errors.APIError, self._http.HTTPError) as error:
            raise self._told(error, begun) from error
        except self._genai.errors.UnknownApiResponseError as error:
            raise broke_off(self._model, error) from error
        if not finished:
            raise broke_off(self._model)

    @asynccontextmanager
    async def _reply(self, talk: Conversation) -> AsyncIterator[AsyncIterator[Any]]:
        """The chunks of the reply. Leaving it hangs up."""
        client, _ = await self._clients.get()
        reply = await client.aio.models.generate_content_stream(
            model=self._model, contents=self._contents(talk), config=self._config(talk)
        )
        calls: list[Any] = []
        try:
            async with aclosing(reply), aclosing(self._heard(reply, calls)) as heard:
                yield heard
        finally:
            # The SDK's generators stand in one another, and closing the outer one leaves the
            # inner ones, and with them the connection, to the garbage collector.
            for call in calls:
                await call.aclose()

    async def _heard(
        self, reply: AsyncIterator[Any], calls: list[Any]
    ) -> AsyncGenerator[Any, None]:
        """`reply`; the HTTP responses that it is read from are put in `calls`."""
        while True:
            task = asyncio.current_task()
            self._calls[task] = calls
            try:
                chunk = await anext(reply)
            except StopAsyncIteration:
                return
            finally:
                del self._calls[task]
            yield chunk

    async def _answered(self, response: Any) -> None:
        """A server has begun to answer, in the task that waits for it."""
        self._calls.get(asyncio.current_task(), []).append(response)

    def _is_last(self, chunk: Any) -> bool:
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise ModelError(
                f"{self._model} refused the prompt: {feedback.block_reason.value}; change what "
                "the conversation or the system text says"
            )
        return any(candidate.finish_reason for candidate in chunk.candidates or ())

    def _told(self, error: Exception, begun: bool) -> ModelError:
        if isinstance(error, self._genai.errors.APIError):
            return refused(self._model, error.code, error.message or "", "GEMINI_API_KEY")
        return broke_off(self._model, error) if begun else no_answer(self._model, error)

    # -- the client ------------------------------------------------------------------------------

    def _client(self) -> tuple[Any, Any]:
        http = self._http
        limits = http.Limits(max_connections=MAX_CONNECTIONS)
        hooks = {"request": [self._limit_time], "response": [self._answered]}
        transport = http.AsyncClient(
            verify=self._tls, limits=limits, follow_redirects=True, event_hooks=hooks
        )
        client = self._genai.Client(
            api_key=self._api_key,
            http_options={
                **self._http_options,
                "httpx_async_client": transport,
                # Never used, but without it the SDK makes one, and loads the certificates again.
                "httpx_client": http.Client(verify=self._tls),
            },
        )
        return client, transport

    async def _limit_time(self, request: Any) -> None:
        # The SDK knows only one limit for everything, and turns off those of the client.
        timeout = self._http.Timeout(SILENCE_S, connect=CONNECT_S, pool=CONNECT_S)
        request.extensions["timeout"] = timeout.as_dict()

    @staticmethod
    async def _close(held: tuple[Any, Any]) -> None:
        client, transport = held
        await transport.aclose()
        client.close()

    # -- the prompt ------------------------------------------------------------------------------

    def _config(self, talk: Conversation) -> Any:
        types = self._genai.types
        fields: dict[str, Any] = {
            # The SDK would otherwise run tools itself, behind the conversation's back.
            "automatic_function_calling": {"disable": True},
            **self._options,
        }
        if talk.system:
            fields["system_instruction"] = talk.system
        if self._tools:
            fields["tools"] = [{"function_declarations": self._tools}]
        return types.GenerateContentConfig(**fields)

    def _contents(self, talk: Conversation) -> list[Any]:
        """The turns; each turn with calls is followed by one that answers them all, no other."""
        types = self._genai.types
        contents: list[Any] = []
        for index, turn in enumerate(talk.turns):
            called, results = talk.calls_before(index), talk.results_after(index)
            parts = [
                self._part(part)
                for part in spoken(turn.parts)
                if not (isinstance(part.body, Response) and part.body.id in called)
            ]
            if parts:
                contents.append(types.Content(role=turn.role, parts=parts))
            if answers := [self._result(call, results) for call in turn.calls]:
                contents.append(types.Content(role="user", parts=answers))
        return contents

    def _part(self, part: Part) -> Any:
        types = self._genai.types
        match part.body:
            case Image(data, mimetype):
                return types.Part.from_bytes(data=data, mime_type=mimetype)
            case Audio() as audio:
                return types.Part.from_bytes(data=wav(audio), mime_type="audio/wav")
            case Call(id, name, args):
                return types.Part(
                    function_call=types.FunctionCall(id=id, name=name, args=dict(args)),
                    thought_signature=part.metadata.get("thought_signature", _NO_SIGNATURE),
                )
            case Response() as result:
                # Its call is further back, or has left the prompt; a result alone would be refused.
                return types.Part(text=f"({result.name} answered: {result_text(result)})")
            case _:
                return types.Part(text=part.text)

    def _result(self, call: Call, results: Mapping[str, Response]) -> Any:
        result = results.get(call.id)
        answer = {"output": "(no result yet)"} if result is None else _answer(result)
        types = self._genai.types
        return types.Part(
            function_response=types.FunctionResponse(id=call.id, name=call.name, response=answer)
        )


def _declaration(tool: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(tool)
    if "parameters" in fields:
        # Plain JSON schema; the SDK's field of the same name takes a dialect of it.
        fields["parameters_json_schema"] = fields.pop("parameters")
    return fields


def _answer(result: Response) -> dict[str, Any]:
    result = writable(result)
    if result.error:
        return {"error": result.error}
    return dict(result.result) if isinstance(result.result, dict) else {"output": result.result}


def _parts(chunk: Any) -> Iterator[Part]:
    for candidate in (chunk.candidates or ())[:1]:
        content = candidate.content
        for piece in (content.parts if content else None) or ():
            if piece.function_call is not None:
                call = piece.function_call
                signature = piece.thought_signature
                yield Part.call(
                    call.name,
                    dict(call.args or {}),
                    id=call.id or secrets.token_hex(6),
                    metadata={"thought_signature": signature} if signature else {},
                )
            elif piece.text and not piece.thought:
                yield Part(piece.text, role="model")
