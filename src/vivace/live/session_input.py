"""The user's side of a session with a live model's server: what is sent of it, and what is owed.

This file owns when the user waits for an answer. Whether sound was a turn is the server's to say,
or a detector's; where there is neither, sound that is loud enough may have been one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from vivace.errors import PartError
from vivace.live.session_rules import SessionRules
from vivace.live.session_wishes import SessionWishes, UserVoice
from vivace.machines.heard_clock import HeardClock
from vivace.machines.json_text import json_text
from vivace.machines.loud_speech import LoudSpeech
from vivace.machines.outbound import (
    ActivityEnd,
    ActivityStart,
    AudioEnd,
    Message,
    Outbound,
    SendAudio,
    SendContent,
    SendResults,
    SendText,
)
from vivace.machines.transcripts import is_context, is_interim
from vivace.part import (
    Ask,
    Audio,
    Data,
    Event,
    Image,
    Part,
    Say,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
)

__all__ = ["JPEG", "SessionInput", "Took"]

JPEG = b"\xff\xd8"
"""How every JPEG begins: start of image, ITU-T T.81, B.1.1.3."""


class Took(msgspec.Struct, frozen=True):
    """What a part was. passes: others downstream want it, too. started: a sound began, so likely
    speech. ended: it has ended. at: when, on the clock. typed: it was text of a turn of its own,
    and cuts a reply."""

    passes: bool = False
    started: float | None = None
    ended: bool = False
    at: float = math.inf
    typed: bool = False


class SessionInput:
    """clock: says when the user's sound was made. owed_due: until when the answer
    that is owed is waited for. linger_due: likewise, where nobody knows whether one is. wishes:
    what waits until nobody speaks. voice: when the user does. besides: something else than the
    user's sound asks for the answer that is owed."""

    def __init__(self, outbound: Outbound, rules: SessionRules) -> None:
        self._outbound = outbound
        self._rules = rules
        self._automatic = rules.automatic
        self._takes_turns = rules.facts.content == "always"
        self.wishes: SessionWishes = SessionWishes()
        self.voice: UserVoice = UserVoice(rules.floor.patience_s)
        self._level = LoudSpeech()
        self._is_told = False  # a detector tells when the user speaks
        self._spoken = True  # a detector has told of speech since the last answer; or none tells
        self._active = False  # an activity was begun, and has not ended
        self._has_sound = False
        self._loud = False  # sound that may be speech was not answered
        self.besides: bool = False
        self._words = False  # something was understood of what is to be answered
        self._patient_until = -math.inf  # then what is owed may have been a noise
        self._goes_on = False  # what is owed is no more than the rest of a reply
        self._nudged = False  # for the answer that is owed now
        self._refused_until = -math.inf  # a reply that begins by then answers what was reset,
        self._asks_anew = False  # and the user has begun to speak since
        self.clock: HeardClock = HeardClock()
        self.unanswered_sound: bool = False
        self.owed_due: float = math.inf
        self.linger_due: float = math.inf

    # -- what is owed -------------------------------------------------------------------------

    @property
    def owed(self) -> bool:
        """True while the user waits for an answer."""
        return self.owed_due < math.inf

    @property
    def speaking(self) -> bool:
        """True while the user is speaking, as far as the level of the sound tells."""
        return not self._is_told and self._level.speaking

    def ask(self, now: float, *, goes_on: bool = False, sound: bool = False) -> None:
        """From now on an answer is owed. goes_on: the reply under way may be it, else the next.
        sound: it is to what the user may have said."""
        self.besides |= not sound
        self._patient_until = now + self._rules.floor.patience_s
        if not goes_on:  # a server that has not answered what was before may do so together
            self._refused_until = -math.inf
        self._goes_on = goes_on and (self._goes_on or not self.owed)
        self.owed_due = now + self._rules.answer_within_s

    def understood(self) -> None:
        """The server has understood something of what the user said."""
        self._words = True
        if self._asks_anew or self.speaking:  # since a reset
            self._refused_until = -math.inf

    @property
    def answered_at(self) -> float:
        """Until when the program's wishes wait for the answer that is owed; -inf if none is.

        Of a sound without a word nobody knows whether the server answers it.
        """
        if self.lingers:
            return math.inf
        if not self.owed:
            return -math.inf
        told = not self._automatic or not self._rules.transcribed
        sure = self.besides or self._words or told
        return self.owed_due if sure else min(self.owed_due, self._patient_until)

    def nudge(self) -> None:
        """Ask once more. Who does not answer that is not asked again for the same turn."""
        if not self._nudged:
            self._outbound.put(SendText(self._rules.nudge))
        self._nudged = not self._nudged

    def answered(self) -> None:
        """It comes."""
        self._nudged = False
        self.given_up()

    def reply_begins(self) -> None:
        """It is there, or what was not known to be owed is."""
        self.answered()
        self.linger_due = math.inf

    def reply_over(self) -> None:
        """The reply under way is: what was said meanwhile is not answered by it."""
        if self._goes_on:
            self.owed_due = math.inf

    def given_up(self) -> None:
        """It is waited for no more."""
        self.owed_due = math.inf
        self._loud = self.unanswered_sound = self.besides = self._words = False
        self.voice.turn_ended()
        self._spoken = not self._is_told

    def nothing_came(self) -> None:
        """A turn of the server's is over in which it said nothing: that was what is owed."""
        self.answered()
        self._spoken |= self.voice.speaking
        self._refused_until = -math.inf

    def forget(self, now: float) -> None:
        """The answer that is owed is not wanted. That to what the user goes on to say is."""
        self._outbound.forget(now)
        going_on = self.voice.speaking or self.speaking
        said = not going_on and (self._loud or (self._is_told and self._spoken))
        if self.owed or said:
            self._refused_until = now + self._rules.answer_within_s
        loud = self._loud
        self.answered()
        self._asks_anew = self.voice.speaking
        self._spoken |= self.voice.speaking
        self._loud = loud and going_on

    def refuses(self, now: float) -> bool:
        """True if the reply that begins now is an answer that is not wanted. It is the only one."""
        until, self._refused_until = self._refused_until, -math.inf
        return now < until

    def spoke_over(self, now: float, *, speaking: bool) -> None:
        """What the user has said over a reply is no cough. speaking: they are, still."""
        self._spoken = True
        if self._is_told and not (speaking or self.owed):
            self.ask(now, sound=True)

    def went(self, messages: Sequence[Message], now: float) -> None:
        """Messages have gone out: what they ask for is owed from then on."""
        if messages and self.lingers:
            self.linger(now)
        for message in messages:
            match message:
                case SendAudio():
                    self.unanswered_sound = True
                case SendText() | SendContent(complete=True):
                    self.ask(now)
                case ActivityEnd():
                    self.ask(now, sound=True)
                case SendResults(results=results) if any(it.asks for it in results):
                    self.ask(now, goes_on=True)
                case AudioEnd() if self._loud:
                    self.ask(now, sound=True)
                case _:
                    pass

    @property
    def lingers(self) -> bool:
        """True while an answer may come, though none is owed."""
        return self.linger_due < math.inf

    def linger(self, now: float) -> None:
        """From now on it is waited for so long."""
        self.linger_due = now + self._rules.linger_s

    def finish(self, now: float, *, answering: bool) -> None:
        """The input has ended. answering: a reply is under way."""
        self._outbound.flush()
        self.voice.finish()
        if self._active:
            self._end_activity(now)
        elif self._has_sound and self._automatic:
            self._outbound.put(AudioEnd())
            if self._loud:
                self.ask(now, sound=True)
        if self.unanswered_sound and not (self.owed or answering):
            self.linger(now)

    # -- what comes ---------------------------------------------------------------------------

    def take(self, part: Part, now: float, *, over: bool = False) -> Took:
        """Line up what is to be sent of a part. over: a reply is being heard.

        Raises PartError for data that cannot be written, and for what is no JPEG.
        """
        match part.body:
            case Audio() as audio:
                return self._hear(audio, part.at, now)
            case Image() as picture:
                self._outbound.look(_jpeg(picture))
                return Took()
            case SpeechStarted(at=at, probability=probability):
                self._is_told = self._spoken = True
                self._asks_anew = now < self._refused_until
                self.linger_due = math.inf
                self.voice.began(at, now)
                if not self._automatic and not self._active:
                    self._active = True
                    self._outbound.put(ActivityStart())
                return Took(passes=True, started=probability, at=self.clock.when(at))
            case SpeechEnded(at=at, turn_follows=follows):
                self._spoken &= not over  # it came to nothing: a cough
                if self._asks_anew:
                    self._refused_until = -math.inf
                self.voice.ended(now, turn_follows=follows and self._spoken)
                if not follows:
                    self._turn_ended(now)
                return Took(passes=True, ended=True, at=self.clock.when(at))
            case TurnEnded(at=at):
                lets_go = self.voice.lets_go(at)
                if lets_go:
                    self.voice.ended(now, turn_follows=False)
                self._turn_ended(now)
                return Took(passes=True, ended=lets_go, at=self.clock.when(at))
            case Say(text=text):
                self.wishes.add(f'Say this, word for word: "{text}"')
                return Took()
            case Ask():
                self.wishes.add(self._rules.nudge)
                return Took()
            case str(text):
                return self._text(part, text, now)
            case Event() as event:
                return self._see(event)
            case Data(value=value) if value is not None:
                self._tell(json_text(value))
                return Took()
            case _:
                return Took(passes=True)

    def _hear(self, audio: Audio, at: float | None, now: float) -> Took:
        self._outbound.hear(audio.pcm)
        self._has_sound = self.unanswered_sound = True
        self.clock.hear(audio.seconds, at, now)
        if not self._is_told:
            news = self._level.hear(audio)
            self._loud |= "started" in news
            if self._level.speaking or news:
                self.voice.loud(now, over=not self._level.speaking)
            if "ended" in news:  # as near to a question as can be told
                self._refused_until = -math.inf
        return Took()

    def _turn_ended(self, now: float) -> None:
        self._nudged = False
        self.voice.turn_ended()
        if self._active:
            self._end_activity(now)
        elif self._spoken:  # else the server was quicker, and has answered
            self.ask(now, sound=True)

    def _end_activity(self, now: float) -> None:
        self._active = False
        self._outbound.flush()
        self._outbound.put(ActivityEnd())
        self.ask(now, sound=True)

    def _text(self, part: Part, text: str, now: float) -> Took:
        if part.role != "user" or is_context(part):
            self._tell(text, "model" if part.role == "model" else "user")
            return Took()
        # A transcript of what the server has heard itself says nothing new.
        said = part.at is not None and self._has_sound
        if said or is_interim(part) or not text.strip():
            return Took(passes=True)
        if self._rules.text_as == "content" and self._takes_turns:
            self._outbound.put(SendContent((("user", text),), complete=True))
        else:
            self._outbound.put(SendText(text))
        self._nudged = False
        self.ask(now)
        return Took(passes=True, typed=True)

    def _see(self, event: Event) -> Took:
        if event.triggers_turn:
            self.wishes.add_seen(event.told, cuts_in=event.triggers_turn == "over")
        else:
            self._tell(event.told)
        return Took(passes=True)

    def grant(self, now: float, *, cuts_in: bool) -> None:
        """The server is told what is wanted, now that it may be. cuts_in: what overtakes."""
        self._outbound.put(SendText(self.wishes.take(cuts_in=cuts_in)))
        self.ask(now)

    def _tell(self, text: str, role: str = "user") -> None:
        """Something that the model should know, and need not answer."""
        if self._takes_turns:
            self._outbound.put(SendContent(((role, text),)))
        else:
            self._outbound.put(SendText(text))


def _jpeg(picture: Image) -> bytes:
    if not picture.data.startswith(JPEG):
        raise PartError(
            f"{len(picture.data)} bytes of {picture.mimetype} are no picture that can be read; "
            "give a whole file, as JPEG or PNG"
        )
    return picture.data
