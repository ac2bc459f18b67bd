"""What was heard: the ledger of replies.

This file owns the answer to "what did the user hear of reply n?". Prompt, transcript, recording and
metrics all read it; nothing else decides what was said. It books what a pacer was given, what was
handed to the consumer and when that is to be played, and what the listener's side reports.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import OrderedDict

import msgspec

from vivace.machines.words import words_until
from vivace.part import Audio, Part

__all__ = ["Ledger", "Reply"]

_GAP_S = 1e-3  # chunks that are further apart do not belong to one stretch of sound
_JITTER_S = 0.1  # a report that is off by more is no jitter: the listener has paused or starved
_ROUNDED_S = 0.01  # who has all but so much of what came has all of it: rates are converted there
# Letters and seconds, until the voice is known: 170 English words a minute, with their spaces.
_SPOKEN = (32.0, 2.0)
_STANDS_S = 1.5  # who has said so long that nothing is played is not about to go on
_FOLLOW = 0.25  # how much of the rest is believed at once: four reports tell jitter from skew


class Reply(msgspec.Struct, frozen=True):
    """What was heard of one reply.

    text: its words. seconds: of sound; both up to the moment that was asked for, or to its end.
    queued_s: what the model has made of it so far. released_s: what has been handed out.
    confirmed_s: what the listener's side says that it has played; None if it says nothing.
    """

    turn: int
    text: str = ""
    seconds: float = 0.0
    queued_s: float = 0.0
    released_s: float = 0.0
    confirmed_s: float | None = None


class _Stretch(msgspec.Struct):
    """Sound without a gap: on the clock, and where in the reply it begins.

    held_s: how long it was held at its end, from `held_at` on; or before its end, by a listener who
    is further behind than was known then.
    """

    begin: float
    end: float
    from_s: float
    held_at: float = 0.0
    held_s: float = 0.0

    @property
    def ends_s(self) -> float:
        """Where in the reply it ends."""
        return self.from_s + self.end - self.begin

    def split(self, held_at: float, lag: float, by_s: float) -> list[_Stretch]:
        """It was held before its end, for `by_s`, for a listener who was so far behind."""
        after = max(self.begin, held_at - lag)
        rest = _Stretch(after + by_s, self.end + by_s, self.from_s + after - self.begin)
        if after == self.begin:
            return [rest]
        return [_Stretch(self.begin, after, self.from_s, held_at, by_s), rest]


class _Account:
    __slots__ = (
        "begun", "confirmed_s", "cut_at", "cut_s", "finished", "made", "paced", "queued_s",
        "released_s", "stands_s", "stands_since", "stretches", "texts", "words",
    )  # fmt: skip

    def __init__(self) -> None:
        self.queued_s = self.released_s = 0.0
        self.stretches: list[_Stretch] = []
        self.words: list[tuple[float, float, str]] = []  # from where to where in the reply
        self.texts: list[str] = []
        self.begun = False  # something of it was handed out
        self.paced = False  # somebody knows when its sound is played
        self.confirmed_s: float | None = None
        self.cut_s: float | None = None
        self.cut_at = -math.inf  # when the listener fell silent, until a report tells where
        self.made = False  # no more will come of it
        self.stands_since = -math.inf  # the listener's side has played on no more, by its reports,
        self.stands_s = 0.0  # and so long it has said so
        self.finished = False  # all that was handed out is heard

    def release(self, audio: Audio, begin: float) -> None:
        seconds = audio.seconds
        if audio.words:
            self.words.append((self.released_s, self.released_s + seconds, audio.words))
        last = self.stretches[-1] if self.stretches else None
        if last is not None and begin - last.end < _GAP_S and not last.held_s:
            last.end = max(last.end, begin) + seconds
        else:
            self.stretches.append(_Stretch(begin, begin + seconds, self.released_s))
        self.released_s += seconds

    def stood_still(self, seconds: float, now: float) -> None:
        """The listener's side says at `now` that it has played so much. It may have no more."""
        plays = self.confirmed_s is None or seconds > self.confirmed_s
        if plays or math.isinf(self.stands_since) or seconds > self.released_s - _ROUNDED_S:
            self.stands_since = now
        self.stands_s = now - self.stands_since

    def planned(self, now: float) -> float:
        """How far it is played at `now`, if all goes as planned."""
        for stretch in reversed(self.stretches):
            if now > stretch.begin:
                return stretch.from_s + min(now, stretch.end) - stretch.begin
        return 0.0

    def lags(self, seconds: float, at: float) -> tuple[float, float]:
        """How far behind the plan somebody is who has played `seconds` at `at`: at least, at most.

        The same within a stretch. Between two, the one before is over and the next has not begun.
        """
        index = self._begun(seconds)
        most = math.inf
        if index >= 0:
            it = self.stretches[index]
            most = at - (it.begin + min(seconds - it.from_s, it.end - it.begin))
            if seconds + _ROUNDED_S < it.ends_s:
                return most, most
        for it in self.stretches[index + 1 :]:
            if seconds + _ROUNDED_S < it.ends_s:
                return at - it.begin - it.held_s, most
        return -math.inf, most

    def _begun(self, seconds: float) -> int:
        """Which stretch somebody is in who has played so much; -1 for none."""
        return bisect_left(self.stretches, seconds - _ROUNDED_S, key=lambda it: it.from_s) - 1

    def put_off(self, held_at: float, lag: float, by_s: float) -> None:
        """It was held, and goes on: what was not played yet is played so much later."""
        stretches: list[_Stretch] = []
        for it in self.stretches:
            stretches += it.split(held_at, lag, by_s) if it.end > held_at - lag else [it]
        if stretches and stretches[-1].end <= held_at - lag:
            stretches[-1].held_at, stretches[-1].held_s = held_at, by_s
        self.stretches = stretches

    def was_behind(self, seconds: float, at: float) -> None:
        """Who has played so much may have been further behind at a hold than was known then."""
        index = self._begun(seconds)
        it = self.stretches[index]
        if index >= 0 and it.held_s and seconds < it.ends_s - _ROUNDED_S:
            lag = at - (it.begin + seconds - it.from_s + it.held_s)
            self.stretches[index : index + 1] = it.split(it.held_at, lag, it.held_s)

    def text(self, seconds: float, letters_a_second: float) -> str:
        if self.words:
            return "".join(
                words if seconds >= end else words_until(words, (seconds - start) / (end - start))
                for start, end, words in self.words
                if seconds > start or seconds >= end
            )
        text = "".join(self.texts)
        made_s = max(self.queued_s, self.released_s)
        if made_s and not self.made:  # the text may be ahead of its sound
            made_s = max(made_s, len(text) / letters_a_second)
        return words_until(text, seconds / made_s if made_s else 1.0)


