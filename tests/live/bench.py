"""The machine of a conversation, driven by hand.

`Bench` is the shell: it keeps the one reply that is out, books what the user hears, and tells the
machine `Playing` and `Played`.
"""

from typing import Any, NamedTuple

from vivace.live.answering import Manners
from vivace.live.conversation import Conversation
from vivace.live.reply import AudioTriggerMode, GiveReply, MakeReply, PromptEnded
from vivace.machines.machine import Announce, Cancel, Item, JobDone, Output, Tell
from vivace.machines.playout import Ledger, Reply
from vivace.machines.pressure import Shedding
from vivace.machines.window import Window
from vivace.part import (
    Audio,
    Data,
    Event,
    Part,
    Played,
    Playing,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
    TurnEnded,
)

END_OF_SPEECH = AudioTriggerMode.END_OF_SPEECH


def started(at: float) -> Part:
    return Part(SpeechStarted(at), at=at)


def ended(at: float) -> Part:
    return Part(SpeechEnded(at, transcript_follows=True, turn_follows=True), at=at)


def turn_ended(at: float) -> Part:
    return Part(TurnEnded(at), at=at)


def interim(text: str, at: float) -> Part:
    return Part(text, at=at, metadata={"interim": True})


def final(text: str, at: float | None = None) -> Part:
    return Part(text, at=at)


def said(text: str, at: float) -> list[Part]:
    """A whole turn of the user's, that was silent since `at`."""
    return [started(at - 1), ended(at), interim(text, at), final(text, at), turn_ended(at)]


def sound(seconds: float, value: int = 1, at: float | None = None) -> Part:
    return Part.audio(bytes([value, 0]) * round(seconds * 16_000), at=at)


class Asked(NamedTuple):
    """A reply that goes out, and the whole prompt that its model was given."""

    turn: int
    prompt: list[Part]
    job: GiveReply


class Bench:
    """A conversation and its shell. All that comes out is kept, with the time."""

    def __init__(
        self,
        trigger: AudioTriggerMode = AudioTriggerMode.FINAL_TRANSCRIPTION,
        *,
        zero: float = 0.0,
        window: Window | None = None,
        shedding: Shedding | None = None,
        **manners: Any,
    ) -> None:
        self.window = Window() if window is None else window
        self.ledger = Ledger()
        self.machine = Conversation(
            self.window,
            self.ledger,
            Manners(trigger=trigger, **manners),
            zero=zero,
            shedding=shedding,
        )
        self.now = 0.0
        self.replies: list[Asked] = []
        self.reading: dict[MakeReply, list[Part]] = {}  # by replies that are being made
        self.ended: set[MakeReply] = set()  # those whose prompt is complete
        self.went_on: list[Reply] = []  # from where replies that came back did
        self.outstanding: list[int] = []
        self.most = 0
        self.cancelled: list[int] = []
        self.announced: list[tuple[float, Signal]] = []
        self.parts: list[Part] = []
        self.news: list[dict[str, object]] = []
        self.log: list[Output] = []

    # -- the shell ----------------------------------------------------------------------------

    def feed(self, now: float, *items: Item) -> list[Output]:
        """Let time pass until `now`, then feed; return all that came of it."""
        self.until(now)
        before = len(self.log)
        for item in items:
            self.take(self.machine.feed(item, now))
        return self.log[before:]

    def until(self, now: float) -> None:
        """Tick at each deadline up to `now`."""
        while (due := self.machine.deadline()) is not None and due <= now:
            self.now = max(self.now, due)
            outputs = self.machine.tick(self.now)
            moved = self.machine.deadline() != due
            assert outputs or moved, "a tick at the deadline must bring something about"
            self.take(outputs)
        self.now = now

    def take(self, outputs: list[Output]) -> None:
        self.log += outputs
        for output in outputs:
            match output:
                case MakeReply(prompt=prompt, ended=is_ended):
                    self.reading[output] = list(prompt)
                    self.ended |= {output} if is_ended else set()
                case Tell(job=MakeReply() as job, item=Part() as part):
                    assert job not in self.ended, "a prompt that was complete grows"
                    self.reading[job].append(part)
                case Tell(item=Reply() as heard):
                    self.went_on.append(heard)
                case Tell(job=MakeReply() as job, item=PromptEnded()):
                    assert job not in self.ended, "a prompt ends once"
                    self.ended.add(job)
                case GiveReply(made=made, turn=turn):
                    assert made in self.ended, "a reply to half a prompt is given out"
                    self.replies.append(Asked(turn, self.reading[made], output))
                    self.outstanding.append(turn)
                    self.most = max(self.most, len(self.outstanding))
                case Cancel(job=MakeReply() as job):
                    del self.reading[job]
                case Cancel(job=GiveReply(turn=turn)):
                    self.cancelled.append(turn)
                    if turn in self.outstanding:
                        self.outstanding.remove(turn)
                case Announce(signal=signal):
                    self.announced.append((self.now, signal))
                case Part(substream="status", body=Data(value=value)):
                    self.news.append(value)
                case Part():
                    self.parts.append(output)
                    self.deliver(output)

    def deliver(self, part: Part) -> None:
        """The consumer takes a part: it is heard."""
        if self.ledger.book(part):
            self.take(self.machine.feed(Playing(part.turn), self.now))
        elif isinstance(part.body, TurnComplete):
            self.take(self.machine.feed(Played(part.body.turn, part.body.reason), self.now))

    def hear(self, now: float, words: str, turn: int | None = None) -> None:
        """The user hears these words of the reply under way."""
        self.until(now)
        turn = self.replies[-1].turn if turn is None else turn
        self.deliver(Part.audio(bytes(640), words=words, role="model", turn=turn))

    def over(self, now: float, turn: int | None = None) -> None:
        """The reply under way has been said and heard to its end."""
        self.until(now)
        reply = self.replies[-1]
        turn = reply.turn if turn is None else turn
        self.take(self.machine.feed(JobDone(reply.job), now))
        if turn in self.outstanding:
            self.outstanding.remove(turn)
        self.deliver(Part(TurnComplete(turn), role="model", turn=turn))

    def finish(self, now: float) -> list[Output]:
        self.until(now)
        before = len(self.log)
        self.take(self.machine.finish(now))
        return self.log[before:]

    # -- what came ----------------------------------------------------------------------------

    @property
    def signals(self) -> list[Signal]:
        return [signal for _, signal in self.announced]

    def floor(self) -> object:
        """Where the floor was last said to be."""
        return [news["floor"] for news in self.news if news["event"] == "floor"][-1]

    def told(self, event: str) -> list[dict[str, object]]:
        return [news for news in self.news if news["event"] == event]

    def prompt(self, reply: int = -1) -> list[str]:
        """The prompt of a reply; an interrupted part ends with a dash."""
        return [line(part) for part in self.replies[reply].prompt]

    def endings(self) -> list[tuple[int, str]]:
        """How replies ended."""
        return [
            (p.body.turn, p.body.reason) for p in self.parts if isinstance(p.body, TurnComplete)
        ]


def line(part: Part) -> str:
    body = part.body
    text = body.told if isinstance(body, Event) else part.text
    text = f"{part.seconds:g} s" if isinstance(body, Audio) else text
    return f"{part.role}: {text}{'—' if part.metadata.get('interrupted') else ''}"


def answering(words: str = "It is", **options: object) -> Bench:
    """The user has asked at 1.0, and hears the beginning of the answer at 2.0."""
    bench = Bench(**options)  # type: ignore[arg-type]
    bench.feed(1.0, *said("What time is it?", 1.0))
    if words:
        bench.hear(2.0, words)
    return bench
