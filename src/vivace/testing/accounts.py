"""What must hold of all that is counted: bounds, sums, words, and who waits for an answer."""

from __future__ import annotations

import math
from collections import defaultdict

from vivace.live.agenda import Initiative
from vivace.part import (
    Ask,
    Audio,
    Call,
    Interrupted,
    Part,
    PlayedTo,
    Response,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
)
from vivace.testing.ears import Sound, Sounds
from vivace.testing.invariants import _Watch
from vivace.testing.witness import Called, Event, Gave, Got, News, Passed, Stages, Told

__all__ = [
    "AnsweredInTime",
    "AskedForSomething",
    "Bounds",
    "CountersAddUp",
    "FailsAsTold",
    "TalksOverNobody",
    "WordsOnce",
]

# A stage that listens holds a second of audio that waits for its model, and 64 parts or two seconds
# that wait for the next stage.
_LISTENING_S = 3.5
# A pacer is left alone once 30 s wait in it; the piece that made it full is as long as a sentence.
# Before it two seconds may wait, and one more piece.
_VOICE_S = 45.0
_IDLE = Initiative().idle_prompt
# Of an interrupted reply: two chunks that wait in the pacer, and four on their way to the consumer.
_TOOL_S = 8.0  # the slowest tool, with the most jitter
_NO_MORE = "enough; answer without"  # after many rounds of calls nobody asks any more
_AT_ONCE_S = 0.25 + 1e-6  # of sound between a line and its own end
_IN_HAND_S = 6 * 0.2  # chunks between the pacer and a slow consumer, at their longest


class Bounds(_Watch):
    """What waits between two stages stays below its bound, in seconds of audio."""

    name = "bounds kept"
    sees: tuple[type[Event], ...] = (Stages, Passed, Got)

    def __init__(self) -> None:
        self._live = 0
        self._out: defaultdict[int, float] = defaultdict(float)  # user's audio, by stage
        self._waiting: defaultdict[int, float] = defaultdict(float)  # agent's audio, by reply

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Stages() as stages:
                live = stages.conversation
                self._live = len(stages.paths) if live is None else live
            case Passed(stage=stage, part=Part(body=Audio() as audio, role="user")):
                self._out[stage] += audio.seconds
                if stage + 1 < self._live:
                    waiting = self._out[stage] - self._out[stage + 1]
                    if waiting > _LISTENING_S:
                        return f"{waiting:.2f} s wait in stage {stage + 1}; at most {_LISTENING_S}"
            case Passed(stage=self._live, part=Part(body=Audio() as audio, turn=turn)):
                self._waiting[turn] += audio.seconds
                if self._waiting[turn] > _VOICE_S:
                    return f"{self._waiting[turn]:.2f} s of reply {turn} wait; at most {_VOICE_S}"
            case Got(part=Part(body=Audio() as audio, role="model", turn=turn)):
                self._waiting[turn] -= audio.seconds
        return None


class CountersAddUp(_Watch):
    """In = out + dropped + waiting, for what listens and for the pacer, by its own news.

    left: whoever listens may leave, and with them what waits.
    """

    name = "counters add up"
    sees: tuple[type[Event], ...] = (Stages, Passed, News, Got, Told)

    def __init__(self, *, left: bool = False) -> None:
        self._left = left
        self._live = 0
        self._heard: defaultdict[int, int] = defaultdict(int)  # bytes of the user's, by stage
        self._queued: defaultdict[int, float] = defaultdict(float)
        self._out: defaultdict[int, float] = defaultdict(float)
        self._cut: defaultdict[int, float] = defaultdict(float)
        self._void = 0

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Stages() as stages:
                self._live = stages.conversation or 0
            case Passed(stage=stage, part=Part(body=Audio() as audio, role="user")):
                self._heard[stage] += len(audio.pcm)
                if stage and self._heard[stage] > self._heard[stage - 1]:
                    return f"more of the user's audio left stage {stage} than went in"
            case News(facts={"event": "queued", "turn": int(turn), "seconds": float(seconds)}):
                self._queued[turn] += seconds
            case News(facts={"event": "cut", "turn": int(turn), "seconds": float(seconds)}):
                self._cut[turn] += seconds
                return self._check(turn, _IN_HAND_S)
            case Got(part=Part(body=Audio() as audio, role="model", turn=turn)):
                self._out[turn] += audio.seconds
                return self._check(turn, float("inf"))
            case Told(signal=Interrupted(turn=turn)):
                self._void = turn
        return None

    def _check(self, turn: int, waiting_s: float) -> str | None:
        if turn not in self._queued:  # nobody tells: another pacer than ours
            return None
        waits = self._queued[turn] - self._out[turn] - self._cut[turn]
        if not -1e-4 <= waits <= waiting_s + 1e-4:
            return (
                f"of reply {turn}, {self._queued[turn]:.3f} s came to the pacer, "
                f"{self._out[turn]:.3f} s left it and {self._cut[turn]:.3f} s were cut: "
                f"{waits:.3f} s would have to wait"
            )
        return None

    def end(self, at: float) -> str | None:
        if self._left:
            return None
        for stage in range(1, self._live):
            if self._heard[stage] != self._heard[0]:
                return (
                    f"{self._heard[0]} bytes of the user's came, {self._heard[stage]} left "
                    f"stage {stage}"
                )
        for turn in sorted(self._queued):
            lost = self._check(turn, _IN_HAND_S if turn <= self._void else 0.0)
            if lost:
                return lost
        return None