class Ledger:
    """Books each reply: what was made of it, handed out, and played.

    keep: how many of the newest replies are remembered; older ones read as unheard.

    paces: there is a pacer. Once there was a voice, too, replies are to be heard: of one without
        sound nothing was, until it is clear that it has none.

    Where the listener's side reports how far it has played, that is what was heard, and between
    reports its lag behind the plan is followed: jitter is smoothed out, a drift of clocks is not,
    a jump is believed at once. It falls silent when told of a hold, unless it reports otherwise.
    """

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self.paces: bool = False
        self._voiced = False
        self._accounts: OrderedDict[int, _Account] = OrderedDict()
        self._now = -math.inf  # the newest moment that was told
        self._lag: float | None = None  # of the listener behind the plan, in seconds
        self._letters, self._spoken_s = _SPOKEN  # of replies that were heard, without word marks
        self._held: int | None = None  # replies up to this one are held
        self._held_at = math.inf

    @property
    def lag_s(self) -> float:
        """How far the listener is behind the plan, by its own reports; 0 if it makes none."""
        return self._lag or 0.0

    def queue(self, turn: int, seconds: float) -> None:
        """A pacer was given so much sound of reply `turn`."""
        self._voiced |= self.paces and seconds > 0
        if turn >= 1 and seconds:
            self._account(turn).queued_s += seconds

    def book(self, part: Part, now: float | None = None, plays_at: float | None = None) -> bool:
        """Book a part that was handed out; True if it is its reply's first sound or text.

        plays_at: when it is to be played, on the clock of `now`. Where nobody says so, being handed
        out is being heard, unless the listener's side reports.
        Only the model's audio and text count as heard.
        """
        if part.turn < 1 or part.role != "model" or not isinstance(part.body, str | Audio):
            return False
        audio = part.body if isinstance(part.body, Audio) else None
        if not (part.body if audio is None else audio.words or audio.pcm):
            return False
        self._now = max(self._now, now if now is not None else -math.inf)
        account = self._account(part.turn)
        if audio is None:
            account.texts.append(part.text)
            if account.queued_s > account.released_s:  # its sound is still to come
                return False
        else:
            account.paced |= plays_at is not None
            last = account.stretches[-1].end if account.stretches else -math.inf
            times = (it for it in (plays_at, now, last) if it is not None)
            account.release(audio, max(times))
        first, account.begun = not account.begun, True
        return first

    def confirm(self, turn: int, seconds: float, now: float) -> None:
        """The listener's side has played `seconds` of reply `turn`; what cannot be is ignored."""
        account = self._accounts.get(turn)
        if account is None or not account.stretches or not seconds >= 0:
            return
        seconds = min(seconds, account.released_s)
        account.stood_still(seconds, now)
        account.confirmed_s = max(seconds, account.confirmed_s or 0.0)
        self._now = max(self._now, now)
        at = self._until(turn, now)
        if account.cut_s is not None:
            account.cut_s = account.confirmed_s
            at, account.cut_at = account.cut_at, -math.inf
        account.was_behind(seconds, at)
        least, most = account.lags(seconds, at)
        # Of a reply that was cut, the first report alone tells of a lag, and none of playing on.
        if most >= 0 if account.cut_s is not None else not account.finished:
            self._follow(least, most)

    def _follow(self, least: float, most: float) -> None:
        """A report has told of a lag between these."""
        lag = min(max(self.lag_s, least), most)
        if self._lag is None:
            self._lag = lag if lag or least == most else None
        elif abs(lag - self._lag) > _JITTER_S:
            self._lag = lag
        else:
            self._lag += _FOLLOW * (lag - self._lag)

    def hold(self, turn: int, now: float) -> None:
        """Replies up to `turn` fall silent: what was handed out of them is played later."""
        if self._held is not None and turn > self._held:
            self.resume(self._held, now)  # newer ones have played until now
        if self._held is None:
            self._held, self._held_at = turn, now

    def resume(self, turn: int, now: float) -> None:
        """Replies up to `turn` go on, first with what was handed out and not played."""
        held, held_at = self._held, self._held_at
        if held is None or turn < held:
            return
        self._held, self._held_at = None, math.inf
        for number, account in self._accounts.items():
            if number <= held:
                account.stands_since, account.stands_s = -math.inf, 0.0
                account.put_off(held_at, self.lag_s, now - held_at)

    def cut(self, turn: int, now: float) -> None:
        """Replies up to `turn` are void: nothing more of them is heard."""
        for number, account in self._accounts.items():
            if number <= turn and account.cut_s is None and not account.finished:
                account.cut_s = self._played(number, account, now)
                account.cut_at = self._until(number, now)
        self.resume(turn, now)

    def made(self, turn: int) -> None:
        """No more will come of reply `turn` than a pacer was given, unless it was cut before."""
        if turn >= 1:
            account = self._account(turn)
            account.made |= account.cut_s is None

    def complete(self, turn: int) -> None:
        """Reply `turn` has ended by itself: all that was handed out is heard, sooner or later.

        Not by a listener who has told, again and again, that it does not play on.
        """
        account = self._accounts.get(turn)
        if account is None or account.cut_s is not None:
            return
        account.made = True
        stands = account.paced and account.stands_s >= _STANDS_S
        played_s = account.confirmed_s if stands else None
        if played_s is not None and played_s < account.released_s - _ROUNDED_S:
            account.cut_s, account.cut_at = played_s, self._now
            return
        account.finished = True
        if account.stretches and account.texts and not account.words:
            self._letters += sum(map(len, account.texts))
            self._spoken_s += account.released_s

    def heard(self, turn: int, now: float | None = None) -> Reply:
        """What was heard of reply `turn`; an empty record if nothing was.

        now: up to when; the newest moment that the ledger was told of unless given.
        """
        account = self._accounts.get(turn)
        if account is None:
            return Reply(turn)
        seconds = self._played(turn, account, self._now if now is None else now)
        return Reply(
            turn,
            self._text(account, seconds).strip(),
            seconds,
            max(account.queued_s, account.released_s),
            account.released_s,
            account.confirmed_s,
        )

    def _text(self, account: _Account, seconds: float) -> str:
        if self._voiced and not account.stretches and not account.made:
            return ""  # its sound is still to come
        return account.text(seconds, self._letters / self._spoken_s)

    def begins_at(self, turn: int) -> float | None:
        """When the first sound of reply `turn` is heard: planned, and as late as the listener is.

        None if none of it was handed out.
        """
        account = self._accounts.get(turn)
        if account is None or not account.stretches:
            return None
        return account.stretches[0].begin + self.lag_s

    def _account(self, turn: int) -> _Account:
        account = self._accounts.get(turn)
        if account is None:
            account = self._accounts[turn] = _Account()
            if len(self._accounts) > self._keep:
                self._accounts.popitem(last=False)
        return account

    def _until(self, turn: int, now: float) -> float:
        """Up to when reply `turn` was played by `now`."""
        held = self._held is not None and turn <= self._held
        return min(now, self._held_at) if held else now

    def _played(self, turn: int, account: _Account, now: float) -> float:
        if account.cut_s is not None:
            return account.cut_s
        if account.finished or not (account.paced or account.confirmed_s is not None):
            return account.released_s
        planned = account.planned(self._until(turn, now) - self.lag_s)
        return max(planned, account.confirmed_s or 0.0)
