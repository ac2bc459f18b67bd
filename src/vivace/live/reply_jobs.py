"""The shell's side of replies: models that make them, and what gives them out.

This file owns what of a reply is made and not given out yet, and what was given out and perhaps not
heard: as much as an interruption for nothing has to bring back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from weakref import WeakKeyDictionary

import msgspec

from vivace.errors import ModelError
from vivace.flow.channel import Channel
from vivace.flow.clock import now
from vivace.flow.jobs import Shell
from vivace.flow.processor import Processor
from vivace.flow.run import current_run
from vivace.live.reply import FirstToken, GiveReply, MakeReply, OwnResponse, PromptEnded
from vivace.machines.joining import spaced, words_of
from vivace.machines.machine import Job
from vivace.machines.playout import Reply
from vivace.machines.tools import RunTool
from vivace.machines.window import Summarize
from vivace.part import Audio, Part, TurnComplete
from vivace.processors.summarize import summarized
from vivace.processors.tool import Toolbox

__all__ = ["Given", "ReplyJobs", "ReplyLimits"]

_CLEANUP_S = 0.5  # how long a new reply waits for the one before it to be gone
_MADE = 64  # parts that wait to be given out: a sentence or two of tokens
_MADE_S = 4.0  # seconds of audio that wait: the first sentence of a reply that is held
_KEPT_S = 120.0  # seconds of audio that may be on their way to the ear, in all stages together
_KEPT = 16_384  # parts likewise


class ReplyLimits(msgspec.Struct, frozen=True):
    """answer_within_s: for a model to say something, or something more. prompt_parts: parts that a
    prompt may have, and the user's turn on top of it."""

    answer_within_s: float
    prompt_parts: int


class ReplyJobs:
    """Does the jobs of one conversation.

    model: makes replies. voice: speaks what the program says; None passes it on as text.
    goes_on: tells of a reply whose model has stopped whether it only waits for tools.
    summarizer: writes the summaries that the prompt wants; needed if it wants any.
    """

    def __init__(
        self,
        model: Processor,
        voice: Processor | None,
        tools: Toolbox,
        goes_on: Callable[[int], bool],
        limits: ReplyLimits,
        summarizer: Processor | None = None,
    ) -> None:
        self._model = model
        self._summarizer = summarizer
        self._voice = voice
        self._tools = tools
        self._goes_on = goes_on
        self._limits = limits
        # Whoever wants a reply holds its job, and nobody else.
        self._replies: WeakKeyDictionary[MakeReply, _Reply] = WeakKeyDictionary()

    def told(self, job: Job, item: object) -> None:
        """Hand on what the conversation tells a reply that is being made."""
        assert isinstance(job, MakeReply)
        match item:
            case Part():
                self._of(job).more.send_nowait(item)
            case PromptEnded():
                self._of(job).end_prompt()
            case Reply():
                self._of(job).go_on_from(item)

    async def do(self, job: Job, shell: Shell) -> object:
        """Do a job."""
        match job:
            case RunTool(call=call):
                begun = now()
                try:
                    return await self._tools.run(call)
                finally:
                    current_run().measured(call.name, "tool_s", now() - begun)
            case MakeReply():
                # One reply at a time, unless the one before it will not die: the floor moves on.
                await shell.cleanup(_CLEANUP_S, MakeReply)
                await self._of(job).make(self._voice if job.said else self._model)
            case Summarize() if self._summarizer is not None:
                return await summarized(job, self._summarizer)
            case GiveReply():
                return await self._of(job.made).give(job, shell, self._goes_on)
        return None

    def _of(self, job: MakeReply) -> _Reply:
        reply = self._replies.get(job)
        if reply is None:
            before = None if job.after is None else self._of(job.after)
            reply = self._replies[job] = _Reply(job, self._limits, before)
        return reply


