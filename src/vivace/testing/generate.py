"""Conversations by chance: people and models at their most tiresome, from a seed.

This file owns what may happen and how often. Words are drawn without repeat, so that a prompt that
has one twice is told from a user who says it twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from vivace.machines.backchannel import Backchannels
from vivace.testing.dialogue import (
    Backchannel,
    Correct,
    Cough,
    Dialogue,
    End,
    HangUp,
    Listen,
    Manner,
    Reply,
    Say,
    SideTalk,
    Speaker,
    Step,
    Stop,
    TalkOver,
    Timing,
    ToolUse,
    Type,
    Wait,
    Wish,
)

__all__ = ["HUMS", "random_dialogue"]

_ONSETS = "b d f g k l m n p r s t v z br dr fl gr kl pr st tr".split()
_VOWELS = "a e i o u".split()
_ENDS: tuple[End, ...] = ("done",) * 15 + ("error", "hang", "stuck", "deaf")
_HEARD = Backchannels()
HUMS: list[str] = "mm-hm uh-huh yeah okay right wow".split()


def random_dialogue(seed: int, seconds: float = 120.0) -> Dialogue:
    """A conversation of about `seconds`, the same for the same seed."""
    draw = random.Random(seed)
    words = _Words(draw)
    steps: list[Step] = []
    budget_s = seconds - 10.0
    while budget_s > 0:
        step = draw.choices(list(_STEPS), list(_STEPS.values()))[0](draw, words)
        budget_s -= _takes_about(step)
        steps.append(step)
    if draw.random() < 0.15:
        steps.append(HangUp(round(draw.uniform(0, 1.0), 2)))
    replies = tuple(_reply(draw, words) for _ in range(draw.randint(3, 12)))
    return Dialogue(
        tuple(steps),
        replies,
        _speaker(draw, seconds),
        _timing(draw),
        _manner(draw, words),
        tail_s=draw.choice([0.0, 0.5, 20.0]),
        at_most_s=seconds,
        seed=seed,
    )


class _Words:
    """Words that nobody has said yet, and that mean something to nobody."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._said: set[str] = set()

    def some(self, least: int, most: int) -> list[str]:
        return [self._one() for _ in range(self._draw.randint(least, most))]

    def _one(self) -> str:
        while True:
            word = "".join(
                self._draw.choice(_ONSETS) + self._draw.choice(_VOWELS)
                for _ in range(self._draw.randint(2, 3))
            )
            # "Fine" and "sure" come about by chance as well, and need no answer.
            if word not in self._said and not _HEARD.covers(word):
                self._said.add(word)
                return word


def _say(draw: random.Random, words: _Words) -> Step:
    said = words.some(1, 12)
    if len(said) > 2 and draw.random() < 0.4:
        said.insert(draw.randint(1, len(said) - 1), "…")
    kind = Correct if draw.random() < 0.25 else Say
    return kind(
        " ".join(said),
        after_s=round(draw.uniform(0.1, 0.8) if kind is Correct else draw.uniform(0.2, 4.0), 2),
        rate=draw.choice([2.0, 3.0, 4.0]),
        pause_s=draw.choice([0.2, 0.4, 0.8, 1.6, 3.0]),
        key_s=round(draw.uniform(0.0, 1.0), 2) if draw.random() < 0.1 else None,
    )


def _talk_over(draw: random.Random, words: _Words) -> Step:
    return TalkOver(" ".join(words.some(1, 8)), _after(draw), draw.choice([2.0, 3.0, 4.0]))


def _backchannel(draw: random.Random, words: _Words) -> Step:
    return Backchannel(draw.choice(HUMS), _after(draw))


def _cough(draw: random.Random, words: _Words) -> Step:
    return Cough(draw.choice([0.06, 0.1, 0.3, 0.6, 1.2, 3.0]), _after(draw), draw.choice([0.4, 1]))


def _side_talk(draw: random.Random, words: _Words) -> Step:
    return SideTalk(
        " ".join(words.some(1, 6)),
        _after(draw),
        loud=draw.choice([0.3, 0.6, 0.9]),
        clear=draw.random() < 0.3,
    )


def _type(draw: random.Random, words: _Words) -> Step:
    text, after_s = " ".join(words.some(1, 4)), round(draw.uniform(0.2, 5.0), 2)
    beside_s = draw.choice([0.0, round(draw.uniform(0.0, 4.0), 2)])
    return Type(text, after_s, beside_s, ends_turn=draw.random() < 0.5)


