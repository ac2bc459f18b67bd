"""`RollingPrompt`: what is known, within bounds, and growing while the user speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Literal, Self

from vivace.errors import PartError
from vivace.flow.background import Background
from vivace.flow.clock import now
from vivace.flow.processor import Processor
from vivace.flow.reading import read
from vivace.machines import measure, snapshot
from vivace.machines.machine import Cancel, Item, Output
from vivace.machines.measure import Counter
from vivace.machines.policy import Policy
from vivace.machines.prompt_records import PromptStatistics
from vivace.machines.retention import Important, Keywords
from vivace.machines.window import MAX_BYTES, MAX_TOKENS, Summarize, Window
from vivace.part import Part
from vivace.processors.summarize import summarized

__all__ = ["Priority", "RollingPrompt"]

Priority = Literal["normal", "high"]


class RollingPrompt:
    """The prompt of a conversation that never ends.

    duration_sec: parts older than this leave, a whole turn at a time. max_parts, max_tokens,
        max_bytes: what the prompt may hold, at all times, pins included.
    compression_enabled: what leaves is summarised; old sound becomes its transcript and old
        pictures their caption, or one picture a turn.
    summarizer: a turn processor that writes the summaries, in the background, within
        `summary_within_s` seconds. Without one, and whenever it fails, the first, the last and the
        weightiest of what left are quoted.
    policy: makes parts leave earlier than the limits would.
    important: predicates; a part that one of them is true for outlives its turn while there is
        room. By default the words error, warning, critical, important and remember make it so.
    media_sec: how old sound and pictures stay as they are, at least.
    count_tokens: the estimate of what a part costs.

    A high-priority part and the system's never leave. Used inside a running loop, whose clock tells
    how old a part is. `async with` it, or `aclose` it, if it has a summarizer outside of a run.

    Raises PartError for limits that hold no conversation.
    """

    def __init__(
        self,
        duration_sec: float = 600.0,
        max_parts: int = 1000,
        compression_enabled: bool = True,
        *,
        max_tokens: int = MAX_TOKENS,
        max_bytes: int = MAX_BYTES,
        summarizer: Processor | None = None,
        summary_within_s: float = 20.0,
        policy: Policy | None = None,
        important: Sequence[Important] = (Keywords(),),
        media_sec: float = 30.0,
        count_tokens: Counter = measure.count_tokens,
    ) -> None:
        self._window = Window(
            max_parts,
            duration_sec,
            max_bytes=max_bytes,
            max_tokens=max_tokens,
            policy=policy,
            important=important,
            compress=compression_enabled,
            media_s=media_sec,
            summarize=compression_enabled and summarizer is not None,
            summary_within_s=summary_within_s,
            count_tokens=count_tokens,
        )
        self._summarizer = summarizer
        self._background: Background | None = None

    # -- parts --------------------------------------------------------------------------------

    def add_part(self, part: Part, priority: Priority = "normal") -> None:
        """Add a part; whoever reads `pending` gets it too.

        Tool calls wait until they are answered and enter with their responses. `Interrupted` cuts
        the reply that it is about to what was heard. Side lanes and other signals are left out.

        Raises PartError if what is to be pinned exceeds the pins' half of a limit.
        """
        if part.__class__ is not Part or priority != "normal":
            _check(part, priority)
        out = self._window.add(part, now(), pinned=priority == "high")
        if out:
            self._act(out)

    def stash_part(self, part: Part, priority: Priority = "normal") -> None:
        """Keep a part aside until `apply_stash`: what comes while the model speaks.

        Raises FlowError once as much is stashed as the prompt can hold.
        """
        _check(part, priority)
        self._window.stash(part, pinned=priority == "high")

    def apply_stash(self) -> None:
        """Add what was stashed, in order. Pins without room stay only as important parts do."""
        self._act(self._window.apply_stash(now()))

    def cut_reply(self, turn: int, *, heard: str | None = None, played_s: float = 0.0) -> bool:
        """Reply `turn` was interrupted: leave of it what was heard, marked `interrupted`.

        heard: what that is. Without it, what was said in the first `played_s` seconds: by the words
        that its audio carries, else in proportion. If that is nothing, the reply leaves.
        Returns False if nothing of it is in the prompt word for word.

        Raises PartError if it can be told neither way.
        """
        out = self._window.cut_reply(turn, now(), heard=heard, played_s=played_s)
        self._act(out or [])
        return out is not None

    # -- prompts ------------------------------------------------------------------------------

    def pending(self) -> AsyncIterator[Part]:
        """The prompt of the next turn: what is there, then what is added, until it is finalized.

        For one reader. Its beginning is that of the prompt before, as far as that can be.

        Raises FlowError if the one before was not finalized. While it is read: PromptChanged if it
        outgrows its limits, or if a reply in it was not heard; take `pending()` anew.
        """
        pending, out = self._window.pending(now())
        self._act(out)
        return read(pending)

    def finalize_pending(self) -> None:
        """The pending prompt is complete: the model may answer. Does nothing if there is none."""
        self._window.finalize()

    def parts(self) -> list[Part]:
        """The prompt as it stands."""
        return self._window.parts()

    def statistics(self) -> PromptStatistics:
        """How it stands, and what was done to it."""
        return self._window.statistics()

    # -- keeping ------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All that it knows, to go on with elsewhere; ages are kept, not times.

        Raises PartError if a part holds what cannot be written down.
        """
        return snapshot.encode(self._window.snapshot(now()))

    def restore(self, saved: bytes) -> None:
        """Be as the prompt that `saved` is of, within the limits of this one.

        Raises PartError if it is none or its pins have no room here, FlowError while a pending
        prompt is not finalized; then nothing has changed.
        """
        self._act(self._window.restore(snapshot.decode(saved), now()))

    async def aclose(self) -> None:
        """Stop a summary that is being written. The prompt can still be used."""
        self._act(self._window.finish(now()))
        if self._background is not None:
            await self._background.aclose()
            self._background = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # -- inside -------------------------------------------------------------------------------

    def _act(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Summarize):
                assert self._summarizer is not None, "the window asks for summaries only with one"
                if self._background is None:
                    self._background = Background(self._answered)
                self._background.begin(output, partial(summarized, output, self._summarizer))
            elif isinstance(output, Cancel) and self._background is not None:
                self._background.cancel(output.job)

    def _answered(self, answer: Item) -> None:
        self._act(self._window.feed(answer, now()))


def _check(part: object, priority: str) -> None:
    if part.__class__ is not Part:
        raise PartError(f"{part!r} is no part; make one of it with Part.of(...)")
    if priority != "normal" and priority != "high":
        raise PartError(f"a priority of {priority!r} is unknown; use 'normal' or 'high'")