class WordsOnce(_Watch):
    """Each word that the user says to the agent enters the prompt once, and they keep their order.

    An "mm-hm" and what is said to somebody else may be left out.
    """

    name = "words once"
    sees: tuple[type[Event], ...] = (Called,)

    def __init__(self, sounds: Sounds, typed: list[str]) -> None:
        self._sounds = sounds
        self._typed = typed
        self._spoken: list[str] = []  # in the newest prompt
        self._sent = 0

    def see(self, event: Event, at: float) -> str | None:
        return self._check(event.prompt) if isinstance(event, Called) else None

    def _check(self, prompt: tuple[Part, ...]) -> str | None:
        texts = [part for part in prompt if part.role == "user" and isinstance(part.body, str)]
        # Not of running tools, nor what the model is told in a silent user's place.
        users = [part for part in texts if not {"note", "idle"} & part.metadata.keys()]
        typed = [part.text for part in users if part.at is None]
        self._spoken = [word for it in users if it.at is not None for word in it.text.split()]
        self._sent = len(typed)
        if typed != self._typed[: len(typed)]:
            return f"typed was {self._typed}, the prompt has {typed}"
        return self._follow()[0]

    def _follow(self) -> tuple[str | None, list[Sound]]:
        """What is wrong with the words in the prompt; and what was said after them."""
        said = [sound for sound in self._sounds.made if sound.word and sound.heard]
        place = 0
        for word in self._spoken:
            found = next((i for i in range(place, len(said)) if said[i].word == word), None)
            if found is None:
                told = " ".join(self._spoken)
                return f"{word!r} is in the prompt once more than it was said: {told!r}", []
            lost = [sound.word for sound in said[place:found] if sound.to_agent]
            if lost:
                told = " ".join(lost)
                return f"{told!r} is not in the prompt, though what came after it is", []
            place = found + 1
        return None, said[place:]

    @property
    def missing(self) -> str:
        """What was said whole and typed, and the newest prompt does not have."""
        after = self._follow()[1]
        spoken = [it.word for it in after if it.to_agent and it.heard == it.slots]
        return " ".join([*spoken, *self._typed[self._sent :]])


class TalksOverNobody(_Watch):
    """No reply is begun while the user speaks, as far as the agent has been told."""

    name = "talks over nobody"
    sees: tuple[type[Event], ...] = (Stages, Passed, News)

    def __init__(self) -> None:
        self._before = 0  # the stage before the conversation
        self._since: float | None = None  # media time since when the user speaks
        # A line was typed beside that, so much sound ago: a `TurnEnded` that follows is its own.
        self._typed_s = math.inf

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Stages() as stages:
                self._before = max(0, (stages.conversation or 0) - 1)
            case Passed(stage=stage, part=part) if stage == self._before:
                self._passed(part)
            case News(facts={"event": "asked" | "saying" | "brought_back" as what, "turn": turn}):
                if self._since is not None:
                    return f"reply {turn} was {what} while the user spoke, since {self._since:g} s"
        return None

    def _passed(self, part: Part) -> None:
        match part.body:
            case SpeechStarted(at=at):
                self._since, self._typed_s = at, math.inf
            case SpeechEnded():
                self._since, self._typed_s = None, math.inf
            case Audio() as audio if part.role == "user":
                self._typed_s += audio.seconds
            case str() if part.role == "user" and part.at is None:
                self._typed_s = 0.0
            case TurnEnded(at=at):
                key = self._since is not None and at > self._since and self._typed_s > _AT_ONCE_S
                self._since = None if key else self._since
                self._typed_s = math.inf


