"""Llama: a language model on this machine, from any GGUF file, through llama.cpp.

This file owns the running of llama.cpp: one server inside the process for each file, shared by all
sessions; and how SmolLM2, far too small for a real assistant, is made to hold a short talk.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec

from vivace.errors import ModelError, ModelMissing
from vivace.flow.processor import Processor
from vivace.flow.worker import stream_from_thread
from vivace.machines.sentences import sentence_ends
from vivace.models import store
from vivace.models.messages import Conversation, conversation, skipped_note
from vivace.part import Part

__all__ = ["DEMO", "OWN", "Llama", "Style"]

Message: TypeAlias = dict[str, str]

_SLOTS = 4  # conversations that generate at once; one more waits for a slot
_KV_TOKENS = 8192  # shared by the slots, so that one long talk may use what the others do not
_KV_TOKENS_SMOLLM2 = 4096  # 23 KB a token; its own limit is 2048 a conversation
_PROMPT_CACHE_MIB = 64  # prefixes kept outside the slots: a new session starts warm
_SHIFT_FROM = 8  # tokens; shorter runs of a prompt that moved are cheaper to read again
_BATCH_TOKENS = 64  # a prompt is read in such steps, and only between two can it be given up


class Style(msgspec.Struct, frozen=True):
    """What a model reads, and how it answers.

    system: stands first where the prompt has no system text of its own.
    examples: questions and answers that stand before the conversation, as if they had been said.
    history_turns: how many earlier exchanges it reads; None is all.
    max_tokens: the longest answer. sentences: where it ends at the latest; None is anywhere.
    stop: texts at which an answer ends. sampling: further settings of llama.cpp.
    schema: JSON schema that every answer is held to; it is then JSON, and nothing else.
    """

    system: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    history_turns: int | None = None
    max_tokens: int = 512
    sentences: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = {}
    schema: Mapping[str, Any] | None = None


OWN = Style(sampling={"temperature": 0.7, "top_p": 0.95})
"""For a file of one's own: it reads all of the conversation and follows the prompt."""

DEMO = Style(
    system=(
        "You are a friendly, cheerful voice assistant. You answer in one or two short spoken "
        "sentences. You never use lists, markdown or emoji."
    ),
    # One question and one request. Whatever an example speaks of comes back in answers to
    # everything else, so they speak of nothing in particular.
    examples=(
        (
            "Why is the sky blue?",
            "Sunlight scatters in the air, and blue light scatters the most. "
            "That is why the sky looks blue to us.",
        ),
        (
            "Could you come over here, please?",
            "Sure, I am coming over right now. What would you like to do next?",
        ),
    ),
    history_turns=2,
    max_tokens=48,
    sentences=2,
    stop=("\n",),
    # Without a penalty it repeats itself; a plain one, on single tokens, drives it off the
    # subject. DRY punishes only repeated runs of words.
    sampling={
        "temperature": 0.0,
        "seed": 1,
        "dry_multiplier": 0.8,
        "dry_allowed_length": 3,
        "repeat_penalty": 1.05,
        "repeat_last_n": 48,
    },
)
"""For SmolLM2-135M, which follows examples better than orders, and forgets what is far back."""


