"""A user who does what a script says, and reacts to what they hear.

This file owns when each step of a script begins, and what the microphone hears of it.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable

from vivace import signals
from vivace.flow.clock import now, sleep_until
from vivace.part import Part
from vivace.testing.dialogue import (
    Backchannel,
    Cough,
    Dialogue,
    HangUp,
    Listen,
    Say,
    SideTalk,
    Step,
    Stop,
    TalkOver,
    Type,
    Wait,
    Wish,
)
from vivace.testing.ears import SLOT_S, Sound, Sounds

__all__ = ["Hearing", "User"]

_PATIENCE_S = 8.0  # so long somebody waits for the agent to begin, before talking over it anyway
_GAP_S = 0.15  # so long a silence within a reply is none


class Hearing:
    """What the user hears of the agent."""

    def __init__(self) -> None:
        self.since: float | None = None  # when what is heard now began
        self.until: float = float("-inf")
        self.turn: int = 0  # the newest reply that was heard

    def hear(self, begin: float, seconds: float) -> None:
        """A chunk is to be heard from `begin` on."""
        if begin - self.until > _GAP_S:
            self.since = begin
        self.until = begin + seconds

    def for_s(self, at: float, since: float) -> float:
        """How long the agent has been heard without a break, at most since `since`."""
        if self.since is None or at - self.until > _GAP_S:
            return -1.0
        return at - max(self.since, since)


class User:
    """Plays the steps of a dialogue into a microphone.

    `async for` part of `parts()`. gave: is called with each part just before it is given. report:
    what the speaker beside the microphone has to tell, whenever that gives a part.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        sounds: Sounds,
        hearing: Hearing,
        gave: Callable[[Part], None],
        report: Callable[[], list[Part]] = list,
    ) -> None:
        self.typed: list[str] = []
        self.stepped: list[tuple[float, Step]] = []  # when each step began, on the clock
        self._dialogue = dialogue
        self._sounds = sounds
        self._hearing = hearing
        self._gave = gave
        self._report = report
        self._steps = deque(dialogue.user)
        self._levels: deque[int] = deque()  # of the step under way, one a slot
        self._since = 0.0  # when it ended
        self._start = 0.0  # when the microphone was switched on
        self._off = False
        self._inbox: list[tuple[float, int, Part]] = []
        self._count = itertools.count()

    def send(self, part: Part, at: float) -> None:
        """Give `part` to the agent among the sound, once it is `at`: what a tool has answered."""
        heapq.heappush(self._inbox, (at, next(self._count), part))

    def hang_up(self) -> None:
        """Switch the microphone off after the part under way."""
        self._off = True

    async def parts(self) -> AsyncIterator[Part]:
        """The microphone, until it is switched off."""
        start = self._start = self._since = now()
        chunk_s = self._dialogue.timing.chunk_s
        slots = max(1, round(chunk_s / SLOT_S))
        index = 0
        while not self._off:
            begin = start + index * slots * SLOT_S
            await sleep_until(begin + slots * SLOT_S)
            levels = [self._level(begin + slot * SLOT_S) for slot in range(slots)]
            pcm = b"".join(map(self._sounds.pcm, levels))
            part = Part.audio(pcm, at=round(index * slots * SLOT_S, 6))
            for waiting in [*self._due(now()), *self._report(), part]:
                self._gave(waiting)
                yield waiting
            index += 1
            self._off |= self._over(now() - start)

    def _over(self, at: float) -> bool:
        done = not self._steps and not self._levels and not self._inbox
        silent_s = now() - self._since
        return (done and silent_s >= self._dialogue.tail_s) or at >= self._dialogue.at_most_s

    def _due(self, at: float) -> list[Part]:
        due = []
        while self._inbox and self._inbox[0][0] <= at:
            due.append(heapq.heappop(self._inbox)[2])
            self.typed += [due[-1].text] if isinstance(due[-1].body, str) else []
        return due

    def _end_turn(self, at: float) -> None:
        media = round(at - self._start, 6)
        self.send(Part(signals.TurnEnded(media), at=media), at)

    def _level(self, at: float) -> int:
        """What is heard in the slot that begins `at`."""
        while not self._levels and self._steps and self._is_time(self._steps[0], at):
            step = self._steps.popleft()
            self.stepped.append((at, step))
            self._begin(step, at)
            self._since = at
        if not self._levels or self._off:
            return 0
        level = self._levels.popleft()
        self._since = at + SLOT_S
        if level:
            self._sounds.made[level - 1].heard += 1
        return level

    def _is_time(self, step: Step, at: float) -> bool:
        waited = at - self._since + 1e-9
        match step:
            case (
                Say(after_s=after_s)
                | Type(after_s=after_s)
                | Wish(after_s=after_s)
                | HangUp(after_s=after_s)
            ):
                return waited >= after_s
            case Wait(seconds=seconds):
                return waited >= seconds
            case Listen(quiet_s=quiet_s, at_most_s=at_most_s):
                heard = self._hearing.until > self._since
                return waited >= at_most_s or (heard and at - self._hearing.until >= quiet_s)
            case (
                TalkOver(after_s=after_s)
                | Cough(after_s=after_s)
                | SideTalk(after_s=after_s)
                | Stop(after_s=after_s)
            ):
                heard_s = self._hearing.for_s(at, self._since)
                return waited >= _PATIENCE_S or heard_s + 1e-9 >= after_s

    def _begin(self, step: Step, at: float) -> None:
        match step:
            case Say(key_s=key_s):
                self._speak(step.text, step.rate, step.pause_s)
                if key_s is not None:  # the step is over when the key is let go
                    self._end_turn(at + len(self._levels) * SLOT_S + key_s)
                    self._levels.extend([0] * round(key_s / SLOT_S))
            case SideTalk(loud=loud, clear=clear):
                self._speak(step.text, step.rate, loud=loud, clear=clear, to_agent=False)
            case TalkOver():
                self._speak(step.text, step.rate, to_agent=not isinstance(step, Backchannel))
            case Cough(seconds=seconds, loud=loud):
                self._sound(Sound("", max(1, round(seconds / SLOT_S)), loud, to_agent=False))
            case Type(text=text, beside_s=beside_s, ends_turn=ends_turn):
                self.send(Part(text), at + beside_s)
                if ends_turn:
                    self._end_turn(at + beside_s)
            case Wish(text=text, protected=protected):
                wish = signals.Say(text, protected=protected) if text else signals.Ask()
                self.send(Part(wish), at)
            case Stop():
                self.send(Part(signals.Interrupted(self._hearing.turn)), at)
            case HangUp():
                self._off = True
            case Wait() | Listen():
                pass

    def _speak(
        self,
        text: str,
        rate: float,
        pause_s: float = 0.6,
        *,
        loud: float = 1.0,
        clear: bool = True,
        to_agent: bool = True,
    ) -> None:
        slots = max(4, round(1 / rate / SLOT_S))
        for word in text.split():
            if word == "…":
                self._levels.extend([0] * round(pause_s / SLOT_S))
            else:
                self._sound(Sound(word if clear else "", slots, loud, to_agent))

    def _sound(self, sound: Sound) -> None:
        level = self._sounds.add(sound)
        self._levels.extend([level] * sound.slots)
