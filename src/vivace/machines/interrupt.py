"""Is it an interruption: what a sound over the agent must be like to take the floor from it.

This file owns the policies, and the watch that puts what is known of a sound before one. That the
agent is silent meanwhile is the floor's affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias

import msgspec

from vivace.errors import StageError
from vivace.machines.backchannel import Backchannels
from vivace.machines.words import count_words

__all__ = ["Interrupt", "Overlap", "OverlapWatch", "Predicate"]


class Overlap(msgspec.Struct, frozen=True):
    """A sound over the agent, as far as it is known.

    speech_s: how long it has lasted, pauses left out. probability: how sure the detector is that it
    is speech, 0 to 1. text: what was understood of it, "" if nothing was yet. over: it has ended.
    interim: another text will take the place of this one.
    """

    speech_s: float = 0.0
    probability: float = 1.0
    text: str = ""
    over: bool = False
    interim: bool = False

    @property
    def words(self) -> int:
        """How many words were understood. A Chinese, Japanese or Thai character counts as one."""
        return count_words(self.text)


Predicate: TypeAlias = Callable[[Overlap], bool]


class Interrupt(msgspec.Struct, frozen=True):
    """When a sound over the agent is an interruption. Made by the names below, not by hand.

    `Interrupt.at_once`: any sound that is speech. `Interrupt.after(speech_s=, words=)`: after so
    much of it. `Interrupt.unless_backchannel()`: words that are more than "mm-hm", or a sound that
    goes on and on. `Interrupt.when(predicate)`: as you say. `Interrupt.never`: the reply is said to
    its end, and the user is answered then.

    judge: called whenever something new is known, and when the sound has lasted `looks_at_s`.
    forgets: tells of what was understood that it means nothing so far; of a finished turn, that no
        answer is owed when the reply is over. protects: sounds do not even hold the reply.
    """

    at_once: ClassVar[Interrupt]
    never: ClassVar[Interrupt]

    judge: Predicate
    looks_at_s: float = math.inf
    forgets: Predicate = lambda overlap: not overlap.text.strip()
    protects: bool = False

    @staticmethod
    def after(*, speech_s: float | None = None, words: int | None = None) -> Interrupt:
        """After so many seconds of speech and so many words; what is not given is not asked for.

        Raises StageError if neither is given.
        """
        if speech_s is None and words is None:
            raise StageError(
                "after what? give speech_s=, words=, or both; or use Interrupt.at_once"
            )
        least_s, least = speech_s or 0.0, words or 0

        def judge(overlap: Overlap) -> bool:
            return _reached(overlap.speech_s, least_s) and overlap.words >= least

        return Interrupt(judge, least_s)

    @staticmethod
    def unless_backchannel(
        languages: Iterable[str] = ("en",),
        *,
        also: Iterable[str] = (),
        long_s: float = 1.0,
        unless: Predicate | None = None,
    ) -> Interrupt:
        """Words that are more than "mm-hm" interrupt, and a sound of `long_s` without a word.

        languages: of the lists that tell "mm-hm", as `("en", "de")`. also: more such words and
            phrases. unless: tells of what would interrupt that it does not, as side talk.

        An interim text that ends as such a phrase begins ("I" of "I see") is waited with.
        Waiting a second costs nothing, since the agent is silent meanwhile; a cough or an "mm-hm"
        is over by then, also with the detector's own delay in telling so.
        """
        heard = Backchannels(languages, also)

        def forgets(overlap: Overlap) -> bool:
            return heard.covers(overlap.text, interim=overlap.interim)

        def judge(overlap: Overlap) -> bool:
            long = _reached(overlap.speech_s, long_s) and not overlap.text.strip()
            takes = long or not forgets(overlap)
            return takes and not (unless is not None and unless(overlap))

        return Interrupt(judge, long_s, forgets)

    @staticmethod
    def when(predicate: Predicate, *, looks_at_s: float = math.inf) -> Interrupt:
        """When `predicate` says so; it is asked with each text, and after `looks_at_s` of sound."""
        return Interrupt(predicate, looks_at_s)


Interrupt.at_once = Interrupt(lambda overlap: True, 0.0)
Interrupt.never = Interrupt(lambda overlap: False, protects=True)

_INSTEAD = Interrupt.unless_backchannel()  # of a policy that raises


def _reached(seconds: float, least: float) -> bool:
    # To a nanosecond: sums of times lose that much, and a deadline is such a sum.
    return seconds >= least - 1e-9


class OverlapWatch:
    """Watches what the user does over a reply, and puts it before a policy.

    Sounds add up, pauses left out, until `clear`. A text of them that comes after that may still
    make an interruption, and is judged with what they were like, but says nothing about the sounds
    that follow.

    A policy is somebody else's code, asked in the middle of a conversation. Where it raises, the
    default policy decides, and `failures` tells of it.

    cleared_to: media time up to which sounds came to nothing, or are over.
    """

    def __init__(self, policy: Interrupt) -> None:
        self.policy: Interrupt = policy
        self._raises = self._forgets_raises = False
        self._failures: list[str] = []
        self._ended_at = -math.inf
        self.cleared_to: float = -math.inf
        self._was = Overlap()  # what was cleared last
        self._begun = False
        self._since: float | None
        self.clear()

    def began(self, now: float, probability: float = 1.0) -> bool:
        """A sound has begun. True if that is an interruption."""
        if not self._begun:
            self.clear()  # what was understood since then is of what came before
            self._begun = True
        self._since = now
        self._probability = probability
        self._looked_s = -math.inf
        return self._judge(now)

    def ended(self, now: float, at: float = -math.inf) -> bool:
        """It has ended, at media time `at`. True if it was an interruption."""
        self._ended_at = max(at, self._ended_at)
        self._before_s, self._since = self._lasted(now), None
        return self._judge(now)

    def understood(
        self, text: str, now: float, at: float | None = None, *, interim: bool = False
    ) -> bool:
        """This is what was understood so far, up to media time `at`.

        interim: another text will take its place. True if it makes an interruption.
        """
        if at is not None and at <= self.cleared_to:  # late: of no sound that goes on now
            return self.judge_past(text, interim=interim)
        self._text, self._interim = text, interim
        return self._judge(now)

    def settled(self, now: float) -> bool:
        """No other text will take the place of the newest. True if that makes an interruption."""
        if not self._interim:
            return False
        self._interim = False
        return self._judge(now)

    def forgets(self, text: str, *, interim: bool = False) -> bool:
        """True if these words, over a reply or after it was cut, mean nothing so far."""
        return self._forgets(Overlap(text=text, interim=interim))

    def tick(self, now: float) -> bool:
        """Time has passed. True if it has become an interruption."""
        due = self.deadline()
        if due is None or now < due:
            return False
        self._looked_s = max(self._looks_at(), self._lasted(now))
        return self._judge(now)

    def deadline(self) -> float | None:
        """When the sound will have lasted as long as the policy wants to look at."""
        if self._since is None or math.isinf(looks_at_s := self._looks_at()):
            return None
        return self._since + max(0.0, looks_at_s - self._before_s)

    def judge(self, overlap: Overlap) -> bool:
        """True if this is an interruption, whatever was watched."""
        try:
            return bool(self.policy.judge(overlap))
        except Exception as error:
            if not self._raises:
                self._failures.append(
                    f"the policy raised {type(error).__name__}: {error}; where it does, words that "
                    f"are no backchannel interrupt, and {_INSTEAD.looks_at_s:g} s of sound"
                )
            self._raises = True
        return _INSTEAD.judge(overlap) and not (overlap.text.strip() and self._forgets(overlap))

    def _forgets(self, overlap: Overlap) -> bool:
        try:
            return bool(self.policy.forgets(overlap))
        except Exception as error:
            if not self._forgets_raises:
                self._failures.append(
                    f"the policy's forgets raised {type(error).__name__}: {error}; where it does, "
                    "words that are no backchannel are answered"
                )
            self._forgets_raises = True
        return _INSTEAD.forgets(overlap)

    def judge_past(self, text: str, *, interim: bool = False) -> bool:
        """True if what was understood of the newest sounds, now over, makes an interruption."""
        was = self.newest()
        return self.judge(Overlap(was.speech_s, was.probability, text, True, interim))

    def newest(self) -> Overlap:
        """The newest sounds as far as they are over, without their words."""
        return Overlap(self._before_s, self._probability) if self._begun else self._was

    def failures(self) -> list[str]:
        """What is to be told of a policy that raises, once of each of its predicates."""
        failures, self._failures = self._failures, []
        return failures

    def clear(self) -> None:
        """What was heard came to nothing, or is over."""
        self.cleared_to = self._ended_at
        if self._begun:
            self._was = Overlap(self._before_s, self._probability)
        self._begun = False  # a sound has, since
        self._since = None  # when the sound that goes on began
        self._before_s = 0.0  # what the sounds before it have lasted
        self._probability = 1.0
        self._text, self._interim = "", False
        self._looked_s = -math.inf  # so much of the sound that goes on has the policy looked at

    def _lasted(self, now: float) -> float:
        return self._before_s + (0.0 if self._since is None else now - self._since)

    def _looks_at(self) -> float:
        """How long the sound must have lasted for the next look at it; infinite if for none."""
        looks = (self.policy, _INSTEAD) if self._raises else (self.policy,)
        return min(
            (it.looks_at_s for it in looks if it.looks_at_s > self._looked_s), default=math.inf
        )

    def _judge(self, now: float) -> bool:
        over = self._since is None
        return self.judge(
            Overlap(self._lasted(now), self._probability, self._text, over, self._interim)
        )