class Llama(Processor):
    """A turn model: reads the whole prompt, then yields the reply token by token.

    It reads text, and sound by the words that it carries. Anything else in the prompt is left out,
    and a `status` part says so. Tools cannot be called.

    Raises PartError if the prompt has nothing to answer, ModelError if it does not fit the context.
    """

    def __init__(self, engine: _Engine, style: Style) -> None:
        self._engine = engine
        self._style = style

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        system: str | None = None,
        examples: Sequence[tuple[str, str]] | None = None,
        history_turns: int | None = None,
        max_tokens: int | None = None,
        sentences: int | None = None,
        schema: Mapping[str, Any] | None = None,
        threads: int = 1,
    ) -> Llama:
        """Load and warm a model; blocks for a second or more.

        path: a GGUF file; None is SmolLM2 from the model store.
        threads: cores that it may use. The first to load a file decides for the process.
        schema: JSON schema that every answer is held to, as a detector of events needs it.
        Whatever else is left out is as in `DEMO` for SmolLM2, and as in `OWN` for other files; with
        a schema as in `OWN` for all, without chance.

        Raises ModelMissing if the file or xllamacpp is not there, ModelError if it is no model.
        """
        given = {
            "system": system,
            "examples": None if examples is None else tuple(examples),
            "history_turns": history_turns,
            "max_tokens": max_tokens,
            "sentences": sentences,
            "schema": schema,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        base = OWN if path else DEMO
        if schema is not None:
            base = msgspec.structs.replace(OWN, sampling={"temperature": 0.0})
        style = msgspec.structs.replace(base, **changes)
        file = Path(path) if path else store.path("smollm2")
        kv_tokens = _KV_TOKENS if path else _KV_TOKENS_SMOLLM2
        engine = _engine(file.expanduser().absolute(), threads, kv_tokens)
        llama = cls(engine, style)
        llama.warm()
        return llama

    def warm(self) -> None:
        """Read what stands before every conversation, so that the first turn need not. Blocks."""
        request = self._request(conversation([Part("Hello.")])) | {"max_tokens": 1}
        self._engine.produce(request, lambda _: False)

    async def call(self, stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
        """Read the prompt, then yield the reply as text, one part a token."""
        talk = conversation([part async for part in stream])
        if talk.skipped:
            yield skipped_note("the language model", talk.skipped)
        request = self._request(talk)
        engine = self._engine

        def produce(emit: Callable[[str], bool]) -> None:
            # The thread itself sees the end: by way of the loop it would come a token later, and
            # the slot with this conversation in its cache would still be busy at the next turn.
            ending = _Ending(self._style.sentences)
            engine.produce(request, lambda token: emit(ending.feed(token)) or ending.reached)

        tokens = stream_from_thread(produce, engine.threads)
        # Closed in so many words: a generator that is only dropped is closed at some later time.
        async with aclosing(cast("AsyncGenerator[str, None]", tokens)):
            async for text in tokens:
                if text:
                    yield Part(text, role="model")

    def _request(self, talk: Conversation) -> dict[str, Any]:
        style = self._style
        held = {"type": "json_schema", "json_schema": {"name": "answer", "schema": style.schema}}
        return {
            "messages": _messages(talk, style),
            "max_tokens": style.max_tokens,
            "stop": list(style.stop),
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,  # also while it reads, it asks whether anybody still listens
            **style.sampling,
            **({} if style.schema is None else {"response_format": held}),
        }


def _messages(talk: Conversation, style: Style) -> list[Message]:
    system = talk.system or style.system
    messages = [_message("system", system)] if system else []
    for question, answer in style.examples:
        messages += [_message("user", question), _message("assistant", answer)]
    turns = talk.turns
    if style.history_turns is not None:
        turns = turns[-1 - 2 * style.history_turns :]
    roles = {"user": "user", "model": "assistant"}
    return messages + [_message(roles[turn.role], turn.text.strip()) for turn in turns]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


# -- where an answer ends ------------------------------------------------------------------------


class _Ending:
    """Passes on tokens up to the end of the last sentence that is wanted."""

    def __init__(self, sentences: int | None) -> None:
        self._sentences = sentences
        self._text = ""
        self.reached = False

    def feed(self, token: str) -> str:
        """What of this token is still part of the answer."""
        if not self._text:
            token = token.lstrip()
        before = len(self._text)
        self._text += token
        if self._sentences is None:
            return token
        # The end of a sentence shows only when the next one begins: tokens come with their space.
        ends = [end for end in sentence_ends(self._text) if end < len(self._text)]
        if len(ends) < self._sentences:
            return token
        self.reached = True
        return self._text[before : ends[self._sentences - 1]].rstrip()


# -- llama.cpp -----------------------------------------------------------------------------------


class _Engine:
    """One loaded file, and the threads that wait for its tokens."""

    def __init__(self, path: Path, server: Any) -> None:
        self._path = path
        self._server = server
        self.threads: ThreadPoolExecutor = ThreadPoolExecutor(_SLOTS, thread_name_prefix="llama")

    def produce(self, request: Mapping[str, Any], emit: Callable[[str], bool]) -> None:
        """Generate, handing each token to `emit` until it returns True. Blocks, without the GIL."""
        if emit(""):
            return  # it was cancelled while it waited for a thread

        failures: list[object] = []

        def take(chunk: Mapping[str, Any]) -> bool:
            # An exception would be swallowed on its way through C++, and the reply just end.
            if "choices" not in chunk:
                error = chunk.get("error", chunk)
                failures.append(error.get("message", error))
                return True
            deltas = [choice["delta"].get("content") or "" for choice in chunk["choices"]]
            return emit("".join(deltas))

        try:
            self._server.handle_chat_completions(dict(request), take)
        except (RuntimeError, ValueError) as error:
            failures.append(error)
        if failures:
            raise ModelError(self._failure(failures[0]))

    def _failure(self, what: object) -> str:
        return (
            f"{self._path.name} could not answer: {what}; if the conversation is too long for it, "
            "give it fewer history_turns"
        )


def _engine(path: Path, threads: int, kv_tokens: int) -> _Engine:
    _check_gguf(path)
    # A link to a file is that file: it is not loaded twice.
    key = ("llama", path.resolve())
    return store.shared(key, lambda: _Engine(path, _start(path, threads, kv_tokens)))


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelMissing(f"{path} does not exist; give the path of a GGUF file") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelError(f"{path} begins with {magic!r}, so it is no GGUF file; give one that is")


def _start(path: Path, threads: int, kv_tokens: int) -> Any:
    xllamacpp = store.package("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = _SLOTS
    params.n_ctx = kv_tokens
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.kv_unified = True
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.n_cache_reuse = _SHIFT_FROM
    params.enable_reasoning = 0  # nobody waits on the line while a model thinks
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    params.ui = False
    # llama.cpp always opens a socket beside its functions, which we do not need: so it is one in
    # the file system, gone as soon as it is open. No port, and nobody else can reach it.
    params.api_keys = [secrets.token_hex(16)]
    params.n_threads_http = 1
    folder = tempfile.mkdtemp(prefix="vivace-")
    params.hostnames = [f"{folder}/llama.sock"]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ModelError(
            f"{path} cannot be loaded: it is damaged, too large for the memory, or of a kind that "
            "this llama.cpp does not know"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
