"""What a model is told: pins, a summary of what left, and the newest turns word for word.

This file owns what becomes of a part: whether it enters, what it pushes out, what a reader of the
growing prompt gets. Times are seconds on a clock that only goes forward: one that jumps back stands
still here until it has caught up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vivace.errors import PartError
from vivace.machines import measure
from vivace.machines.admission import check_limits, is_said, judge, mended, rank_of
from vivace.machines.compaction import Compaction, Summarize
from vivace.machines.exchanges import Exchanges, Settled
from vivace.machines.heard import heard_of
from vivace.machines.machine import Item, JobDone, JobFailed, Machine, Output
from vivace.machines.measure import Counter, Limits, checked, count_bytes
from vivace.machines.pending import Pending, Prompts
from vivace.machines.policy import Policy
from vivace.machines.prompt_records import Change, PromptStatistics, Tally
from vivace.machines.retention import Important, Keywords, Rank, Unit, is_marked
from vivace.machines.room import cut_to_room
from vivace.machines.snapshot import Snapshot, check_room, moved
from vivace.machines.stash import Stash
from vivace.machines.tail import Tail
from vivace.part import Call, Interrupted, Part, Response, Signal, is_side_lane

__all__ = ["MAX_BYTES", "MAX_TOKENS", "Summarize", "Window"]

MAX_TOKENS = 32_000  # what models of today read with attention, and a second or so of their time
MAX_BYTES = 64_000_000  # half an hour of 16 kHz sound, or some hundred pictures
_HEADROOM = 16  # a prompt begins with this fraction of its limits free, for what comes meanwhile


class Window(Machine):
    """The prompt of a conversation that never ends.

    max_parts, max_bytes, max_tokens: what the prompt may hold, at all times, pins included.
    duration_s: parts older than this leave. policy: makes parts leave earlier.
    important: predicates; what one of them is true for outlives its turn, within a budget.
    compress: what leaves is summarised, and old media take a cheaper form. media_s: how old.
    summarize: summaries are written by whoever does `Summarize` jobs, as far as that is in time.
    count_tokens: the estimate of what a part costs.

    Whole turns of the user leave, the oldest first. What outlives them moves before the summary, in
    order. A turn that is too much by itself keeps the last that the user said in it, and its newest
    parts. Once a limit is reached so much leaves that half of what is not pinned is free.

    Raises PartError for limits that hold no conversation.
    """

    def __init__(
        self,
        max_parts: int = 1000,
        duration_s: float = 600.0,
        *,
        max_bytes: int = MAX_BYTES,
        max_tokens: int = MAX_TOKENS,
        policy: Policy | None = None,
        important: Sequence[Important] = (Keywords(),),
        compress: bool = True,
        media_s: float = 30.0,
        summarize: bool = False,
        summary_within_s: float = 20.0,
        count_tokens: Counter = measure.count_tokens,
    ) -> None:
        self._limits = Limits(max_parts, max_bytes, max_tokens)
        check_limits(self._limits)
        self._headroom = self._limits.less(self._limits.share(_HEADROOM))
        self._duration_s = duration_s
        self._important = tuple(important)
        self._count = count_tokens
        self._policies = [] if policy is None else [policy]
        # Nothing but estimates, limits and age to look at for each part.
        estimated = count_tokens is measure.count_tokens
        self._plain = estimated and policy is None and not summarize
        self._media_s = media_s
        self._compress = compress
        self._summarize = summarize
        self._summary_within_s = summary_within_s
        self._now = -math.inf
        self._start(Tally(), ())

    def _start(self, tally: Tally, stash: Sequence[tuple[Part, bool]]) -> None:
        self._tally = tally
        self._stash = Stash(self._limits, stash)
        self._tail = Tail(self._limits, self._count, judge(self._important, tally))
        self._exchanges = Exchanges(self._limits.parts // 4, self._duration_s)
        self._waiting = self._exchanges.groups  # calls; empty most of the time
        self._prompts = Prompts(self._tail, self._limits, tally)
        self._compaction = Compaction(
            self._tail,
            self._limits,
            self._policies,
            tally,
            self._prompts,
            count=self._count,
            media_s=self._media_s if self._compress else math.inf,
            compress=self._compress,
            summary_within_s=self._summary_within_s if self._summarize else 0.0,
            duration_s=self._duration_s,
        )

    def feed(self, item: Item, now: float) -> list[Output]:
        """Take a part in, or the answer to a `Summarize` job."""
        match item:
            case Part():
                return self.add(item, now)
            case JobDone(job=Summarize()) | JobFailed(job=Summarize()):
                out = self._compaction.answered(item, self._time(now))
                self._prompts.changed()
                return out
            case _:
                return []

    def finish(self, now: float) -> list[Output]:
        """Nothing more will come: a summary that is still being written is not waited for."""
        return self._compaction.cancel()

    def add(self, part: Part, now: float, *, pinned: bool = False) -> list[Output]:
        """Take a part in; what there is no room for any more leaves.

        pinned: it never leaves, as the system's parts never do. A part with a true
        `metadata["important"]` does not either, as long as there is room for pins.
        A call enters together with its response. `Interrupted` cuts the reply that it is about.

        Raises PartError if what is to be pinned exceeds the pins' half of a limit; then nothing has
        changed.
        """
        if now > self._now:
            self._now = now
        else:
            now = self._now
        body, role, metadata = part.body, part.role, part.metadata
        if (
            pinned
            or type(body) is not str
            or (metadata or not isinstance(metadata, dict))
            or (role != "user" and role != "model")
            or (part.substream or self._waiting or not self._plain)
        ):
            return self._add_any(part, pinned=pinned)
        # What `_add_any` does for plain text, spelled out: this is what a conversation costs.
        tail, tally = self._tail, self._tally
        seq = tally.seq = tally.seq + 1
        size = len(body) if body.isascii() else count_bytes(part)
        asks = role == "user"
        starts = asks and not tail.asked
        unit = Unit((part,), seq, now, (len(body) + 3) // 4, size, 0, asks, starts)
        if tail.push(unit) or now > self._compaction.look_at:
            return self._settle(unit)
        tail.log.append(part)
        if self._prompts.pending is not None:
            self._prompts.changed(unit)
        return []

    def _add_any(self, part: Part, *, pinned: bool) -> list[Output]:
        self._give_up_calls()
        if not (part.role and isinstance(part.metadata, dict)):
            part = mended(part, self._tally)
        body = part.body
        if isinstance(body, Call | Response | Signal):
            return self._add_apart(part, body, pinned=pinned)
        if part.substream and is_side_lane(part.substream):
            return self._refuse("side_lane", part)
        tokens, size = checked(self._count, part), count_bytes(part)
        rank = rank_of(part, self._tail.pins, size, tokens, self._tally, pinned=pinned)
        seq = self._tally.seq = self._tally.seq + 1
        if part.role == "system":
            return self._lead(Unit((part,), seq, self._now, tokens, size, rank))
        asks = part.role == "user"
        starts = asks and not self._tail.asked
        return self._enter(Unit((part,), seq, self._now, tokens, size, rank, asks, starts))

    def stash(self, part: Part, *, pinned: bool = False) -> None:
        """Keep a part aside until `apply_stash`.

        Raises FlowError once as much is stashed as a prompt can hold.
        """
        self._stash.put(part, pinned=pinned)

    def apply_stash(self, now: float) -> list[Output]:
        """Add what was stashed, in order, as if it came now.

        A pin without room stays as an important part does, one of the system's is refused; counted.
        """
        out: list[Output] = []
        for part, pinned in self._stash.take():
            try:
                out += self.add(part, now, pinned=pinned)
            except PartError:
                if part.role == "system":
                    out += self._refuse("pins", part)
                else:
                    self._tally.unpinned += 1
                    out += self.add(part, now)
        return out

    def cut_reply(
        self, turn: int, now: float, *, heard: str | None = None, played_s: float = 0.0
    ) -> list[Output] | None:
        """Reply `turn` was interrupted: leave of it what was heard, marked `interrupted`.

        heard: what that is. Without it, what was said in the first `played_s` seconds: by the words
        that its audio carries, else in proportion. If that is nothing, the reply leaves.
        Returns None if nothing of it is in the prompt word for word.

        Raises PartError if it is neither said nor can be told how much was heard.
        """
        units = self._tail.units
        found = [index for index, unit in enumerate(units) if is_said(unit, turn)]
        if not found:
            return None
        cut = [units[index] for index in found]
        text = heard_of([unit.parts[0] for unit in cut], played_s) if heard is None else heard
        self._compaction.replace_reply(found, text, self._time(now))
        self._prompts.void(f"reply {turn} in it was interrupted; take pending() anew")
        # What is told may be longer than what there was.
        out = self._compaction.settle(None, self._now) if self._tail.excess() else []
        self._prompts.changed()
        return out

    # -- the growing prompt -------------------------------------------------------------------

    def pending(self, now: float) -> tuple[Pending, list[Output]]:
        """The prompt of the next turn: what is there, then what is added until `finalize`.

        Raises FlowError if the one before was not finalized.
        """
        self._prompts.check_none()
        self._time(now)
        self._give_up_calls()
        size = self._tail.size
        crowded = self._headroom.exceeded(size.parts, size.bytes, size.tokens)
        out = self._compaction.settle(None, self._now, "headroom" if crowded else "")
        return self._prompts.begin(), out

    def finalize(self) -> None:
        """The pending prompt is complete. Does nothing if there is none."""
        self._prompts.finalize()

    def parts(self, start: int = 0) -> list[Part]:
        """The prompt as it stands, from its part `start` on."""
        return self._tail.log[start:]

    def cut(self, parts: Sequence[Part], before: Sequence[Part]) -> list[Part]:
        """What there is room for of `parts` in a prompt that begins with `before` for good."""
        return cut_to_room(parts, before, self._limits, self._tail.pins.held, self._count)

    def __len__(self) -> int:
        return self._tail.parts

    @property
    def generation(self) -> int:
        """Another number whenever anything but the end of the prompt has changed."""
        return self._tail.generation

    def settle_calls(self, now: float) -> list[Output]:
        """Let calls that were answered enter, though others of their turn were not yet."""
        self._time(now)
        parts = self._exchanges.split()
        return [it for settled in parts for it in self._enter_block(settled, late=True)]

    # -- how it stands ------------------------------------------------------------------------

    def statistics(self) -> PromptStatistics:
        """How it stands now, and all that was done. Looks at every part."""
        tail, tally = self._tail, self._tally
        return PromptStatistics(
            parts=tail.parts,
            bytes=tail.bytes,
            tokens=tail.tokens,
            pins=sum(len(unit.parts) for unit in (*tail.system, *tail.pins.units)),
            pinned=tail.pins.held.parts,
            turns=tail.turns,
            stashed=len(self._stash.entries),
            open_calls=len(self._exchanges),
            orphans=tail.orphans(),
            **tally.frozen(),
        )

    def snapshot(self, now: float) -> Snapshot:
        """All that it knows, ages instead of times."""
        self._time(now)
        tail = self._tail
        return Snapshot(
            system=[moved(unit, -self._now) for unit in tail.system],
            pins=[moved(unit, -self._now) for unit in tail.pins.units],
            summary=tail.summary,
            units=[moved(unit, -self._now) for unit in tail.units],
            beheaded=tail.beheaded,
            groups=self._exchanges.dump(self._now),
            answered=list(self._exchanges.answered),
            retry_at=self._compaction.retry_at,
            stash=list(self._stash.entries),
            handed=self._prompts.handed,
            same=self._prompts.same,
            tally=self._tally,
        )

    def restore(self, snapshot: Snapshot, now: float) -> list[Output]:
        """Be as a window was, with the limits of this one. What was here is forgotten.

        Raises FlowError while a pending prompt is not finalized, PartError if pins have no room.
        """
        self._prompts.check_none()
        check_room(snapshot, self._tail.pins.budget)
        self._now = now = now if math.isfinite(now) else 0.0
        out = self._compaction.cancel()
        self._start(snapshot.tally.copy(), snapshot.stash)
        self._exchanges.load(snapshot.groups, snapshot.answered, now)
        self._tail.load(snapshot, now)
        self._prompts.handed, self._prompts.same = snapshot.handed, snapshot.same
        self._compaction.retry_at = snapshot.retry_at
        return out + self._compaction.settle(None, now) if self._tail.excess() else out

    # -- inside -------------------------------------------------------------------------------

    def _time(self, now: float) -> float:
        if now > self._now:
            self._now = now
        return self._now

    def _add_apart(
        self, part: Part, body: Call | Response | Signal, *, pinned: bool
    ) -> list[Output]:
        """What does not enter by itself: tool traffic, which goes in pairs, and signals."""
        tally = self._tally
        tally.seq += 1
        if isinstance(body, Interrupted):
            tally.extra += 1
            return self.cut_reply(body.turn, self._now, heard=body.heard) or []
        if isinstance(body, Signal):
            return self._refuse("signal", part, added=0)
        pinned = pinned or is_marked(part.metadata)
        if isinstance(body, Call):
            if not self._exchanges.call(part, body, tally.seq, self._now, pinned=pinned):
                return self._refuse("duplicate_call", part, added=0)
            self._give_up_calls()
            return []
        settled = self._exchanges.response(part, body, pinned=pinned)
        if settled is False:
            return self._refuse("duplicate_response", part, added=0)
        if settled is None:
            return []
        if settled.restored:
            tally.repair("no_call")
        return self._enter_block(settled)

    def _enter_block(self, settled: Settled, *, late: bool = False) -> list[Output]:
        """Calls enter with their responses. late: not with the last of these."""
        parts, tail = settled.parts, self._tail
        self._tally.seq += late
        self._tally.extra += late
        tokens = sum(checked(self._count, part) for part in parts)
        size = sum(count_bytes(part) for part in parts)
        if len(parts) >= self._limits.parts - tail.pins.held.parts:  # beside a question
            return self._refuse("too_large", *parts, added=0)
        rank = Rank.IMPORTANT
        if settled.pinned and not tail.pins.room(len(parts), size, tokens):
            rank = Rank.PINNED
        elif settled.pinned:
            self._tally.unpinned += len(parts)
        return self._enter(Unit(parts, self._tally.seq, self._now, tokens, size, rank))

    def _give_up_calls(self) -> None:
        while (settled := self._exchanges.overdue(self._now)) is not None:
            self._tally.note(Change(self._now, "evicted", "unanswered", settled.unanswered, 0, 0))
            if settled.parts:
                self._enter_block(settled, late=True)

    def _enter(self, unit: Unit) -> list[Output]:
        self._tail.push(unit)
        return self._settle(unit)

    def _settle(self, unit: Unit) -> list[Output]:
        out = self._compaction.settle(unit, self._now)
        self._prompts.changed(unit)
        return out

    def _lead(self, unit: Unit) -> list[Output]:
        (tail := self._tail).lead(unit)
        out: list[Output] = []
        if tail.excess() or len(tail.log) > len(tail.system) - 1:  # others stand there already
            self._compaction.rebuild()
            out = self._compaction.settle(None, self._now)
        else:
            tail.log.append(unit.parts[0])
        self._prompts.changed(unit)
        return out

    def _refuse(self, reason: str, *parts: Part, added: int = 1) -> list[Output]:
        self._tally.seq += added
        tokens = sum(checked(self._count, part) for part in parts)
        self._tally.note(Change(self._now, "refused", reason, len(parts), tokens, 0))
        return []