class _Reply:
    def __init__(self, job: MakeReply, limits: ReplyLimits, before: _Reply | None) -> None:
        self.more = Channel[Part](limits.prompt_parts)  # of the prompt, told after it was begun
        self._prompt = _Prompt(job.prompt, self.more)
        self._answer_within_s = limits.answer_within_s
        self._limit: asyncio.Timeout | None = None
        self._made = Channel[Part](_MADE, seconds=_MADE_S, weigh=lambda part: part.seconds)
        self._given: Given = before._given if before else Given()  # under the newest number
        self._again = deque[Part]()  # was given under an older one, and not heard
        if job.ended:
            self.more.close()

    # -- making -------------------------------------------------------------------------------

    def end_prompt(self) -> None:
        self.more.close()
        if self._limit is not None and self._limit.when() is None:
            self._limit.reschedule(now() + self._answer_within_s)

    async def make(self, model: Processor | None) -> None:
        """Let `model` make the reply; what it raises is told after what it made."""
        try:
            if model is None:
                async for text in self._prompt:
                    await self._made.send(text)
            else:
                async with aclosing(model(self._prompt)) as reply:
                    while (part := await self._next(reply)) is not None:
                        await self._made.send(part)
        except Exception as error:
            self._made.close(error)
        else:
            self._made.close()

    async def _next(self, reply: AsyncIterator[Part]) -> Part | None:
        """The next part; None at the end. Raises ModelError if it takes too long to answer."""
        limit_s = self._answer_within_s if self.more.closed else None
        try:
            async with asyncio.timeout(limit_s) as self._limit:
                return await anext(reply, None)
        except TimeoutError as error:
            if self._limit is None or not self._limit.expired():
                raise  # the model's own
            text = f"nothing more came within {self._answer_within_s:g} s"
            raise ModelError(text) from error
        finally:
            self._limit = None

    # -- giving -------------------------------------------------------------------------------

    def go_on_from(self, heard: Reply) -> None:
        """It is to be given under a new number, from there on.

        Now, and not when that is done: whoever does it may be stopped before they have begun.
        """
        self._again.extendleft(reversed(self._given.rest(heard)))
        self._given = Given()

    async def give(self, job: GiveReply, shell: Shell, goes_on: Callable[[int], bool]) -> str:
        """Give out what was made and was not heard, and what is made from now on.

        Returns what it said.
        """
        said = ""
        while self._again:
            part = self._again.popleft()
            said += words_of(part)
            await self._give(part.derive(turn=job.turn), shell)
        begun = False
        async for part in self._made:
            if not begun and (part.text or part.seconds or part.function_call):
                begun = True
                shell.post(FirstToken(job.turn))
            part = part.derive(turn=job.turn, role="model")
            if part.function_call or part.function_response:
                # It enters the conversation, whatever becomes of the reply.
                shell.post(OwnResponse(part) if part.function_response else part)
                continue
            if job.made.space and not said:
                part = spaced(part)
            said += words_of(part)
            await self._give(part, shell)
        if not goes_on(job.turn):
            await shell.emit(Part(TurnComplete(job.turn), role="model", turn=job.turn))
        return said

    async def _give(self, part: Part, shell: Shell) -> None:
        # Before it is sent: what an interruption takes out of the way was not heard either.
        if isinstance(part.body, str | Audio) and not part.substream:
            self._given.add(part)
        await shell.emit(part)


class _Prompt(AsyncIterator[Part]):
    """What was known when it was begun, which is copied nowhere, and then what is told."""

    def __init__(self, parts: tuple[Part, ...], more: Channel[Part]) -> None:
        self._parts = iter(parts)
        self._more = more

    async def __anext__(self) -> Part:
        part = next(self._parts, None)
        return await anext(self._more) if part is None else part


class Given:
    """The sound and text of a reply that were given out, as long as they may be on their way.

    At most 120 s of audio and 16,384 parts; what is older was heard long ago.
    """

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self._seconds = 0.0
        self._gone_s = 0.0  # what is not kept any more
        self._gone = ""

    def add(self, part: Part) -> None:
        """This is given out."""
        self._parts.append(part)
        self._seconds += part.seconds
        while self._seconds > _KEPT_S or len(self._parts) > _KEPT:
            old = self._parts.popleft()
            self._seconds -= old.seconds
            self._gone_s += old.seconds
            self._gone = (self._gone + _words(old)).lstrip()

    def rest(self, heard: Reply) -> list[Part]:
        """What of it was not heard, to the sample and to the word."""
        # What was heard is told without the space around it, and what is said next begins anew.
        letters = max(0, len(heard.text) - len(self._gone))
        whole = "".join(map(_words, self._parts))
        if letters and not self._gone:
            letters += len(whole) - len(whole.lstrip())
        if heard.text:
            letters += len(whole[letters:]) - len(whole[letters:].lstrip())
        seconds = heard.seconds - self._gone_s
        rest: list[Part] = []
        for part in self._parts:
            words = _words(part)
            new, letters = words[max(0, letters) :], letters - len(words)
            if isinstance(part.body, Audio):
                left = _cut(part.body, max(0.0, seconds), new)
                seconds -= part.body.seconds
                rest += [] if left is None else [part.derive(body=left)]
            elif new:
                rest.append(part.derive(body=new))
        return rest


def _words(part: Part) -> str:
    return part.body.words if isinstance(part.body, Audio) else part.text


def _cut(audio: Audio, seconds: float, words: str) -> Audio | None:
    """`audio` without its first `seconds`, and with what is left of its words."""
    fmt = audio.format
    # The sum of what was heard may be off by what floats lose: to the nearest frame, then.
    skip = min(round(seconds * fmt.rate) * fmt.frame_bytes, len(audio.pcm))
    if skip == len(audio.pcm) and not words.strip():
        return None
    return msgspec.structs.replace(audio, pcm=audio.pcm[skip:], words=words)
