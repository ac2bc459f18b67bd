"""What has left a prompt, in a few lines.

This file owns the making of summaries without a model (the first, the last and the weightiest of
what left, with a count of the rest), the folding of old ones into new ones, and how a summary
reads. Whoever wrote it, it is quoted: a line of it never begins without its mark, and it never has
the system's role.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence

import msgspec

from vivace.machines.measure import Counter, Limits, as_json, checked, count_bytes
from vivace.machines.retention import Rank, Unit
from vivace.part import Audio, Call, Data, Event, Image, Part, Response

__all__ = ["Line", "Summary", "extracted", "line_of", "role_of", "told", "weight"]

_LINE_CHARS = 200  # longer ones are cut: two or three sentences
_MOST_LINES = 64  # in a summary, however large its budget is
_NOTHING = -100.0  # below any weight
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?<=[\w,;:] )[A-Z][\w'-]*[a-z]")  # a capital that begins no sentence
_OWN = re.compile(r"\b(?:[Mm]y|[Mm]ine|[Oo]ur|I'm|I (?:am|have|live|like|want|need)|[Cc]all me)\b")


class Line(msgspec.Struct, frozen=True):
    """One part of what left, as a summary quotes it."""

    seq: int
    role: str
    text: str
    weight: float


class Summary(msgspec.Struct, frozen=True):
    """What stands for the parts that left.

    first, last: the numbers of the first and the last part that it covers, among all that were
    ever added. parts: how many it covers; pins between them are not among those.
    lines: what it quotes. text: what a model made of it, "" if none did.
    """

    first: int
    last: int
    parts: int
    lines: tuple[Line, ...] = ()
    text: str = ""

    def part(self) -> Part:
        """It as a part of a prompt: the user's text, since the user's side hands it in."""
        if self.text:
            head, said = f"[Earlier, {self.parts} parts in short:]", _quoted(self.text)
        else:
            left = self.parts - len(self.lines)
            head = f"[Earlier, with {left} parts left out:]" if left > 0 else "[Earlier:]"
            said = "\n".join(f"> {line.role}: {line.text}" for line in self.lines)
        metadata = {"summary": {"first": self.first, "last": self.last, "parts": self.parts}}
        return Part(f"{head}\n{said}\n" if said else f"{head}\n", metadata=metadata)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line.strip()}" for line in text.splitlines() if line.strip())


def extracted(
    empty: Summary, old: Summary | None, units: Sequence[Unit], budget: Limits, count: Counter
) -> Summary | None:
    """`empty` filled with lines of `old` and of `units`; None if the budget has no room for it.

    It has the first and the last line, and of the others those with most weight, in order.
    """
    found = list(_candidates(old, units))
    ends = {found[0][1], found[-1][1]} if found else set()
    ranked = heapq.nlargest(_MOST_LINES, found, key=lambda it: (it[1] in ends, it[0], it[1]))
    chars = budget.tokens * 4
    most = max(_LINE_CHARS // 5, min(_LINE_CHARS, chars // 4))  # no line has it all to itself
    chosen = _within([_line(*it, most) for it in ranked], chars)
    while True:
        kept = tuple(sorted(chosen, key=lambda line: line.seq))
        summary = msgspec.structs.replace(empty, lines=kept)
        if fits(summary, budget, count):
            return summary
        if not chosen:
            return None
        chosen.pop()


def fits(summary: Summary, budget: Limits, count: Counter) -> bool:
    """True if it is within `budget`."""
    part = summary.part()
    return not budget.exceeded(1, count_bytes(part), checked(count, part))


def told(text: str, empty: Summary, budget: Limits, count: Counter) -> tuple[Summary | None, bool]:
    """What a model told, as a summary, and whether it had to be cut; None if there is no room."""
    cut = False
    while text:
        summary = msgspec.structs.replace(empty, text=text)
        if fits(summary, budget, count):
            return summary, cut
        cut = True
        text = text[: len(text) * 7 // 8].rstrip() if len(text) > 1 else ""
    return None, cut


def _candidates(
    old: Summary | None, units: Iterable[Unit]
) -> Iterable[tuple[float, int, Part | Line]]:
    """Weight, number, and what it is, in order. The old ones first: their numbers are smaller."""
    if old is not None:
        for line in old.lines:
            yield line.weight, line.seq, line
        # What a model wrote is dense: it is kept before anything that was only said.
        for sentence in _sentences(old.text):
            yield 10.0, old.last, Line(old.last, "summary", sentence, 10.0)
    for unit in units:
        bonus = 4.0 if unit.rank >= Rank.IMPORTANT else 0.0
        for part in unit.parts:
            worth = weight(part)
            if worth > _NOTHING:
                yield worth + bonus, unit.seq, part


def _line(worth: float, seq: int, what: Part | Line, most: int) -> Line:
    if isinstance(what, Line):
        return msgspec.structs.replace(what, text=_clipped(what.text, most))
    return Line(seq, role_of(what), _clipped(line_of(what), most), worth)


def _sentences(text: str) -> list[str]:
    return [_clipped(it.strip()) for it in re.split(r"(?<=[.!?])\s+|\n", text) if it.strip()]


def _within(ranked: Iterable[Line], chars: int) -> list[Line]:
    """The first of `ranked` that fit: a rough cut, so that the exact one has little to do."""
    chosen: list[Line] = []
    for line in ranked:
        chars -= len(line.text) + len(line.role) + 5
        if chars < 0:
            break
        chosen.append(line)
    return chosen


def line_of(part: Part) -> str:
    """A part in one line of text; "" if it says nothing."""
    body = part.body
    match body:
        case str():
            text = body
        case Audio():
            text = body.words or str(part.metadata.get("transcript", ""))
        case Image():
            text = str(part.metadata.get("caption", ""))
        case Call():
            text = f"called {body.name} {as_json(body.args)}"
        case Response():
            text = f"{body.name} answered {body.error or as_json(body.result)}"
        case Data():
            text = as_json(body.value) if body.value is not None else ""
        case Event():
            text = body.told
        case _:
            text = ""
    return " ".join(text.split())


def _clipped(line: str, most: int = _LINE_CHARS) -> str:
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def role_of(part: Part) -> str:
    """Who says it, as a summary tells it."""
    if isinstance(part.body, Call | Response):
        return "tool"
    return "user" if part.role == "user" else "model"


def weight(part: Part) -> float:
    """How much a part is worth quoting: facts that people state about themselves, before talk.

    The marks are of English text; in other languages numbers and length are left. Less than all
    others for a part that says nothing.
    """
    text = part.body if isinstance(part.body, str) else line_of(part)
    if not text or text.isspace():
        return _NOTHING
    text = text[:_LINE_CHARS]
    worth = min(len(text), 100) / 200
    if part.role == "user":
        worth += 3.0
    if _DIGIT.search(text):
        worth += 2.0
    if _NAME.search(text):
        worth += 2.0
    if _OWN.search(text):
        worth += 2.0
    if text.endswith("?"):
        worth -= 2.0
    return worth
