"""`LiveProcessor`: a live model on a server, in a session that does not end with its connection."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast, get_args

from vivace.errors import ModelUnreachable, StageError, not_known
from vivace.flow.drive import drive
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.live.gemini_link import GeminiLink, socket_options
from vivace.live.gemini_messages import declared
from vivace.live.prepared import prepared
from vivace.live.session import Session
from vivace.live.session_rules import WORDS, OnSilence, SessionRules, TextAs
from vivace.live.stream_metrics import StreamMetrics, Streams
from vivace.machines.connection import ConnectionRules, Dial
from vivace.machines.floor import FloorRules
from vivace.machines.interrupt import Interrupt
from vivace.machines.outbound import Message, SendContent
from vivace.machines.window import Window
from vivace.models.live_facts import facts_of
from vivace.models.remote import package
from vivace.part import Part
from vivace.processors.tool import Toolbox, ToolSource

__all__ = ["LiveProcessor"]

_REPLY_PARTS, _REPLY_S = 4096, 600.0  # of replies that come faster than they can be heard
_SEND_S = 10.0


class LiveProcessor(Processor):
    """Holds a conversation with a Gemini Live model. The stream that comes out of it has no seam.

    api_key: else GEMINI_API_KEY or GOOGLE_API_KEY. model_name: as "gemini-3.8-live".
    realtime_config: fields of the SDK's LiveConnectConfig, over ours; None leaves one out. A handle
        in its `session_resumption` goes on with an older session.
    stream_management: every part says `stream_id` and `stream_part_index` in its metadata, and
        `quality_tier` ("high", "medium", "low") where a confidence is known.
    tools: functions that are run when the model calls them, see docs/tools.md.
    interrupt: what a sound over a reply must be like to cut it, if the server says nothing: words
        that are more than "mm-hm", unless given; without transcripts, a second of sound.
    text_as: whether typed text goes as "realtime" input or as a turn ("content"), where the model
        takes those.
    answer_within_s: an answer that does not come in so long is told of. on_silence: what else is
        done: "tell" for nothing, "nudge" to ask again, "reconnect" to change the connection.
    duration_prompt_sec, max_parts: how much a new session is told of one that was lost.
    connection: limits and waits, see `ConnectionRules`. http_options: of the SDK.

    Reads audio of any rate (which goes out as 16 kHz PCM), images (JPEG, one a second at most),
    texts, data, events, answers to calls, `SpeechStarted`, `SpeechEnded` and `TurnEnded`. Yields
    replies: audio and its text, calls and responses, all with the reply's number, then
    `TurnComplete`; and the user's transcripts. On `status`: every change of the connection, usage,
    and what failed.

    Raises ModelUnreachable without a key, StageError for a configuration that cannot be. While it
    runs: ModelUnreachable or ModelError, saying what to change, at once if that is what it takes.
    """

    def __init__(
        self,
        api_key: str | None = None,
        model_name: str = "gemini-3.8-live",
        realtime_config: Mapping[str, Any] | object | None = None,
        stream_management: bool = True,
        *,
        tools: ToolSource = (),
        interrupt: Interrupt | None = None,
        text_as: TextAs = "realtime",
        answer_within_s: float = 15.0,
        on_silence: OnSilence = "tell",
        duration_prompt_sec: float = 600.0,
        max_parts: int = 1000,
        connection: ConnectionRules | None = None,
        floor: FloorRules | None = None,
        http_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._genai = package("google.genai", "gemini")
        facts, told = facts_of(model_name)
        if told:
            warnings.warn(told, UserWarning, stacklevel=2)
        if on_silence not in get_args(OnSilence):
            raise not_known("on_silence", on_silence, get_args(OnSilence))
        if text_as not in get_args(TextAs):
            raise not_known("text_as", text_as, get_args(TextAs))
        if not answer_within_s > 0:
            raise StageError(
                f"answer_within_s={answer_within_s!r}: no model is as fast; use seconds above 0"
            )
        self._facts = facts
        self._model = model_name
        self._tools = Toolbox(tools)
        self._duration_s = duration_prompt_sec
        self._max_parts = max_parts
        self._config = self._configured(realtime_config)
        detection = (self._config.get("realtime_input_config") or {}).get(
            "automatic_activity_detection"
        )
        words = "input_audio_transcription" in self._config
        self._rules = SessionRules(
            model_name,
            facts,
            text_as=text_as,
            automatic=not (detection or {}).get("disabled", False),
            transcribed=words,
            answer_within_s=answer_within_s,
            on_silence=on_silence,
            connection=connection or ConnectionRules(),
            interrupt=interrupt or (WORDS if words else Interrupt.unless_backchannel()),
            floor=floor or FloorRules(),
            stamp=stream_management,
        )
        self._client = self._made(api_key, http_options or {})
        self._streams = Streams()

    # -- streams ------------------------------------------------------------------------------

    @property
    def active_streams(self) -> list[str]:
        """The ids of the streams under way."""
        return self._streams.active

    @property
    def stream_metrics(self) -> Mapping[str, StreamMetrics]:
        """What was counted of each stream under way, and of the newest 256 that have ended."""
        return self._streams.metrics

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Hold the conversation, until the input has ended and was answered."""
        run = current_run()
        bus = run.bus
        metrics = self._streams.begin()
        resumption = self._config.get("session_resumption") or {}
        session = Session(
            self._rules,
            self._tools.rules,
            Window(self._max_parts, self._duration_s),
            bus.ledger,
            metrics,
            self._seed,
            zero=bus.started_at,
            handle=resumption.get("handle") or "",
            shedding=run.shedding,
        )
        link = GeminiLink(self._client, self._model, self._config_of, self._tools, _SEND_S)
        parts = drive(
            prepared(stream),
            session,
            link.do,
            told=link.told,
            capacity=_REPLY_PARTS,
            media_s=_REPLY_S,
            read_on=True,
        )
        try:
            async for part in parts:
                yield part
        finally:
            self._streams.end(metrics)
            await parts.aclose()  # type: ignore[attr-defined]

    # -- what is asked for --------------------------------------------------------------------

    def _configured(self, given: Mapping[str, Any] | object | None) -> dict[str, Any]:
        """The fields of LiveConnectConfig, as far as they are the same for all connections."""
        if hasattr(given, "model_dump"):
            given = given.model_dump(exclude_none=True)
        if given is not None and not isinstance(given, Mapping):
            raise StageError(
                f"realtime_config is a {type(given).__name__}; give a mapping, or a "
                "LiveConnectConfig of the SDK"
            )
        config: dict[str, Any] = {
            "response_modalities": ["AUDIO"],
            "input_audio_transcription": {},
            "output_audio_transcription": {},
            "session_resumption": {},
        }
        if self._facts.compression:  # else a session ends after fifteen minutes
            config["context_window_compression"] = {"sliding_window": {}}
        config |= self._read(given or {})
        if len(self._tools):
            functions = declared(self._tools.declarations, self._tools.rules, self._facts)
            own = [{"function_declarations": functions}]
            config["tools"] = [*(config.get("tools") or []), *own]
        config = {name: it for name, it in config.items() if it is not None}
        self._check(config)
        return config

    def _read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as plain values, by their names in Python, however they are written."""
        try:
            config = self._genai.types.LiveConnectConfig.model_validate(dict(given))
        except (ValueError, TypeError) as error:
            raise StageError(f"realtime_config cannot be used: {error}") from error
        return cast("dict[str, Any]", config.model_dump(exclude_unset=True))

    def _check(self, config: dict[str, Any]) -> None:
        level = (config.get("thinking_config") or {}).get("thinking_level")
        if level is not None and not self._facts.thinking_level:
            raise StageError(
                f"{self._model} takes no thinking_level; leave it out of realtime_config"
            )

    def _config_of(self, dial: Dial) -> dict[str, Any]:
        config = dict(self._config)
        if "session_resumption" in config:
            config["session_resumption"] = {"handle": dial.handle} if dial.handle else {}
        if dial.seed and self._facts.content == "seed":
            config["history_config"] = {"initial_history_in_client_content": True}
        return config

    def _seed(self, said: list[tuple[str, str]]) -> Message | None:
        history = self._facts.content == "seed"
        # Where history was announced, something has to end it.
        return SendContent(tuple(said), complete=history) if said or history else None

    def _made(self, api_key: str | None, http_options: Mapping[str, Any]) -> Any:
        env = os.environ
        key = api_key or env.get("GEMINI_API_KEY") or env.get("GOOGLE_API_KEY")
        if not key:
            raise ModelUnreachable(
                "Gemini needs a key and has none; set GEMINI_API_KEY, or pass api_key"
            )
        ours = socket_options(self._rules.connection.set_up_s)
        theirs = dict(http_options.get("async_client_args") or {})
        options = {**http_options, "async_client_args": {**ours, **theirs}}
        make: Callable[..., Any] = self._genai.Client
        try:
            return make(api_key=key, http_options=options)
        except ValueError as error:
            raise StageError(f"http_options cannot be used: {error}") from error
        except OSError as error:  # the SDK reads the certificates that it is to trust
            raise ModelUnreachable(
                "the certificates to trust cannot be read; check SSL_CERT_FILE and SSL_CERT_DIR: "
                f"{error}"
            ) from error
