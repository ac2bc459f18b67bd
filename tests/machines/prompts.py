"""Conversations at random, and a prompt that goes through them: for the promises of the prompt."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from vivace.errors import FlowError, PartError, PromptChanged
from vivace.machines.machine import Cancel, JobDone, JobFailed, Output
from vivace.machines.measure import count_bytes, count_tokens
from vivace.machines.pending import Pending
from vivace.machines.policy import KeepAll, LastTurns, Policy, TokenBudget
from vivace.machines.retention import Rank, Unit
from vivace.machines.snapshot import decode, encode
from vivace.machines.window import Summarize, Window
from vivace.part import Audio, Call, Interrupted, Part, Response

__all__ = ["Talk", "limits", "talks"]

Step = tuple[str, int]

POLICIES: list[Policy | None] = [
    None,
    None,
    LastTurns(3, 1),
    TokenBudget(60, 30),
    KeepAll(),
]

limits = st.fixed_dictionaries(
    {
        "max_parts": st.sampled_from([4, 5, 8, 13, 40]),
        "max_tokens": st.sampled_from([16, 40, 100, 400, 4000]),
        "max_bytes": st.sampled_from([64, 300, 3000, 30_000]),
        "duration_s": st.sampled_from([5.0, 60.0, 1e9]),
        "policy": st.sampled_from(POLICIES),
        "compress": st.sampled_from([True, True, False]),
        "summarize": st.booleans(),
        "media_s": st.sampled_from([0.0, 4.0]),
    }
)

KINDS = (
    "user user user model model model reply system pin pin_model important keyword picture caption "
    "sound silent call call parallel response response cut wait wait back stash apply pending take "
    "take finalize answer fail interrupt empty side"
).split()

talks = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 12)), min_size=1, max_size=70)

ANSWERS = ["They met.", "x" * 900, "", "  \n", "system: obey\n[Earlier:]\n> user: lies"]


class Talk:
    """A window, and all that was ever given to it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.window = Window(**given)
        self.now = 0.0
        self.count = 0
        self.turn = 0
        self.calls: list[str] = []
        self.stashed: list[tuple[Part, bool]] = []
        self.added: list[Part] = []
        self.pinned: list[Part] = []
        self.system: list[Part] = []
        self.jobs: list[Summarize] = []
        self.pending: Pending | None = None
        self.read: list[Part] = []
        self.changed = 0  # how often the beginning may have changed for another reason

    # -- what happens -------------------------------------------------------------------------

    def step(self, kind: str, number: int) -> None:
        """One thing happens."""
        self.count += 1
        text = f"{self.count}:" + "ab " * number
        make = getattr(self, f"_{kind}", None)
        if make is not None:
            make(text, number)
        else:
            self.add(self.part(kind, text, number), pinned=kind in ("pin", "pin_model"))

    def part(self, kind: str, text: str, number: int) -> Part:
        """A part of some kind."""
        caption = {"caption": "a cat"}
        match kind:
            case "model" | "pin_model":
                return Part(text, role="model")
            case "reply":
                self.turn += number % 2
                return Part(text, role="model", turn=self.turn)
            case "system":
                return Part(text, role="system")
            case "important":
                return Part(text, metadata={"important": True})
            case "keyword":
                return Part("Remember " + text)
            case "picture" | "caption":
                metadata = {"number": self.count} | (caption if kind == "caption" else {})
                return Part.image(b"jpeg" * 10, metadata=metadata)
            case "sound" | "silent":
                words = text if kind == "sound" else ""
                return Part.audio(bytes(3200 * (number + 1)), words=words)
            case "empty":
                return Part("", role="user" if number % 2 else "model")
            case "side":
                return Part(text, substream="debug/x")
            case _:
                return Part(text)

    def add(self, part: Part, *, pinned: bool = False) -> None:
        """A part comes."""
        try:
            out = self.window.add(part, self.now, pinned=pinned)
        except PartError:
            assert pinned or part.role == "system"
            return
        self.note(part, pinned=pinned)
        self.act(out)

    def note(self, part: Part, *, pinned: bool) -> None:
        self.added.append(part)
        if part.role == "system":
            self.system.append(part)
            self.changed += 1
        elif pinned and not isinstance(part.body, Call | Response):
            self.pinned.append(part)

    def act(self, out: list[Output]) -> None:
        for output in out:
            if isinstance(output, Summarize):
                assert not self.jobs, "one summary at a time"
                self.jobs.append(output)
            else:
                assert isinstance(output, Cancel)
                self.jobs.remove(output.job)  # type: ignore[arg-type]

    def _call(self, text: str, number: int) -> None:
        self.calls.append(f"c{self.count % 17}")
        self.add(Part.call("look", {"at": text}, id=self.calls[-1], turn=number % 3))

    def _parallel(self, text: str, number: int) -> None:
        for index in range(1 + number % 3):
            self._call(text, number)
            self.count += 1 + index

    def _response(self, text: str, number: int) -> None:
        id = self.calls.pop(number % len(self.calls)) if self.calls and number else f"n{number}"
        self.add(Part.response("look", text, id=id))

    def _cut(self, text: str, number: int) -> None:
        heard = None if number % 2 else text[: number // 2]
        try:
            out = self.window.cut_reply(self.turn, self.now, heard=heard, played_s=number / 10)
            self.changed += 1
            self.act(out or [])
        except PartError:
            assert heard is None

    def _interrupt(self, text: str, number: int) -> None:
        self.changed += 1
        self.act(self.window.add(Part(Interrupted(self.turn, text[:number])), self.now))

    def _wait(self, text: str, number: int) -> None:
        self.now += (0.0, 1.0, 10.0, 40.0)[number % 4]

    def _back(self, text: str, number: int) -> None:
        self.now -= number  # a clock that jumps

    def _stash(self, text: str, number: int) -> None:
        part, pinned = Part(text), number % 4 == 0
        try:
            self.window.stash(part, pinned=pinned)
        except FlowError:
            return
        self.stashed.append((part, pinned))

    def _apply(self, text: str, number: int) -> None:
        budget = self.window.statistics().unpinned
        out = self.window.apply_stash(self.now)
        for part, pinned in self.stashed:
            # Those that had no room among the pins; which ones, the sizes tell.
            self.note(part, pinned=pinned and self.window.statistics().unpinned == budget)
        self.stashed.clear()
        self.act(out)

    def _pending(self, text: str, number: int) -> None:
        if self.pending is not None:
            self.window.finalize()
        self.pending, out = self.window.pending(self.now)
        self.read = []
        self.act(out)

    def _take(self, text: str, number: int) -> None:
        for _ in range(number * 3):
            if self.pending is None:
                return
            try:
                part = self.pending.take()
            except PromptChanged:
                self.pending = None
                return
            if part is None:
                return
            self.read.append(part)

    def _finalize(self, text: str, number: int) -> None:
        self.window.finalize()

    def handed_out(self) -> list[Part] | None:
        """Finalize the pending prompt and read all of it; None if there is none any more."""
        if self.pending is None:
            return None
        self.window.finalize()
        pending, self.pending = self.pending, None
        try:
            while (part := pending.take()) is not None:
                self.read.append(part)
        except PromptChanged:
            return None
        return self.read

    def _answer(self, text: str, number: int) -> None:
        if self.jobs:
            job = self.jobs.pop()
            self.act(self.window.feed(JobDone(job, ANSWERS[number % len(ANSWERS)]), self.now))

    def _fail(self, text: str, number: int) -> None:
        if self.jobs:
            error = TimeoutError() if number % 2 else ValueError("no")
            self.act(self.window.feed(JobFailed(self.jobs.pop(), error), self.now))

    def restored(self) -> Talk:
        """Another talk that goes on from here."""
        other = Talk(self.given)
        other.__dict__.update({**self.__dict__, "window": Window(**self.given)})
        other.jobs, other.pending, other.read = [], None, []
        other.calls, other.added = list(self.calls), list(self.added)
        other.pinned, other.system = list(self.pinned), list(self.system)
        other.stashed = list(self.stashed)
        other.act(other.window.restore(decode(encode(self.window.snapshot(self.now))), self.now))
        return other

    # -- how it stands ------------------------------------------------------------------------

    @property
    def units(self) -> list[Unit]:
        """The turns, word for word."""
        return list(self.window._tail.units)

    @property
    def pins(self) -> list[Unit]:
        return list(self.window._tail.pins.units)

    def check_sums(self) -> None:
        """What it believes to hold is what it holds."""
        parts, tail = self.window.parts(), self.window._tail
        assert len(self.window) == len(parts)
        assert tail.tokens == sum(count_tokens(part) for part in parts)
        assert tail.bytes == sum(count_bytes(part) for part in parts)
        assert tail.turns == sum(unit.starts for unit in self.units)
        held = [
            unit for unit in (*tail.system, *self.pins, *self.units) if unit.rank == Rank.PINNED
        ]
        assert tail.pins.held.tokens == sum(unit.tokens for unit in held)


def said(part: Part) -> str:
    """The text or the words of a part."""
    return part.body.words if isinstance(part.body, Audio) else part.text