def _wish(draw: random.Random, words: _Words) -> Step:
    text = " ".join(words.some(0, 6))
    return Wish(text, round(draw.uniform(0.0, 3.0), 2), protected=draw.random() < 0.3)


def _stop(draw: random.Random, words: _Words) -> Step:
    return Stop(_after(draw))


def _wait(draw: random.Random, words: _Words) -> Step:
    return Wait(draw.choice([0.5, 2.0, 6.0, 18.0]))


def _listen(draw: random.Random, words: _Words) -> Step:
    return Listen(draw.choice([0.0, 0.3, 1.0]))


# How often each happens, against the others.
_STEPS: dict[Callable[[random.Random, _Words], Step], float] = {
    _say: 5,
    _talk_over: 4,
    _listen: 4,
    _backchannel: 2,
    _cough: 2,
    _side_talk: 1,
    _type: 0.7,
    _wish: 0.5,
    _stop: 0.5,
    _wait: 1,
}


def _after(draw: random.Random) -> float:
    return round(draw.choice([draw.uniform(0, 0.2), draw.uniform(0.2, 3.0)]), 2)


def _takes_about(step: Step) -> float:
    """Roughly how long a step is; what happens after `seconds` is not heard any more."""
    match step:
        case Wait(seconds=seconds):
            return seconds
        case Listen():
            return 5.0
        case Say(text=text, rate=rate, after_s=after_s):
            return after_s + len(text.split()) / rate
        case _:
            return 3.0


def _reply(draw: random.Random, words: _Words) -> Reply:
    calls = tuple(
        ToolUse(draw.choice(["look_up", "order"]), round(draw.uniform(0.05, 4.0), 2))
        for _ in range(draw.choices([0, 1, 2], [6, 1, 0.3])[0])
    )
    end = draw.choice(_ENDS)
    return Reply(
        " ".join(words.some(0 if calls or end != "done" else 1, draw.choice([3, 12, 40]))),
        delay_s=round(draw.choice([0.0, draw.uniform(0.05, 0.6), draw.uniform(0.6, 4.0)]), 3),
        token_s=draw.choice([0.0, 0.02, 0.08, 0.5]),
        burst=draw.choice([1, 1, 4, 100]),
        calls=() if end == "hang" else calls,
        end=end,
    )


def _speaker(draw: random.Random, seconds: float) -> Speaker:
    return Speaker(
        speed=draw.choice([1.0, 1.0, 1.0, 0.5]),
        buffer_s=draw.choice([0.0, 0.0, 0.06, 0.2]),
        reports_s=draw.choice([None, None, 0.1, 0.25, 1.0]),
        leaves_at=round(draw.uniform(1, seconds), 2) if draw.random() < 0.1 else None,
    )


def _timing(draw: random.Random) -> Timing:
    slow = draw.choice([1, 1, 4])
    return Timing(
        chunk_s=draw.choice([0.02, 0.06, 0.1, 0.1]),
        frame=draw.choice([512, 1024, 1024]),
        transcribe_s=(0.02, 0.15 * slow),
        judge_s=(0.01, 0.05 * slow),
        sure=draw.choice([(0.6, 1.0), (0.3, 1.0)]),
        voice_s=(0.0, 0.1 * slow),
        word_s=draw.choice([0.25, 0.313]),
        jitter=draw.choice([0.0, 0.5, 1.0]),
    )


def _manner(draw: random.Random, words: _Words) -> Manner:
    """As it comes, for every other one."""
    if draw.random() < 0.5:
        return Manner()
    return Manner(
        interrupt=draw.choice(["unless_backchannel", "at_once", "after", "never"]),
        speculate=draw.random() < 0.5,
        false_interruption=draw.choice(["resume", "ask_again"]),
        greeting=" ".join(words.some(1, 8)) if draw.random() < 0.3 else "",
        idle_after_s=draw.choice([None, None, 0.5, 4.0, 10.0]),
        quiet_s=draw.choice([0.0, 0.3, 1.5]),
        hold_s=draw.choice([0.5, 2.0, 4.0]),
        patience_s=draw.choice([1.0, 5.0]),
        tools=draw.choice(["", "blocking", "when_idle", "silent", "interrupt"]),
        cancellable=draw.random() < 0.3,
    )