class AskedForSomething(_Watch):
    """The model is not called again unless there is something new for it: the prompt has grown, or
    the reply before it was cut off, or had been begun on a guess that was wrong, or the program
    wants it."""

    name = "asked for something"
    sees: tuple[type[Event], ...] = (Told, News, Gave, Called)

    def __init__(self) -> None:
        self._before = -1
        self._cut = False
        self._more = 0  # calls for which there is another reason

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case Told(signal=Interrupted()):
                self._cut = True
            case News(facts={"event": "speculated", "right": False}) | Gave(part=Part(body=Ask())):
                self._more += 1
            case Called(number=number, prompt=prompt):
                size = sum(
                    part.role != "model" or isinstance(part.body, Response)
                    for part in prompt
                    if not part.metadata.get("note")  # of running tools: their responses are new
                )
                nothing_new = size <= self._before and not self._cut
                self._before, self._cut = size, False
                if nothing_new and self._more:
                    self._more -= 1
                elif nothing_new:
                    return f"the model was called a {number + 1}. time, and nothing new was said"
        return None


class AnsweredInTime(_Watch):
    """After `within_s` in which nobody made a sound, no tool worked and the model wrote nothing,
    the floor is idle, all that the user said has been answered, and the model has been asked about
    what its tools have brought. At the end every call has its response.

    words: tells what has not entered a prompt. tools: when the model is told of results, "" if the
    program has the tools.
    """

    name = "answered in time"
    sees: tuple[type[Event], ...] = (News, Got, Gave, Called)

    def __init__(
        self, words: WordsOnce, within_s: float, *, tools: str = "", left: bool = False
    ) -> None:
        self._words = words
        self._within_s = within_s
        self._left = left
        self._tools = tools
        self._results: set[str] = set()  # of which the model is to be told
        self._asked: set[str] = set()  # those that a prompt has had
        self._stopped = False  # the program has: nobody waits for what that stops
        self._quiet_since = 0.0
        self._floor = "idle"
        self._calls: set[str] = set()  # without an answer

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case News(facts={"event": "floor", "floor": str(floor)}):
                self._floor = floor
            case News(facts={"event": "asked", "prompt": [*_, {"text": text}]}) if text == _IDLE:
                self._quiet_since = at  # the agent has broken the silence
            case Got(part=Part(body=Call(id=id))):
                self._calls.add(id)
            case Gave(part=Part(body=Response() as it)) | Got(part=Part(body=Response() as it)):
                self._answered(it)
                self._quiet_since = at
            case Gave(part=Part(body=Interrupted())):
                self._stopped = True
                self._quiet_since = at
            case Called(prompt=prompt):
                self._asked |= {part.body.id for part in prompt if isinstance(part.body, Response)}
            case Gave(part=Part(body=Audio() as audio)) if not any(audio.pcm):
                return self._check(at)
            case Gave(part=Part(body=PlayedTo())):
                pass
            case Gave() | Got(part=Part(body=Audio() | str(), role="model")):
                self._quiet_since = at  # text is no sound, but shows that the model works
        return None

    def _answered(self, response: Response) -> None:
        new = response.id in self._calls
        self._calls.discard(response.id)
        over = response.error.endswith(_NO_MORE) or (self._stopped and response.error)
        if new and self._tools != "silent" and not over:
            self._results.add(response.id)

    def _check(self, at: float) -> str | None:
        working_s = _TOOL_S if self._calls else 0.0
        if at - self._quiet_since <= self._within_s + working_s:
            return None
        if self._floor != "idle":
            return f"after {self._within_s:g} s of silence the floor is {self._floor}"
        return self._unanswered()

    def _unanswered(self) -> str | None:
        if lost := self._words.missing:
            return f"nobody has answered {lost!r}"
        untold = self._results - self._asked
        return f"the model was not asked about the result of {min(untold)}" if untold else None

    def end(self, at: float) -> str | None:
        if self._left:
            return None
        if self._tools and self._calls:
            return f"call {min(self._calls)} has no response"
        return self._unanswered()


class FailsAsTold(_Watch):
    """Nothing fails but the model that is told to, a reply that it leaves hanging, and tools of the
    agent's own whose reply was interrupted, or that are called for ever."""

    name = "fails as told"
    sees: tuple[type[Event], ...] = (News,)

    def __init__(self, expected: tuple[str, ...]) -> None:
        self._expected = expected

    def see(self, event: Event, at: float) -> str | None:
        match event:
            case News(facts={"event": "failed", "what": what, "error": str(error)}):
                if not error.startswith(self._expected):
                    return f"{what} failed: {error}"
        return None
