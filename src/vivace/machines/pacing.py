"""When a chunk leaves: audio at natural speed, held and resumed at the very sample.

This file owns the schedule of the agent's voice. A chunk leaves when the one before it has been
played, at most `lead_s` earlier; never twice, never after its reply has been interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Set

import msgspec

from vivace.audio import check_finite
from vivace.machines.barge_in import BargeIn
from vivace.machines.chunking import Waiting, chunk_length
from vivace.machines.fence import is_stale
from vivace.machines.machine import Announce, Item, Machine, Output
from vivace.machines.pacing_counts import PacingCounts
from vivace.machines.pacing_rules import PacingRules
from vivace.machines.playhead import Playhead
from vivace.machines.playout import Ledger
from vivace.machines.pressure import Shedding
from vivace.part import (
    Audio,
    Data,
    Held,
    Interrupted,
    Part,
    PlayedTo,
    Reset,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    TurnComplete,
)

__all__ = ["Pacer"]

_SILENCE_S = 1.0  # an agent that nobody has heard for so long is silent; shorter is a gap
_SUPPLY_S = 1.0  # so much that waits outlasts any hiccup
_BEHIND_S = 2.0  # a listener that is further behind has stopped: nobody waits for them
_PARTS = 4096  # parts that may wait: as many frames, if somebody sends single ones
# Less than this, or this share of what waits, is told only at the beginning and the end.
_NEWS_S, _NEWS_OF = 0.5, 1 / 4


class Pacer(Machine):
    """Lets the agent's audio out at natural speed; the user's, and other parts, pass at once.

    Each chunk's `at` is the moment it is to be played, in seconds since `zero` on the clock; its
    metadata say its number in the reply (`chunk_index`), its seconds (`chunk_duration`), and the
    media time that its part came with, if it did (`source_at`). `TurnComplete` leaves when its
    reply's last chunk has been played; a listener who reports to be behind is waited for, for two
    seconds at most. `Interrupted`, `Reset`, `Held` and `Resumed` act at once,
    announced or in the stream; with the number 0 they are about replies without one.

    ledger: is told what came, and says what was heard. decided: what others in the run decide, now
    and later: "floor" or "speech". detector: as in `LoudSpeech`. shedding: while it sheds small
    chunks, all have the longest that the rules allow, unless somebody may be about to interrupt.

    Raises AudioError for floats that are no numbers.
    """

    def __init__(
        self,
        rules: PacingRules | None = None,
        *,
        zero: float = 0.0,
        ledger: Ledger | None = None,
        counts: PacingCounts | None = None,
        decided: Set[str] = frozenset(),
        detector: Callable[[Audio], bool] | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self._shedding = shedding or Shedding()
        self._rules = rules or PacingRules()
        self._chunks = self._rules.chunks()
        self._zero = zero
        self._ledger = ledger or Ledger()
        self._ledger.paces = True
        self.counts: PacingCounts = counts or PacingCounts()
        self._barge_in = BargeIn(self._rules.interruptible, decided, detector)
        self._waiting = Waiting()
        self._overfull = False
        self._playhead = Playhead()
        self._ready_at = -math.inf  # when what is first began to wait
        self._voice: int | None = None  # the reply whose audio left last,
        self._playing: int | None = None  # and the same as long as it is not complete
        self._index = 0  # chunks of it
        self._said_s = 0.0  # of it, since it began or was resumed
        self._void = 0
        self._held: int | None = None  # replies up to this one are held
        self._held_at = 0.0
        self._left_s = 0.0  # what the listener had then
        self._ends_hold = False  # the stream has told of it, and nobody else can end it
        self._news_turn, self._news_s = -1, 0.0  # not told yet: of which reply how much came
        self._ended = self._reported = False

    # -- the entrances ------------------------------------------------------------------------

    def feed(self, item: Item, now: float) -> list[Output]:
        if isinstance(item, Part) and isinstance(item.body, Audio) and item.role != "user":
            # The bulk of all there is: nothing can pass on account of it.
            stale = 0 < item.turn <= self._void
            return self._refuse(item) if stale else self._take(item, item.body, now)
        return [*self._fed(item, now), *self._pass(now)]

    def tick(self, now: float) -> list[Output]:
        """One chunk at most: what is ahead of the listener is cut as late as can be."""
        out = self._pass(now)
        if self._waiting and self._due() <= now:  # so it is audio
            chunk = self._release(now)
            waiting_s = self._waiting.seconds
            if (
                self._news_s >= max(_NEWS_S, waiting_s * _NEWS_OF)
                or self._news_s > waiting_s + 1e-9
            ):
                out += self._tell_news(now)  # before any of what has come is told to have left
            out += [chunk, *self._pass(now)]
        return out + self._end(now)

    def deadline(self) -> float | None:
        due = self._due() if self._waiting else math.inf
        return None if due == math.inf else max(due, self._ready_at)

    def finish(self, now: float) -> list[Output]:
        self._ended = True
        goes_on: list[Output] = []
        if self._ends_hold and self._held is not None:
            goes_on = self._fed(Part(Resumed(self._held)), now)
        return [*self._tell_news(now), *goes_on, *self._pass(now), *self._end(now)]

    def full(self) -> bool:
        # One part more than fits: as long as no second one comes, the user is heard.
        return self._overfull and self._is_over()

    def supplied(self) -> bool:
        return self._waiting.seconds >= _SUPPLY_S

    def done(self) -> bool:
        return self._reported

    # -- what comes in ------------------------------------------------------------------------

    def _fed(self, item: Item, now: float) -> list[Output]:
        match item:
            case Part(body=Interrupted() | Reset() | Held() | Resumed() as signal):
                self._ends_hold |= isinstance(signal, Held)
                # Told to all, so that what has left already is caught wherever it waits.
                return [*self._control(signal, now), Announce(signal)]
            case Interrupted() | Reset() | Held() | Resumed():
                return self._control(item, now)
            case Part(body=PlayedTo() as report):
                return [Announce(report)]
            case Part() if is_stale(item, self._void):
                return self._refuse(item)
            case Part(body=SpeechStarted() | SpeechEnded() as signal):
                cuts = self._barge_in.told(isinstance(signal, SpeechStarted), now)
                return [item, *(self._interrupt(now) if cuts else ())]
            case Part(role="user", body=Audio() as audio):
                cuts = self._barge_in.hear(audio, now)
                return [item, *(self._interrupt(now) if cuts else ())]
            case Part(role="user"):
                return [item]
            case Part(
                body=TurnComplete(turn=turn)
            ):  # waits for the last chunk, though none be queued
                self._ledger.made(turn)
                return self._keep_place(item, now)
            case Part() if self._rules.ordered and self._waiting:
                return self._keep_place(item, now)
            case Part():
                return [item]
            case _:
                return []

    def _keep_place(self, part: Part, now: float) -> list[Output]:
        self._overfull |= len(self._waiting) > _PARTS  # but the end of a long reply still fits
        self._put(part, now)
        return self._tell_news(now)

    def _put(self, part: Part, now: float) -> None:
        if not self._waiting:
            self._ready_at = now
        self._waiting.put(part)

    def _refuse(self, part: Part) -> list[Output]:
        self.counts.add("refused")
        self.counts.add("refused_s", part.seconds)
        self.counts.came(part.seconds)
        return []

    def _take(self, part: Part, audio: Audio, now: float) -> list[Output]:
        check_finite(audio.pcm, audio.format)
        if not part.turn and self._barge_in.is_deaf(now):
            return self._refuse(part)
        out = self._starved(part.turn, now) if audio.pcm and not self._waiting else []
        self._overfull = self._is_over()
        self._put(part, now)
        seconds = audio.seconds
        self.counts.came(seconds)
        self._ledger.queue(part.turn, seconds)
        return out + self._came(part.turn, seconds, now)

    def _is_over(self) -> bool:
        return self._waiting.seconds > self._rules.queue_s or len(self._waiting) > _PARTS

    def _starved(self, turn: int, now: float) -> list[Output]:
        """Nothing waited and all has been played: what comes now plays at once."""
        gap_s = self._playhead.starved_s(now)
        if not gap_s:
            return []
        self._playhead.restart()
        gap = self._playing == turn and (turn > 0 or gap_s <= _SILENCE_S)
        if not gap or self._is_silent(turn):
            return []
        self._said_s = 0.0
        self.counts.add("buffer_underruns")
        self.counts.add("underrun_s", gap_s)
        return [self._status("underrun", turn, now, gap_s)]

    # -- what leaves --------------------------------------------------------------------------

    def _due(self) -> float:
        """When the head may leave: inf while it is held, -inf for at once."""
        head = self._waiting.head
        if isinstance(head.body, Audio):
            silent = self._is_silent(head.turn)
            return math.inf if silent else self._playhead.at - self._rules.lead_s
        if isinstance(head.body, TurnComplete):
            silent = self._playing is not None and self._is_silent(self._playing)
            behind_s = min(max(0.0, self._ledger.lag_s), _BEHIND_S)
            return math.inf if silent else self._playhead.at + behind_s
        return -math.inf

    def _is_silent(self, turn: int) -> bool:
        return self._held is not None and turn <= self._held

    def _pass(self, now: float) -> list[Output]:
        """Let out what is first and no audio."""
        out: list[Output] = []
        while self._waiting and not isinstance(self._waiting.head.body, Audio):
            if self._due() > now:
                break
            part = self._waiting.pop()
            if isinstance(part.body, TurnComplete) and part.body.turn == self._playing:
                self._playing = None
            out.append(part)
        return out

    def _release(self, now: float) -> Part:
        late_s = now - max(self._playhead.at - self._rules.lead_s, self._ready_at)
        self._playhead.late(late_s)
        if self._waiting.head.turn != self._voice:
            self._voice, self._index, self._said_s = self._waiting.head.turn, 0, 0.0
        part, audio, source_at = self._waiting.cut(self._length(now))
        seconds = audio.seconds
        starts_at = self._play(audio, now) if audio.pcm else max(now, self._playhead.at)
        self._playing = part.turn
        self._said_s += seconds
        self.counts.played(seconds, late_s)
        facts = {"chunk_index": self._index, "chunk_duration": seconds}
        if source_at is not None:
            facts["source_at"] = source_at
        self._index += 1
        at = round(starts_at - self._zero, 6)
        return part.derive(body=audio, at=at, metadata={**part.metadata, **facts})

    def _play(self, audio: Audio, now: float) -> float:
        """Put it behind what has left; when it is to be played."""
        starts_at, gap_s = self._playhead.play(audio.pcm, audio.format, now)
        if gap_s:
            self.counts.add("stalls")
            self.counts.add("stalled_s", gap_s)
        return starts_at

    def _length(self, now: float) -> float:
        grows = self._chunks.longest_s > self._chunks.shortest_s
        contested = self._barge_in.is_likely(now)
        if grows and not contested and self._shedding.sheds("chunks"):
            return self._chunks.longest_s
        return chunk_length(
            self._chunks,
            waiting_s=self._waiting.seconds,
            said_s=self._said_s,
            lag_s=self._playhead.lag_s,
            contested=contested,
        )

    # -- interruption -------------------------------------------------------------------------

    def _control(self, signal: Interrupted | Reset | Held | Resumed, now: float) -> list[Output]:
        turn = signal.turn
        self._barge_in.sounded(now)
        if isinstance(signal, Interrupted | Reset):
            return self._flush(turn, now, unnumbered=turn == 0)
        if isinstance(signal, Resumed):
            self._resume(turn, now)
        elif self._held is None or turn > self._held:
            self.counts.add("holds")
            if self._held is None:
                self._held_at = now
            if self._held is None or (self._voice or 0) > self._held:  # it has played until now
                self._left_s = max(0.0, self._playhead.at - now)
            self._held = turn
        return []

    def _resume(self, turn: int, now: float) -> None:
        if self._held is None or self._held > turn:
            return
        held, self._held, self._ends_hold = self._held, None, False
        self.counts.add("held_s", now - self._held_at)
        if self._voice is not None and self._voice > held:
            return  # a newer reply plays, and was never held
        self._said_s = 0.0
        self._ready_at = now
        # What had left and was not played when it was held is played first.
        self._playhead.restart(now + self._left_s)

    def _flush(self, turn: int, now: float, *, unnumbered: bool) -> list[Output]:
        self._void = max(self._void, turn)
        news = self._tell_news(now)

        def stale(part: Part) -> bool:
            mine = unnumbered and not part.turn and isinstance(part.body, Audio)
            return mine or is_stale(part, self._void)

        parts, cut_s = self._waiting.drop(stale)
        playing = self._playing
        sounded = playing is not None and (unnumbered if playing == 0 else playing <= turn)
        self._resume(turn, now)
        if not parts and not sounded:
            return news
        self.counts.add("interruptions")
        self.counts.add("cut_s", cut_s)
        self._playing = None
        self._said_s = 0.0
        self._ready_at = now
        self._playhead.restart()  # whoever speaks next does not wait for what was cut
        return [*news, self._status("cut", turn, now, cut_s)]

    def _interrupt(self, now: float) -> list[Output]:
        """Cut all that the agent says; nothing if it is silent."""
        audible = self._playing is not None and now < self._playhead.at + _SILENCE_S
        turns = [self._waiting.last_voice, self._playing if audible else None]
        under_way = [turn for turn in turns if turn is not None]
        if not under_way:
            return []
        turn = max(under_way)
        signal = Interrupted(turn, self._ledger.heard(turn, now).text)
        self._barge_in.cut(now)
        return [*self._flush(turn, now, unnumbered=True), Announce(signal)]

    # -- what is told -------------------------------------------------------------------------

    def _came(self, turn: int, seconds: float, now: float) -> list[Output]:
        if turn != self._news_turn:
            out = self._tell_news(now)
            self._news_turn, self._news_s = turn, seconds
            return out + self._tell_news(now)
        self._news_s += seconds  # told with the next chunk: parts may come many at once
        return []

    def _tell_news(self, now: float) -> list[Output]:
        seconds, self._news_s = self._news_s, 0.0
        return [self._status("queued", self._news_turn, now, seconds)] if seconds else []

    def _end(self, now: float) -> list[Output]:
        """After the last of all: what was done, once."""
        if not self._ended or self._waiting or self._reported:
            return []
        self._reported = True
        report = msgspec.structs.asdict(self.counts.report())
        return [self._news_of(now, event="paced", **report)]

    def _status(self, event: str, turn: int, now: float, seconds: float) -> Part:
        return self._news_of(now, event=event, turn=turn, seconds=round(seconds, 6))

    def _news_of(self, now: float, **facts: object) -> Part:
        at = round(now - self._zero, 6)
        return Part(Data(facts), role="model", substream="status", at=at)
