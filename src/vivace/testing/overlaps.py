"""Sounds over an agent: some want the floor, most do not. How well does an agent tell them apart?

This file owns the set and the two definitions. A real interruption counts as yielded if nothing of
the reply is heard later than 2 s after it began. Anything else counts as ignored if the reply is
not cut within 1 s after it began.
"""

from __future__ import annotations

import random
from typing import Literal, TypeAlias

import msgspec

from vivace.part import Audio, Held, Interrupted
from vivace.testing.dialogue import (
    Backchannel,
    Cough,
    Dialogue,
    Listen,
    Reply,
    Say,
    SideTalk,
    Step,
    TalkOver,
    Timing,
)
from vivace.testing.generate import HUMS
from vivace.testing.simulate import Course

__all__ = ["KINDS", "Kind", "Overlap", "Verdict", "judged", "overlaps"]

Kind: TypeAlias = Literal["interruption", "backchannel", "cough", "side talk"]
KINDS: tuple[Kind, ...] = ("interruption", "backchannel", "cough", "side talk")
_YIELD_S, _IGNORE_S = 2.0, 1.0
_WORDS = (
    "stop wait please listen not that one hold on what about tomorrow instead tell me the price "
    "again could everybody repeat slower book another table for six people".split()
)


class Overlap(msgspec.Struct, frozen=True):
    """One sound over a reply of 18 s."""

    kind: Kind
    dialogue: Dialogue


class Verdict(msgspec.Struct, frozen=True):
    """What became of it. silent_s: until the agent fell silent, held or cut; None if it did not.

    right: by the definitions of this file. cut: the reply was cut in the end, however late.
    """

    kind: Kind
    right: bool
    cut: bool
    silent_s: float | None


def overlaps(count: int, seed: int = 0) -> list[Overlap]:
    """`count` of each kind, the same for the same seed."""
    draw = random.Random(seed)
    return [
        Overlap(kind, _dialogue(_sound(kind, draw), draw, number))
        for kind in KINDS
        for number in range(count)
    ]


def judged(overlap: Overlap, course: Course) -> Verdict:
    """How the agent took it. course: of the overlap's dialogue."""
    began = course.user.stepped[1][0]
    heard = [at for at, it in course.parts if isinstance(it.body, Audio) and it.turn == 1]
    cuts = [at for at, _ in course.told(Interrupted) if at >= began]
    silent = [at for at, _ in course.told(Held, Interrupted) if at >= began]
    if overlap.kind == "interruption":
        right = max(heard) <= began + _YIELD_S
    else:
        right = not cuts or cuts[0] > began + _IGNORE_S
    return Verdict(overlap.kind, right, bool(cuts), silent[0] - began if silent else None)


def _dialogue(sound: Step, draw: random.Random, number: int) -> Dialogue:
    return Dialogue(
        (Say("what is there to see"), sound, Listen(at_most_s=4.0)),
        (Reply(" ".join(["word"] * 60), burst=100), Reply("all right")),
        timing=Timing(chunk_s=0.04, jitter=0.5),
        tail_s=0.0,
        seed=draw.randrange(1 << 30) + number,
    )


def _sound(kind: Kind, draw: random.Random) -> Step:
    after_s, rate = round(draw.uniform(0.3, 2.5), 2), draw.choice([2.0, 3.0, 4.0])
    match kind:
        case "interruption":
            return TalkOver(_some(draw, 1, 8), after_s, rate)
        case "backchannel":
            return Backchannel(" ".join(draw.sample(HUMS, draw.choice([1, 1, 2]))), after_s, rate)
        case "cough":
            return Cough(
                round(draw.uniform(0.1, 0.8), 2), after_s, loud=round(draw.uniform(0.4, 1.0), 2)
            )
        case "side talk":
            # Somebody turned away, or another person: fainter, and rarely made words of.
            loud = round(draw.uniform(0.2, 0.9), 2)
            clear = draw.random() < 0.3
            return SideTalk(_some(draw, 2, 6), after_s, rate, loud, clear)


def _some(draw: random.Random, least: int, most: int) -> str:
    return " ".join(draw.choice(_WORDS) for _ in range(draw.randint(least, most)))
