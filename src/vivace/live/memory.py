"""What enters the prompt, and when: the user's turn at its end, a reply once it was heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vivace.live.earshot import Earshot
from vivace.machines.machine import Item, Output
from vivace.machines.playout import Ledger
from vivace.machines.transcripts import is_spoken
from vivace.machines.window import Window
from vivace.part import Audio, Call, Event, Part, Response

__all__ = ["Memory"]

_STASH = 256  # parts that may come during one reply; then the oldest of them are let go


class Memory:
    """The prompt, what waits to enter it, and the turn that the user is at.

    Parts that come while a reply is out are stashed: they follow what was heard of the reply.
    """

    def __init__(self, window: Window, ledger: Ledger, *, hears: bool) -> None:
        self._window = window
        self._ledger = ledger
        self.hears: bool = hears  # the model is given the sound
        self._stash: deque[Part] = deque()
        self._work: list[Output] = []
        self.stash_dropped: int = 0
        self._losing = False  # it was told of this reply that some were dropped
        self.said: list[Part] = []  # the texts of the user's turn under way
        self.sound: Earshot = Earshot()
        self.spoken: bool = False  # there is speech in the sound, not only what was before it

    # -- the user's turn ----------------------------------------------------------------------

    def hear(self, audio: Audio, *, listening: bool) -> None:
        """Keep the sound, for a model that hears."""
        if self.hears:
            self.sound.hear(audio, listening=listening)

    @property
    def text(self) -> str:
        """What was said in the turn under way."""
        return " ".join(part.text for part in self.said)

    @property
    def typed(self) -> bool:
        """True if some of it was typed, not spoken."""
        return not all(is_spoken(part) for part in self.said)

    def forget_sound(self) -> None:
        """The sound came to nothing."""
        self.sound.clear()
        self.spoken = False

    def forget_turn(self) -> list[Part]:
        """The turn came to nothing; return its texts."""
        said, self.said = self.said, []
        self.forget_sound()
        return said

    def turn(self, text: Part | None = None) -> list[Part]:
        """What the turn would bring into the prompt. text: what else was understood of it."""
        sound = self.sound.peek() if self.spoken else None
        return [*self.said, *(it for it in (text, sound) if it is not None)]

    def take_turn(self, now: float) -> None:
        """The turn enters the prompt, after the calls that have been answered by now."""
        self._work += self._window.settle_calls(now)
        for part in self.turn():
            self.add(part, now)
        self.forget_turn()

    def take_lines(self, now: float) -> bool:
        """Lines enter the prompt before the end of their turn; True if there are some.

        Not while the user has spoken besides: that turn enters as a whole.
        """
        if lines := self.typed and not self.spoken:
            self.take_turn(now)
        return lines

    def begins_at(self, turn: int) -> float | None:
        """When the first sound of a reply is heard; None if none was handed out."""
        return self._ledger.begins_at(turn)

    # -- the prompt ---------------------------------------------------------------------------

    def parts(self, start: int = 0) -> tuple[Part, ...]:
        """The prompt, from its part `start` on."""
        return tuple(self._window.parts(start))

    def cut(self, parts: Sequence[Part], before: Sequence[Part]) -> list[Part]:
        """What there is room for of `parts` in a prompt that begins with `before` for good."""
        return self._window.cut(parts, before)

    def stands(self) -> int:
        """Changes when anything but the end of the prompt does."""
        return self._window.generation

    def add(self, part: Part, now: float) -> None:
        """Add a part now. Raises PartError if too much is pinned."""
        self._work += self._window.add(part, now)

    def summarised(self, answer: Item, now: float) -> list[Output]:
        """A summary has been written, or could not be."""
        return self._window.feed(answer, now)

    def work(self, now: float, *, finishing: bool) -> list[Output]:
        """What the prompt wants done since it was asked last. finishing: nothing any more."""
        work, self._work = self._work, []
        return work + self._window.finish(now) if finishing else work

    def add_later(self, part: Part) -> str:
        """Add a part once the reply that is out has entered the prompt.

        Returns what has become of others, "" if there is nothing new to tell.
        """
        self._stash.append(part)
        if len(self._stash) <= _STASH:
            return ""
        lost = next((it for it in self._stash if not _spared(it)), part)
        self._stash.remove(lost)
        self.stash_dropped += 1
        told, self._losing = self._losing, True
        return "" if told else f"more than {_STASH} parts came during a reply: the oldest are lost"

    def add_reply(self, turn: int, now: float, *, interrupted: bool) -> str:
        """The reply enters the prompt as it was heard, then what was stashed; return its text."""
        heard = self._ledger.heard(turn).text
        if heard:
            metadata = {"interrupted": True} if interrupted else {}
            self.add(Part(heard, role="model", turn=turn, metadata=metadata), now)
        self._losing = False
        self.let_in(now)
        return heard

    @property
    def stashed(self) -> bool:
        """True if something was."""
        return bool(self._stash)

    def let_in(self, now: float) -> None:
        """What was stashed enters the prompt."""
        while self._stash:
            self.add(self._stash.popleft(), now)


def _spared(part: Part) -> bool:
    """True for what is lost last: a call without its response, or the reverse, is refused by most
    models; and of an event that triggers a turn the model would be asked to speak, unawares."""
    match part.body:
        case Call() | Response():
            return True
        case Event(triggers_turn=triggers):
            return bool(triggers)
        case _:
            return False
