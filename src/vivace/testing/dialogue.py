"""A conversation as data: what the user does, what the model answers, how the speaker plays it.

A `Dialogue` prints as the Python that makes it, so that one that fails can be pasted into a test.
All times are seconds; a range `(low, high)` is drawn from anew each time, from the dialogue's seed.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "Backchannel",
    "Correct",
    "Cough",
    "Dialogue",
    "End",
    "HangUp",
    "Listen",
    "Manner",
    "Range",
    "Reply",
    "Say",
    "SideTalk",
    "Speaker",
    "Step",
    "Stop",
    "TalkOver",
    "Timing",
    "ToolUse",
    "Type",
    "Wait",
    "Wish",
]

Range: TypeAlias = tuple[float, float]
End: TypeAlias = Literal["done", "error", "hang", "stuck", "deaf"]


class _Plain(msgspec.Struct, frozen=True):
    """Prints as the Python that makes it, without what is as it comes."""

    def __repr__(self) -> str:
        told = [
            f"{field.name}={value!r}"
            for field in msgspec.structs.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"


class _Step(_Plain, frozen=True):
    """The user does one thing after the other."""


class Say(_Step, frozen=True, tag="say"):
    """Speaks, `after_s` after what came before. "…" in the text is a pause of `pause_s`.

    rate: words a second. key_s: a key is let go so long after the last word, and ends the turn
    (`TurnEnded`, of the program's); None where nobody holds one.
    """

    text: str
    after_s: float = 0.5
    rate: float = 3.0
    pause_s: float = 0.6
    key_s: float | None = None


class Correct(Say, frozen=True, tag="correct"):
    """Speaks again before an answer can have come: "no, for three"."""

    after_s: float = 0.3


class TalkOver(_Step, frozen=True, tag="talk_over"):
    """Speaks once the agent has been heard for `after_s`, or has not been for 8 s."""

    text: str
    after_s: float = 1.0
    rate: float = 3.0


class Backchannel(TalkOver, frozen=True, tag="backchannel"):
    """Shows that they are listening, once the agent has been heard for `after_s`."""

    text: str = "mm-hm"


class Cough(_Step, frozen=True, tag="cough"):
    """Makes a sound without words, once the agent has been heard for `after_s`.

    loud: how sure the detector is that it is speech.
    """

    seconds: float = 0.3
    after_s: float = 1.0
    loud: float = 1.0


class SideTalk(_Step, frozen=True, tag="side_talk"):
    """Speaks to somebody else, once the agent has been heard for `after_s`.

    loud: how sure the detector is that it is speech. clear: a transcriber can make words of it.
    """

    text: str
    after_s: float = 1.0
    rate: float = 3.0
    loud: float = 0.6
    clear: bool = False


class Type(_Step, frozen=True, tag="type"):
    """Sends a text message, `after_s` after what came before.

    beside_s: it is sent so much later, beside what comes next. ends_turn: `TurnEnded` follows.
    """

    text: str
    after_s: float = 0.5
    beside_s: float = 0.0
    ends_turn: bool = False


class Wish(_Step, frozen=True, tag="wish"):
    """The program wants `text` said, or the model asked if there is none, `after_s` after what came
    before. protected: nothing the user does stops it."""

    text: str = ""
    after_s: float = 0.5
    protected: bool = False


class Stop(_Step, frozen=True, tag="stop"):
    """Presses a stop button (`Interrupted`, of the program's) once the agent has been heard for
    `after_s`."""

    after_s: float = 1.0


class Wait(_Step, frozen=True, tag="wait"):
    """Is silent."""

    seconds: float = 1.0


class Listen(_Step, frozen=True, tag="listen"):
    """Is silent until a reply has been heard and then nothing for `quiet_s`, or for `at_most_s`."""

    quiet_s: float = 0.8
    at_most_s: float = 20.0


class HangUp(_Step, frozen=True, tag="hang_up"):
    """Switches the microphone off, `after_s` after what came before."""

    after_s: float = 0.0


Step: TypeAlias = (
    Say
    | Correct
    | TalkOver
    | Backchannel
    | Cough
    | SideTalk
    | Type
    | Wish
    | Stop
    | Wait
    | Listen
    | HangUp
)


class ToolUse(_Plain, frozen=True):
    """A call that the model makes, and how long the tool takes to answer it."""

    name: str = "look_up"
    takes_s: float = 1.0


class Reply(_Plain, frozen=True):
    """What the model does when it is asked.

    text: comes in bursts of so many words, one every `token_s`, after `delay_s`.
    calls: after the text.
    end: "done"; "error": raises; "hang": nothing more comes, until it is cancelled; "stuck": waits
        for a thread, and cannot be cancelled, for 5 s; "deaf": goes on though it was cancelled.
    """

    text: str = "fine"
    delay_s: float = 0.3
    token_s: float = 0.05
    burst: int = 1
    calls: tuple[ToolUse, ...] = ()
    end: End = "done"


class Speaker(_Plain, frozen=True):
    """How the agent is played.

    speed: 0.5 takes two seconds to take a second of audio. buffer_s: a jitter buffer: sound is
    played so much later than it came. reports_s: how often the agent is told how far the newest
    reply is played (`PlayedTo`), to the next part of the microphone's; None for never. leaves_at:
    when whoever listens leaves; None to stay.
    """

    speed: float = 1.0
    buffer_s: float = 0.0
    reports_s: float | None = None
    leaves_at: float | None = None


class Timing(_Plain, frozen=True):
    """How long everything takes besides what is said.

    chunk_s: audio in one part of the microphone's. frame: samples that the detector judges.
    detect_s, transcribe_s, judge_s, voice_s: how long each of the models takes. sure: how sure the
    turn detector is. word_s: how long a spoken word of the agent's is. jitter: the model, tools and
    the consumer are so much slower, by chance, than their scripts say.
    """

    chunk_s: float = 0.02
    frame: int = 512
    detect_s: Range = (0.0, 0.004)
    transcribe_s: Range = (0.05, 0.2)
    judge_s: Range = (0.02, 0.08)
    sure: Range = (0.6, 1.0)
    voice_s: Range = (0.0, 0.05)
    word_s: float = 0.3
    jitter: float = 0.0


class Manner(_Plain, frozen=True):
    """How the agent behaves: what the `LiveModelProcessor` of `standard_agent` is given.

    interrupt: the name of an `Interrupt`; "after" is 0.5 s and a word. quiet_s, hold_s, patience_s:
    its `FloorRules`. tools: it runs the model's calls itself, and that is when it tells the model
    of their results; "" leaves them to the program. cancellable: an interruption stops them.
    """

    interrupt: Literal["unless_backchannel", "at_once", "after", "never"] = "unless_backchannel"
    speculate: bool = False
    false_interruption: Literal["resume", "ask_again"] = "resume"
    greeting: str = ""
    idle_after_s: float | None = None
    quiet_s: float = 1.5
    hold_s: float = 4.0
    patience_s: float = 5.0
    tools: Literal["", "blocking", "when_idle", "silent", "interrupt"] = ""
    cancellable: bool = False


class Dialogue(_Plain, frozen=True):
    """A whole conversation.

    user: what the user does, in order. replies: what the model does at its first call, its second,
    and so on; from the first again after the last. tail_s: how long the microphone stays on after
    the last step. at_most_s: when it is switched off at the latest. answer_within_s: what the
    `LiveModelProcessor` is given, besides what `manner` says. seed: of all that is left to chance.
    """

    user: tuple[Step, ...]
    replies: tuple[Reply, ...] = (Reply(),)
    speaker: Speaker = Speaker()
    timing: Timing = Timing()
    manner: Manner = Manner()
    tail_s: float = 2.0
    at_most_s: float = 600.0
    answer_within_s: float = 6.0
    seed: int = 0

    def under(self, seed: int) -> Dialogue:
        """The same under another seed."""
        return msgspec.structs.replace(self, seed=seed)

    def dumps(self) -> str:
        """As JSON, for a file; `loads` reads it again."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def loads(text: str) -> Dialogue:
        """Raises msgspec.ValidationError, which says where, if `text` is no dialogue."""
        return msgspec.json.decode(text, type=Dialogue)
